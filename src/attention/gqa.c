/* Grouped-query attention: project, shape (norm, clamp, turn), attend here or by Ulysses, project out. Owned: the sets of intermediates, from forward
 * to backward; the gradients' scratch, within backward. Borrowed: h, y and their gradients, the batch, the layer's weights (in use). */
#include "attention/attention_int.h"
#include "kernels/linear.h"

static struct attention_views view(const struct attention *a, void *qkv, void *rot) {
    const int64_t b = dtype_bytes(a->shape.act), q = a->q_width, kv = a->kv_width, all = q + 2 * kv;
    char *raw = qkv, *turned = rot;
    if (a->rot_width == 0) return (struct attention_views){raw, raw + q * b, raw + (q + kv) * b, all, all, all};
    if (a->rot_width == all) return (struct attention_views){turned, turned + q * b, turned + (q + kv) * b, all, all, all};
    return (struct attention_views){turned, turned + q * b, raw + (q + kv) * b, a->rot_width, a->rot_width, all};
}

/* Rows of all tokens, strides in bytes. */
static void move_rows(struct attention *a, int64_t bytes, const void *from, int64_t from_stride, void *to, int64_t to_stride) {
    RUN(a->ex, copy_rows, copy_rows_args, .rows = a->shape.tokens, .bytes = bytes, .from = from, .from_stride = from_stride, .to = to,
        .to_stride = to_stride);
}

/* q or k from the raw projections to where RoPE and attention take them: norm, then clamp. */
static err_t shape_heads(struct attention *a, int layer, enum param_kind kind, const void *x, int64_t x_stride, void *y, int64_t y_stride, int heads,
                         float *rstd) {
    const struct spec *s = a->shape.spec;
    const int64_t width = (int64_t)heads * s->head_dim, b = dtype_bytes(a->shape.act);
    if (s->qk_norm == QK_NORM_NONE) {
        move_rows(a, width * b, x, x_stride * b, y, y_stride * b);
    } else {
        const struct param *p;
        TRY(store_find(a->store, kind, layer, -1, &p));
        const bool each = s->qk_norm == QK_NORM_HEAD;
        RUN(a->ex, norm_forward, norm_args, .act = a->shape.act, .way = (enum norm_way)s->norm, .rows = a->shape.tokens, .heads = each ? heads : 1,
            .width = each ? s->head_dim : width, .x = x, .x_stride = x_stride, .w = store_weight(a->store, p), .eps = s->norm_eps, .y = y,
            .y_stride = y_stride, .rstd = rstd);
    }
    return OK;
}

static void clamp(struct attention *a, void *y, int64_t width, int64_t stride) {
    if (a->shape.spec->clip_qkv > 0)
        RUN(a->ex, clamp_forward, clamp_args, .act = a->shape.act, .rows = a->shape.tokens, .width = width, .stride = stride, .y = y,
            .limit = (float)a->shape.spec->clip_qkv);
}

static void turn(struct attention *a, const struct attention_batch *in, void *x, int64_t stride, int heads, bool backward) {
    RUN(a->ex, rope, rope_args, .act = a->shape.act, .rows = a->shape.tokens, .heads = heads, .dim = a->shape.spec->rope.dim,
        .head_stride = a->shape.spec->head_dim, .interleaved = a->shape.spec->rope.pairs == PAIRS_NEIGHBOURS, .x = x, .x_stride = stride,
        .positions = in->positions, .places = a->places, .cos = a->cos, .sin = a->sin, .backward = backward);
}

static err_t project_bias(struct attention *a, enum param_kind kind, int layer, void *x, int64_t width, int64_t stride) {
    const struct param *p;
    TRY(store_find(a->store, kind, layer, -1, &p));
    RUN(a->ex, bias_forward, bias_args, .act = a->shape.act, .rows = a->shape.tokens, .width = width, .stride = stride, .x = x,
        .bias = store_weight(a->store, p));
    return OK;
}

static err_t bias_gradient(struct attention *a, enum param_kind kind, int layer, const void *dx, int64_t width, int64_t stride) {
    const struct param *p;
    TRY(store_find(a->store, kind, layer, -1, &p));
    RUN(a->ex, bias_backward, bias_args, .act = a->shape.act, .rows = a->shape.tokens, .width = width, .stride = stride, .x = (void *)(uintptr_t)dx,
        .db_acc = store_grad(a->store, p));
    return OK;
}

