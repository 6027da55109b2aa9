/* The feed-forward half of the oracle: x + sum over slots of weight * expert(norm(x)) + shared(norm(x)). A part of ref.c. */
#ifndef MOP_REF_FFN_H
#define MOP_REF_FFN_H

#include "ref/ops.h"

/* What the half keeps. A dense layer is one expert that every token takes with weight 1: slots = 1. */
struct ffn {
    bool moe;
    int slots;                                  /* k, or 1 */
    int64_t width;                              /* I of this layer */
    real *x, *xn;                               /* (N, H) */
    real *logit;                                /* (N, E) MoE only, as the next two */
    real *prob;                                 /* (N, E) softmax over all experts: of the load-balancing loss in every family */
    real *score;                                /* (N, E) what the weights come from: prob, or sigmoids of the logits */
    int32_t *choice;                            /* (N, slots) expert, or -1 for padding */
    real *weight;                               /* (N, slots) */
    real *gate, *up;                            /* (N*slots, I) */
    real *out;                                  /* (N*slots, H) the experts' outputs, unweighted */
    real *shared_gate, *shared_up, *shared_out; /* (N, I_shared) twice, (N, H): where there is one */
    real *open;                                 /* (N) what of shared_out passes */
};

static err_t ffn_alloc(struct run *r, int layer, struct ffn *f) {
    const struct spec *s = r->s;
    f->moe = s->is_moe[layer];
    f->slots = f->moe ? s->top_k : 1;
    f->width = f->moe ? s->expert_width : s->dense_width;
    const int64_t rows = r->n * f->slots, scores = f->moe ? r->n * s->experts : 0, shared = f->moe ? r->n * s->shared_width : 0;
    TAKE(r, r->n * s->hidden, &f->x);
    TAKE(r, r->n * s->hidden, &f->xn);
    TAKE(r, scores, &f->logit);
    TAKE(r, scores, &f->prob);
    f->score = f->prob;
    if (s->score == SCORE_SIGMOID) TAKE(r, scores, &f->score);
    TAKE(r, rows, &f->choice);
    TAKE(r, rows, &f->weight);
    TAKE(r, rows * f->width, &f->gate);
    TAKE(r, rows * f->width, &f->up);
    TAKE(r, rows * s->hidden, &f->out);
    if (!shared) return OK;
    TAKE(r, shared, &f->shared_gate);
    TAKE(r, shared, &f->shared_up);
    TAKE(r, r->n * s->hidden, &f->shared_out);
    TAKE(r, r->n, &f->open);
    return OK;
}

/* ---- router ---- */

/* The k highest, highest first; among equals the lower index. */
static void top_k(int n, int k, const real *value, int32_t *choice) {
    for (int j = 0; j < k; j++) {
        int32_t best = -1;
        for (int32_t e = 0; e < n; e++) {
            bool taken = false;
            for (int i = 0; i < j; i++) taken |= choice[i] == e;
            if (!taken && (best < 0 || value[e] > value[best])) best = e;
        }
        choice[j] = best;
    }
}

/* By score + correction bias, among the groups with the best sums of their best two. */
static void choose_biased(const struct spec *s, const real *score, const real *bias, real *value, int32_t *choice) {
    const int each = s->experts / s->groups;
    for (int e = 0; e < s->experts; e++) value[e] = score[e] + bias[e];
    if (s->groups > 1) {
        real *sum = value + s->experts;
        int32_t kept[SPEC_EXPERTS_MAX], two[2];
        for (int g = 0; g < s->groups; g++) {
            top_k(each, 2, value + g * each, two);
            sum[g] = value[g * each + two[0]] + value[g * each + two[1]];
        }
        top_k(s->groups, s->groups_kept, sum, kept);
        for (int g = 0; g < s->groups; g++) {
            bool in = false;
            for (int i = 0; i < s->groups_kept; i++) in |= kept[i] == g;
            for (int e = g * each; e < (g + 1) * each && !in; e++) value[e] = (real)-INFINITY;
        }
    }
    top_k(s->experts, s->top_k, value, choice);
}

/* Rows of the load-balancing loss: those of the choice, or, where something else than the softmax chose, of the softmax's own. */
static void count_hits(struct run *r, const real *prob, const int32_t *choice) {
    int32_t own[SPEC_TOPK_MAX];
    if (r->s->choice == CHOICE_BIASED) top_k(r->s->experts, r->s->top_k, prob, own);
    for (int j = 0; j < r->s->top_k; j++) r->hits[r->s->choice == CHOICE_BIASED ? own[j] : choice[j]] += 1;
}

