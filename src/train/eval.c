#include "base/num.h"
#include "train/train.h"

err_t eval_split(struct run *r, const struct loader *l, int64_t sequences, double *loss, int64_t *targets) {
    const int64_t all = loader_sequences(l), n = sequences > 0 && sequences < all ? sequences : all;
    double sum = 0;
    int64_t count = 0;
    for (int64_t first = 0; first < n; first += r->all_rows) {
        struct vocab_sum part;
        TRY(run_take_rows(r, l, first));
        for (int64_t i = i64_max(0, n - first - r->first_row) * r->shape.seq; i < r->shape.tokens; i++)
            r->host.targets[i] = DATA_NO_TARGET; /* beyond the first n */
        TRY(run_upload(r));
        TRY(step_forward(r));
        TRY(vocab_loss(&r->vocab, r->dense.last.h, r->batch.targets, 0, NULL));
        TRY(STREAM_FETCH(r->ex.s, &part, r->vocab.loss, (int64_t)sizeof part));
        sum += part.sum;
        count += part.count;
    }
    TRY(COMM(&r->mesh.control, all_reduce, &sum, 1, DT_F64));
    TRY(COMM(&r->mesh.control, all_reduce, &count, 1, DT_I64));
    *loss = count ? sum / (double)count : 0;
    *targets = count;
    return OK;
}

err_t eval_target_bytes(struct run *r, const struct loader *l, const struct tokenizer *t, int64_t *bytes) {
    const int64_t n = loader_sequences(l);
    const int32_t eos = tokenizer_eos(t);
    int64_t sum = 0;
    for (int64_t first = 0; first < n; first += r->all_rows) {
        TRY(run_take_rows(r, l, first));
        for (int64_t i = 0; i < r->shape.tokens; i++) {
            const char *text;
            int64_t some = 0;
            if (r->host.targets[i] < 0 || r->host.targets[i] == eos) continue;
            TRY(tokenizer_bytes(t, r->host.targets[i], &text, &some));
            sum += some;
        }
    }
    TRY(COMM(&r->mesh.control, all_reduce, &sum, 1, DT_I64));
    *bytes = sum;
    return OK;
}
