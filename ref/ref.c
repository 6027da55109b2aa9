/* The whole journey, readable in a sitting: 1 operations, 2 attention half, 3 feed-forward half, 4 loss, 5 a step, 6 the
 * optimizer. Each forward is followed by its backward. Nothing is tiled, fused, recomputed or shared between threads; every
 * activation is kept. LENGTH: one file on purpose, so that the journey can be read in a sitting. What transformers
 * does and one would not guess is said where it happens.
 *
 * Buffers that end in _acc are added into; all others are overwritten. A gradient is called dX. Matrices are row-major,
 * weights are (out, in) as in the files. */
#include "ref/ref.h"

#include "base/num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef ref_real real;

/* A tensor of the model: its values, and where its gradient is added (NULL in a mere forward). Both NULL: the model has none,
 * which biases and QK norms may be. */
struct weight {
    const real *w;
    real *g_acc;
};

/* What the attention half of a layer keeps for its backward. KV: kv_heads*head_dim, Q: heads*head_dim. */
struct attention {
    real *x, *xn;       /* (N, H) the half's input; normalised */
    real *q, *k, *v;    /* (N, Q) (N, KV) (N, KV) projected, biases added */
    real *qn, *kn;      /* after the QK norms; the same buffers as q and k where there are none */
    real *qr, *kr, *vc; /* clamped, and q and k turned: what attention sees */
    real *prob;         /* (heads, N, S) */
    real *mix;          /* (N, Q) attention's output, before the o projection */
};

/* What the feed-forward half keeps. A dense layer is one expert that every token takes with weight 1: slots = 1. */
struct ffn {
    bool moe;
    int slots;       /* k, or 1 */
    int64_t width;   /* I of this layer */
    real *x, *xn;    /* (N, H) */
    real *prob;      /* (N, E) softmax over all experts; MoE only */
    int32_t *choice; /* (N, slots) expert, or -1 for padding */
    real *weight;    /* (N, slots) */
    real *gate, *up; /* (N*slots, I) */
    real *out;       /* (N*slots, H) the experts' outputs, unweighted */
};

/* Memory of a call: a chain of zeroed blocks, freed together. */
struct block {
    struct block *next;
};

struct run {
    const struct spec *s;
    const struct params *p;
    const real *w;
    real *g_acc; /* NULL: forward only */
    const struct ref_batch *b;
    int64_t n;             /* N */
    int64_t live;          /* tokens that are not padding */
    float *inv_freq;       /* (head_dim/2) */
    struct attention *att; /* (L) */
    struct ffn *ffn;       /* (L) */
    double *hits;          /* (E) rows that chose e over all layers, / (live*L_moe): F of the load-balancing loss */
    struct block *blocks;
};

static err_t take_bytes(struct run *r, int64_t count, size_t size, void **out) {
    size_t head = 16; /* keeps what follows aligned */
    size_t n = (size_t)i64_max(count, 1);
    if (n > (SIZE_MAX - head) / size) return FAIL(ERR_NOMEM, "the oracle needs %zu elements of %zu bytes; use a smaller batch", n, size);
    struct block *b = calloc(1, head + n * size);
    if (!b) return FAIL(ERR_NOMEM, "no memory for %zu bytes of the oracle; use a smaller batch", n * size);
    b->next = r->blocks;
    r->blocks = b;
    *out = (char *)b + head;
    return OK;
}
#define TAKE(r, count, out) TRY(take_bytes((r), (count), sizeof **(out), (void **)(out)))

static void free_blocks(struct run *r) {
    while (r->blocks) {
        struct block *next = r->blocks->next;
        free(r->blocks);
        r->blocks = next;
    }
}

static struct weight weight_at(const struct run *r, const struct param *t) {
    return (struct weight){r->w + t->offset, r->g_acc ? r->g_acc + t->offset : NULL};
}

/* A tensor that check_params has found to be there. */
static struct weight weight_of(const struct run *r, enum param_kind kind, int layer, int expert) {
    return weight_at(r, params_at(r->p, kind, layer, expert));
}

static struct weight bias_of(const struct run *r, enum param_kind kind, int layer) {
    const struct param *t = params_at(r->p, kind, layer, -1);
    return t ? weight_at(r, t) : (struct weight){NULL, NULL};
}

