/* The attention half of the oracle where tokens meet by a softmax: x + o(attend(shape(project(norm(x))))). Grouped-query attention, with or
 * without a gate on its output; latent attention. A part of ref.c. */
#ifndef MOP_REF_ATTENTION_H
#define MOP_REF_ATTENTION_H

#include "ref/ops.h"

/* What the half keeps for its backward. Q: heads*dq, K: key heads*dq, V: key heads*dv, M: heads*dv. With latents there is a key head for
 * each query head. */
struct attention {
    int64_t dq, dv, kv_heads;
    real *x, *xn;       /* (N, H) the half's input; normalised */
    real *q, *k, *v;    /* (N, Q) (N, K) (N, V) projected, biases added */
    real *qn, *kn;      /* after the QK norms; the same buffers as q and k where there are none */
    real *qr, *kr, *vc; /* clamped, and q and k turned: what attention sees */
    real *prob, *sink;  /* (heads, N, S); (heads, N) what goes to the sink */
    real *mix;          /* (N, M) attention's output, before the o projection */
    real *gate, *gated; /* (N, M) of GATED_GQA: the gate before its sigmoid; mix times it */
    real *qa, *qan;     /* (N, q_rank) of MLA: the latents, normalised */
    real *kva, *kvan;   /* (N, kv_rank + rope_dim), (N, kv_rank) */
    real *kvb;          /* (N, heads*(nope_dim + v_dim)) */
};

static bool is_gated(const struct run *r, int layer) { return r->s->layer[layer].attention == ATTENTION_GATED_GQA; }
static bool is_mla(const struct run *r, int layer) { return r->s->layer[layer].attention == ATTENTION_MLA; }

static err_t attention_alloc(struct run *r, int layer) {
    const struct spec *s = r->s;
    const struct mla_spec *m = &s->mla;
    struct attention *a = &r->att[layer];
    a->dq = s->head_dim;
    a->dv = is_mla(r, layer) ? m->v_dim : s->head_dim;
    a->kv_heads = is_mla(r, layer) ? s->heads : s->kv_heads;
    const int64_t n = r->n, q = n * s->heads * a->dq, k = n * a->kv_heads * a->dq, v = n * a->kv_heads * a->dv, mix = n * s->heads * a->dv;
    TAKE(r, n * s->hidden, &a->x);
    TAKE(r, n * s->hidden, &a->xn);
    TAKE(r, q, &a->q);
    TAKE(r, k, &a->k);
    TAKE(r, v, &a->v);
    a->qn = a->q;
    a->kn = a->k;
    if (s->qk_norm != QK_NORM_NONE) {
        TAKE(r, q, &a->qn);
        TAKE(r, k, &a->kn);
    }
    TAKE(r, q, &a->qr);
    TAKE(r, k, &a->kr);
    TAKE(r, v, &a->vc);
    TAKE(r, s->heads * n * r->b->seq, &a->prob);
    TAKE(r, s->heads * n, &a->sink);
    TAKE(r, mix, &a->mix);
    if (is_gated(r, layer)) {
        TAKE(r, mix, &a->gate);
        TAKE(r, mix, &a->gated);
    }
    if (!is_mla(r, layer)) return OK;
    TAKE(r, n * m->q_rank, &a->qa);
    TAKE(r, n * m->q_rank, &a->qan);
    TAKE(r, n * (m->kv_rank + m->rope_dim), &a->kva);
    TAKE(r, n * m->kv_rank, &a->kvan);
    TAKE(r, n * s->heads * (m->nope_dim + m->v_dim), &a->kvb);
    return OK;
}

/* ---- project and shape: grouped-query attention ---- */

static void clamp(int64_t n, double limit, const real *x, real *y) {
    real c = (real)limit;
    for (int64_t i = 0; i < n; i++) y[i] = limit > 0 && x[i] > c ? c : limit > 0 && x[i] < -c ? -c : x[i];
}

/* Nothing flows through a value that was clamped; one that lies on the limit passes, as in torch. */
static void clamp_backward(int64_t n, double limit, const real *x, real *dx) {
    for (int64_t i = 0; i < n; i++)
        if (limit > 0 && (x[i] > (real)limit || x[i] < (real)-limit)) dx[i] = 0;
}