static void weigh(const struct spec *s, const real *score, const real *logit, const int32_t *choice, real *weight) {
    real sum = 0;
    if (s->choice == CHOICE_LOGIT) {
        for (int j = 0; j < s->top_k; j++) weight[j] = logit[choice[j]];
        (void)softmax(s->top_k, weight);
        return;
    }
    for (int j = 0; j < s->top_k; j++) sum += weight[j] = score[choice[j]];
    for (int j = 0; j < s->top_k && s->renormalise; j++) weight[j] /= sum + (real)s->renormalise_eps;
    for (int j = 0; j < s->top_k; j++) weight[j] *= (real)s->routed_scale;
}

static err_t route_forward(struct run *r, int layer) {
    const struct spec *s = r->s;
    struct ffn *f = &r->ffn[layer];
    const int64_t n = r->n, E = s->experts;
    const int k = f->slots;
    const struct weight correction = bias_of(r, PARAM_CORRECTION_BIAS, layer);
    real *value;
    TAKE(r, 2 * E, &value);
    linear(n, E, s->hidden, f->xn, weight_of(r, PARAM_ROUTER, layer, -1), bias_of(r, PARAM_ROUTER_BIAS, layer), f->logit);
    memcpy(f->prob, f->logit, (size_t)(n * E) * sizeof *f->prob);
    for (int64_t t = 0; t < n; t++) {
        const real *logit = f->logit + t * E;
        int32_t *choice = f->choice + t * k;
        (void)softmax(E, f->prob + t * E);
        for (int64_t e = 0; e < E && s->score == SCORE_SIGMOID; e++) f->score[t * E + e] = sigmoid(logit[e]);
        if (r->b->doc_start[t] < 0) {
            for (int j = 0; j < k; j++) choice[j] = -1; /* padding routes nowhere */
            continue;
        }
        if (r->b->routes) memcpy(choice, r->b->routes + (layer * n + t) * k, (size_t)k * sizeof *choice);
        else if (s->choice == CHOICE_BIASED) choose_biased(s, f->score + t * E, correction.w, value, choice);
        else top_k(s->experts, k, s->choice == CHOICE_LOGIT ? logit : f->score + t * E, choice);
        weigh(s, f->score + t * E, logit, choice, f->weight + t * k);
        count_hits(r, f->prob + t * E, choice);
    }
    return OK;
}

/* dweight: gradients of the slots' weights, (N, k). The choice itself has none; F of the load-balancing loss is a
 * constant, so that loss gives dprob_e = scale * F_e. */
static err_t route_backward(struct run *r, int layer, const real *dweight, double aux_scale, real *dxn_acc) {
    const struct spec *s = r->s;
    const struct ffn *f = &r->ffn[layer];
    const int64_t n = r->n, E = s->experts;
    const int k = f->slots;
    const bool direct = s->choice == CHOICE_LOGIT || s->score == SCORE_SIGMOID; /* weights do not come through the softmax over all */
    real *dlogit;
    TAKE(r, n * E, &dlogit);
    const double share = s->has_aux ? aux_scale * (double)E / ((double)r->live * spec_moe_layers(s)) : 0;
    for (int64_t t = 0; t < n; t++) {
        if (r->b->doc_start[t] < 0) continue;
        const real *score = f->score + t * E, *weight = f->weight + t * k, *dw = dweight + t * k;
        const int32_t *choice = f->choice + t * k;
        real *d = dlogit + t * E, dscore[SPEC_TOPK_MAX], sum = (real)s->renormalise_eps, along = 0;
        for (int j = 0; j < k; j++) {
            sum += score[choice[j]];
            along += dw[j] * weight[j];
        }
        /* weight_j = scale*score_j/sum, so dscore_j = (scale*dw_j - <dw, weight>)/sum */
        const real scale = (real)s->routed_scale;
        for (int j = 0; j < k; j++) dscore[j] = s->renormalise ? (scale * dw[j] - along) / sum : scale * dw[j];
        for (int64_t e = 0; e < E; e++) d[e] = (real)(share * r->hits[e]);
        for (int j = 0; j < k && !direct; j++) d[choice[j]] += dscore[j];
        softmax_backward(E, f->prob + t * E, d);
        for (int j = 0; j < k && direct; j++) {
            const int32_t e = choice[j];
            d[e] += s->choice == CHOICE_LOGIT ? weight[j] * (dw[j] - along) : dscore[j] * score[e] * (1 - score[e]);
        }
    }
    linear_backward(n, E, s->hidden, dlogit, f->xn, weight_of(r, PARAM_ROUTER, layer, -1), bias_of(r, PARAM_ROUTER_BIAS, layer), dxn_acc);
    return OK;
}

/* ---- an expert ---- */

struct mlp {
    struct weight gate, up, down, gate_bias, up_bias, down_bias;
    bool clamped;
};

static struct weight maybe(const struct run *r, enum param_kind kind, int layer, int expert) {
    const struct param *t = params_at(r->p, kind, layer, expert);
    return t ? weight_at(r, t) : (struct weight){NULL, NULL};
}

