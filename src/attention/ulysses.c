/* Ulysses (mop.md 3.2): a sequence's tokens lie on the D ranks of a block, its heads are shared between them. One sequence and one chunk of heads
 * at a time goes from [ceil(S/D) tokens, all heads] to [S tokens, some heads], through attention, and back. Owned: the scratch of one such part,
 * overwritten by the next; all of it is on the compute stream but the exchanges, which are awaited at once. */
#include "attention/attention_int.h"

#include "base/num.h"

int ulysses_chunks(const struct shape *h, const struct attention_opts *o) { return (int)i64_min(o->head_chunks, h->spec->heads / h->split.seq); }

struct attention_heads ulysses_heads(const struct shape *h, const struct attention_opts *o, int place, int chunk) {
    const int mine = h->spec->heads / h->split.seq, chunks = ulysses_chunks(h, o), group = h->spec->heads / h->spec->kv_heads;
    struct attention_heads x = {.q0 = place * mine + chunk * mine / chunks};
    x.nq = place * mine + (chunk + 1) * mine / chunks - x.q0;
    x.kv0 = x.q0 / group;
    x.nkv = (x.q0 + x.nq - 1) / group + 1 - x.kv0;
    return x;
}

/* Elements of a token's q, k and v in a chunk. */
static int64_t width(const struct shape *h, const struct attention_heads *x) { return (int64_t)(x->nq + 2 * x->nkv) * h->spec->head_dim; }

/* The largest of any chunk: a token's q, k and v and its query heads here; both summed over all ranks of the block. */
struct widths {
    int64_t here, heads, all, all_heads;
};

static struct widths widest(const struct shape *h, const struct attention_opts *o) {
    struct widths w = {0};
    const int me = h->split.rank % h->split.seq;
    for (int c = 0; c < ulysses_chunks(h, o); c++) {
        int64_t all = 0, heads = 0;
        for (int d = 0; d < h->split.seq; d++) {
            const struct attention_heads x = ulysses_heads(h, o, d, c);
            all += width(h, &x);
            heads += (int64_t)x.nq * h->spec->head_dim;
            if (d != me) continue;
            w.here = i64_max(w.here, width(h, &x));
            w.heads = i64_max(w.heads, (int64_t)x.nq * h->spec->head_dim);
        }
        w.all = i64_max(w.all, all);
        w.all_heads = i64_max(w.all_heads, heads);
    }
    return w;
}

/* Bytes of one rank's part of a sequence on its way out or back. */
static int64_t sent_bytes(const struct shape *h, const struct widths *w) {
    return h->seq * dtype_bytes(h->act) * i64_max(w->all, h->backward ? 2 * w->all_heads : 0);
}

err_t ulysses_bytes(const struct shape *h, const struct attention_opts *o, struct ledger *out) {
    const struct widths w = widest(h, o);
    const int64_t b = dtype_bytes(h->act), whole = h->seq * h->split.seq;
    TRY(ledger_predict(out, "attention", "counts", TIER_HOST, LIFE_RUN, arena_bytes(32 * h->split.seq)));
    int64_t bytes = arena_bytes(sent_bytes(h, &w)) + arena_bytes(whole * w.here * b) + arena_bytes(whole * w.heads * b * (h->backward ? 2 : 1));
    if (h->backward) bytes += arena_bytes(whole * w.here * b) + arena_bytes(4 * h->seq * 2 * h->spec->kv_heads * h->spec->head_dim);
    return ledger_predict(out, "attention", "heads of whole sequences", TIER_DEVICE, LIFE_SCRATCH, bytes);
}