/* Over each head, or over all heads of a token together. */
static void qk_norm(const struct run *r, int heads, const real *x, struct weight w, real *y) {
    const int64_t d = r->s->head_dim;
    const bool head = r->s->qk_norm == QK_NORM_HEAD;
    norm(head ? r->n * heads : r->n, head ? d : heads * d, r->s->norm_eps, plus_of(r->s), x, w, y);
}

static void qk_norm_backward(const struct run *r, int heads, const real *dy, const real *x, struct weight w, real *dx_acc) {
    const int64_t d = r->s->head_dim;
    const bool head = r->s->qk_norm == QK_NORM_HEAD;
    norm_backward(head ? r->n * heads : r->n, head ? d : heads * d, r->s->norm_eps, plus_of(r->s), dy, x, w, dx_acc);
}

static void gqa_forward(struct run *r, int layer) {
    const struct spec *s = r->s;
    struct attention *a = &r->att[layer];
    const int64_t n = r->n, H = s->hidden, q = s->heads * a->dq, kv = s->kv_heads * a->dq;
    linear(n, q, H, a->xn, weight_of(r, PARAM_Q, layer, -1), bias_of(r, PARAM_Q_BIAS, layer), a->q);
    linear(n, kv, H, a->xn, weight_of(r, PARAM_K, layer, -1), bias_of(r, PARAM_K_BIAS, layer), a->k);
    linear(n, kv, H, a->xn, weight_of(r, PARAM_V, layer, -1), bias_of(r, PARAM_V_BIAS, layer), a->v);
    if (is_gated(r, layer)) linear(n, q, H, a->xn, weight_of(r, PARAM_Q_GATE, layer, -1), bias_of(r, PARAM_Q_GATE_BIAS, layer), a->gate);
    if (s->qk_norm != QK_NORM_NONE) {
        qk_norm(r, s->heads, a->q, weight_of(r, PARAM_Q_NORM, layer, -1), a->qn);
        qk_norm(r, s->kv_heads, a->k, weight_of(r, PARAM_K_NORM, layer, -1), a->kn);
    }
    clamp(n * q, s->clip_qkv, a->qn, a->qr);
    clamp(n * kv, s->clip_qkv, a->kn, a->kr);
    clamp(n * kv, s->clip_qkv, a->v, a->vc);
    rope(r, s->heads, a->dq, 0, 1, a->qr);
    rope(r, s->kv_heads, a->dq, 0, 1, a->kr);
}

/* dq, dk, dv: of what attention sees, changed on the way. */
static err_t gqa_backward(struct run *r, int layer, real *dq, real *dk, real *dv, const real *dgate, real *dxn_acc) {
    const struct spec *s = r->s;
    const struct attention *a = &r->att[layer];
    const int64_t n = r->n, H = s->hidden, q = s->heads * a->dq, kv = s->kv_heads * a->dq;
    rope(r, s->heads, a->dq, 0, -1, dq);
    rope(r, s->kv_heads, a->dq, 0, -1, dk);
    clamp_backward(n * q, s->clip_qkv, a->qn, dq);
    clamp_backward(n * kv, s->clip_qkv, a->kn, dk);
    clamp_backward(n * kv, s->clip_qkv, a->v, dv);
    if (s->qk_norm != QK_NORM_NONE) {
        real *dqn = dq, *dkn = dk;
        TAKE(r, n * q, &dq);
        TAKE(r, n * kv, &dk);
        qk_norm_backward(r, s->heads, dqn, a->q, weight_of(r, PARAM_Q_NORM, layer, -1), dq);
        qk_norm_backward(r, s->kv_heads, dkn, a->k, weight_of(r, PARAM_K_NORM, layer, -1), dk);
    }
    linear_backward(n, q, H, dq, a->xn, weight_of(r, PARAM_Q, layer, -1), bias_of(r, PARAM_Q_BIAS, layer), dxn_acc);
    linear_backward(n, kv, H, dk, a->xn, weight_of(r, PARAM_K, layer, -1), bias_of(r, PARAM_K_BIAS, layer), dxn_acc);
    linear_backward(n, kv, H, dv, a->xn, weight_of(r, PARAM_V, layer, -1), bias_of(r, PARAM_V_BIAS, layer), dxn_acc);
    if (dgate) linear_backward(n, q, H, dgate, a->xn, weight_of(r, PARAM_Q_GATE, layer, -1), bias_of(r, PARAM_Q_GATE_BIAS, layer), dxn_acc);
    return OK;
}

/* ---- project and shape: latent attention ---- */

