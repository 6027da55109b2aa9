/* The order of batches, splits and what the loader says of the data. */
#include "base/os.h"
#include "base/rng.h"
#include "data/data.h"
#include "test.h"

#include <math.h>

enum { VOCAB = 1000, DOCS = 300, SEQ = 16 };

static char path[OS_PATH_MAX], other[OS_PATH_MAX];

/* Every token of the file is another number: (document, place) can be read off it. */
static err_t write_docs(const char *to, int docs, int vocab) {
    struct tok_writer *w;
    TRY(tok_write_open(to, 1 << 30, 0, &w));
    int32_t ids[64], next = 0;
    for (int d = 0; d < docs; d++) {
        int64_t n = 1 + rng_below(7, 0, (uint64_t)d, 60);
        for (int64_t i = 0; i < n; i++) ids[i] = next++ % vocab;
        err_t err = tok_write_doc(w, ids, NULL, n);
        if (err != OK) {
            tok_write_abort(w);
            return err;
        }
    }
    return tok_write_commit(w);
}

struct memory {
    int32_t ids[64 * SEQ], targets[64 * SEQ], positions[64 * SEQ], doc_start[64 * SEQ];
};
static struct batch batch_of(struct memory *m) { return (struct batch){m->ids, m->targets, m->positions, m->doc_start}; }

/* Each epoch gives each sequence once, in another order: I2. */
static void epochs(int64_t docs) {
    NEED(write_docs(path, (int)docs, 1 << 29));
    struct data_opts o = {.train = path, .seq = SEQ, .verify = true};
    struct loader *l;
    NEED(loader_open(&o, DATA_TRAIN, 1 << 30, 42, &l));
    int64_t n = loader_sequences(l), moved = 0, other_order = 0, targets = 0;
    int *seen = calloc((size_t)n, sizeof *seen);
    int64_t *order = calloc((size_t)n, sizeof *order);
    struct memory *m = malloc(sizeof *m);
    if (!seen || !order || !m) exit(2);
    struct batch b = batch_of(m);
    for (int64_t i = 0; i < n; i++) { /* which sequence begins with which id */
        NEED(loader_rows(l, i, 1, &b));
        order[i] = b.ids[0];
    }
    int64_t *previous = calloc((size_t)n, sizeof *previous);
    if (!previous) exit(2);
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        memset(seen, 0, (size_t)n * sizeof *seen);
        for (int64_t i = 0; i < n; i++) {
            err_t err = loader_batch(l, epoch * n + i, 1, 0, 1, &b);
            if (err != OK) NEED(err);
            int64_t row = 0;
            while (row < n && order[row] != b.ids[0]) row++;
            if (row < n) seen[row]++;
            moved += row != i;
            other_order += epoch > 0 && previous[i] != row;
            previous[i] = row;
            int64_t t = 0;
            err = loader_step_targets(l, epoch * n + i, 1, &t);
            if (err != OK) NEED(err);
            targets += t;
            for (int64_t j = 0; j < SEQ; j++) t -= m->targets[j] >= 0;
            if (t != 0) CASE(t == 0, "targets of a step are counted wrongly");
        }
        int64_t once = 0;
        for (int64_t i = 0; i < n; i++) once += seen[i] == 1;
        CASE(once == n, "in epoch %lld %lld of %lld sequences come once", (long long)epoch, (long long)once, (long long)n);
    }
    CASE(targets == 3 * loader_targets(l), "targets of three epochs");
    /* a random order has about one fixed point; 3 epochs, 2 comparisons */
    if (n > 50)
        CASE(moved > 3 * n - 30 && other_order > 2 * n - 30, "the order is not shuffled: %lld and %lld moved", (long long)moved,
             (long long)other_order);
    free(previous);
    free(order);
    free(seen);
    free(m);
    loader_close(l);
}

