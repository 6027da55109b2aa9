/* The attention half of the oracle where tokens meet in a state: Gated DeltaNet, as the recurrence that it is. A part of ref.c.
 *
 * Per value head a state S (d_k, d_v), zeros at the first token of a document; then for each token
 *     S = e^g S;  d = beta*(v - S^T k);  S = S + k d^T;  o = S^T q. */
#ifndef MOP_REF_DELTA_H
#define MOP_REF_DELTA_H

#include "ref/ops.h"

/* What the half keeps. C = 2*k_heads*k_dim + v_heads*v_dim channels [q, k, v]; V = v_heads*v_dim. */
struct delta {
    real *x, *xn;     /* (N, H) */
    real *in, *conv;  /* (N, C) projected; after the convolution, before its silu */
    real *qkv;        /* (N, C) after silu: v; q and k before their norms */
    real *q, *k;      /* (N, k_heads*k_dim) normalised, q scaled */
    real *z, *b, *a;  /* (N, V), (N, v_heads) twice: projected */
    real *beta, *g;   /* (N, v_heads) */
    real *d;          /* (N, V) */
    real *state;      /* (N, v_heads, k_dim, v_dim) after each token */
    real *o, *normed; /* (N, V) the state's answer; normalised, times w and silu(z) */
};

static int64_t delta_keys(const struct spec *s) { return (int64_t)s->delta.k_heads * s->delta.k_dim; }
static int64_t delta_values(const struct spec *s) { return (int64_t)s->delta.v_heads * s->delta.v_dim; }

static err_t delta_alloc(struct run *r, int layer) {
    const struct spec *s = r->s;
    struct delta *d = &r->delta[layer];
    const int64_t n = r->n, keys = delta_keys(s), values = delta_values(s), channels = 2 * keys + values, heads = s->delta.v_heads;
    TAKE(r, n * s->hidden, &d->x);
    TAKE(r, n * s->hidden, &d->xn);
    TAKE(r, n * channels, &d->in);
    TAKE(r, n * channels, &d->conv);
    TAKE(r, n * channels, &d->qkv);
    TAKE(r, n * keys, &d->q);
    TAKE(r, n * keys, &d->k);
    TAKE(r, n * values, &d->z);
    TAKE(r, n * heads, &d->b);
    TAKE(r, n * heads, &d->a);
    TAKE(r, n * heads, &d->beta);
    TAKE(r, n * heads, &d->g);
    TAKE(r, n * values, &d->d);
    TAKE(r, n * values * s->delta.k_dim, &d->state);
    TAKE(r, n * values, &d->o);
    TAKE(r, n * values, &d->normed);
    return OK;
}

/* ---- convolution: y_t = sum_j w[c, j]*x_{t - K + 1 + j}, of the document's own tokens alone ---- */

static void conv_forward(const struct run *r, int64_t channels, const real *x, const real *w, real *y) {
    const int64_t taps = r->s->delta.conv;
    memset(y, 0, (size_t)(r->n * channels) * sizeof *y);
    for (int64_t t = 0; t < r->n; t++)
        for (int64_t from = i64_max(doc_first(r, t), t - taps + 1); from <= t; from++)
            for (int64_t c = 0; c < channels; c++) y[t * channels + c] += w[c * taps + from - t + taps - 1] * x[from * channels + c];
}

static void conv_backward(const struct run *r, int64_t channels, const real *x, struct weight w, const real *dy, real *dx_acc) {
    const int64_t taps = r->s->delta.conv;
    for (int64_t t = 0; t < r->n; t++)
        for (int64_t from = i64_max(doc_first(r, t), t - taps + 1); from <= t; from++)
            for (int64_t c = 0; c < channels; c++) {
                const int64_t at = c * taps + from - t + taps - 1;
                dx_acc[from * channels + c] += w.w[at] * dy[t * channels + c];
                w.g_acc[at] += x[from * channels + c] * dy[t * channels + c];
            }
}

/* ---- y = scale*x/sqrt(sum x^2 + 1e-6), per key head; x lies `stride` apart ---- */

static real unit_scale(int64_t n, const real *x) { return (real)(1 / sqrt((double)dot(x, x, n) + 1e-6)); }