err_t ulysses_layout(struct attention *a, struct arenas *arenas) {
    const struct shape *h = &a->shape;
    const struct widths w = widest(h, &a->opts);
    const int64_t b = dtype_bytes(h->act), whole = h->seq * h->split.seq;
    struct attention_ulysses *u = &a->ulysses;
    struct arena *m = &arenas->scratch;
    TRY(ARENA(&arenas->host, "attention", "counts", 4 * h->split.seq, &u->counts));
    TRY(arena_push(m, "attention", "heads of whole sequences", sent_bytes(h, &w), &u->sent));
    TRY(arena_push(m, "attention", "heads of whole sequences", whole * w.here * b, &u->qkv));
    TRY(arena_push(m, "attention", "heads of whole sequences", whole * w.heads * b * (h->backward ? 2 : 1), &u->o));
    if (!h->backward) return OK;
    TRY(arena_push(m, "attention", "heads of whole sequences", whole * w.here * b, &u->dqkv));
    return ARENA(m, "attention", "heads of whole sequences", h->seq * 2 * a->kv_width, &u->dkv);
}

/* ---- exchanges ---- */

/* One sequence and one chunk of heads. */
struct part {
    int64_t first; /* local token that the sequence begins with */
    int chunk;
    struct attention_heads mine;
};

static struct attention_heads heads_of(const struct attention *a, int place, const struct part *p) {
    return ulysses_heads(&a->shape, &a->opts, place, p->chunk);
}

static int64_t act_bytes_of(const struct attention *a) { return dtype_bytes(a->shape.act); }

/* Out: each rank's part of `sent`, each(place) bytes a token, becomes the tokens of whole sequences, `here` bytes each. Back: the reverse. */
static err_t exchange(struct attention *a, const struct part *p, int64_t (*each)(const struct attention *, const struct attention_heads *), bool out,
                      void *whole) {
    const int d = a->shape.split.seq;
    int64_t *few = a->ulysses.counts, *few_at = few + d, *many = few_at + d, *many_at = many + d, at = 0;
    const int64_t here = each(a, &p->mine);
    for (int s = 0; s < d; s++) {
        const struct attention_heads x = heads_of(a, s, p);
        few[s] = a->shape.seq * each(a, &x);
        few_at[s] = at;
        at += few[s];
        many[s] = a->shape.seq * here;
        many_at[s] = s * many[s];
    }
    return COMM_ON(a->ex->s, &a->mesh->seq,
                   out ? comm_call_all_to_allv(a->ulysses.sent, few, few_at, whole, many, many_at)
                       : comm_call_all_to_allv(whole, many, many_at, a->ulysses.sent, few, few_at));
}

static int64_t each_qkv(const struct attention *a, const struct attention_heads *x) { return width(&a->shape, x) * act_bytes_of(a); }
static int64_t each_o(const struct attention *a, const struct attention_heads *x) {
    return (int64_t)x->nq * a->shape.spec->head_dim * act_bytes_of(a);
}
static int64_t each_o_dout(const struct attention *a, const struct attention_heads *x) { return 2 * each_o(a, x); }

/* A run of heads of a local token, in bytes from `base`. */
static char *heads_at(const struct attention *a, const void *base, int64_t token, int64_t stride, int head) {
    return (char *)(uintptr_t)base + (token * stride + (int64_t)head * a->shape.spec->head_dim) * act_bytes_of(a);
}

/* A run of `heads` heads of the sequence's local tokens: one side by token and head, the other `stride` bytes a token. */
static void copy_heads(struct attention *a, int heads, const void *from, int64_t from_stride, void *to, int64_t to_stride) {
    RUN(a->ex, copy_rows, copy_rows_args, .rows = a->shape.seq, .bytes = heads * a->shape.spec->head_dim * act_bytes_of(a), .from = from,
        .from_stride = from_stride, .to = to, .to_stride = to_stride);
}

/* Local tokens' q, k and v, to the ranks of the block by heads. */
static err_t send_qkv(struct attention *a, const struct part *p, const struct attention_views *w) {
    const int64_t b = act_bytes_of(a), head = a->shape.spec->head_dim * b;
    char *to = a->ulysses.sent;
    for (int d = 0; d < a->shape.split.seq; d++) {
        const struct attention_heads x = heads_of(a, d, p);
        const int64_t row = each_qkv(a, &x);
        copy_heads(a, x.nq, heads_at(a, w->q, p->first, w->q_stride, x.q0), w->q_stride * b, to, row);
        copy_heads(a, x.nkv, heads_at(a, w->k, p->first, w->k_stride, x.kv0), w->k_stride * b, to + x.nq * head, row);
        copy_heads(a, x.nkv, heads_at(a, w->v, p->first, w->v_stride, x.kv0), w->v_stride * b, to + (x.nq + x.nkv) * head, row);
        to += a->shape.seq * row;
    }
    return exchange(a, p, each_qkv, true, a->ulysses.qkv);
}