/* expert -1: the dense feed-forward. */
static struct mlp mlp_of(const struct run *r, int layer, int expert) {
    if (expert < 0)
        return (struct mlp){.gate = weight_of(r, PARAM_MLP_GATE, layer, -1),
                            .up = weight_of(r, PARAM_MLP_UP, layer, -1),
                            .down = weight_of(r, PARAM_MLP_DOWN, layer, -1)};
    return (struct mlp){.gate = weight_of(r, PARAM_EXPERT_GATE, layer, expert),
                        .up = weight_of(r, PARAM_EXPERT_UP, layer, expert),
                        .down = weight_of(r, PARAM_EXPERT_DOWN, layer, expert),
                        .gate_bias = maybe(r, PARAM_EXPERT_GATE_BIAS, layer, expert),
                        .up_bias = maybe(r, PARAM_EXPERT_UP_BIAS, layer, expert),
                        .down_bias = maybe(r, PARAM_EXPERT_DOWN_BIAS, layer, expert),
                        .clamped = r->s->activation == ACTIVATION_SWIGLU_CLAMPED};
}

static struct mlp shared_of(const struct run *r, int layer) {
    return (struct mlp){.gate = weight_of(r, PARAM_SHARED_GATE, layer, -1),
                        .up = weight_of(r, PARAM_SHARED_UP, layer, -1),
                        .down = weight_of(r, PARAM_SHARED_DOWN, layer, -1)};
}

/* silu(gate)*up; or (up' + 1)*gate'*sigmoid(alpha*gate'), gate' clamped from above, up' from both sides. */
static real activate(const struct spec *s, bool clamped, real gate, real up) {
    if (!clamped) return gate * sigmoid(gate) * up;
    const real limit = (real)s->activation_limit, g = gate > limit ? limit : gate, u = up > limit ? limit : up < -limit ? -limit : up;
    return (u + 1) * g * sigmoid((real)s->activation_alpha * g);
}

/* d: of the output. Nothing flows through what was clamped. */
static void activate_backward(const struct spec *s, bool clamped, real gate, real up, real d, real *dgate, real *dup) {
    if (!clamped) {
        const real sig = sigmoid(gate);
        *dup = d * gate * sig;
        *dgate = d * up * silu_slope(gate, sig);
        return;
    }
    const real limit = (real)s->activation_limit, alpha = (real)s->activation_alpha, g = gate > limit ? limit : gate;
    const real u = up > limit ? limit : up < -limit ? -limit : up, sig = sigmoid(alpha * g);
    *dup = up > limit || up < -limit ? 0 : d * g * sig;
    *dgate = gate > limit ? 0 : d * (u + 1) * sig * (1 + alpha * g * (1 - sig));
}

/* One token through one feed-forward; hidden: room for its width. */
static void mlp_forward(const struct run *r, const struct mlp *m, int64_t I, const real *x, real *gate, real *up, real *hidden, real *out) {
    const int64_t H = r->s->hidden;
    linear(1, I, H, x, m->gate, m->gate_bias, gate);
    linear(1, I, H, x, m->up, m->up_bias, up);
    for (int64_t c = 0; c < I; c++) hidden[c] = activate(r->s, m->clamped, gate[c], up[c]);
    linear(1, H, I, hidden, m->down, m->down_bias, out);
}

/* room: four times the width. */
static void mlp_backward(const struct run *r, const struct mlp *m, int64_t I, const real *x, const real *gate, const real *up, const real *dout,
                         real *room, real *dx_acc) {
    const int64_t H = r->s->hidden;
    real *hidden = room, *dhidden = room + I, *dgate = room + 2 * I, *dup = room + 3 * I;
    for (int64_t c = 0; c < I; c++) {
        hidden[c] = activate(r->s, m->clamped, gate[c], up[c]);
        dhidden[c] = 0;
    }
    linear_backward(1, H, I, dout, hidden, m->down, m->down_bias, dhidden);
    for (int64_t c = 0; c < I; c++) activate_backward(r->s, m->clamped, gate[c], up[c], dhidden[c], &dgate[c], &dup[c]);
    linear_backward(1, I, H, dgate, x, m->gate, m->gate_bias, dx_acc);
    linear_backward(1, I, H, dup, x, m->up, m->up_bias, dx_acc);
}

/* ---- the half ---- */

