/* Generation: with the cache, row by row or in windows of any size, the logits have the bits of the whole prefix at once; greedy ids are
 * those of Hugging Face transformers; sampling by its definition. */
#include "../equiv/tiny.h"

#include "train/train.h"

/* Logits (tokens, V) of ids, `window` rows at a time through the cache. */
static void logits_by(struct run *r, const int32_t *ids, int64_t tokens, int64_t window, float *out) {
    const int64_t vocab = r->shape.spec->vocab;
    for (int64_t first = 0; first < tokens; first += window) {
        const int64_t n = tokens - first < window ? tokens - first : window;
        run_set_tokens(r, n);
        if (r->attention.cache) r->attention.cached = first;
        for (int64_t i = 0; i < n; i++) {
            r->host.ids[i] = ids[first + i];
            r->host.targets[i] = DATA_NO_TARGET;
            r->host.positions[i] = (int32_t)(first + i);
            r->host.doc_start[i] = 0;
        }
        NEED(run_upload(r));
        NEED(step_forward(r));
        NEED(vocab_logits(&r->vocab, r->dense.last.h, 0, n, out + first * vocab));
    }
}

/* Long enough for several tiles of attention. */
static void cache_bits(int which, enum dtype act, const char *isa) {
    enum { TOKENS = 150 };
    static const int64_t windows[] = {1, 3, 64, 149, 150};
    struct model_src src;
    tiny_open(which, &src);
    const int64_t vocab = src.spec.vocab;
    struct run_setup u = {.rows = 1, .seq = TOKENS, .positions = TOKENS, .act = act, .threads = 2, .isa = isa};
    float *whole = malloc(sizeof(float) * (size_t)(TOKENS * vocab)), *parts = malloc(sizeof(float) * (size_t)(TOKENS * vocab));
    int32_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++) ids[i] = (int32_t)((i * 37 + i * i) % vocab);
    struct run r;
    NEED(run_open(&r, &src, &u));
    logits_by(&r, ids, TOKENS, TOKENS, whole);
    run_close(&r, OK);
    u.cache = true;
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
        u.seq = windows[w];
        NEED(run_open(&r, &src, &u));
        logits_by(&r, ids, TOKENS, windows[w], parts);
        CASE(memcmp(whole, parts, sizeof(float) * (size_t)(TOKENS * vocab)) == 0, "%s, %s, %s: windows of %lld rows give other bits",
             tiny_configs[which].name, dtype_name(act), isa ? isa : "the best", (long long)windows[w]);
        for (int i = 0; i < r.ledger.lines; i++)
            CASE(r.ledger.line[i].predicted_bytes == r.ledger.line[i].held_bytes, "%s %s: predicted %lld, held %lld", r.ledger.line[i].room,
                 r.ledger.line[i].what, (long long)r.ledger.line[i].predicted_bytes, (long long)r.ledger.line[i].held_bytes);
        run_close(&r, OK);
    }
    free(whole);
    free(parts);
    model_src_close(&src);
}

/* What `generate` of transformers 5.23 (fp32, eager, do_sample=False, no end token) gives behind [5, 9, 2]; then with repetition_penalty=1.3. */
enum { NEW = 24 };
static const struct greedy {
    const char *dir;
    int32_t ids[2][NEW];
} greedy[] = {
    {"tests/golden/olmoe",
     {{41, 41, 58, 75, 75, 112, 82, 56, 58, 112, 8, 122, 45, 45, 45, 122, 122, 122, 135, 82, 135, 45, 45, 45},
      {41, 58, 75, 112, 89, 120, 62, 58, 75, 53, 58, 75, 122, 45, 8, 40, 56, 58, 104, 10, 32, 10, 50, 98}}},
    {"tests/golden/qwen3_moe",
     {{56, 104, 109, 104, 129, 104, 134, 134, 134, 134, 134, 134, 60, 151, 151, 82, 151, 82, 47, 82, 56, 81, 82, 104},
      {56, 104, 109, 151, 104, 129, 104, 134, 134, 134, 82, 81, 49, 60, 101, 104, 60, 134, 17, 68, 60, 27, 70, 102}}},
    {"tests/golden/mixtral",
     {{132, 118, 118, 85, 85, 132, 118, 118, 118, 118, 118, 118, 118, 118, 118, 118, 118, 118, 118, 118, 118, 104, 104, 104},
      {132, 118, 85, 127, 72, 156, 22, 87, 157, 29, 71, 118, 100, 147, 17, 71, 65, 118, 157, 118, 157, 118, 157, 118}}},
};