/* The same of o and dout. */
static err_t send_o(struct attention *a, const struct part *p, const void *o) {
    const int64_t stride = a->q_width * act_bytes_of(a);
    char *to = a->ulysses.sent;
    for (int d = 0; d < a->shape.split.seq; d++) {
        const struct attention_heads x = heads_of(a, d, p);
        const int64_t row = each_o_dout(a, &x);
        copy_heads(a, x.nq, heads_at(a, o, p->first, a->q_width, x.q0), stride, to, row);
        copy_heads(a, x.nq, heads_at(a, a->dout, p->first, a->q_width, x.q0), stride, to + row / 2, row);
        to += a->shape.seq * row;
    }
    return exchange(a, p, each_o_dout, true, a->ulysses.o);
}

static err_t return_o(struct attention *a, const struct part *p, void *o) {
    const char *from = a->ulysses.sent;
    TRY(exchange(a, p, each_o, false, a->ulysses.o));
    for (int d = 0; d < a->shape.split.seq; d++) {
        const struct attention_heads x = heads_of(a, d, p);
        copy_heads(a, x.nq, from, each_o(a, &x), heads_at(a, o, p->first, a->q_width, x.q0), a->q_width * act_bytes_of(a));
        from += a->shape.seq * each_o(a, &x);
    }
    return OK;
}

/* dq home; dk and dv added to those of the sequence, which several ranks and chunks may have a part in: ascending chunks, then ranks. */
static err_t return_dqkv(struct attention *a, const struct part *p, const struct attention_views *d) {
    const int64_t dim = a->shape.spec->head_dim, b = act_bytes_of(a), head = dim * b;
    const char *from = a->ulysses.sent;
    TRY(exchange(a, p, each_qkv, false, a->ulysses.dqkv));
    for (int s = 0; s < a->shape.split.seq; s++) {
        const struct attention_heads x = heads_of(a, s, p);
        const int64_t row = each_qkv(a, &x);
        copy_heads(a, x.nq, from, row, heads_at(a, d->q, p->first, d->q_stride, x.q0), d->q_stride * b);
        for (int v = 0; v < 2; v++)
            RUN(a->ex, accumulate, accumulate_args, .rows = a->shape.seq, .width = x.nkv * dim, .from_type = a->shape.act,
                .from = from + (x.nq + v * x.nkv) * head, .from_stride = row / b, .to_acc = a->ulysses.dkv + v * a->kv_width + x.kv0 * dim,
                .to_stride = 2 * a->kv_width);
        from += a->shape.seq * row;
    }
    return OK;
}

/* The sequence's dk and dv, rounded once. */
static void finish_dkv(struct attention *a, int64_t first, const struct attention_views *d) {
    for (int v = 0; v < 2; v++)
        RUN(a->ex, convert, convert_args, .rows = a->shape.seq, .width = a->kv_width, .from_type = DT_F32, .from = a->ulysses.dkv + v * a->kv_width,
            .from_stride = 2 * a->kv_width, .to_type = a->shape.act,
            .to = v ? heads_at(a, d->v, first, d->v_stride, 0) : heads_at(a, d->k, first, d->k_stride, 0),
            .to_stride = v ? d->v_stride : d->k_stride);
}

/* ---- attention of a part ---- */

