#include "train/train.h"

err_t eval_split(struct run *r, const struct loader *l, int64_t sequences, double *loss, int64_t *targets) {
    const int64_t all = loader_sequences(l), n = sequences > 0 && sequences < all ? sequences : all;
    double sum = 0;
    int64_t count = 0;
    for (int64_t first = 0; first < n; first += r->shape.rows) {
        double part;
        int64_t some;
        TRY(loader_rows(l, first, r->shape.rows, &r->host));
        for (int64_t i = (n - first) * r->shape.seq; i < r->shape.tokens; i++) r->host.targets[i] = DATA_NO_TARGET; /* beyond the first n */
        TRY(run_upload(r));
        TRY(step_forward(r));
        TRY(vocab_loss(&r->vocab, r->dense.last.h, r->batch.targets, 0, NULL, &part, &some));
        sum += part;
        count += some;
    }
    *loss = count ? sum / (double)count : 0;
    *targets = count;
    return OK;
}

err_t eval_target_bytes(struct run *r, const struct loader *l, const struct tokenizer *t, int64_t *bytes) {
    const int64_t n = loader_sequences(l);
    const int32_t eos = tokenizer_eos(t);
    int64_t sum = 0;
    for (int64_t first = 0; first < n; first += r->shape.rows) {
        TRY(loader_rows(l, first, r->shape.rows, &r->host));
        for (int64_t i = 0; i < r->shape.tokens; i++) {
            const char *text;
            int64_t some = 0;
            if (r->host.targets[i] < 0 || r->host.targets[i] == eos) continue;
            TRY(tokenizer_bytes(t, r->host.targets[i], &text, &some));
            sum += some;
        }
    }
    *bytes = sum;
    return OK;
}
