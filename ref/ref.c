/* The whole journey of a step in plain loops: here the loss, the step and the optimizer; in ops.h the operations, in attention.h and delta.h
 * the two kinds of attention half, in ffn.h the feed-forward half. Each forward is followed by its backward. Nothing is tiled, fused,
 * recomputed or shared between threads; every activation is kept. What transformers does and one would not guess is said where it happens. */
#include "ref/attention.h"
#include "ref/delta.h"
#include "ref/ffn.h"

/* ---- loss ---- */

/* A tied model has no head of its own. */
static struct weight head_of(const struct run *r) { return weight_of(r, r->s->tied ? PARAM_EMBED : PARAM_HEAD, -1, -1); }

/* From the last hidden state x (N, H) to the loss and, if dx is not NULL, back to dx. */
static err_t head_and_loss(struct run *r, const real *x, double loss_scale, struct ref_out *out, real *dx) {
    const struct spec *s = r->s;
    int64_t n = r->n, H = s->hidden, V = s->vocab;
    const struct weight none = {NULL, NULL}, final_norm = weight_of(r, PARAM_FINAL_NORM, -1, -1);
    real *xn, *dxn, *y; /* y: logits, then probabilities, then their gradient, of one token at a time */
    TAKE(r, n * H, &xn);
    TAKE(r, n * H, &dxn);
    TAKE(r, V, &y);
    norm(n, H, s->norm_eps, plus_of(s), x, final_norm, xn);
    out->loss_sum = 0;
    out->targets = 0;
    for (int64_t t = 0; t < n; t++) {
        int32_t target = r->b->targets[t];
        linear(1, V, H, xn + t * H, head_of(r), none, y);
        if (out->logits) memcpy(out->logits + t * V, y, (size_t)V * sizeof *y);
        if (target == REF_NO_TARGET) continue;
        double right = (double)y[target];
        out->loss_sum += softmax(V, y) - right;
        out->targets++;
        if (!dx) continue;
        y[target] -= 1; /* dlogit = scale*(probability - [is the target]) */
        for (int64_t v = 0; v < V; v++) y[v] *= (real)loss_scale;
        linear_backward(1, V, H, y, xn + t * H, head_of(r), none, dxn + t * H);
    }
    if (dx) norm_backward(n, H, s->norm_eps, plus_of(s), dxn, x, final_norm, dx);
    return OK;
}

/* transformers' load-balancing loss over all MoE layers joined: E * sum_e F_e * R_e, F_e the share of rows that chose e (k in
 * all), R_e the mean probability of e, both over live tokens and layers. Turns r->hits into F, for the backward. Some families have none. */
static double load_balance(struct run *r) {
    const struct spec *s = r->s;
    double rows = (double)r->live * spec_moe_layers(s), aux = 0;
    if (rows == 0 || !s->has_aux) return 0;
    for (int64_t e = 0; e < s->experts; e++) {
        double mean = 0;
        for (int layer = 0; layer < s->layers; layer++)
            for (int64_t t = 0; t < r->n && s->is_moe[layer]; t++)
                if (r->b->doc_start[t] >= 0) mean += (double)r->ffn[layer].prob[t * s->experts + e];
        r->hits[e] /= rows;
        aux += (double)s->experts * r->hits[e] * mean / rows;
    }
    return aux;
}

/* ---- a step: text has become ids; forward, loss, backward ---- */

/* The table is of this spec's model: what is read is there. */
static err_t check_params(const struct spec *s, const struct params *p) {
    int64_t shape[3];
    for (int layer = -1; layer < s->layers; layer++)
        for (int kind = 0; kind < PARAM_KINDS; kind++) {
            if (!param_shape(s, (enum param_kind)kind, layer, shape)) continue;
            const bool each = param_is_of_expert((enum param_kind)kind);
            for (int e = each ? 0 : -1; e < (each ? s->experts : 0); e++) ENSURE(params_at(p, (enum param_kind)kind, layer, e));
        }
    return OK;
}

static err_t check_batch(const struct spec *s, const struct ref_batch *b) {
    for (int64_t t = 0; t < b->rows * b->seq; t++) {
        bool pad = b->doc_start[t] < 0;
        if (b->ids[t] < 0 || b->ids[t] >= s->vocab)
            return FAIL(ERR_FAILED, "id %d of token %lld is outside the vocabulary of %lld; give ids below it", (int)b->ids[t], (long long)t,
                        (long long)s->vocab);
        if (b->targets[t] != REF_NO_TARGET && (pad || b->targets[t] < 0 || b->targets[t] >= s->vocab))
            return FAIL(ERR_FAILED, "target %d of token %lld (%s); give an id below %lld, or %d for none", (int)b->targets[t], (long long)t,
                        pad ? "padding" : "not padding", (long long)s->vocab, REF_NO_TARGET);
        if (b->doc_start[t] < -1 || b->doc_start[t] > t % b->seq)
            return FAIL(ERR_FAILED, "doc_start %d of token %lld is not in [-1, %lld]; it counts inside the row", (int)b->doc_start[t], (long long)t,
                        (long long)(t % b->seq));
        for (int layer = 0; b->routes && !pad && layer < s->layers; layer++)
            for (int j = 0; s->is_moe[layer] && j < s->top_k; j++) {
                int32_t e = b->routes[(layer * b->rows * b->seq + t) * s->top_k + j];
                if (e < 0 || e >= s->experts)
                    return FAIL(ERR_FAILED, "given expert %d of token %lld in layer %d is not one of %d; give ids below it", (int)e, (long long)t,
                                layer, s->experts);
            }
    }
    return OK;
}

