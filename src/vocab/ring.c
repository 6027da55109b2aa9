/* Ring-DTP (mop.md 3.6): runs of columns, or tokens, go from rank to rank; what meets is folded, and on the way back gets its gradients. The next
 * operand is on its way while the one in hand is used; what is added to on the way (gradients, a token's numbers) leaves behind it. */
#include "vocab/vocab_int.h"

/* Something that goes round: `in hand` first at home, then in one of two buffers. */
static err_t shift_begin(struct vocab *v, const void *send, int64_t send_bytes, void *recv, int64_t recv_bytes, struct event *e) {
    return COMM_QUEUE(v->ex->s, &v->mesh->vocab, comm_call_ring_shift(send, send_bytes, recv, recv_bytes), e);
}

static err_t arrived(struct vocab *v, const struct event *e) { return STREAM_AWAIT(v->ex->s, e); }

static int from_behind(const struct vocab *v, int hops) {
    const int p = v->mesh->vocab.size;
    return (v->mesh->vocab.rank - hops % p + p) % p;
}

/* ---- weights travel ---- */

/* The run that is in hand after `hops` hops; the next one on its way if there is a hop left. */
static err_t next_run(struct vocab *v, const struct vocab_run *own, int hops, struct vocab_run *r) {
    const int64_t bytes = v->run_rows * v->shape.spec->hidden * dtype_bytes(v->shape.act);
    if (hops == 0) {
        *r = *own;
    } else {
        TRY(arrived(v, &v->next));
        vocab_run_at(v, from_behind(v, hops), r);
        r->w = v->ring[hops % 2];
    }
    if (hops + 1 < v->mesh->vocab.size) TRY(shift_begin(v, r->w, bytes, v->ring[(hops + 1) % 2], bytes, &v->next));
    return OK;
}

static err_t weights_forward(struct vocab *v, const struct vocab_run *own, const struct vocab_tokens *t) {
    struct vocab_run run;
    vocab_fresh(v, t);
    for (int i = 0; i < v->mesh->vocab.size; i++) {
        TRY(next_run(v, own, i, &run));
        vocab_fold(v, &run, t);
    }
    return OK;
}

/* A run's gradient begins where the run is at home and comes back there after P hops. */
static err_t weights_backward(struct vocab *v, const struct vocab_run *own, const struct vocab_tokens *t, float scale) {
    const int p = v->mesh->vocab.size;
    const int64_t elements = v->run_rows * v->shape.spec->hidden;
    struct vocab_run run;
    STREAM_FILL(v->ex->s, v->dring[0], 0, 4 * elements);
    for (int i = 0; i < p; i++) {
        TRY(next_run(v, own, i, &run));
        if (i > 0) TRY(arrived(v, &v->gradient));
        run.dw_acc = v->dring[i % 2];
        vocab_gradients(v, &run, t, scale, i > 0);
        if (p > 1) TRY(shift_begin(v, v->dring[i % 2], 4 * elements, v->dring[(i + 1) % 2], 4 * elements, &v->gradient));
    }
    if (p > 1) TRY(arrived(v, &v->gradient));
    return vocab_give(v, v->dring[p > 1 ? p % 2 : 0]);
}

static err_t loss_weights(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh) {
    const bool direct = v->shape.act == DT_F32;
    const struct vocab_tokens t = {h, targets, v->m, v->z, v->yt, direct ? dh : v->dx32, v->shape.tokens};
    struct vocab_run own;
    TRY(vocab_run_open(v, false, &own));
    TRY(weights_forward(v, &own, &t));
    vocab_sum_losses(v, &t);
    if (!dh) return vocab_run_close(v, false);
    TRY(weights_backward(v, &own, &t, scale));
    if (!direct) vocab_round(v, v->dx32, dh, t.n);
    return vocab_run_close(v, false);
}

/* ---- tokens travel ---- */

/* Tokens of the rank `hops` behind, in buffer hops % 2, where own ones are copied to first. Their numbers lie as (3, n). */
static struct vocab_tokens passing(const struct vocab *v, int hops) {
    const int64_t n = v->counts[from_behind(v, hops)];
    float *numbers = v->n_ring[hops % 2];
    return (struct vocab_tokens){v->x_ring[hops % 2], v->t_ring[hops % 2], numbers, numbers + n, numbers + 2 * n, v->dx_ring[hops % 2], n};
}

