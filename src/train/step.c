#include "train/train.h"

#include <math.h>

static struct embed_batch embedded(const struct run *r) {
    return (struct embed_batch){r->batch.ids, r->batch.doc_start, r->host.ids, r->host.doc_start};
}

/* Up to the final norm, whose weight stays in use. */
static err_t forward(struct run *r, bool backward) {
    const int halves = 2 * r->shape.spec->layers;
    experts_begin_micro(&r->experts);
    TRY(unit_ahead(&r->store, r->unit[0]));
    const struct embed_batch batch = embedded(r);
    TRY(embed_forward(&r->dense, &batch, stash_boundary(&r->stash, 0)));
    for (int j = 0; j < halves; j++) {
        TRY(unit_enter(&r->store, r->unit[j], r->unit[j + 1], false));
        TRY(half_forward(r, j, false));
        TRY(unit_leave(&r->store, r->unit[j], false));
    }
    TRY(unit_enter(&r->store, r->unit[halves], backward ? r->unit[halves - 1] : -1, backward));
    return dense_norm_forward(&r->dense, PARAM_FINAL_NORM, -1, stash_boundary(&r->stash, halves), &r->dense.last);
}

err_t step_forward(struct run *r) {
    TRY(forward(r, false));
    return unit_leave(&r->store, r->unit[2 * r->shape.spec->layers], false);
}

static int64_t not_padding(const struct run *r) {
    int64_t n = 0;
    for (int64_t i = 0; i < r->shape.tokens; i++) n += r->host.doc_start[i] >= 0;
    return n;
}

/* One of the step's `parts` micro-batches, queued: gradients and r->sums->aux are added to, v->loss is this one's. */
static err_t micro(struct run *r, float loss_scale, double aux_scale, double parts, int64_t tokens) {
    const int halves = 2 * r->shape.spec->layers;
    const struct embed_batch batch = embedded(r);
    TRY(forward(r, true));
    TRY(experts_balance(&r->experts, tokens, aux_scale, parts, &r->sums->aux));
    TRY(vocab_loss(&r->vocab, r->dense.last.h, r->batch.targets, loss_scale, r->dh));
    /* no residual goes round the final norm: its input's gradient starts at zero */
    STREAM_FILL(r->ex.s, r->dx, 0, r->shape.tokens * r->shape.spec->hidden * dtype_bytes(r->shape.act));
    TRY(dense_norm_backward(&r->dense, PARAM_FINAL_NORM, -1, stash_boundary(&r->stash, halves), &r->dense.last, r->dh, r->dx));
    TRY(unit_leave(&r->store, r->unit[halves], true));
    for (int j = halves - 1; j >= 0; j--) {
        TRY(unit_enter(&r->store, r->unit[j], j > 0 ? r->unit[j - 1] : -1, true));
        TRY(half_backward(r, j));
        TRY(unit_leave(&r->store, r->unit[j], true));
    }
    TRY(embed_backward(&r->dense, &batch, r->dx));
    return unit_settle(&r->store);
}

static void clear_sums(struct run *r) { STREAM_FILL(r->ex.s, r->sums, 0, (int64_t)sizeof *r->sums); }

err_t step_micro(struct run *r, float loss_scale, double aux_scale, struct micro_out *out) {
    const int64_t tokens = not_padding(r);
    struct step_sums sums;
    struct vocab_sum loss;
    clear_sums(r);
    TRY(micro(r, loss_scale, aux_scale, 1, tokens));
    TRY(STREAM_FETCH(r->ex.s, &loss, r->vocab.loss, (int64_t)sizeof loss));
    TRY(STREAM_FETCH(r->ex.s, &sums, r->sums, (int64_t)sizeof sums));
    *out = (struct micro_out){.loss_sum = loss.sum, .aux = sums.aux, .targets = loss.count, .tokens = tokens};
    return OK;
}

/* All of the step's micro-batches, queued; the host waits once, for their sums over all ranks. */
static err_t accumulate(struct run *r, const struct step_in *in, int64_t targets, struct step_sums *sums, int64_t *tokens) {
    const int64_t micros = in->batch / r->all_rows;
    struct stream *s = r->ex.s;
    clear_sums(r);
    *tokens = 0;
    for (int64_t i = 0; i < micros; i++) {
        TRY(run_take_step(r, in->loader, in->step, in->batch, i * r->all_rows));
        TRY(run_upload(r));
        *tokens += not_padding(r);
        TRY(micro(r, (float)(1.0 / (double)targets), in->aux_coef / (double)micros, (double)micros, not_padding(r)));
        TRY(COMM_ON(s, &r->mesh.dense, comm_call_all_reduce(&r->vocab.loss->sum, 1, DT_F64)));
        RUN(&r->ex, loss_tally, loss_tally_args, .sum = &r->vocab.loss->sum, .total_acc = &r->sums->loss);
    }
    TRY(STREAM_FETCH(s, sums, r->sums, (int64_t)sizeof *sums));
    return COMM(&r->mesh.control, all_reduce, tokens, 1, DT_I64);
}

/* The loss is not finite: the weights are as they were, so the micro-batches are done again one by one until the first that is not. */
static err_t find_loss(struct run *r, const struct step_in *in, int64_t targets) {
    for (int64_t i = 0; i < in->batch / r->all_rows; i++) {
        struct micro_out m;
        TRY(run_take_step(r, in->loader, in->step, in->batch, i * r->all_rows));
        TRY(run_upload(r));
        TRY(step_micro(r, (float)(1.0 / (double)targets), 0, &m));
        TRY(COMM(&r->mesh.control, all_reduce, &m.loss_sum, 1, DT_F64));
        if (!isfinite(m.loss_sum)) return blame_loss(r, in->step, m.loss_sum);
    }
    return FAIL(ERR_FAILED, "the loss of step %lld is not finite though that of each micro-batch is: their sum overflows; lower train.batch",
                (long long)in->step + 1);
}

err_t train_step(struct run *r, const struct step_in *in, struct step_out *out) {
    struct step_out o = {0};
    struct step_sums sums;
    TRY(loader_step_targets(in->loader, in->step, in->batch, &o.targets));
    experts_begin_step(&r->experts);
    TRY(accumulate(r, in, o.targets, &sums, &o.tokens));
    if (!isfinite(sums.loss)) return find_loss(r, in, o.targets);
    o.loss = sums.loss / (double)o.targets;
    o.aux = sums.aux;
    o.total = o.loss + in->aux_coef * o.aux;
    TRY(optim_norm(&r->optim, &o.grad_norm));
    if (!isfinite(o.grad_norm)) return blame_gradient(r, in->step, o.grad_norm);
    struct moved *moved = NULL;
    if (in->check_moved) TRY(moved_before(r, in->lr, o.grad_norm, in->clip, &moved));
    optim_update(&r->optim, in->lr, in->t, o.grad_norm, in->clip);
    if (moved) TRY(moved_after(r, in->step, moved));
    if (in->balance_rate > 0) experts_balance_bias(&r->experts, in->balance_rate);
    *out = o;
    return OK;
}