/* ---- 1 operations ---- */

static real dot(const real *a, const real *b, int64_t n) {
    real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* y += a*x */
static void add_scaled(int64_t n, real a, const real *x, real *y_acc) {
    for (int64_t i = 0; i < n; i++) y_acc[i] += a * x[i];
}

/* y (n, out) = x (n, in) w^T + bias */
static void linear(int64_t n, int64_t out, int64_t in, const real *x, struct weight w, struct weight bias, real *y) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t o = 0; o < out; o++) y[t * out + o] = dot(x + t * in, w.w + o * in, in) + (bias.w ? bias.w[o] : 0);
}

static void linear_backward(int64_t n, int64_t out, int64_t in, const real *dy, const real *x, struct weight w, struct weight bias, real *dx_acc) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t o = 0; o < out; o++) {
            real d = dy[t * out + o];
            add_scaled(in, d, w.w + o * in, dx_acc + t * in);
            add_scaled(in, d, x + t * in, w.g_acc + o * in);
            if (bias.g_acc) bias.g_acc[o] += d;
        }
}

/* RMS norm of each row of `width`: y = x * r * w, r = 1/sqrt(mean(x^2) + eps) */
static real norm_scale(int64_t width, const real *x, double eps) { return (real)(1 / sqrt((double)dot(x, x, width) / (double)width + eps)); }

static void norm(int64_t rows, int64_t width, double eps, const real *x, struct weight w, real *y) {
    for (int64_t t = 0; t < rows; t++) {
        real r = norm_scale(width, x + t * width, eps);
        for (int64_t i = 0; i < width; i++) y[t * width + i] = x[t * width + i] * r * w.w[i];
    }
}

/* With u = w*dy: dx = r*u - x * r^3 * <u, x>/width. */
static void norm_backward(int64_t rows, int64_t width, double eps, const real *dy, const real *x, struct weight w, real *dx_acc) {
    for (int64_t t = 0; t < rows; t++) {
        const real *xt = x + t * width, *dyt = dy + t * width;
        real r = norm_scale(width, xt, eps), along = 0;
        for (int64_t i = 0; i < width; i++) along += w.w[i] * dyt[i] * xt[i];
        along *= r * r * r / (real)width;
        for (int64_t i = 0; i < width; i++) {
            dx_acc[t * width + i] += r * w.w[i] * dyt[i] - xt[i] * along;
            w.g_acc[i] += dyt[i] * xt[i] * r;
        }
    }
}

/* RoPE in place on x (N, heads, head_dim): dimensions j and j + head_dim/2 turn together by position*inv_freq[j]; cos and sin
 * carry yarn's attention factor. direction -1 is the transpose, which is the backward. */
static void rope(const struct run *r, int heads, int direction, real *x) {
    int64_t d = r->s->head_dim, half = d / 2;
    double factor = r->s->rope.attention_factor;
    for (int64_t t = 0; t < r->n; t++)
        for (int64_t j = 0; j < half; j++) {
            real angle = (real)r->b->positions[t] * (real)r->inv_freq[j];
            real c = (real)(cos((double)angle) * factor), s = (real)(sin((double)angle) * factor * direction);
            for (int h = 0; h < heads; h++) {
                real *a = x + (t * heads + h) * d + j, *b = a + half, a0 = *a, b0 = *b;
                *a = a0 * c - b0 * s;
                *b = b0 * c + a0 * s;
            }
        }
}

/* In place: x = e^x / sum e^x. Returns log of the sum (of the values that came in). */
static double softmax(int64_t n, real *x) {
    real top = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int64_t i = 0; i < n; i++) sum += x[i] = (real)exp((double)(x[i] - top));
    for (int64_t i = 0; i < n; i++) x[i] /= sum;
    return (double)top + log((double)sum);
}

/* p a softmax's output: dlogit = p*(dp - <p, dp>), written over dp */
static void softmax_backward(int64_t n, const real *p, real *dp) {
    real mean = dot(p, dp, n);
    for (int64_t i = 0; i < n; i++) dp[i] = p[i] * (dp[i] - mean);
}

static real sigmoid(real x) { return (real)(1 / (1 + exp(-(double)x))); }

