#include "base/num.h"
#include "train/train.h"

#include <stdlib.h>

/* The ids from `first` on, as many as the run was laid out for at most, behind the cached ones. */
static err_t extend(struct run *r, const int32_t *ids, int64_t first, int64_t tokens) {
    run_set_tokens(r, tokens);
    r->attention.cached = first;
    for (int64_t i = 0; i < tokens; i++) {
        r->host.ids[i] = ids[first + i];
        r->host.targets[i] = DATA_NO_TARGET;
        r->host.positions[i] = (int32_t)(first + i);
        r->host.doc_start[i] = 0;
    }
    TRY(run_upload(r));
    return step_forward(r);
}

/* in->ids up to `all` through the model, where *cached of them have been before: the logits behind the last. */
static err_t next_logits(struct run *r, const struct generate_in *in, int64_t all, int64_t window, int64_t *cached, float *logits) {
    int64_t tokens = 0;
    for (; *cached < all; *cached += tokens) {
        tokens = i64_min(window, all - *cached);
        TRY(extend(r, in->ids, *cached, tokens));
    }
    return vocab_logits(&r->vocab, r->dense.last.h, tokens - 1, 1, logits);
}

err_t generate(struct run *r, const struct generate_in *in, int64_t *made) {
    ENSURE(r->attention.cache && in->count > 0 && in->tokens > 0 && in->count + in->tokens - 1 <= r->attention.cache_rows);
    const int64_t vocab = r->shape.spec->vocab, window = r->shape.tokens;
    struct sampler *sampler = NULL;
    float *logits = malloc(sizeof(float) * (size_t)vocab);
    if (!logits) return FAIL(ERR_NOMEM, "out of memory for %lld logits; free some", (long long)vocab);
    err_t err = OK;
    int64_t n = 0, cached = 0;
    bool more = true;
    TRY_OR(sampler_new(vocab, &in->how, &sampler), done);
    for (int64_t i = 0; i < in->count; i++) sampler_see(sampler, in->ids[i]);
    while (more && n < in->tokens) {
        int32_t id;
        TRY_OR(next_logits(r, in, in->count + n, window, &cached, logits), done);
        TRY_OR(sampler_next(sampler, logits, n, &id), done);
        if (in->ends && is_end(in->ends, id)) break;
        in->ids[in->count + n++] = id;
        sampler_see(sampler, id);
        if (in->each) TRY_OR(in->each(in->ctx, id, &more), done);
    }
    *made = n;
done:
    run_set_tokens(r, window);
    r->attention.cached = 0;
    sampler_free(sampler);
    free(logits);
    return err;
}
