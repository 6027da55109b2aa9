/* The mixture-of-experts half: router, experts, combination; and the experts' rows where nothing is sent. Owned: the sets of intermediates (a layer's
 * own where they are kept, else one for all), from forward to backward; scratch for a call. Borrowed: h, y, dy, dh, start of the corridor's. Called:
 * forward of each layer, in backward forward again where nothing is kept, then backward. */
#include "experts/experts_int.h"

#include "base/num.h"
#include "kernels/linear.h"

/* ---- weights of the layer in hand ---- */

void experts_point(struct experts *m, int e, void *w, float *g) {
    const struct spec *s = m->shape.spec;
    const int64_t down = 2 * s->hidden * s->expert_width;
    m->work->w_in[e] = w;
    m->work->w_out[e] = w ? (const char *)w + down * dtype_bytes(m->shape.act) : NULL;
    m->work->g_in[e] = g;
    m->work->g_out[e] = g ? g + down : NULL;
}

/* A rank has its run of experts, or, gathered, all runs, each with its padding. */
err_t experts_open_layer(struct experts *m, int layer, bool backward) {
    const struct shape *h = &m->shape;
    const bool all = !experts_travel(h, &m->opts);
    const int64_t each = expert_elements(h->spec), b = dtype_bytes(h->act), run = unit_run_elements(h->spec, &h->split, UNIT_EXPERTS);
    const int owned = experts_owned(h), first = all ? 0 : m->mesh->expert.rank * owned, last = all ? h->spec->experts : first + owned;
    m->work->unit = params_unit(m->store->params, UNIT_EXPERTS, layer);
    ENSURE(m->work->unit >= 0);
    TRY(unit_enter(m->store, m->work->unit, -1, backward));
    const struct held *u = &m->store->unit[m->work->unit];
    for (int e = 0; e < h->spec->experts; e++) {
        const bool here = e >= first && e < last;
        const int64_t at = here ? (e - first) / owned * run + (e - first) % owned * each : 0;
        experts_point(m, e, here ? (char *)u->w + at * b : NULL, here && backward ? u->grad_acc + at : NULL);
    }
    return OK;
}

/* ---- router ---- */

static err_t router_of(const struct experts *m, int layer, struct linear *out) {
    const struct spec *s = m->shape.spec;
    const struct param *p;
    TRY(store_find(m->store, PARAM_ROUTER, layer, -1, &p));
    *out = (struct linear){m->shape.act, m->shape.tokens, s->hidden, s->experts, store_weight(m->store, p), store_grad(m->store, p)};
    return OK;
}

static struct route_args routing(const struct experts *m, const struct moe_half *x, const struct experts_saved *v) {
    const struct spec *s = m->shape.spec;
    return (struct route_args){.act = m->shape.act,
                               .tokens = m->shape.tokens,
                               .experts = s->experts,
                               .k = s->top_k,
                               .logits = v->logits,
                               .start = x->start,
                               .bias = m->bias + (int64_t)x->moe * s->experts,
                               .renormalise = s->renormalise,
                               .keep_fp32 = s->weights_fp32,
                               .ids = m->ids + (int64_t)x->moe * m->shape.tokens * s->top_k,
                               .weights = v->weights};
}

/* Router logits to ids and weights. Ids are chosen once, or given; recomputation reads them (I1). */
static void choose(struct experts *m, const struct moe_half *x, const struct experts_saved *v, bool again) {
    const int64_t n = m->shape.tokens * m->shape.spec->top_k;
    struct route_args a = routing(m, x, v);
    a.ids_given = again || m->given;
    if (!again) {
        if (m->given) STREAM_UPLOAD(m->ex->s, a.ids, m->given + x->moe * n, (int64_t)sizeof *a.ids * n);
        a.prob_sum = m->prob_sum;
        a.count = m->count + (int64_t)x->moe * m->shape.spec->experts;
    }
    RUN_ARGS(m->ex, route_forward, route_args, &a);
}

/* ---- rows where nothing is sent: EXPERTS_CHUNK tokens at a time, one group an expert ---- */

/* What is saved of a chunk; kept chunks lie one after the other. */
struct part {
    struct chunk chunk;
    struct expert_rows rows;
    void *in;
};

static struct part part_of(const struct experts *m, const struct moe_half *x, int64_t first) {
    const struct spec *s = m->shape.spec;
    const struct experts_saved *v = &m->work->saved[x->slot];
    const int64_t b = dtype_bytes(m->shape.act), row = (shape_kept(&m->shape) ? first : 0) * s->top_k, i = s->expert_width;
    const int32_t *count = kept_of(m, x->moe)->rows + first / EXPERTS_CHUNK * s->experts;
    struct groups *g = &m->work->here;
    struct part p = {.chunk = {.first = first, .step = 1, .tokens = i64_min(m->shape.tokens - first, EXPERTS_CHUNK), .base = m->work->base}};
    for (int e = 0; e < s->experts; e++) {
        m->work->base[e] = (int32_t)p.chunk.rows;
        g->off[e] = p.chunk.rows;
        p.chunk.rows += count[e];
    }
    g->off[s->experts] = g->rows = p.chunk.rows;
    p.chunk.token = v->token + row;
    p.chunk.pos = v->pos + row;
    p.in = (char *)v->in + row * s->hidden * b;
    p.rows = (struct expert_rows){p.in, (char *)v->gate_up + row * 2 * i * b, (char *)v->mid + row * i * b, (char *)v->out + row * s->hidden * b};
    return p;
}