/* ---- 2 attention half: x + o(attention(norm(x))) ---- */

static err_t attention_alloc(struct run *r, struct attention *a) {
    const struct spec *s = r->s;
    int64_t q = r->n * s->heads * s->head_dim, kv = r->n * s->kv_heads * s->head_dim;
    TAKE(r, r->n * s->hidden, &a->x);
    TAKE(r, r->n * s->hidden, &a->xn);
    TAKE(r, q, &a->q);
    TAKE(r, kv, &a->k);
    TAKE(r, kv, &a->v);
    a->qn = a->q;
    a->kn = a->k;
    if (s->qk_norm != QK_NORM_NONE) {
        TAKE(r, q, &a->qn);
        TAKE(r, kv, &a->kn);
    }
    TAKE(r, q, &a->qr);
    TAKE(r, kv, &a->kr);
    TAKE(r, kv, &a->vc);
    TAKE(r, s->heads * r->n * r->b->seq, &a->prob);
    TAKE(r, q, &a->mix);
    return OK;
}

static void clamp(int64_t n, double limit, const real *x, real *y) {
    real c = (real)limit;
    for (int64_t i = 0; i < n; i++) y[i] = limit > 0 && x[i] > c ? c : limit > 0 && x[i] < -c ? -c : x[i];
}

/* Nothing flows through a value that was clamped; one that lies on the limit passes, as in torch. */
static void clamp_backward(int64_t n, double limit, const real *x, real *dx) {
    for (int64_t i = 0; i < n; i++)
        if (limit > 0 && (x[i] > (real)limit || x[i] < (real)-limit)) dx[i] = 0;
}

/* A row's token t (index in the batch) sees keys [first, t]; padding sees none (first > t). */
static int64_t first_key(const struct run *r, int64_t t) {
    int32_t start = r->b->doc_start[t];
    return start < 0 ? t + 1 : t - t % r->b->seq + start;
}

static void attention_forward(struct run *r, int layer, real *x) {
    const struct spec *s = r->s;
    struct attention *a = &r->att[layer];
    int64_t n = r->n, H = s->hidden, d = s->head_dim, q = s->heads * d, kv = s->kv_heads * d;
    memcpy(a->x, x, (size_t)(n * H) * sizeof *x);
    norm(n, H, s->norm_eps, a->x, weight_of(r, PARAM_ATTN_NORM, layer, -1), a->xn);
    linear(n, q, H, a->xn, weight_of(r, PARAM_Q, layer, -1), bias_of(r, PARAM_Q_BIAS, layer), a->q);
    linear(n, kv, H, a->xn, weight_of(r, PARAM_K, layer, -1), bias_of(r, PARAM_K_BIAS, layer), a->k);
    linear(n, kv, H, a->xn, weight_of(r, PARAM_V, layer, -1), bias_of(r, PARAM_V_BIAS, layer), a->v);
    if (s->qk_norm != QK_NORM_NONE) {
        bool head = s->qk_norm == QK_NORM_HEAD; /* over each head, or over all heads of a token together */
        norm(head ? n * s->heads : n, head ? d : q, s->norm_eps, a->q, weight_of(r, PARAM_Q_NORM, layer, -1), a->qn);
        norm(head ? n * s->kv_heads : n, head ? d : kv, s->norm_eps, a->k, weight_of(r, PARAM_K_NORM, layer, -1), a->kn);
    }
    clamp(n * q, s->clip_qkv, a->qn, a->qr);
    clamp(n * kv, s->clip_qkv, a->kn, a->kr);
    clamp(n * kv, s->clip_qkv, a->v, a->vc);
    rope(r, s->heads, 1, a->qr);
    rope(r, s->kv_heads, 1, a->kr);

    real scale = (real)(1 / sqrt((double)d));
    memset(a->mix, 0, (size_t)(n * q) * sizeof *a->mix);
    for (int h = 0; h < s->heads; h++) {
        int64_t c = h / (s->heads / s->kv_heads) * d; /* where its KV head begins in a row of k and v */
        for (int64_t t = 0; t < n; t++) {
            int64_t first = first_key(r, t), keys = t + 1 - first;
            if (keys == 0) continue;
            real *prob = a->prob + (h * n + t) * r->b->seq;
            for (int64_t j = 0; j < keys; j++) prob[j] = scale * dot(a->qr + t * q + h * d, a->kr + (first + j) * kv + c, d);
            (void)softmax(keys, prob);
            for (int64_t j = 0; j < keys; j++) add_scaled(d, prob[j], a->vc + (first + j) * kv + c, a->mix + t * q + h * d);
        }
    }
    linear(n, H, q, a->mix, weight_of(r, PARAM_O, layer, -1), bias_of(r, PARAM_O_BIAS, layer), x);
    add_scaled(n * H, 1, a->x, x);
}