/* A head's q and k are [without rotation, with]; the rotated part of k is one for all heads, and comes right behind the latent. */
static err_t mla_forward(struct run *r, int layer) {
    const struct spec *s = r->s;
    const struct mla_spec *m = &s->mla;
    struct attention *a = &r->att[layer];
    const struct weight none = {NULL, NULL};
    const int64_t n = r->n, H = s->hidden, q = s->heads * a->dq, wide = m->kv_rank + m->rope_dim, each = m->nope_dim + m->v_dim;
    real *latent, *key;
    TAKE(r, n * m->kv_rank, &latent);
    TAKE(r, n * m->rope_dim, &key);
    if (m->q_rank > 0) {
        linear(n, m->q_rank, H, a->xn, weight_of(r, PARAM_Q_A, layer, -1), bias_of(r, PARAM_Q_A_BIAS, layer), a->qa);
        norm(n, m->q_rank, m->norm_eps, 0, a->qa, weight_of(r, PARAM_Q_A_NORM, layer, -1), a->qan);
        linear(n, q, m->q_rank, a->qan, weight_of(r, PARAM_Q_B, layer, -1), none, a->qr);
    } else {
        linear(n, q, H, a->xn, weight_of(r, PARAM_Q, layer, -1), none, a->qr);
    }
    linear(n, wide, H, a->xn, weight_of(r, PARAM_KV_A, layer, -1), bias_of(r, PARAM_KV_A_BIAS, layer), a->kva);
    for (int64_t t = 0; t < n; t++) {
        memcpy(latent + t * m->kv_rank, a->kva + t * wide, (size_t)m->kv_rank * sizeof *latent);
        memcpy(key + t * m->rope_dim, a->kva + t * wide + m->kv_rank, (size_t)m->rope_dim * sizeof *key);
    }
    norm(n, m->kv_rank, m->norm_eps, 0, latent, weight_of(r, PARAM_KV_A_NORM, layer, -1), a->kvan);
    linear(n, s->heads * each, m->kv_rank, a->kvan, weight_of(r, PARAM_KV_B, layer, -1), none, a->kvb);
    rope(r, s->heads, a->dq, m->nope_dim, 1, a->qr);
    rope(r, 1, m->rope_dim, 0, 1, key);
    for (int64_t t = 0; t < n; t++)
        for (int h = 0; h < s->heads; h++) {
            const real *kv = a->kvb + (t * s->heads + h) * each;
            real *k = a->kr + (t * s->heads + h) * a->dq;
            memcpy(k, kv, (size_t)m->nope_dim * sizeof *k);
            memcpy(k + m->nope_dim, key + t * m->rope_dim, (size_t)m->rope_dim * sizeof *k);
            memcpy(a->vc + (t * s->heads + h) * a->dv, kv + m->nope_dim, (size_t)m->v_dim * sizeof *k);
        }
    return OK;
}