static struct attention_args attend(const struct attention *a, int layer, const struct attention_saved *v, const struct attention_views *w,
                                    const struct attention_batch *in, const void *sinks) {
    const struct spec *s = a->shape.spec;
    return (struct attention_args){.act = a->shape.act,
                                   .tokens = a->cached + a->shape.tokens,
                                   .first = a->cached,
                                   .heads = s->heads,
                                   .kv_heads = s->kv_heads,
                                   .head_dim = s->head_dim,
                                   .group = s->heads / s->kv_heads,
                                   .scale = (float)s->softmax_scale,
                                   .window = s->layer[layer].window,
                                   .sinks = sinks,
                                   .q = w->q,
                                   .k = w->k,
                                   .v = w->v,
                                   .q_stride = w->q_stride,
                                   .k_stride = w->k_stride,
                                   .v_stride = w->v_stride,
                                   .start = in->start,
                                   .o = v->o,
                                   .o_stride = a->q_width,
                                   .lse = v->lse,
                                   .pairs = attention_pairs(in->host_start, a->cached, a->cached + a->shape.tokens, s->layer[layer].window)};
}

/* q, k and v weights lie back to back: one product makes all three. */
static err_t weights(const struct attention *a, int layer, struct linear *qkv, struct linear *out) {
    const struct param *wq, *wo;
    TRY(store_find(a->store, PARAM_Q, layer, -1, &wq));
    TRY(store_find(a->store, PARAM_O, layer, -1, &wo));
    const int64_t t = a->shape.tokens, h = a->shape.spec->hidden, all = a->q_width + 2 * a->kv_width;
    *qkv = (struct linear){a->shape.act, t, h, all, store_weight(a->store, wq), store_grad(a->store, wq)};
    *out = (struct linear){a->shape.act, t, a->q_width, h, store_weight(a->store, wo), store_grad(a->store, wo)};
    return OK;
}

err_t attention_sinks(const struct attention *a, int layer, const void **sinks, float **dsinks_acc) {
    const struct param *p;
    *sinks = NULL;
    *dsinks_acc = NULL;
    if (!a->shape.spec->sinks) return OK;
    TRY(store_find(a->store, PARAM_SINKS, layer, -1, &p));
    *sinks = store_weight(a->store, p);
    *dsinks_acc = store_grad(a->store, p);
    return OK;
}

/* Append this call's keys and values to the layer's cache and let attention read them there, all of them. */
static err_t read_cache(struct attention *a, int layer, struct attention_views *w) {
    const int64_t t = a->shape.tokens, bytes = a->kv_width * dtype_bytes(a->shape.act);
    ENSURE(a->cached >= 0 && t <= a->cache_rows - a->cached);
    char *k = (char *)a->cache + 2 * layer * a->cache_rows * bytes, *v = k + a->cache_rows * bytes;
    move_rows(a, bytes, w->k, w->k_stride * dtype_bytes(a->shape.act), k + a->cached * bytes, bytes);
    move_rows(a, bytes, w->v, w->v_stride * dtype_bytes(a->shape.act), v + a->cached * bytes, bytes);
    w->k = k;
    w->v = v;
    w->k_stride = w->v_stride = a->kv_width;
    return OK;
}

err_t attention_forward(struct attention *a, int layer, int slot, const struct attention_batch *in, const void *h, void *y, bool again) {
    const struct spec *s = a->shape.spec;
    const enum dtype act = a->shape.act;
    const int64_t b = dtype_bytes(act), q = a->q_width, kv = a->kv_width, all = q + 2 * kv;
    struct attention_saved *v = &a->saved[slot];
    struct linear w_qkv, w_o;
    TRY(weights(a, layer, &w_qkv, &w_o));
    linear_forward(a->ex, &w_qkv, h, v->qkv);
    char *raw = v->qkv;
    if (s->biases & BIAS_IN) {
        TRY(project_bias(a, PARAM_Q_BIAS, layer, raw, q, all));
        TRY(project_bias(a, PARAM_K_BIAS, layer, raw + q * b, kv, all));
        TRY(project_bias(a, PARAM_V_BIAS, layer, raw + (q + kv) * b, kv, all));
    }
    struct attention_views w = view(a, v->qkv, v->rot);
    if (a->rot_width) {
        TRY(shape_heads(a, layer, PARAM_Q_NORM, raw, all, w.q, w.q_stride, s->heads, v->rstd_q));
        TRY(shape_heads(a, layer, PARAM_K_NORM, raw + q * b, all, w.k, w.k_stride, s->kv_heads, v->rstd_k));
        clamp(a, w.q, q, w.q_stride);
        clamp(a, w.k, kv, w.k_stride);
        if (s->clip_qkv > 0) {
            move_rows(a, kv * b, raw + (q + kv) * b, all * b, w.v, w.v_stride * b);
            clamp(a, w.v, kv, w.v_stride);
        }
    }
    turn(a, in, w.q, w.q_stride, s->heads, false);
    turn(a, in, w.k, w.k_stride, s->kv_heads, false);
    if (a->cache) TRY(read_cache(a, layer, &w));
    if (a->shape.split.seq > 1) {
        TRY(ulysses_forward(a, layer, v, &w, in));
    } else {
        const void *sinks;
        float *dsinks;
        TRY(attention_sinks(a, layer, &sinks, &dsinks));
        const struct attention_args args = attend(a, layer, v, &w, in, sinks);
        RUN_ARGS(a->ex, attention_forward, attention_args, &args);
    }
    if (again) return OK;
    linear_forward(a->ex, &w_o, v->o, y);
    if (s->biases & BIAS_OUT) TRY(project_bias(a, PARAM_O_BIAS, layer, y, s->hidden, s->hidden));
    return OK;
}