/* dx: gradient of the half's output in, of its input out. */
static err_t attention_backward(struct run *r, int layer, real *dx) {
    const struct spec *s = r->s;
    const struct attention *a = &r->att[layer];
    int64_t n = r->n, H = s->hidden, d = s->head_dim, q = s->heads * d, kv = s->kv_heads * d;
    real *dmix, *dq, *dk, *dv, *dprob, *dxn;
    TAKE(r, n * q, &dmix);
    TAKE(r, n * q, &dq);
    TAKE(r, n * kv, &dk);
    TAKE(r, n * kv, &dv);
    TAKE(r, r->b->seq, &dprob);
    TAKE(r, n * H, &dxn);
    linear_backward(n, H, q, dx, a->mix, weight_of(r, PARAM_O, layer, -1), bias_of(r, PARAM_O_BIAS, layer), dmix);

    real scale = (real)(1 / sqrt((double)d));
    for (int h = 0; h < s->heads; h++) {
        int64_t c = h / (s->heads / s->kv_heads) * d;
        for (int64_t t = 0; t < n; t++) {
            int64_t first = first_key(r, t), keys = t + 1 - first;
            const real *prob = a->prob + (h * n + t) * r->b->seq, *dm = dmix + t * q + h * d;
            for (int64_t j = 0; j < keys; j++) {
                dprob[j] = dot(dm, a->vc + (first + j) * kv + c, d);
                add_scaled(d, prob[j], dm, dv + (first + j) * kv + c);
            }
            softmax_backward(keys, prob, dprob);
            for (int64_t j = 0; j < keys; j++) {
                add_scaled(d, scale * dprob[j], a->kr + (first + j) * kv + c, dq + t * q + h * d);
                add_scaled(d, scale * dprob[j], a->qr + t * q + h * d, dk + (first + j) * kv + c);
            }
        }
    }
    rope(r, s->heads, -1, dq);
    rope(r, s->kv_heads, -1, dk);
    clamp_backward(n * q, s->clip_qkv, a->qn, dq);
    clamp_backward(n * kv, s->clip_qkv, a->kn, dk);
    clamp_backward(n * kv, s->clip_qkv, a->v, dv);
    if (s->qk_norm != QK_NORM_NONE) {
        bool head = s->qk_norm == QK_NORM_HEAD;
        real *dqn = dq, *dkn = dk;
        TAKE(r, n * q, &dq);
        TAKE(r, n * kv, &dk);
        norm_backward(head ? n * s->heads : n, head ? d : q, s->norm_eps, dqn, a->q, weight_of(r, PARAM_Q_NORM, layer, -1), dq);
        norm_backward(head ? n * s->kv_heads : n, head ? d : kv, s->norm_eps, dkn, a->k, weight_of(r, PARAM_K_NORM, layer, -1), dk);
    }
    linear_backward(n, q, H, dq, a->xn, weight_of(r, PARAM_Q, layer, -1), bias_of(r, PARAM_Q_BIAS, layer), dxn);
    linear_backward(n, kv, H, dk, a->xn, weight_of(r, PARAM_K, layer, -1), bias_of(r, PARAM_K_BIAS, layer), dxn);
    linear_backward(n, kv, H, dv, a->xn, weight_of(r, PARAM_V, layer, -1), bias_of(r, PARAM_V_BIAS, layer), dxn);
    norm_backward(n, H, s->norm_eps, dxn, a->x, weight_of(r, PARAM_ATTN_NORM, layer, -1), dx); /* added to the residual's */
    return OK;
}

/* ---- 3 feed-forward half: x + sum over slots of weight * expert(norm(x)) ---- */

