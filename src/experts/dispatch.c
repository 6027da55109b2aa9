/* Rows to their experts and back (mop.md 3.3 to 3.5). A layer call has one plan for all its rows; the rows go in K chunks, tokens i, i + K, ... each.
 * On the wire a rank's rows for another lie by expert, then token, then slot; where they arrive they stay as they came, by source and
 * expert, and each such run is a group of the experts' products. Outputs return in the same places.
 * Owned: the legs' buffers, in turn: chunk c has leg c mod 3 from the gather of its rows until they have landed. The host waits for nothing here
 * but in the plan of forward. */
#include "experts/experts_int.h"

static struct comm_call there(const struct experts *m, const int64_t *b, const void *send, void *recv) {
    const int ep = m->shape.split.expert;
    return comm_call_all_to_allv(send, b, b + ep, recv, b + 2 * ep, b + 3 * ep);
}
static struct comm_call home(const struct experts *m, const int64_t *b, const void *send, void *recv) {
    const int ep = m->shape.split.expert;
    return comm_call_all_to_allv(send, b + 2 * ep, b + 3 * ep, recv, b, b + ep);
}

static struct leg *leg_of(struct experts *m, int64_t chunk) { return &m->work->far->leg[chunk % m->work->far->legs]; }

/* A chunk's rows set out: x, and in backward dy and the routing weights. */
static err_t send_chunk(struct experts *m, int moe, int64_t chunk, const void *h, const void *dy, float *weights) {
    struct leg *l = leg_of(m, chunk);
    struct stream *s = m->ex->s;
    struct comm *out = &m->mesh->expert_dispatch;
    plan_chunk(m, chunk, l);
    chunk_deal(m, &l->chunk, moe, m->work->far->call.lists, false);
    chunk_gather(m, &l->chunk, h, l->sent);
    TRY(COMM_QUEUE(s, out, there(m, l->bytes, l->sent, l->x), &l->there));
    if (!dy) return OK;
    chunk_gather(m, &l->chunk, dy, l->sent_g);
    chunk_weights(m, &l->chunk, weights, l->sent_a, false);
    TRY(COMM_QUEUE(s, out, there(m, l->bytes, l->sent_g, l->g), &l->there));
    return COMM_QUEUE(s, out, there(m, l->bytes_a, l->sent_a, l->a), &l->there);
}

static struct expert_rows rows_of(const struct far *f, const struct leg *l, void *out) { return (struct expert_rows){l->x, f->gate_up, f->mid, out}; }

static err_t begin(struct experts *m, int moe, const void *h, const void *dy, float *weights, struct event *guests) {
    TRY(send_chunk(m, moe, 0, h, dy, weights));
    TRY(experts_migrate_out(m, dy != NULL, guests)); /* while rows are on their way */
    groups_point(m, &m->work->far->call.in);
    return OK;
}

/* A chunk's outputs have come home. */
static err_t land(struct experts *m, struct leg *l, const float *weights, void *y) {
    TRY(STREAM_AWAIT(m->ex->s, &l->home));
    chunk_combine(m, &l->chunk, weights, l->sent, y);
    return OK;
}

err_t experts_dispatch_forward(struct experts *m, int moe, const float *weights, const void *h, void *y) {
    struct far *f = m->work->far;
    struct stream *s = m->ex->s;
    struct event guests = {0};
    struct leg *before = NULL; /* whose outputs are on their way home */
    TRY(plan_forward(m, moe));
    TRY(begin(m, moe, h, NULL, NULL, &guests));
    for (int64_t c = 0; c < f->call.kept->chunks; c++) {
        struct leg *l = leg_of(m, c);
        TRY(STREAM_AWAIT(s, &l->there));
        if (c + 1 < f->call.kept->chunks) TRY(send_chunk(m, moe, c + 1, h, NULL, NULL));
        if (c == 0 && guests.ticket) TRY(STREAM_AWAIT(s, &guests));
        const struct expert_rows r = rows_of(f, l, l->x);
        experts_apply(m, &l->in, &r);
        TRY(COMM_QUEUE(s, &m->mesh->expert_combine, home(m, l->bytes, l->x, l->sent), &l->home));
        if (before) TRY(land(m, before, weights, y));
        before = l;
    }
    ENSURE(before != NULL); /* K is 1 at least */
    return land(m, before, weights, y);
}

/* dx into l->g, da into l->da; weights' gradients added. The same kernels on the same rows as where nothing is sent. */
static void apply_backward(struct experts *m, struct leg *l) {
    const struct far *f = m->work->far;
    const struct expert_rows r = rows_of(f, l, f->out);
    if (l->in.rows == 0) return;
    experts_apply(m, &l->in, &r);
    RUN(m->ex, rows_combine_backward, rows_combine_backward_args, .act = m->shape.act, .tokens = l->in.rows, .width = m->shape.spec->hidden,
        .x_rows = l->in.rows, .k = 1, .w = l->a, .x = f->out, .dy = l->g, .dx = f->out, .dw = l->da); /* a row is a token with one slot */
    experts_apply_backward(m, &l->in, &r, f->out, f->dmid, l->g);
}

/* A chunk's gradients have come home. */
static err_t land_backward(struct experts *m, struct leg *l, void *dh) {
    TRY(STREAM_AWAIT(m->ex->s, &l->home));
    chunk_combine(m, &l->chunk, NULL, l->sent, dh);
    chunk_weights(m, &l->chunk, m->work->dweights, l->back_a, true);
    return OK;
}

err_t experts_dispatch_backward(struct experts *m, int moe, float *weights, const void *h, const void *dy, void *dh) {
    struct far *f = m->work->far;
    struct stream *s = m->ex->s;
    struct event guests = {0};
    struct leg *before = NULL;
    plan_again(m, moe);
    TRY(begin(m, moe, h, dy, weights, &guests));
    for (int64_t c = 0; c < f->call.kept->chunks; c++) {
        struct leg *l = leg_of(m, c);
        TRY(STREAM_AWAIT(s, &l->there));
        if (c + 1 < f->call.kept->chunks) TRY(send_chunk(m, moe, c + 1, h, dy, weights));
        if (c == 0 && guests.ticket) TRY(STREAM_AWAIT(s, &guests));
        apply_backward(m, l);
        TRY(COMM_QUEUE(s, &m->mesh->expert_combine, home(m, l->bytes, l->g, l->sent), &l->home));
        TRY(COMM_QUEUE(s, &m->mesh->expert_combine, home(m, l->bytes_a, l->da, l->back_a), &l->home));
        if (before) TRY(land_backward(m, before, dh));
        before = l;
    }
    ENSURE(before != NULL);
    TRY(land_backward(m, before, dh));
    return experts_migrate_home(m);
}