static struct attention_args attend(const struct attention *a, int layer, struct attention_saved *v, const struct part *p,
                                    const struct attention_batch *in, const void *sinks, bool with_dout) {
    const struct spec *s = a->shape.spec;
    const int64_t b = act_bytes_of(a), whole = a->shape.seq * a->shape.split.seq, heads = s->heads / a->shape.split.seq;
    const int64_t sequence = p->first / a->shape.seq, head = p->mine.q0 - a->mesh->seq.rank * heads;
    const struct attention_heads *x = &p->mine;
    struct attention_args args = {.act = a->shape.act,
                                  .tokens = whole,
                                  .heads = x->nq,
                                  .kv_heads = x->nkv,
                                  .head_dim = s->head_dim,
                                  .q_head0 = x->q0,
                                  .kv_head0 = x->kv0,
                                  .group = s->heads / s->kv_heads,
                                  .scale = (float)s->softmax_scale,
                                  .window = s->layer[layer].window,
                                  .sinks = sinks ? (const char *)sinks + x->q0 * b : NULL,
                                  .start = in->start_all + sequence * whole,
                                  .o = a->ulysses.o,
                                  .o_stride = (int64_t)x->nq * s->head_dim * (with_dout ? 2 : 1),
                                  .lse = v->lse + (sequence * heads + head) * whole,
                                  .pairs = attention_pairs(in->host_start_all + sequence * whole, 0, whole, s->layer[layer].window)};
    args.q_stride = args.k_stride = args.v_stride = width(&a->shape, x);
    args.q = a->ulysses.qkv;
    args.k = (const char *)args.q + (int64_t)x->nq * s->head_dim * b;
    args.v = (const char *)args.k + (int64_t)x->nkv * s->head_dim * b;
    return args;
}

static struct part part_at(const struct attention *a, int64_t sequence, int chunk) {
    return (struct part){sequence * a->shape.seq, chunk, ulysses_heads(&a->shape, &a->opts, a->mesh->seq.rank, chunk)};
}

err_t ulysses_forward(struct attention *a, int layer, struct attention_saved *v, const struct attention_views *w, const struct attention_batch *in) {
    const void *sinks;
    float *dsinks;
    TRY(attention_sinks(a, layer, &sinks, &dsinks));
    for (int64_t sequence = 0; sequence < a->shape.rows; sequence++)
        for (int c = 0; c < ulysses_chunks(&a->shape, &a->opts); c++) {
            const struct part p = part_at(a, sequence, c);
            TRY(send_qkv(a, &p, w));
            const struct attention_args args = attend(a, layer, v, &p, in, sinks, false);
            RUN_ARGS(a->ex, attention_forward, attention_args, &args);
            TRY(return_o(a, &p, v->o));
        }
    return OK;
}

err_t ulysses_backward(struct attention *a, int layer, struct attention_saved *v, const struct attention_views *w, const struct attention_batch *in,
                       const struct attention_views *d) {
    const int64_t b = act_bytes_of(a), dim = a->shape.spec->head_dim;
    const void *sinks;
    float *dsinks;
    TRY(attention_sinks(a, layer, &sinks, &dsinks));
    for (int64_t sequence = 0; sequence < a->shape.rows; sequence++) {
        STREAM_FILL(a->ex->s, a->ulysses.dkv, 0, 4 * a->shape.seq * 2 * a->kv_width);
        for (int c = 0; c < ulysses_chunks(&a->shape, &a->opts); c++) {
            const struct part p = part_at(a, sequence, c);
            TRY(send_qkv(a, &p, w));
            TRY(send_o(a, &p, v->o));
            char *dq = a->ulysses.dqkv, *dk = dq + p.mine.nq * dim * b;
            RUN(a->ex, attention_backward, attention_backward_args, .fwd = attend(a, layer, v, &p, in, sinks, true),
                .dout = (const char *)a->ulysses.o + p.mine.nq * dim * b, .delta = a->delta, .dq = dq, .dk = dk, .dv = dk + p.mine.nkv * dim * b,
                .dsinks_acc = dsinks ? dsinks + p.mine.q0 : NULL);
            TRY(return_dqkv(a, &p, d));
        }
        finish_dkv(a, sequence * a->shape.seq, d);
    }
    return OK;
}