static err_t ffn_alloc(struct run *r, int layer, struct ffn *f) {
    const struct spec *s = r->s;
    f->moe = s->is_moe[layer];
    f->slots = f->moe ? s->top_k : 1;
    f->width = f->moe ? s->expert_width : s->dense_width;
    int64_t rows = r->n * f->slots;
    TAKE(r, r->n * s->hidden, &f->x);
    TAKE(r, r->n * s->hidden, &f->xn);
    TAKE(r, f->moe ? r->n * s->experts : 0, &f->prob);
    TAKE(r, rows, &f->choice);
    TAKE(r, rows, &f->weight);
    TAKE(r, rows * f->width, &f->gate);
    TAKE(r, rows * f->width, &f->up);
    TAKE(r, rows * s->hidden, &f->out);
    return OK;
}

/* The k most probable experts of one token, most probable first; among equals the lower index. */
static void top_k(int experts, int k, const real *prob, int32_t *choice) {
    for (int j = 0; j < k; j++) {
        int32_t best = -1;
        for (int32_t e = 0; e < experts; e++) {
            bool taken = false;
            for (int i = 0; i < j; i++) taken |= choice[i] == e;
            if (!taken && (best < 0 || prob[e] > prob[best])) best = e;
        }
        choice[j] = best;
    }
}

static void route_forward(struct run *r, int layer) {
    const struct spec *s = r->s;
    struct ffn *f = &r->ffn[layer];
    int64_t n = r->n, E = s->experts;
    int k = f->slots;
    linear(n, E, s->hidden, f->xn, weight_of(r, PARAM_ROUTER, layer, -1), (struct weight){NULL, NULL}, f->prob);
    for (int64_t t = 0; t < n; t++) {
        const real *prob = f->prob + t * E;
        int32_t *choice = f->choice + t * k;
        real *weight = f->weight + t * k, sum = 0;
        (void)softmax(E, f->prob + t * E);
        if (r->b->doc_start[t] < 0) {
            for (int j = 0; j < k; j++) choice[j] = -1; /* padding routes nowhere */
            continue;
        }
        if (r->b->routes) memcpy(choice, r->b->routes + (layer * n + t) * k, (size_t)k * sizeof *choice);
        else top_k(s->experts, k, prob, choice);
        for (int j = 0; j < k; j++) sum += weight[j] = prob[choice[j]];
        for (int j = 0; j < k && s->renormalise; j++) weight[j] /= sum;
        for (int j = 0; j < k; j++) r->hits[choice[j]] += 1;
    }
}

/* dweight: gradients of the slots' weights, (N, k). The choice itself has none; F of the load-balancing loss is a
 * constant, so that loss gives dprob_e = scale * F_e. */
static err_t route_backward(struct run *r, int layer, const real *dweight, double aux_scale, real *dxn_acc) {
    const struct spec *s = r->s;
    const struct ffn *f = &r->ffn[layer];
    int64_t n = r->n, E = s->experts;
    int k = f->slots;
    real *dprob;
    TAKE(r, n * E, &dprob);
    double share = aux_scale * (double)E / ((double)r->live * spec_moe_layers(s));
    for (int64_t t = 0; t < n; t++) {
        if (r->b->doc_start[t] < 0) continue;
        const real *prob = f->prob + t * E, *weight = f->weight + t * k, *dw = dweight + t * k;
        const int32_t *choice = f->choice + t * k;
        real sum = 0, along = 0; /* weight_j = p_j/sum, so dp_j = (dw_j - <dw, weight>)/sum */
        for (int j = 0; j < k; j++) {
            sum += prob[choice[j]];
            along += dw[j] * weight[j];
        }
        for (int64_t e = 0; e < E; e++) dprob[t * E + e] = (real)(share * r->hits[e]);
        for (int j = 0; j < k; j++) dprob[t * E + choice[j]] += s->renormalise ? (dw[j] - along) / sum : dw[j];
        softmax_backward(E, prob, dprob + t * E);
    }
    linear_backward(n, E, s->hidden, dprob, f->xn, weight_of(r, PARAM_ROUTER, layer, -1), (struct weight){NULL, NULL}, dxn_acc);
    return OK;
}