static err_t mla_backward(struct run *r, int layer, real *dq, const real *dk, const real *dv, real *dxn_acc) {
    const struct spec *s = r->s;
    const struct mla_spec *m = &s->mla;
    const struct attention *a = &r->att[layer];
    const struct weight none = {NULL, NULL};
    const int64_t n = r->n, H = s->hidden, q = s->heads * a->dq, wide = m->kv_rank + m->rope_dim, each = m->nope_dim + m->v_dim;
    real *dkey, *dkvb, *dkvan, *dlatent, *latent, *dkva, *dqan, *dqa;
    TAKE(r, n * m->rope_dim, &dkey);
    TAKE(r, n * s->heads * each, &dkvb);
    TAKE(r, n * m->kv_rank, &dkvan);
    TAKE(r, n * m->kv_rank, &dlatent);
    TAKE(r, n * m->kv_rank, &latent);
    TAKE(r, n * wide, &dkva);
    TAKE(r, n * m->q_rank, &dqan);
    TAKE(r, n * m->q_rank, &dqa);
    for (int64_t t = 0; t < n; t++)
        for (int h = 0; h < s->heads; h++) {
            const real *dkh = dk + (t * s->heads + h) * a->dq;
            real *to = dkvb + (t * s->heads + h) * each;
            memcpy(to, dkh, (size_t)m->nope_dim * sizeof *to);
            memcpy(to + m->nope_dim, dv + (t * s->heads + h) * a->dv, (size_t)m->v_dim * sizeof *to);
            add_scaled(m->rope_dim, 1, dkh + m->nope_dim, dkey + t * m->rope_dim); /* the one key of all heads */
        }
    rope(r, s->heads, a->dq, m->nope_dim, -1, dq);
    rope(r, 1, m->rope_dim, 0, -1, dkey);
    linear_backward(n, s->heads * each, m->kv_rank, dkvb, a->kvan, weight_of(r, PARAM_KV_B, layer, -1), none, dkvan);
    for (int64_t t = 0; t < n; t++) memcpy(latent + t * m->kv_rank, a->kva + t * wide, (size_t)m->kv_rank * sizeof *latent);
    norm_backward(n, m->kv_rank, m->norm_eps, 0, dkvan, latent, weight_of(r, PARAM_KV_A_NORM, layer, -1), dlatent);
    for (int64_t t = 0; t < n; t++) {
        memcpy(dkva + t * wide, dlatent + t * m->kv_rank, (size_t)m->kv_rank * sizeof *dkva);
        memcpy(dkva + t * wide + m->kv_rank, dkey + t * m->rope_dim, (size_t)m->rope_dim * sizeof *dkva);
    }
    linear_backward(n, wide, H, dkva, a->xn, weight_of(r, PARAM_KV_A, layer, -1), bias_of(r, PARAM_KV_A_BIAS, layer), dxn_acc);
    if (m->q_rank == 0) {
        linear_backward(n, q, H, dq, a->xn, weight_of(r, PARAM_Q, layer, -1), none, dxn_acc);
        return OK;
    }
    linear_backward(n, q, m->q_rank, dq, a->qan, weight_of(r, PARAM_Q_B, layer, -1), none, dqan);
    norm_backward(n, m->q_rank, m->norm_eps, 0, dqan, a->qa, weight_of(r, PARAM_Q_A_NORM, layer, -1), dqa);
    linear_backward(n, m->q_rank, H, dqa, a->xn, weight_of(r, PARAM_Q_A, layer, -1), bias_of(r, PARAM_Q_A_BIAS, layer), dxn_acc);
    return OK;
}

/* ---- attend ---- */

/* Token t sees keys [first, t]: those of its document, and of its window. */
static int64_t first_key(const struct run *r, int layer, int64_t t) {
    const int64_t window = r->s->layer[layer].window, first = doc_first(r, t);
    return window > 0 ? i64_max(first, t + 1 - window) : first;
}

/* A sink is one more logit, whose share goes nowhere. */
static void attend(struct run *r, int layer) {
    const struct spec *s = r->s;
    struct attention *a = &r->att[layer];
    const int64_t n = r->n, q = s->heads * a->dq, k = a->kv_heads * a->dq, v = a->kv_heads * a->dv, mix = s->heads * a->dv;
    const real scale = (real)s->softmax_scale, *sinks = s->sinks ? weight_of(r, PARAM_SINKS, layer, -1).w : NULL;
    memset(a->mix, 0, (size_t)(n * mix) * sizeof *a->mix);
    for (int h = 0; h < s->heads; h++) {
        const int64_t kv = h / (s->heads / a->kv_heads);
        for (int64_t t = 0; t < n; t++) {
            const int64_t first = first_key(r, layer, t), keys = t + 1 - first;
            if (keys <= 0) continue;
            real *prob = a->prob + (h * n + t) * r->b->seq;
            for (int64_t j = 0; j < keys; j++) prob[j] = scale * dot(a->qr + t * q + h * a->dq, a->kr + (first + j) * k + kv * a->dq, a->dq);
            const double all = softmax(keys, prob);
            if (sinks) {
                const double sink = 1 / (1 + exp(all - (double)sinks[h]));
                a->sink[h * n + t] = (real)sink;
                for (int64_t j = 0; j < keys; j++) prob[j] *= (real)(1 / (1 + exp((double)sinks[h] - all)));
            }
            for (int64_t j = 0; j < keys; j++) add_scaled(a->dv, prob[j], a->vc + (first + j) * v + kv * a->dv, a->mix + t * mix + h * a->dv);
        }
    }
}