struct stopper {
    int calls, at;
};

static err_t stop_after(void *ctx, int32_t id, bool *more) {
    struct stopper *s = ctx;
    (void)id;
    *more = ++s->calls < s->at;
    return OK;
}

static void greedy_ids(const struct greedy *g) {
    struct model_src src;
    const struct model_opts o = {.init = g->dir};
    NEED(model_src_open(&o, NULL, 0, &src));
    const struct run_setup u = {.rows = 1, .seq = 2, .positions = 3 + NEW, .act = DT_F32, .cache = true, .threads = 2};
    struct run r;
    NEED(run_open(&r, &src, &u));
    int32_t ids[3 + NEW] = {5, 9, 2};
    int64_t made;
    struct generate_in in = {
        .ids = ids,
        .count = 3,
        .tokens = NEW,
        .how = {.top_p = 1, .repetition_penalty = 1},
    };
    for (int i = 0; i < 2; i++) {
        in.how.repetition_penalty = i ? 1.3 : 1;
        NEED(generate(&r, &in, &made));
        CASE(made == NEW && memcmp(ids + 3, g->ids[i], sizeof g->ids[i]) == 0, "%s, penalty %g: other ids than transformers'", g->dir,
             in.how.repetition_penalty);
    }
    /* the end token ends it and is not given */
    in.how.repetition_penalty = 1;
    const struct end_ids ends = {(int32_t[]){g->ids[0][3]}, 1};
    in.ends = &ends;
    int64_t want = 0;
    while (g->ids[0][want] != ends.ids[0]) want++;
    NEED(generate(&r, &in, &made));
    CASE(made == want, "%s: %lld ids before the end token, not %lld", g->dir, (long long)want, (long long)made);
    /* so does the caller; the id it has been shown counts */
    struct stopper s = {.at = 5};
    in.ends = NULL;
    in.each = stop_after;
    in.ctx = &s;
    NEED(generate(&r, &in, &made));
    CASE(made == 5 && s.calls == 5, "%s: ended by the caller after 5 ids, not %lld", g->dir, (long long)made);
    run_close(&r, OK);
    model_src_close(&src);
}

/* How often each id comes in `draws` choices. */
static void draw(const float *logits, int64_t vocab, const struct sampling *how, int seen, int draws, int *count) {
    struct sampler *s;
    float work[16];
    int32_t id;
    NEED(sampler_new(vocab, how, &s));
    if (seen >= 0) sampler_see(s, seen);
    memset(count, 0, sizeof(int) * (size_t)vocab);
    for (int i = 0; i < draws; i++) {
        memcpy(work, logits, sizeof(float) * (size_t)vocab);
        err_t err = sampler_next(s, work, i, &id);
        if (err == OK) count[id]++;
        else CASE_OK(err);
    }
    sampler_free(s);
}

static void near(const int *count, int64_t vocab, int draws, const double *want, const char *what) {
    for (int i = 0; i < vocab; i++) { /* five standard deviations of a binomial */
        const double bound = 5 * sqrt(draws * want[i] * (1 - want[i]));
        CASE(fabs(count[i] - draws * want[i]) <= bound, "%s: id %d came %d times, not %.0f", what, i, count[i], draws * want[i]);
    }
}