/* Gradient of shape_heads: from dy (as attention gave it, RoPE undone) to dx in the raw layout. */
static err_t shape_heads_backward(struct attention *a, int layer, enum param_kind kind, const void *x, int64_t x_stride, void *dy, int64_t dy_stride,
                                  void *dx, int heads, const float *rstd, void *work) {
    const struct spec *s = a->shape.spec;
    const int64_t width = (int64_t)heads * s->head_dim, b = dtype_bytes(a->shape.act);
    if (s->clip_qkv > 0) { /* the clamp's input is the norm's output: made again */
        TRY(shape_heads(a, layer, kind, x, x_stride, work, width, heads, NULL));
        RUN(a->ex, clamp_backward, clamp_args, .act = a->shape.act, .rows = a->shape.tokens, .width = width, .stride = dy_stride, .x = work,
            .x_stride = width, .y = dy, .limit = (float)s->clip_qkv);
    }
    if (s->qk_norm == QK_NORM_NONE) {
        move_rows(a, width * b, dy, dy_stride * b, dx, x_stride * b);
        return OK;
    }
    const struct param *p;
    TRY(store_find(a->store, kind, layer, -1, &p));
    const bool each = s->qk_norm == QK_NORM_HEAD;
    RUN(a->ex, norm_backward, norm_backward_args, .act = a->shape.act, .way = (enum norm_way)s->norm, .rows = a->shape.tokens,
        .heads = each ? heads : 1, .width = each ? s->head_dim : width, .x = x, .x_stride = x_stride, .w = store_weight(a->store, p), .rstd = rstd,
        .dy = dy, .dy_stride = dy_stride, .dx = dx, .dx_stride = x_stride, .dw_acc = store_grad(a->store, p));
    return OK;
}

err_t attention_backward(struct attention *a, int layer, int slot, const struct attention_batch *in, const void *h, const void *dy, void *dh) {
    const struct spec *s = a->shape.spec;
    const enum dtype act = a->shape.act;
    const int64_t t = a->shape.tokens, b = dtype_bytes(act), q = a->q_width, kv = a->kv_width, all = q + 2 * kv;
    struct attention_saved *v = &a->saved[slot];
    struct linear w_qkv, w_o;
    TRY(weights(a, layer, &w_qkv, &w_o));
    if (s->biases & BIAS_OUT) TRY(bias_gradient(a, PARAM_O_BIAS, layer, dy, s->hidden, s->hidden));
    linear_backward(a->ex, &w_o, v->o, dy, a->dout);
    const struct attention_views w = view(a, v->qkv, v->rot), d = view(a, a->dqkv, a->drot);
    if (a->shape.split.seq > 1) {
        TRY(ulysses_backward(a, layer, v, &w, in, &d));
    } else {
        const void *sinks;
        float *dsinks;
        TRY(attention_sinks(a, layer, &sinks, &dsinks));
        RUN(a->ex, attention_backward, attention_backward_args, .fwd = attend(a, layer, v, &w, in, sinks), .dout = a->dout, .delta = a->delta,
            .dq = d.q, .dk = d.k, .dv = d.v, .dsinks_acc = dsinks);
    }
    turn(a, in, d.q, d.q_stride, s->heads, true);
    turn(a, in, d.k, d.k_stride, s->kv_heads, true);
    char *raw = v->qkv, *draw = a->dqkv;
    if (a->rot_width) { /* dout has been used: it is work space now */
        TRY(shape_heads_backward(a, layer, PARAM_Q_NORM, raw, all, d.q, d.q_stride, draw, s->heads, v->rstd_q, a->dout));
        TRY(shape_heads_backward(a, layer, PARAM_K_NORM, raw + q * b, all, d.k, d.k_stride, draw + q * b, s->kv_heads, v->rstd_k, a->dout));
        if (s->clip_qkv > 0) {
            RUN(a->ex, clamp_backward, clamp_args, .act = act, .rows = t, .width = kv, .stride = d.v_stride, .x = raw + (q + kv) * b, .x_stride = all,
                .y = d.v, .limit = (float)s->clip_qkv);
            move_rows(a, kv * b, d.v, d.v_stride * b, draw + (q + kv) * b, all * b);
        }
    }
    if (s->biases & BIAS_IN) {
        TRY(bias_gradient(a, PARAM_Q_BIAS, layer, draw, q, all));
        TRY(bias_gradient(a, PARAM_K_BIAS, layer, draw + q * b, kv, all));
        TRY(bias_gradient(a, PARAM_V_BIAS, layer, draw + (q + kv) * b, kv, all));
    }
    linear_backward(a->ex, &w_qkv, h, draw, dh);
    return OK;
}