static void count_here(struct experts *m, int moe) {
    const struct spec *s = m->shape.spec;
    RUN(m->ex, dispatch_count, dispatch_count_args, .tokens = m->shape.tokens, .span = EXPERTS_CHUNK, .experts = s->experts, .k = s->top_k,
        .ids = ids_of(m, moe), .number = m->work->number, .count = m->work->count, .work = m->work->count_work);
}

/* From the chunk's tokens to its experts' outputs. */
static void part_forward(struct experts *m, const struct moe_half *x, const struct part *p) {
    chunk_deal(m, &p->chunk, x->moe, m->shape.spec->experts, true);
    chunk_gather(m, &p->chunk, x->h, p->in);
    experts_apply(m, &m->work->here, &p->rows);
}

static err_t forward_here(struct experts *m, const struct moe_half *x, void *y) {
    const int64_t chunks = i64_div_up(m->shape.tokens, EXPERTS_CHUNK);
    if (chunks == 0) return OK;
    groups_point(m, &m->work->here);
    count_here(m, x->moe);
    TRY(STREAM_FETCH(m->ex->s, kept_of(m, x->moe)->rows, m->work->count, 4 * chunks * m->shape.spec->experts));
    for (int64_t first = 0; first < m->shape.tokens; first += EXPERTS_CHUNK) {
        const struct part p = part_of(m, x, first);
        part_forward(m, x, &p);
        chunk_combine(m, &p.chunk, m->work->saved[x->slot].weights, p.rows.out, y);
    }
    return OK;
}

/* Each buffer of the chunk turns into its gradient once its value has been used. */
static void part_backward(struct experts *m, const struct part *p, const float *weights, const void *dy, void *dh) {
    const struct spec *s = m->shape.spec;
    const struct chunk *c = &p->chunk;
    const int64_t k = s->top_k;
    RUN(m->ex, rows_combine_backward, rows_combine_backward_args, .act = m->shape.act, .tokens = c->tokens, .width = s->hidden, .x_rows = c->rows,
        .k = s->top_k, .pos = c->pos, .w = weights + c->first * k, .x = p->rows.out,
        .dy = (const char *)dy + c->first * s->hidden * dtype_bytes(m->shape.act), .dx = p->rows.out, .dw = m->work->dweights + c->first * k);
    experts_apply_backward(m, &m->work->here, &p->rows, p->rows.out, m->work->dmid, p->rows.out);
    chunk_combine(m, c, NULL, p->rows.out, dh);
}

static void backward_here(struct experts *m, const struct moe_half *x, const void *dy, void *dh) {
    const bool kept = shape_kept(&m->shape);
    if (m->shape.tokens == 0) return;
    groups_point(m, &m->work->here);
    if (!kept) count_here(m, x->moe);
    for (int64_t first = 0; first < m->shape.tokens; first += EXPERTS_CHUNK) {
        const struct part p = part_of(m, x, first);
        if (!kept) part_forward(m, x, &p);
        part_backward(m, &p, m->work->saved[x->slot].weights, dy, dh);
    }
}

/* ---- the half ---- */

err_t experts_forward(struct experts *m, const struct moe_half *x, void *y, bool again) {
    struct experts_saved *v = &m->work->saved[x->slot];
    struct linear router;
    TRY(router_of(m, x->layer, &router));
    linear_forward(m->ex, &router, x->h, v->logits);
    choose(m, x, v, again);
    if (again) return OK;
    TRY(experts_open_layer(m, x->layer, false));
    if (m->work->far) TRY(experts_dispatch_forward(m, x->moe, v->weights, x->h, y));
    else TRY(forward_here(m, x, y));
    return unit_leave(m->store, m->work->unit, false);
}

err_t experts_backward(struct experts *m, const struct moe_half *x, const void *dy, void *dh) {
    const struct spec *s = m->shape.spec;
    struct experts_work *w = m->work;
    struct experts_saved *v = &w->saved[x->slot];
    struct linear router;
    TRY(router_of(m, x->layer, &router));
    TRY(experts_open_layer(m, x->layer, true));
    if (w->far) TRY(experts_dispatch_backward(m, x->moe, v->weights, x->h, dy, dh));
    else backward_here(m, x, dy, dh);
    TRY(unit_leave(m->store, w->unit, true));
    RUN(m->ex, route_backward, route_backward_args, .fwd = routing(m, x, v), .dweights = w->dweights, .aux = m->aux_grad, .dlogits = v->logits);
    linear_backward(m->ex, &router, x->h, v->logits, w->dh_router);
    RUN(m->ex, add, add_args, .act = m->shape.act, .count = m->shape.tokens * s->hidden, .a = dh, .b = w->dh_router, .y = dh);
    return OK;
}