struct mlp {
    struct weight gate, up, down;
};

static struct mlp mlp_of(const struct run *r, int layer, int expert) {
    if (!r->ffn[layer].moe)
        return (struct mlp){weight_of(r, PARAM_MLP_GATE, layer, -1), weight_of(r, PARAM_MLP_UP, layer, -1), weight_of(r, PARAM_MLP_DOWN, layer, -1)};
    return (struct mlp){weight_of(r, PARAM_EXPERT_GATE, layer, expert), weight_of(r, PARAM_EXPERT_UP, layer, expert),
                        weight_of(r, PARAM_EXPERT_DOWN, layer, expert)};
}

/* An expert is SwiGLU: down(silu(gate(x)) * up(x)), silu(a) = a*sigmoid(a). */
static err_t ffn_forward(struct run *r, int layer, real *x) {
    const struct spec *s = r->s;
    struct ffn *f = &r->ffn[layer];
    int64_t n = r->n, H = s->hidden, I = f->width;
    const struct weight none = {NULL, NULL};
    real *hidden;
    TAKE(r, I, &hidden);
    memcpy(f->x, x, (size_t)(n * H) * sizeof *x);
    norm(n, H, s->norm_eps, f->x, weight_of(r, PARAM_FFN_NORM, layer, -1), f->xn);
    if (f->moe) route_forward(r, layer);
    for (int64_t t = 0; t < n && !f->moe; t++) f->weight[t] = 1; /* and choice is 0 */
    for (int e = 0; e < (f->moe ? s->experts : 1); e++) {
        struct mlp m = mlp_of(r, layer, e);
        for (int64_t i = 0; i < n * f->slots; i++) {
            if (f->choice[i] != e) continue;
            const real *xi = f->xn + i / f->slots * H;
            real *gate = f->gate + i * I, *up = f->up + i * I;
            linear(1, I, H, xi, m.gate, none, gate);
            linear(1, I, H, xi, m.up, none, up);
            for (int64_t c = 0; c < I; c++) hidden[c] = gate[c] * sigmoid(gate[c]) * up[c];
            linear(1, H, I, hidden, m.down, none, f->out + i * H);
        }
    }
    memset(x, 0, (size_t)(n * H) * sizeof *x);
    for (int64_t i = 0; i < n * f->slots; i++) add_scaled(H, f->weight[i], f->out + i * H, x + i / f->slots * H);
    add_scaled(n * H, 1, f->x, x);
    return OK;
}

static err_t ffn_backward(struct run *r, int layer, double aux_scale, real *dx) {
    const struct spec *s = r->s;
    const struct ffn *f = &r->ffn[layer];
    int64_t n = r->n, H = s->hidden, I = f->width;
    const struct weight none = {NULL, NULL}, ffn_norm = weight_of(r, PARAM_FFN_NORM, layer, -1);
    real *dweight, *dout, *hidden, *dhidden, *dgate, *dup, *dxn;
    ENSURE(ffn_norm.g_acc); /* a forward only has no backward */
    TAKE(r, n * f->slots, &dweight);
    TAKE(r, H, &dout);
    TAKE(r, I, &hidden);
    TAKE(r, I, &dhidden);
    TAKE(r, I, &dgate);
    TAKE(r, I, &dup);
    TAKE(r, n * H, &dxn);
    for (int e = 0; e < (f->moe ? s->experts : 1); e++) {
        struct mlp m = mlp_of(r, layer, e);
        for (int64_t i = 0; i < n * f->slots; i++) {
            if (f->choice[i] != e) continue;
            int64_t t = i / f->slots;
            const real *gate = f->gate + i * I, *up = f->up + i * I;
            dweight[i] = dot(dx + t * H, f->out + i * H, H);
            for (int64_t c = 0; c < H; c++) dout[c] = f->weight[i] * dx[t * H + c];
            for (int64_t c = 0; c < I; c++) {
                hidden[c] = gate[c] * sigmoid(gate[c]) * up[c];
                dhidden[c] = 0;
            }
            linear_backward(1, H, I, dout, hidden, m.down, none, dhidden);
            for (int64_t c = 0; c < I; c++) {
                real sig = sigmoid(gate[c]);
                dup[c] = dhidden[c] * gate[c] * sig;
                dgate[c] = dhidden[c] * up[c] * sig * (1 + gate[c] * (1 - sig));
            }
            linear_backward(1, I, H, dgate, f->xn + t * H, m.gate, none, dxn + t * H);
            linear_backward(1, I, H, dup, f->xn + t * H, m.up, none, dxn + t * H);
        }
    }
    if (f->moe) TRY(route_backward(r, layer, dweight, aux_scale, dxn));
    norm_backward(n, H, s->norm_eps, dxn, f->x, ffn_norm, dx);
    return OK;
}

