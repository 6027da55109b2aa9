#include "base/rng.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>

/* One id from softmax(logits / temperature); u in [0, 1). temperature 0: the largest, the lower id at a tie. */
static int32_t sample(const float *logits, int64_t vocab, double temperature, double u) {
    int64_t best = 0;
    for (int64_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best]) best = i;
    if (temperature <= 0) return (int32_t)best;
    double sum = 0;
    for (int64_t i = 0; i < vocab; i++) sum += exp(((double)logits[i] - (double)logits[best]) / temperature);
    double left = u * sum;
    for (int64_t i = 0; i < vocab; i++) {
        left -= exp(((double)logits[i] - (double)logits[best]) / temperature);
        if (left < 0) return (int32_t)i;
    }
    return (int32_t)best; /* rounding ate the last crumb */
}

err_t generate(struct run *r, const struct generate_in *in, int64_t *made) {
    const int64_t vocab = r->shape.spec->vocab;
    float *logits = malloc(sizeof(float) * (size_t)vocab);
    if (!logits) return FAIL(ERR_NOMEM, "out of memory for %lld logits", (long long)vocab);
    err_t err = OK;
    int64_t n = 0;
    for (; n < in->tokens && err == OK; n++) {
        const int64_t t = in->count + n;
        run_set_tokens(r, t);
        for (int64_t i = 0; i < t; i++) {
            r->host.ids[i] = in->ids[i];
            r->host.targets[i] = DATA_NO_TARGET;
            r->host.positions[i] = (int32_t)i;
            r->host.doc_start[i] = 0;
        }
        TRY_OR(run_upload(r), done);
        TRY_OR(step_forward(r), done);
        TRY_OR(vocab_logits(&r->vocab, r->dense.last.h, t - 1, 1, logits), done);
        const int32_t id = sample(logits, vocab, in->temperature, rng_unit(in->seed, rng_stream("generate"), (uint64_t)n));
        if (id == in->stop) break;
        in->ids[t] = id;
        if (in->each) TRY_OR(in->each(in->ctx, id), done);
    }
done:
    free(logits);
    *made = n;
    return err;
}