static void give_routes(const struct run *r, int32_t *routes) {
    int k = r->s->top_k;
    for (int layer = 0; layer < r->s->layers; layer++)
        for (int64_t i = 0; i < r->n * k; i++) routes[layer * r->n * k + i] = r->s->is_moe[layer] ? r->ffn[layer].choice[i] : -1;
}

static err_t journey(struct run *r, double loss_scale, double aux_scale, struct ref_out *out) {
    const struct spec *s = r->s;
    const struct ref_batch *b = r->b;
    int64_t H = s->hidden;
    real *x, *dx = NULL;
    TRY(check_params(s, r->p));
    TRY(check_batch(s, b));
    TAKE(r, r->n * H, &x);
    TAKE(r, s->rope.dim / 2, &r->inv_freq);
    TAKE(r, s->experts, &r->hits);
    TAKE(r, s->layers, &r->att);
    TAKE(r, s->layers, &r->delta);
    TAKE(r, s->layers, &r->ffn);
    rope_inv_freq(s, r->inv_freq);
    for (int64_t t = 0; t < r->n; t++) r->live += b->doc_start[t] >= 0;

    struct weight embed = weight_of(r, PARAM_EMBED, -1, -1);
    for (int64_t t = 0; t < r->n; t++) memcpy(x + t * H, embed.w + b->ids[t] * H, (size_t)H * sizeof *x);
    for (int layer = 0; layer < s->layers; layer++) {
        const bool delta = s->layer[layer].attention == ATTENTION_DELTA;
        TRY(delta ? delta_alloc(r, layer) : attention_alloc(r, layer));
        TRY(ffn_alloc(r, layer, &r->ffn[layer]));
        TRY(delta ? delta_forward(r, layer, x) : attention_forward(r, layer, x));
        TRY(ffn_forward(r, layer, x));
    }
    if (r->g_acc) TAKE(r, r->n * H, &dx);
    TRY(head_and_loss(r, x, loss_scale, out, dx));
    out->aux = load_balance(r);
    if (out->routes) give_routes(r, out->routes);
    if (!dx) return OK;

    for (int layer = s->layers - 1; layer >= 0; layer--) {
        TRY(ffn_backward(r, layer, aux_scale, dx));
        TRY(s->layer[layer].attention == ATTENTION_DELTA ? delta_backward(r, layer, dx) : attention_backward(r, layer, dx));
    }
    for (int64_t t = 0; t < r->n; t++) /* torch's padding_idx: no gradient from looking it up */
        if (b->ids[t] != s->pad_id) add_scaled(H, 1, dx + t * H, embed.g_acc + b->ids[t] * H);
    return OK;
}

err_t ref_forward(const struct spec *s, const struct params *p, const ref_real *w, const struct ref_batch *b, struct ref_out *out) {
    struct run r = {.s = s, .p = p, .w = w, .b = b, .n = b->rows * b->seq};
    err_t err = journey(&r, 0, 0, out);
    free_blocks(&r);
    return err;
}

err_t ref_forward_backward(const struct spec *s, const struct params *p, const ref_real *w, const struct ref_batch *b, double loss_scale,
                           double aux_scale, ref_real *grad_acc, struct ref_out *out) {
    struct run r = {.s = s, .p = p, .w = w, .g_acc = grad_acc, .b = b, .n = b->rows * b->seq};
    err_t err = journey(&r, loss_scale, aux_scale, out);
    free_blocks(&r);
    return err;
}

/* ---- optimizer ---- */

double ref_grad_norm(const struct params *p, const ref_real *grad) {
    double sum = 0;
    for (int64_t i = 0; i < p->count; i++) {
        const real *g = grad + p->list[i].offset;
        for (int64_t j = 0; j < p->list[i].count; j++) sum += (double)g[j] * (double)g[j];
    }
    return sqrt(sum);
}

void ref_clip(const struct params *p, double norm_now, double clip, ref_real *grad) {
    double coef = clip / (norm_now + 1e-6);
    if (clip <= 0 || coef >= 1) return;
    for (int64_t i = 0; i < p->count; i++)
        for (int64_t j = 0; j < p->list[i].count; j++) grad[p->list[i].offset + j] *= (real)coef;
}

void ref_adamw_step(const struct params *p, const struct ref_adamw *a, const ref_real *grad, ref_real *w, ref_real *m, ref_real *v) {
    real fix1 = (real)(1 - pow(a->beta1, (double)a->step)), fix2 = (real)(1 - pow(a->beta2, (double)a->step));
    for (int64_t i = 0; i < p->count; i++) {
        real keep = (real)(p->list[i].decay ? 1 - a->lr * a->weight_decay : 1);
        for (int64_t j = p->list[i].offset; j < p->list[i].offset + p->list[i].count; j++) {
            m[j] = (real)a->beta1 * m[j] + (real)(1 - a->beta1) * grad[j];
            v[j] = (real)a->beta2 * v[j] + (real)(1 - a->beta2) * grad[j] * grad[j];
            w[j] = w[j] * keep - (real)a->lr * (m[j] / fix1) / ((real)sqrt((double)(v[j] / fix2)) + (real)a->eps);
        }
    }
}