static void unit(const struct run *r, real scale, const real *x, int64_t stride, real *y) {
    const int64_t d = r->s->delta.k_dim, heads = r->s->delta.k_heads;
    for (int64_t i = 0; i < r->n * heads; i++) {
        const real *at = x + i / heads * stride + i % heads * d, by = scale * unit_scale(d, at);
        for (int64_t c = 0; c < d; c++) y[i * d + c] = at[c] * by;
    }
}

static void unit_backward(const struct run *r, real scale, const real *dy, const real *x, int64_t stride, real *dx_acc) {
    const int64_t d = r->s->delta.k_dim, heads = r->s->delta.k_heads;
    for (int64_t i = 0; i < r->n * heads; i++) {
        const int64_t at = i / heads * stride + i % heads * d;
        const real by = unit_scale(d, x + at), along = dot(dy + i * d, x + at, d) * by * by * by;
        for (int64_t c = 0; c < d; c++) dx_acc[at + c] += scale * (by * dy[i * d + c] - x[at + c] * along);
    }
}

/* ---- the rule ---- */

static real softplus(real x) { return x > 20 ? x : (real)log1p(exp((double)x)); }

/* Where a token's state begins: after the token before it in the document, or nothing (NULL). */
static const real *state_before(const struct run *r, const real *state, int64_t size, int64_t t) {
    return doc_first(r, t) < t ? state + (t - 1) * size : NULL;
}

static void rule_forward(struct run *r, int layer) {
    const struct delta_spec *p = &r->s->delta;
    struct delta *d = &r->delta[layer];
    const int64_t dk = p->k_dim, dv = p->v_dim, keys = delta_keys(r->s), values = delta_values(r->s), channels = 2 * keys + values,
                  size = values * dk;
    for (int64_t t = 0; t < r->n; t++) {
        if (r->b->doc_start[t] < 0) continue;
        const real *before = state_before(r, d->state, size, t);
        for (int h = 0; h < p->v_heads; h++) {
            const int64_t kh = h / (p->v_heads / p->k_heads) * dk, vh = h * dv;
            const real *q = d->q + t * keys + kh, *k = d->k + t * keys + kh, *v = d->qkv + t * channels + 2 * keys + vh;
            const real keep = (real)exp((double)d->g[t * p->v_heads + h]), beta = d->beta[t * p->v_heads + h];
            real *S = d->state + t * size + h * dk * dv, *delta = d->d + t * values + vh, *o = d->o + t * values + vh;
            for (int64_t i = 0; i < dk * dv; i++) S[i] = before ? keep * before[h * dk * dv + i] : 0;
            for (int64_t j = 0; j < dv; j++) {
                real seen = 0;
                for (int64_t i = 0; i < dk; i++) seen += S[i * dv + j] * k[i];
                delta[j] = beta * (v[j] - seen);
            }
            for (int64_t i = 0; i < dk; i++) add_scaled(dv, k[i], delta, S + i * dv);
            for (int64_t i = 0; i < dk; i++) add_scaled(dv, q[i], S + i * dv, o);
        }
    }
}

