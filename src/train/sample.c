/* The choice of the next token. The order is that of Hugging Face transformers: repetition penalty, temperature, top-k, top-p. */
#include "base/rng.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>

struct sampler {
    struct sampling how;
    int64_t vocab;
    bool *seen;     /* (vocab) ids that the penalty meets */
    int32_t *order; /* (vocab) a heap of ids, the likeliest on top; what was taken from it lies behind it, the first taken last */
    int64_t heap;   /* ids still in the heap */
};

err_t sampler_new(int64_t vocab, const struct sampling *how, struct sampler **out) {
    struct sampler *s = calloc(1, sizeof *s);
    if (s) *s = (struct sampler){*how, vocab, calloc((size_t)vocab, sizeof *s->seen), malloc(sizeof *s->order * (size_t)vocab), 0};
    if (!s || !s->seen || !s->order) {
        sampler_free(s);
        return FAIL(ERR_NOMEM, "out of memory for sampling from %lld ids; free some", (long long)vocab);
    }
    *out = s;
    return OK;
}

void sampler_free(struct sampler *s) {
    if (!s) return;
    free(s->seen);
    free(s->order);
    free(s);
}

void sampler_see(struct sampler *s, int32_t id) { s->seen[id] = true; }

/* Ties go to the lower id, so the order is total. */
static bool likelier(const float *logits, int32_t a, int32_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); }

static void sift(struct sampler *s, const float *logits, int64_t i) {
    const int32_t id = s->order[i];
    for (int64_t child; (child = 2 * i + 1) < s->heap; i = child) {
        if (child + 1 < s->heap && likelier(logits, s->order[child + 1], s->order[child])) child++;
        if (likelier(logits, id, s->order[child])) break;
        s->order[i] = s->order[child];
    }
    s->order[i] = id;
}

static void heap_fill(struct sampler *s, const float *logits) {
    s->heap = s->vocab;
    for (int64_t i = 0; i < s->vocab; i++) s->order[i] = (int32_t)i;
    for (int64_t i = s->vocab / 2 - 1; i >= 0; i--) sift(s, logits, i);
}

static int32_t heap_take(struct sampler *s, const float *logits) {
    const int32_t top = s->order[0];
    s->heap--;
    if (s->heap > 0) {
        s->order[0] = s->order[s->heap];
        sift(s, logits, 0);
    }
    s->order[s->heap] = top;
    return top;
}

/* The i-th likeliest of those taken. */
static int32_t taken(const struct sampler *s, int64_t i) { return s->order[s->vocab - 1 - i]; }

/* How many of the likeliest ids stay after top-k (ties of the last stay too) and top-p; they are taken from the heap. */
static int64_t keep_likeliest(struct sampler *s, const float *logits, float best) {
    const double t = s->how.temperature;
    heap_fill(s, logits);
    int64_t kept = s->vocab;
    if (s->how.top_k > 0 && s->how.top_k < s->vocab) {
        int32_t last = 0;
        for (int64_t i = 0; i < s->how.top_k; i++) last = heap_take(s, logits);
        while (s->heap > 0 && logits[s->order[0]] == logits[last]) (void)heap_take(s, logits);
        kept = s->vocab - s->heap;
    }
    double all = 0, sum = 0;
    for (int64_t i = 0; i < kept; i++) all += exp(((double)logits[taken(s, i)] - best) / t); /* with kept = vocab the whole heap, in any order */
    for (int64_t i = 0; i < kept; i++) {
        if (i > 0 && sum >= s->how.top_p * all && s->how.top_p < 1) return i; /* those before it are enough */
        if (i == s->vocab - s->heap) (void)heap_take(s, logits);
        sum += exp(((double)logits[taken(s, i)] - best) / t);
    }
    return kept;
}

static void penalise(const struct sampler *s, float *logits) {
    const float p = (float)s->how.repetition_penalty;
    for (int64_t i = 0; i < s->vocab; i++)
        if (s->seen[i]) logits[i] = logits[i] < 0 ? logits[i] * p : logits[i] / p;
}

err_t sampler_next(struct sampler *s, float *logits, int64_t n, int32_t *id) {
    if (s->how.repetition_penalty != 1) penalise(s, logits);
    int32_t best = 0;
    for (int64_t i = 0; i < s->vocab; i++) {
        if (!isfinite(logits[i]))
            return FAIL(ERR_FAILED,
                        "the logit of id %lld after %lld new tokens is %g; check the model's weights, with model.dtype=fp32 if not so now",
                        (long long)i, (long long)n, (double)logits[i]);
        if (logits[i] > logits[best]) best = (int32_t)i;
    }
    *id = best;
    if (s->how.temperature <= 0) return OK;
    const bool few = s->how.top_k > 0 || s->how.top_p < 1;
    const int64_t kept = few ? keep_likeliest(s, logits, logits[best]) : s->vocab;
    double left = 0;
    for (int pass = 0; pass < 2; pass++) { /* the sum, then the id at which a share of it is passed */
        if (pass == 1) left *= rng_unit(s->how.seed, rng_stream("generate"), (uint64_t)n);
        for (int64_t i = 0; i < kept; i++) {
            const int32_t one = few ? taken(s, i) : (int32_t)i;
            const double p = exp(((double)logits[one] - logits[best]) / s->how.temperature);
            left += pass == 0 ? p : -p;
            if (pass == 1 && left < 0) {
                *id = one;
                return OK;
            }
        }
    }
    return OK; /* rounding ate the last crumb: the likeliest */
}
