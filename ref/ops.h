/* What all parts of the oracle stand on: its memory, and the operations, each forward followed by its backward. A part of ref.c: static, so
 * that a test that includes ref.c has all of it in its own REF_REAL.
 *
 * Buffers that end in _acc are added into; all others are overwritten. A gradient is called dX. Matrices are row-major, weights are
 * (out, in) as in the files. */
#ifndef MOP_REF_OPS_H
#define MOP_REF_OPS_H

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

/* Memory of a call: a chain of zeroed blocks, freed together. */
struct block {
    struct block *next;
};

enum { REF_ROPE_MAX = 8192 / 2 };

struct attention; /* attention.h */
struct delta;     /* delta.h */
struct ffn;       /* ffn.h */

struct run {
    const struct spec *s;
    const struct params *p;
    const real *w;
    real *g_acc; /* NULL: forward only */
    const struct ref_batch *b;
    int64_t n;             /* N */
    int64_t live;          /* tokens that are not padding */
    float *inv_freq;       /* (rope.dim/2) */
    struct attention *att; /* (L) */
    struct delta *delta;   /* (L) */
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

/* A row's token t (index in the batch) belongs to a document whose first token is this; padding to none (beyond t). */
static int64_t doc_first(const struct run *r, int64_t t) {
    int32_t start = r->b->doc_start[t];
    return start < 0 ? t + 1 : t - t % r->b->seq + start;
}

static real plus_of(const struct spec *s) { return s->norm == NORM_PLUS_ONE ? 1 : 0; }

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

/* RMS norm of each row of `width`: y = x * r * w, r = 1/sqrt(mean(x^2) + eps). Where `plus` is 1, times 1 + w. */
static real norm_scale(int64_t width, const real *x, double eps) { return (real)(1 / sqrt((double)dot(x, x, width) / (double)width + eps)); }

static void norm(int64_t rows, int64_t width, double eps, real plus, const real *x, struct weight w, real *y) {
    for (int64_t t = 0; t < rows; t++) {
        real r = norm_scale(width, x + t * width, eps);
        for (int64_t i = 0; i < width; i++) y[t * width + i] = x[t * width + i] * r * (plus + w.w[i]);
    }
}

/* With u = (plus + w)*dy: dx = r*u - x * r^3 * <u, x>/width. */
static void norm_backward(int64_t rows, int64_t width, double eps, real plus, const real *dy, const real *x, struct weight w, real *dx_acc) {
    for (int64_t t = 0; t < rows; t++) {
        const real *xt = x + t * width, *dyt = dy + t * width;
        real r = norm_scale(width, xt, eps), along = 0;
        for (int64_t i = 0; i < width; i++) along += (plus + w.w[i]) * dyt[i] * xt[i];
        along *= r * r * r / (real)width;
        for (int64_t i = 0; i < width; i++) {
            dx_acc[t * width + i] += r * (plus + w.w[i]) * dyt[i] - xt[i] * along;
            w.g_acc[i] += dyt[i] * xt[i] * r;
        }
    }
}

/* RoPE in place on x (N, heads, width): rope.dim dimensions from `first` on turn in pairs by position*inv_freq[j]; cos and sin carry yarn's
 * attention factor. Halves: j and j + dim/2. Neighbours: 2j and 2j + 1, which come out at j and j + dim/2, as transformers leaves them.
 * direction -1 is the transpose, which is the backward. */
static void rope(const struct run *r, int heads, int64_t width, int64_t first, int direction, real *x) {
    const struct rope_spec *p = &r->s->rope;
    const int64_t half = p->dim / 2;
    const bool moves = p->pairs == PAIRS_NEIGHBOURS;
    real in[2 * REF_ROPE_MAX];
    for (int64_t t = 0; t < r->n; t++)
        for (int h = 0; h < heads; h++) {
            real *at = x + (t * heads + h) * width + first;
            memcpy(in, at, (size_t)p->dim * sizeof *in);
            for (int64_t j = 0; j < half; j++) {
                real angle = (real)r->b->positions[t] * (real)r->inv_freq[j];
                real c = (real)(cos((double)angle) * p->attention_factor), s = (real)(sin((double)angle) * p->attention_factor * direction);
                const int64_t near[2] = {2 * j, 2 * j + 1}, far[2] = {j, j + half};
                const int64_t *from = moves && direction > 0 ? near : far, *to = moves && direction < 0 ? near : far;
                at[to[0]] = in[from[0]] * c - in[from[1]] * s;
                at[to[1]] = in[from[1]] * c + in[from[0]] * s;
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

static real silu_slope(real x, real sig) { return sig * (1 + x * (1 - sig)); }

static real sigmoid(real x) { return (real)(1 / (1 + exp(-(double)x))); }

#endif