static err_t shared_forward(struct run *r, int layer, real *y_acc) {
    const struct spec *s = r->s;
    struct ffn *f = &r->ffn[layer];
    const int64_t n = r->n, H = s->hidden, I = s->shared_width;
    const struct weight none = {NULL, NULL};
    const struct mlp m = shared_of(r, layer);
    real *hidden;
    TAKE(r, I, &hidden);
    for (int64_t t = 0; t < n; t++) {
        mlp_forward(r, &m, I, f->xn + t * H, f->shared_gate + t * I, f->shared_up + t * I, hidden, f->shared_out + t * H);
        f->open[t] = 1;
        if (s->shared_gate) {
            linear(1, 1, H, f->xn + t * H, weight_of(r, PARAM_SHARED_SWITCH, layer, -1), none, &f->open[t]);
            f->open[t] = sigmoid(f->open[t]);
        }
        add_scaled(H, f->open[t], f->shared_out + t * H, y_acc + t * H);
    }
    return OK;
}

static err_t shared_backward(struct run *r, int layer, const real *dy, real *dxn_acc) {
    const struct spec *s = r->s;
    const struct ffn *f = &r->ffn[layer];
    const int64_t n = r->n, H = s->hidden, I = s->shared_width;
    const struct weight none = {NULL, NULL};
    const struct mlp m = shared_of(r, layer);
    real *room, *dout;
    TAKE(r, 4 * I, &room);
    TAKE(r, H, &dout);
    for (int64_t t = 0; t < n; t++) {
        for (int64_t c = 0; c < H; c++) dout[c] = f->open[t] * dy[t * H + c];
        mlp_backward(r, &m, I, f->xn + t * H, f->shared_gate + t * I, f->shared_up + t * I, dout, room, dxn_acc + t * H);
        if (!s->shared_gate) continue;
        const real d = dot(dy + t * H, f->shared_out + t * H, H) * f->open[t] * (1 - f->open[t]);
        linear_backward(1, 1, H, &d, f->xn + t * H, weight_of(r, PARAM_SHARED_SWITCH, layer, -1), none, dxn_acc + t * H);
    }
    return OK;
}

static err_t ffn_forward(struct run *r, int layer, real *x) {
    const struct spec *s = r->s;
    struct ffn *f = &r->ffn[layer];
    const int64_t n = r->n, H = s->hidden, I = f->width;
    real *hidden;
    TAKE(r, I, &hidden);
    memcpy(f->x, x, (size_t)(n * H) * sizeof *x);
    norm(n, H, s->norm_eps, plus_of(s), f->x, weight_of(r, PARAM_FFN_NORM, layer, -1), f->xn);
    if (f->moe) TRY(route_forward(r, layer));
    for (int64_t t = 0; t < n && !f->moe; t++) f->weight[t] = 1; /* and choice is 0 */
    for (int e = 0; e < (f->moe ? s->experts : 1); e++) {
        const struct mlp m = mlp_of(r, layer, f->moe ? e : -1);
        for (int64_t i = 0; i < n * f->slots; i++)
            if (f->choice[i] == e) mlp_forward(r, &m, I, f->xn + i / f->slots * H, f->gate + i * I, f->up + i * I, hidden, f->out + i * H);
    }
    memset(x, 0, (size_t)(n * H) * sizeof *x);
    for (int64_t i = 0; i < n * f->slots; i++) add_scaled(H, f->weight[i], f->out + i * H, x + i / f->slots * H);
    if (f->open) TRY(shared_forward(r, layer, x));
    add_scaled(n * H, 1, f->x, x);
    return OK;
}

static err_t ffn_backward(struct run *r, int layer, double aux_scale, real *dx) {
    const struct spec *s = r->s;
    const struct ffn *f = &r->ffn[layer];
    const int64_t n = r->n, H = s->hidden, I = f->width;
    const struct weight ffn_norm = weight_of(r, PARAM_FFN_NORM, layer, -1);
    real *dweight, *dout, *room, *dxn;
    ENSURE(ffn_norm.g_acc); /* a forward only has no backward */
    TAKE(r, n * f->slots, &dweight);
    TAKE(r, H, &dout);
    TAKE(r, 4 * I, &room);
    TAKE(r, n * H, &dxn);
    for (int e = 0; e < (f->moe ? s->experts : 1); e++) {
        const struct mlp m = mlp_of(r, layer, f->moe ? e : -1);
        for (int64_t i = 0; i < n * f->slots; i++) {
            if (f->choice[i] != e) continue;
            const int64_t t = i / f->slots;
            dweight[i] = dot(dx + t * H, f->out + i * H, H);
            for (int64_t c = 0; c < H; c++) dout[c] = f->weight[i] * dx[t * H + c];
            mlp_backward(r, &m, I, f->xn + t * H, f->gate + i * I, f->up + i * I, dout, room, dxn + t * H);
        }
    }
    if (f->open) TRY(shared_backward(r, layer, dx, dxn));
    if (f->moe) TRY(route_backward(r, layer, dweight, aux_scale, dxn));
    norm_backward(n, H, s->norm_eps, plus_of(s), dxn, f->x, ffn_norm, dx);
    return OK;
}

#endif
