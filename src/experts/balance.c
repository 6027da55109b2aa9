/* How even the experts' rows are: counts and sums that the router adds to, their sums over ranks, the load-balancing loss and the bias. Owned: the
 * routing numbers of a step. Called: begin_step, then for each micro-batch begin_micro, all forwards, balance, all backwards; then the bias. */
#include "experts/experts_int.h"

static int64_t counts_of(const struct experts *m) { return (int64_t)m->layers * m->shape.spec->experts; }

void experts_begin_step(struct experts *m) { STREAM_FILL(m->ex->s, m->count_step, 0, 8 * counts_of(m)); }

void experts_begin_micro(struct experts *m) {
    const int64_t e = m->shape.spec->experts;
    if (!m->layers) return;
    STREAM_FILL(m->ex->s, m->count, 0, 8 * counts_of(m));
    STREAM_FILL(m->ex->s, m->prob_sum, 0, 8 * e);
    STREAM_FILL(m->ex->s, m->aux_grad, 0, 4 * e);
}

err_t experts_balance(struct experts *m, int64_t tokens, double scale, double parts, double *aux_acc) {
    struct stream *s = m->ex->s;
    int64_t *all = m->count + counts_of(m); /* lies behind the counts, to be summed with them */
    if (!m->layers) return OK;
    STREAM_UPLOAD(s, all, &tokens, 8);
    if (m->mesh->dense.size > 1) {
        TRY(COMM_ON(s, &m->mesh->dense, comm_call_all_reduce(m->count, counts_of(m) + 1, DT_I64)));
        TRY(COMM_ON(s, &m->mesh->dense, comm_call_all_reduce(m->prob_sum, m->shape.spec->experts, DT_F64)));
    }
    RUN(m->ex, balance, balance_args, .layers = m->layers, .experts = m->shape.spec->experts, .scale = scale, .parts = parts, .tokens = all,
        .count = m->count, .prob_sum = m->prob_sum, .step_acc = m->count_step, .aux_grad = m->aux_grad, .aux_acc = aux_acc);
    return OK;
}

void experts_balance_bias(struct experts *m, double rate) {
    if (m->layers)
        RUN(m->ex, balance_bias, balance_bias_args, .layers = m->layers, .experts = m->shape.spec->experts, .rate = rate, .count = m->count_step,
            .bias = m->bias);
}

err_t experts_counts(struct experts *m, int64_t *out) { return m->layers ? STREAM_FETCH(m->ex->s, out, m->count_step, 8 * counts_of(m)) : OK; }