/* A batch is the same in parts, in any order, in another loader; other seeds give other orders: I1. */
static void pure(void) {
    NEED(write_docs(path, DOCS, VOCAB));
    struct data_opts o = {.train = path, .seq = SEQ, .verify = true};
    struct loader *l, *again, *seeded;
    NEED(loader_open(&o, DATA_TRAIN, VOCAB, 42, &l));
    NEED(loader_open(&o, DATA_TRAIN, VOCAB, 42, &again));
    NEED(loader_open(&o, DATA_TRAIN, VOCAB, 43, &seeded));
    struct memory *whole = calloc(1, sizeof *whole), *parts = calloc(1, sizeof *parts);
    if (!whole || !parts) exit(2);
    struct batch w = batch_of(whole), p = batch_of(parts);
    for (int64_t step = 0; step < 40; step += 13) {
        NEED(loader_batch(l, step, 24, 0, 24, &w));
        for (int64_t part = 3; part >= 0; part--) {
            struct batch at = {p.ids + part * 6 * SEQ, p.targets + part * 6 * SEQ, p.positions + part * 6 * SEQ, p.doc_start + part * 6 * SEQ};
            NEED(loader_batch(again, step, 24, part * 6, 6, &at));
        }
        CASE(memcmp(whole, parts, sizeof *whole) == 0, "step %lld in four parts is another", (long long)step);
        int64_t targets = 0, counted;
        for (int64_t i = 0; i < 24 * SEQ; i++) targets += whole->targets[i] >= 0;
        NEED(loader_step_targets(l, step, 24, &counted));
        CASE(targets == counted, "step %lld has %lld targets, said to be %lld", (long long)step, (long long)targets, (long long)counted);
        NEED(loader_batch(seeded, step, 24, 0, 24, &p));
        CASE(memcmp(whole, parts, sizeof *whole) != 0, "step %lld does not depend on the seed", (long long)step);
    }
    /* micro-batches of another size walk through the same sequences */
    NEED(loader_batch(l, 3, 8, 0, 8, &w));
    NEED(loader_batch(l, 6, 4, 0, 4, &p));
    CASE(memcmp(whole->ids, parts->ids, 4 * SEQ * sizeof(int32_t)) == 0, "place in the order is step * batch");
    CASE_ERR(loader_batch(l, INT64_MAX / 2, 8, 0, 1, &w), ERR_USAGE, "beyond what can be counted");
    NEED(loader_batch(l, INT64_MAX / 16, 8, 0, 1, &w));
    CASE_ERR(loader_batch(l, 0, 8, 4, 5, &w), ERR_BUG, "internal");
    free(whole);
    free(parts);
    loader_close(l);
    loader_close(again);
    loader_close(seeded);
}

/* Held-out documents are in one split or the other, never both, never neither. */
static void splits(void) {
    NEED(write_docs(path, DOCS, 1 << 29));
    struct data_opts o = {.train = path, .seq = SEQ, .valid_fraction = 0.2, .verify = true};
    struct data_opts all = o;
    all.valid_fraction = 0;
    struct loader *kept, *held, *every;
    NEED(loader_open(&o, DATA_TRAIN, 1 << 30, 1, &kept));
    NEED(loader_open(&o, DATA_VALID, 1 << 30, 1, &held));
    NEED(loader_open(&all, DATA_TRAIN, 1 << 30, 1, &every));
    int64_t total = loader_tokens(every);
    CASE(loader_tokens(kept) + loader_tokens(held) == total, "tokens of both splits together");
    /* 300 documents of mean 30.5 and deviation 17.3 tokens, each held out with p = 0.2: the share of tokens deviates by
     * sqrt(300 * 0.16 * (30.5^2 + 17.3^2)) / 9150 = 0.027; five of these */
    double share = (double)loader_tokens(held) / (double)total;
    CASE(fabs(share - 0.2) < 0.135, "a share of %.3f is held out", share);
    char *seen = calloc((size_t)total, 1);
    struct memory *m = calloc(1, sizeof *m);
    if (!seen || !m) exit(2);
    struct batch b = batch_of(m);
    struct loader *both[2] = {kept, held};
    int64_t twice = 0, foreign = 0, count = 0;
    for (int s = 0; s < 2; s++)
        for (int64_t r = 0; r < loader_sequences(both[s]); r++) {
            err_t err = loader_rows(both[s], r, 1, &b);
            if (err != OK) NEED(err);
            for (int64_t i = 0; i < SEQ; i++) {
                if (m->doc_start[i] < 0) continue;
                if (m->targets[i] >= 0) foreign += m->targets[i] != m->ids[i] + 1; /* the next token of the same document */
                if (m->ids[i] >= total) continue;
                twice += seen[m->ids[i]]++ != 0;
                count++;
            }
        }
    CASE(twice == 0, "%lld tokens come in both splits or twice", (long long)twice);
    CASE(foreign == 0, "%lld targets are not the next token", (long long)foreign);
    CASE(count > total - 2 * SEQ, "%lld of %lld tokens were given out", (long long)count, (long long)total); /* but for rows without targets */
    CASE(loader_fingerprint(kept) != loader_fingerprint(held) && loader_fingerprint(kept) != loader_fingerprint(every), "fingerprints of splits");
    loader_close(kept);
    NEED(loader_open(&o, DATA_TRAIN, 1 << 30, 2, &kept));
    CASE(loader_tokens(kept) + loader_tokens(held) != total, "the split does not depend on the seed");
    /* data.valid wins over the fraction */
    NEED(write_docs(other, 10, 1 << 29));
    o.valid = other;
    loader_close(held);
    loader_close(kept);
    NEED(loader_open(&o, DATA_VALID, 1 << 30, 1, &held));
    NEED(loader_open(&o, DATA_TRAIN, 1 << 30, 1, &kept));
    CASE(loader_tokens(kept) == total && loader_tokens(held) < total, "data.valid is the validation split");
    loader_close(kept);
    loader_close(held);
    loader_close(every);
    free(seen);
    free(m);
}