/* do_: of o. Gradients of q, k, v (in dqkv's third part), beta and g are added. dS flows back from token to token and ends with its document. */
static err_t rule_backward(struct run *r, int layer, const real *do_, real *dq, real *dk_, real *dqkv, real *dbeta, real *dg) {
    const struct delta_spec *p = &r->s->delta;
    const struct delta *d = &r->delta[layer];
    const int64_t dk = p->k_dim, dv = p->v_dim, keys = delta_keys(r->s), values = delta_values(r->s), channels = 2 * keys + values,
                  size = values * dk;
    real *dS, *kept, *dd;
    TAKE(r, size, &dS);
    TAKE(r, dk * dv, &kept);
    TAKE(r, dv, &dd);
    for (int64_t t = r->n - 1; t >= 0; t--) {
        if (r->b->doc_start[t] < 0) continue;
        const real *before = state_before(r, d->state, size, t);
        const bool last = t + 1 == r->n || (t + 1) % r->b->seq == 0 || doc_first(r, t + 1) != doc_first(r, t);
        if (last) memset(dS, 0, (size_t)size * sizeof *dS);
        for (int h = 0; h < p->v_heads; h++) {
            const int64_t kh = h / (p->v_heads / p->k_heads) * dk, vh = h * dv;
            const real *q = d->q + t * keys + kh, *k = d->k + t * keys + kh, *delta = d->d + t * values + vh, *out = do_ + t * values + vh;
            const real *v = d->qkv + t * channels + 2 * keys + vh;
            const real *S = d->state + t * size + h * dk * dv, keep = (real)exp((double)d->g[t * p->v_heads + h]), beta = d->beta[t * p->v_heads + h];
            real *dSh = dS + h * dk * dv, *dv_acc = dqkv + t * channels + 2 * keys + vh;
            for (int64_t i = 0; i < dk * dv; i++) kept[i] = before ? keep * before[h * dk * dv + i] : 0;
            for (int64_t i = 0; i < dk; i++) {
                dq[t * keys + kh + i] += dot(S + i * dv, out, dv);
                add_scaled(dv, q[i], out, dSh + i * dv);
            }
            memset(dd, 0, (size_t)dv * sizeof *dd);
            for (int64_t i = 0; i < dk; i++) {
                add_scaled(dv, k[i], dSh + i * dv, dd);
                dk_[t * keys + kh + i] += dot(dSh + i * dv, delta, dv);
            }
            /* delta = beta*(v - kept^T k) */
            for (int64_t j = 0; j < dv; j++) {
                real wrong = v[j];
                for (int64_t i = 0; i < dk; i++) wrong -= kept[i * dv + j] * k[i];
                dbeta[t * p->v_heads + h] += dd[j] * wrong;
                dd[j] *= beta;
                dv_acc[j] += dd[j];
            }
            for (int64_t i = 0; i < dk; i++) {
                dk_[t * keys + kh + i] -= dot(kept + i * dv, dd, dv);
                add_scaled(dv, -k[i], dd, dSh + i * dv);
            }
            dg[t * p->v_heads + h] += dot(dSh, kept, dk * dv);
            for (int64_t i = 0; i < dk * dv; i++) dSh[i] *= keep;
        }
    }
    return OK;
}

/* ---- the half ---- */

static err_t delta_forward(struct run *r, int layer, real *x) {
    const struct spec *s = r->s;
    const struct delta_spec *p = &s->delta;
    struct delta *d = &r->delta[layer];
    const struct weight none = {NULL, NULL}, w = weight_of(r, PARAM_DELTA_NORM, layer, -1);
    const int64_t n = r->n, H = s->hidden, keys = delta_keys(s), values = delta_values(s), channels = 2 * keys + values;
    const real *A_log = weight_of(r, PARAM_DELTA_A_LOG, layer, -1).w, *dt_bias = weight_of(r, PARAM_DELTA_DT_BIAS, layer, -1).w;
    memcpy(d->x, x, (size_t)(n * H) * sizeof *x);
    norm(n, H, s->norm_eps, plus_of(s), d->x, weight_of(r, PARAM_ATTN_NORM, layer, -1), d->xn);
    linear(n, channels, H, d->xn, weight_of(r, PARAM_DELTA_QKV, layer, -1), none, d->in);
    linear(n, values, H, d->xn, weight_of(r, PARAM_DELTA_Z, layer, -1), none, d->z);
    linear(n, p->v_heads, H, d->xn, weight_of(r, PARAM_DELTA_B, layer, -1), none, d->b);
    linear(n, p->v_heads, H, d->xn, weight_of(r, PARAM_DELTA_A, layer, -1), none, d->a);
    conv_forward(r, channels, d->in, weight_of(r, PARAM_DELTA_CONV, layer, -1).w, d->conv);
    for (int64_t i = 0; i < n * channels; i++) d->qkv[i] = d->conv[i] * sigmoid(d->conv[i]);
    unit(r, (real)(1 / sqrt((double)p->k_dim)), d->qkv, channels, d->q);
    unit(r, 1, d->qkv + keys, channels, d->k);
    for (int64_t i = 0; i < n * p->v_heads; i++) {
        const int64_t h = i % p->v_heads;
        d->beta[i] = sigmoid(d->b[i]);
        d->g[i] = (real)-exp((double)A_log[h]) * softplus(d->a[i] + dt_bias[h]);
    }
    rule_forward(r, layer);
    norm(n * p->v_heads, p->v_dim, s->norm_eps, 0, d->o, w, d->normed);
    for (int64_t i = 0; i < n * values; i++) d->normed[i] *= d->z[i] * sigmoid(d->z[i]);
    linear(n, H, values, d->normed, weight_of(r, PARAM_DELTA_OUT, layer, -1), none, x);
    add_scaled(n * H, 1, d->x, x);
    return OK;
}