/* dq, dk, dv are added into. With a sink, whose value is 0, <p, dp> is over the keys alone, and dsink = -p_sink*<p, dp>. */
static err_t attend_backward(struct run *r, int layer, const real *dmix, real *dq_acc, real *dk_acc, real *dv_acc) {
    const struct spec *s = r->s;
    const struct attention *a = &r->att[layer];
    const int64_t n = r->n, q = s->heads * a->dq, k = a->kv_heads * a->dq, v = a->kv_heads * a->dv, mix = s->heads * a->dv;
    const real scale = (real)s->softmax_scale;
    real *dprob, *dsinks = s->sinks ? weight_of(r, PARAM_SINKS, layer, -1).g_acc : NULL;
    TAKE(r, r->b->seq, &dprob);
    for (int h = 0; h < s->heads; h++) {
        const int64_t kv = h / (s->heads / a->kv_heads);
        for (int64_t t = 0; t < n; t++) {
            const int64_t first = first_key(r, layer, t), keys = t + 1 - first;
            const real *prob = a->prob + (h * n + t) * r->b->seq, *dm = dmix + t * mix + h * a->dv;
            for (int64_t j = 0; j < keys; j++) {
                dprob[j] = dot(dm, a->vc + (first + j) * v + kv * a->dv, a->dv);
                add_scaled(a->dv, prob[j], dm, dv_acc + (first + j) * v + kv * a->dv);
            }
            if (dsinks && keys > 0) dsinks[h] -= a->sink[h * n + t] * dot(prob, dprob, keys);
            softmax_backward(keys, prob, dprob);
            for (int64_t j = 0; j < keys; j++) {
                add_scaled(a->dq, scale * dprob[j], a->kr + (first + j) * k + kv * a->dq, dq_acc + t * q + h * a->dq);
                add_scaled(a->dq, scale * dprob[j], a->qr + t * q + h * a->dq, dk_acc + (first + j) * k + kv * a->dq);
            }
        }
    }
    return OK;
}

/* ---- the half ---- */

static err_t attention_forward(struct run *r, int layer, real *x) {
    const struct spec *s = r->s;
    struct attention *a = &r->att[layer];
    const int64_t n = r->n, H = s->hidden, mix = s->heads * a->dv;
    memcpy(a->x, x, (size_t)(n * H) * sizeof *x);
    norm(n, H, s->norm_eps, plus_of(s), a->x, weight_of(r, PARAM_ATTN_NORM, layer, -1), a->xn);
    if (is_mla(r, layer)) TRY(mla_forward(r, layer));
    else gqa_forward(r, layer);
    attend(r, layer);
    if (a->gate)
        for (int64_t i = 0; i < n * mix; i++) a->gated[i] = a->mix[i] * sigmoid(a->gate[i]);
    linear(n, H, mix, a->gate ? a->gated : a->mix, weight_of(r, PARAM_O, layer, -1), bias_of(r, PARAM_O_BIAS, layer), x);
    add_scaled(n * H, 1, a->x, x);
    return OK;
}

/* dx: gradient of the half's output in, of its input out. */
static err_t attention_backward(struct run *r, int layer, real *dx) {
    const struct spec *s = r->s;
    const struct attention *a = &r->att[layer];
    const int64_t n = r->n, H = s->hidden, mix = s->heads * a->dv;
    real *dmix, *dgate = NULL, *dq, *dk, *dv, *dxn;
    TAKE(r, n * mix, &dmix);
    TAKE(r, n * s->heads * a->dq, &dq);
    TAKE(r, n * a->kv_heads * a->dq, &dk);
    TAKE(r, n * a->kv_heads * a->dv, &dv);
    TAKE(r, n * H, &dxn);
    linear_backward(n, H, mix, dx, a->gate ? a->gated : a->mix, weight_of(r, PARAM_O, layer, -1), bias_of(r, PARAM_O_BIAS, layer), dmix);
    if (a->gate) {
        TAKE(r, n * mix, &dgate);
        for (int64_t i = 0; i < n * mix; i++) {
            const real open = sigmoid(a->gate[i]);
            dgate[i] = dmix[i] * a->mix[i] * open * (1 - open);
            dmix[i] *= open;
        }
    }
    TRY(attend_backward(r, layer, dmix, dq, dk, dv));
    if (is_mla(r, layer)) TRY(mla_backward(r, layer, dq, dk, dv, dxn));
    else TRY(gqa_backward(r, layer, dq, dk, dv, dgate, dxn));
    norm_backward(n, H, s->norm_eps, plus_of(s), dxn, a->x, weight_of(r, PARAM_ATTN_NORM, layer, -1), dx); /* added to the residual's */
    return OK;
}

#endif