static uint64_t fingerprint(struct data_opts o, uint64_t seed) {
    struct loader *l;
    NEED(loader_open(&o, DATA_TRAIN, 1 << 30, seed, &l));
    uint64_t f = loader_fingerprint(l);
    loader_close(l);
    return f;
}

static void fingerprints(void) {
    NEED(write_docs(path, DOCS, VOCAB));
    NEED(write_docs(other, DOCS, VOCAB - 1));
    struct data_opts o = {.train = path, .seq = SEQ, .verify = true}, x;
    uint64_t f = fingerprint(o, 1);
    CASE(f == fingerprint(o, 1), "the fingerprint is not a function");
    x = o, x.train = other;
    CASE(f != fingerprint(x, 1), "another file");
    x = o, x.seq = SEQ + 1;
    CASE(f != fingerprint(x, 1), "another data.seq");
    x = o, x.pack = DATA_PACK_ACROSS;
    CASE(f != fingerprint(x, 1), "another data.pack");
    CASE(f != fingerprint(o, 2), "another seed");
    char list[2 * OS_PATH_MAX + 8], swapped[2 * OS_PATH_MAX + 8];
    (void)snprintf(list, sizeof list, "%s,%s", path, other);
    (void)snprintf(swapped, sizeof swapped, "%s,%s", other, path);
    x = o, x.train = list;
    uint64_t two = fingerprint(x, 1);
    x.train = swapped;
    CASE(f != two && two != fingerprint(x, 1), "the order of files");
    x = o, x.verify = false, x.long_samples = DATA_LONG_TRUNCATE;
    CASE(f == fingerprint(x, 1), "what does not change a batch changes the fingerprint");
}

/* Two documents: targets are 1 1 2 and 1; the entropy of (3/4, 1/4). */
static void entropy(void) {
    struct tok_writer *w;
    static const int32_t a[] = {0, 1, 1, 2}, b[] = {5, 1};
    NEED(tok_write_open(path, 6, 0, &w));
    NEED(tok_write_doc(w, a, NULL, 4));
    NEED(tok_write_doc(w, b, NULL, 2));
    NEED(tok_write_commit(w));
    struct data_opts o = {.train = path, .seq = SEQ, .verify = true};
    struct loader *l;
    NEED(loader_open(&o, DATA_TRAIN, 6, 1, &l));
    double nats = 0;
    NEED(loader_unigram_entropy(l, &nats));
    CASE(fabs(nats - (0.75 * log(4.0 / 3) + 0.25 * log(4.0))) < 1e-14, "entropy %.17g", nats); /* a few roundings of numbers near 1 */
    loader_close(l);
}

int main(void) {
    (void)snprintf(path, sizeof path, "%s/a.tok", test_dir());
    (void)snprintf(other, sizeof other, "%s/b.tok", test_dir());
    for (int64_t docs = 2; docs < 9; docs++) epochs(docs);
    epochs(DOCS);
    pure();
    splits();
    fingerprints();
    entropy();
    NEED(os_remove_tree(test_dir()));
    return test_end();
}