static err_t delta_backward(struct run *r, int layer, real *dx) {
    const struct spec *s = r->s;
    const struct delta_spec *p = &s->delta;
    const struct delta *d = &r->delta[layer];
    const struct weight none = {NULL, NULL}, w = weight_of(r, PARAM_DELTA_NORM, layer, -1);
    const struct weight A_log = weight_of(r, PARAM_DELTA_A_LOG, layer, -1), dt_bias = weight_of(r, PARAM_DELTA_DT_BIAS, layer, -1);
    const int64_t n = r->n, H = s->hidden, keys = delta_keys(s), values = delta_values(s), channels = 2 * keys + values, heads = p->v_heads;
    real *dnormed, *plain, *do_, *dz, *dq, *dk, *dqkv, *din, *dbeta, *dg, *dxn;
    TAKE(r, n * values, &dnormed);
    TAKE(r, n * values, &plain);
    TAKE(r, n * values, &do_);
    TAKE(r, n * values, &dz);
    TAKE(r, n * keys, &dq);
    TAKE(r, n * keys, &dk);
    TAKE(r, n * channels, &dqkv);
    TAKE(r, n * channels, &din);
    TAKE(r, n * heads, &dbeta);
    TAKE(r, n * heads, &dg);
    TAKE(r, n * H, &dxn);
    linear_backward(n, H, values, dx, d->normed, weight_of(r, PARAM_DELTA_OUT, layer, -1), none, dnormed);
    norm(n * heads, p->v_dim, s->norm_eps, 0, d->o, w, plain);
    for (int64_t i = 0; i < n * values; i++) {
        const real sig = sigmoid(d->z[i]);
        dz[i] = dnormed[i] * plain[i] * silu_slope(d->z[i], sig);
        dnormed[i] *= d->z[i] * sig;
    }
    norm_backward(n * heads, p->v_dim, s->norm_eps, 0, dnormed, d->o, w, do_);
    TRY(rule_backward(r, layer, do_, dq, dk, dqkv, dbeta, dg));
    unit_backward(r, (real)(1 / sqrt((double)p->k_dim)), dq, d->qkv, channels, dqkv);
    unit_backward(r, 1, dk, d->qkv + keys, channels, dqkv + keys);
    for (int64_t i = 0; i < n * channels; i++) dqkv[i] *= silu_slope(d->conv[i], sigmoid(d->conv[i]));
    conv_backward(r, channels, d->in, weight_of(r, PARAM_DELTA_CONV, layer, -1), dqkv, din);
    for (int64_t i = 0; i < n * heads; i++) { /* g = -e^A_log*softplus(a + dt_bias): dbeta and dg become those of b and a */
        const int64_t h = i % heads;
        A_log.g_acc[h] += dg[i] * d->g[i];
        dg[i] *= (real)-exp((double)A_log.w[h]) * sigmoid(d->a[i] + dt_bias.w[h]);
        dt_bias.g_acc[h] += dg[i];
        dbeta[i] *= d->beta[i] * (1 - d->beta[i]);
    }
    linear_backward(n, channels, H, din, d->xn, weight_of(r, PARAM_DELTA_QKV, layer, -1), none, dxn);
    linear_backward(n, values, H, dz, d->xn, weight_of(r, PARAM_DELTA_Z, layer, -1), none, dxn);
    linear_backward(n, heads, H, dbeta, d->xn, weight_of(r, PARAM_DELTA_B, layer, -1), none, dxn);
    linear_backward(n, heads, H, dg, d->xn, weight_of(r, PARAM_DELTA_A, layer, -1), none, dxn);
    norm_backward(n, H, s->norm_eps, plus_of(s), dxn, d->x, weight_of(r, PARAM_ATTN_NORM, layer, -1), dx);
    return OK;
}

#endif