static void sampling(void) {
    enum { V = 6, DRAWS = 20000 };
    const double p[V] = {0.1, 0.3, 0.05, 0.3, 0.2, 0.05};
    float logits[V];
    int count[V];
    for (int i = 0; i < V; i++) logits[i] = (float)log(p[i]);
    struct sampling how = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 7};
    draw(logits, V, &how, -1, DRAWS, count);
    near(count, V, DRAWS, p, "plain");
    int again[V];
    draw(logits, V, &how, -1, DRAWS, again);
    CASE(memcmp(count, again, sizeof count) == 0, "the same seed draws the same");
    how.seed = 8;
    draw(logits, V, &how, -1, DRAWS, again);
    CASE(memcmp(count, again, sizeof count) != 0, "another seed draws otherwise");
    how.top_k = 3;
    draw(logits, V, &how, -1, DRAWS, count);
    near(count, V, DRAWS, (const double[V]){0, 0.375, 0, 0.375, 0.25, 0}, "top_k=3");
    how.top_k = 1; /* the tie stays */
    draw(logits, V, &how, -1, DRAWS, count);
    near(count, V, DRAWS, (const double[V]){0, 0.5, 0, 0.5, 0, 0}, "top_k=1 with a tie");
    how.top_k = 5; /* ids 2 and 5 tie for the fifth place */
    draw(logits, V, &how, -1, DRAWS, count);
    near(count, V, DRAWS, p, "top_k=5 with a tie");
    how.top_k = 100;
    draw(logits, V, &how, -1, DRAWS, count);
    near(count, V, DRAWS, p, "top_k beyond the vocabulary");
    how.top_k = 0;
    how.top_p = 0.7; /* 0.3 + 0.3 are not enough, with 0.2 they are */
    draw(logits, V, &how, -1, DRAWS, count);
    near(count, V, DRAWS, (const double[V]){0, 0.375, 0, 0.375, 0.25, 0}, "top_p=0.7");
    how.top_p = 0;
    draw(logits, V, &how, -1, DRAWS, count);
    CASE(count[1] == DRAWS, "top_p=0 keeps the likeliest, the lower id at a tie");
    how.top_p = 0.74; /* of what top_k leaves: 0.375 + 0.375 are enough */
    how.top_k = 3;
    draw(logits, V, &how, -1, DRAWS, count);
    near(count, V, DRAWS, (const double[V]){0, 0.5, 0, 0.5, 0, 0}, "top_k=3 top_p=0.74");
    how = (struct sampling){.temperature = 0.5, .top_p = 1, .repetition_penalty = 1, .seed = 9};
    double squares[V], sum = 0;
    for (int i = 0; i < V; i++) sum += squares[i] = p[i] * p[i];
    for (int i = 0; i < V; i++) squares[i] /= sum;
    draw(logits, V, &how, -1, DRAWS, count);
    near(count, V, DRAWS, squares, "temperature=0.5");
    how = (struct sampling){.temperature = 0, .top_p = 1, .repetition_penalty = 1};
    draw(logits, V, &how, -1, 10, count);
    CASE(count[1] == 10, "temperature=0 takes the lower id at a tie");
    how.repetition_penalty = 2; /* a negative logit falls, a positive one too */
    draw(logits, V, &how, 1, 10, count);
    CASE(count[3] == 10, "the penalty meets the negative logit of an id that has been");
    for (int i = 0; i < V; i++) logits[i] += 5;
    draw(logits, V, &how, 1, 10, count);
    CASE(count[3] == 10, "the penalty meets the positive logit of an id that has been");
    struct sampler *s;
    int32_t id;
    NEED(sampler_new(V, &how, &s));
    logits[4] = NAN;
    CASE_ERR(sampler_next(s, logits, 0, &id), ERR_FAILED, "logit of id 4");
    sampler_free(s);
}

int main(void) {
    for (int i = 0; i < TINY_CONFIGS; i++) {
        cache_bits(i, DT_F32, NULL);
        cache_bits(i, DT_BF16, NULL);
    }
    cache_bits(0, DT_F32, "reference");
    cache_bits(0, DT_F32, "portable");
    for (size_t i = 0; i < sizeof greedy / sizeof *greedy; i++) greedy_ids(&greedy[i]);
    sampling();
    return test_end();
}