/* Tokens in hand after `hops` hops; the next ones set out if there is a hop left. */
static err_t next_tokens(struct vocab *v, int hops, struct vocab_tokens *t) {
    const int64_t row = v->shape.spec->hidden * dtype_bytes(v->shape.act);
    if (hops > 0) {
        TRY(arrived(v, &v->next));
        TRY(arrived(v, &v->next_targets));
    }
    *t = passing(v, hops);
    if (hops + 1 == v->mesh->vocab.size) return OK;
    const struct vocab_tokens next = passing(v, hops + 1);
    TRY(shift_begin(v, t->x, t->n * row, (void *)(uintptr_t)next.x, next.n * row, &v->next));
    return shift_begin(v, t->targets, 4 * t->n, (void *)(uintptr_t)next.targets, 4 * next.n, &v->next_targets);
}

/* Own tokens into the first buffer. */
static void set_out(struct vocab *v, const void *h, const int32_t *targets) {
    const int64_t n = v->shape.tokens;
    STREAM_COPY(v->ex->s, v->x_ring[0], h, n * v->shape.spec->hidden * dtype_bytes(v->shape.act));
    STREAM_COPY(v->ex->s, v->t_ring[0], targets, 4 * n);
}

static err_t tokens_forward(struct vocab *v, const struct vocab_run *own, const struct vocab_tokens *mine) {
    const int p = v->mesh->vocab.size;
    struct vocab_tokens t = passing(v, 0);
    vocab_fresh(v, &t);
    for (int i = 0; i < p; i++) {
        TRY(next_tokens(v, i, &t));
        if (i > 0) TRY(arrived(v, &v->numbers));
        vocab_fold(v, own, &t);
        const struct vocab_tokens next = passing(v, i + 1);
        if (p > 1) TRY(shift_begin(v, t.m, 12 * t.n, next.m, 12 * next.n, &v->numbers));
    }
    if (p > 1) TRY(arrived(v, &v->numbers));
    STREAM_COPY(v->ex->s, mine->m, v->n_ring[p > 1 ? p % 2 : 0], 12 * mine->n); /* m, z and y_t lie one behind the other */
    return OK;
}

static err_t tokens_backward(struct vocab *v, const struct vocab_run *own, const struct vocab_tokens *mine, float scale, void *dh) {
    const int p = v->mesh->vocab.size;
    const int64_t width = v->shape.spec->hidden;
    struct vocab_tokens t;
    STREAM_COPY(v->ex->s, v->n_ring[0], mine->m, 12 * mine->n);
    for (int i = 0; i < p; i++) {
        TRY(next_tokens(v, i, &t));
        if (i > 0) TRY(arrived(v, &v->numbers));
        const struct vocab_tokens next = passing(v, i + 1);
        if (i + 1 < p) TRY(shift_begin(v, t.m, 12 * t.n, next.m, 12 * next.n, &v->numbers));
        if (i > 0) TRY(arrived(v, &v->gradient));
        vocab_gradients(v, own, &t, scale, i > 0);
        if (p > 1) TRY(shift_begin(v, t.dx, 4 * t.n * width, next.dx, 4 * next.n * width, &v->gradient));
    }
    if (p > 1) TRY(arrived(v, &v->gradient));
    vocab_round(v, v->dx_ring[p > 1 ? p % 2 : 0], dh, mine->n);
    return OK;
}

static err_t loss_tokens(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh) {
    const int64_t n = v->shape.tokens;
    struct vocab_tokens mine = {h, targets, v->m, v->m + n, v->m + 2 * n, NULL, n};
    struct vocab_run own;
    TRY(vocab_run_open(v, dh != NULL, &own));
    set_out(v, h, targets);
    TRY(tokens_forward(v, &own, &mine));
    vocab_sum_losses(v, &mine);
    if (!dh) return vocab_run_close(v, false);
    set_out(v, h, targets);
    TRY(tokens_backward(v, &own, &mine, scale, dh));
    return vocab_run_close(v, true);
}

err_t vocab_loss_ring(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh) {
    return v->weights_travel ? loss_weights(v, h, targets, scale, dh) : loss_tokens(v, h, targets, scale, dh);
}