/* ---- 4 loss ---- */

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
    norm(n, H, s->norm_eps, x, final_norm, xn);
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
    if (dx) norm_backward(n, H, s->norm_eps, dxn, x, final_norm, dx);
    return OK;
}

/* transformers' load-balancing loss over all MoE layers joined: E * sum_e F_e * R_e, F_e the share of rows that chose e (k in
 * all), R_e the mean probability of e, both over live tokens and layers. Turns r->hits into F, for the backward. */
static double load_balance(struct run *r) {
    const struct spec *s = r->s;
    double rows = (double)r->live * spec_moe_layers(s), aux = 0;
    if (rows == 0) return 0;
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

/* ---- 5 a step: text has become ids; forward, loss, backward ---- */

/* The table is of this spec's model: what is read below is there. */
static err_t check_params(const struct spec *s, const struct params *p) {
    static const enum param_kind attention[] = {PARAM_ATTN_NORM, PARAM_Q, PARAM_K, PARAM_V, PARAM_O, PARAM_FFN_NORM};
    static const enum param_kind mlp[2][3] = {{PARAM_MLP_GATE, PARAM_MLP_UP, PARAM_MLP_DOWN},
                                              {PARAM_EXPERT_GATE, PARAM_EXPERT_UP, PARAM_EXPERT_DOWN}};
    ENSURE(params_at(p, PARAM_EMBED, -1, -1) && params_at(p, PARAM_FINAL_NORM, -1, -1) && (s->tied || params_at(p, PARAM_HEAD, -1, -1)));
    for (int layer = 0; layer < s->layers; layer++) {
        bool moe = s->is_moe[layer];
        for (int i = 0; i < 6; i++) ENSURE(params_at(p, attention[i], layer, -1));
        ENSURE(s->qk_norm == QK_NORM_NONE || (params_at(p, PARAM_Q_NORM, layer, -1) && params_at(p, PARAM_K_NORM, layer, -1)));
        ENSURE(!moe || params_at(p, PARAM_ROUTER, layer, -1));
        for (int e = 0; e < (moe ? s->experts : 1); e++)
            for (int i = 0; i < 3; i++) ENSURE(params_at(p, mlp[moe][i], layer, moe ? e : -1));
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
    TAKE(r, s->head_dim / 2, &r->inv_freq);
    TAKE(r, s->experts, &r->hits);
    TAKE(r, s->layers, &r->att);
    TAKE(r, s->layers, &r->ffn);
    rope_inv_freq(s, r->inv_freq);
    for (int64_t t = 0; t < r->n; t++) r->live += b->doc_start[t] >= 0;

    struct weight embed = weight_of(r, PARAM_EMBED, -1, -1);
    for (int64_t t = 0; t < r->n; t++) memcpy(x + t * H, embed.w + b->ids[t] * H, (size_t)H * sizeof *x);
    for (int layer = 0; layer < s->layers; layer++) {
        TRY(attention_alloc(r, &r->att[layer]));
        TRY(ffn_alloc(r, layer, &r->ffn[layer]));
        attention_forward(r, layer, x);
        TRY(ffn_forward(r, layer, x));
    }
    if (r->g_acc) TAKE(r, r->n * H, &dx);
    TRY(head_and_loss(r, x, loss_scale, out, dx));
    out->aux = load_balance(r);
    if (out->routes) give_routes(r, out->routes);
    if (!dx) return OK;

    for (int layer = s->layers - 1; layer >= 0; layer--) {
        TRY(ffn_backward(r, layer, aux_scale, dx));
        TRY(attention_backward(r, layer, dx));
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

/* ---- 6 optimizer ---- */

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
