/* Batches as a pure function of (seed, step): the sequences of an epoch in an order that is computed, not stored. */
#include "base/num.h"
#include "base/os.h"
#include "base/rng.h"
#include "data/data_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct loader {
    struct pack pack;
    uint64_t seed, fingerprint;
    int half_bits; /* 2^(2*half_bits) >= row_count: the domain of the permutation */
};

/* ---- opening ---- */

/* Ids that the model does not have, if the file's vocabulary allows any. */
static err_t check_ids(const struct tok_file *f, int64_t vocab) {
    if (tok_vocab(f) <= vocab) return OK;
    for (int64_t d = 0; d < tok_docs(f); d++) {
        int64_t count;
        const int32_t *ids = tok_doc(f, d, &count);
        for (int64_t i = 0; i < count; i++)
            if ((uint64_t)(uint32_t)ids[i] >= (uint64_t)vocab)
                return FAIL(ERR_FORMAT,
                            "the id %d in document %lld of %s is not below the model's vocabulary of %lld; tokenise with the model's tokenizer",
                            (int)ids[i], (long long)d, tok_path(f), (long long)vocab);
    }
    return OK;
}

static err_t open_files(struct pack *p, const char *paths, bool verify) {
    char **names;
    int64_t count;
    TRY(data_list(paths, DATA_TOKENS, &names, &count));
    p->files = calloc((size_t)count, sizeof(struct tok_file *));
    p->first_doc = calloc((size_t)count + 1, sizeof *p->first_doc);
    err_t err = p->files && p->first_doc ? OK : FAIL(ERR_NOMEM, "out of memory for a list of %lld token files", (long long)count);
    for (int64_t i = 0; i < count && err == OK; i++) {
        struct tok_file *f;
        err = tok_open(names[i], verify, &f);
        if (err != OK) break;
        p->files[p->file_count++] = f;
        p->first_doc[p->file_count] = p->first_doc[p->file_count - 1] + tok_docs(f);
        err = check_ids(f, p->vocab);
    }
    os_free_list(names, count);
    return err;
}

/* Samples with masks are packed otherwise than plain documents, so a list is of one kind. */
static err_t choose_kind(struct pack *p) {
    const struct tok_file *masked = NULL, *plain = NULL;
    for (int64_t i = 0; i < p->file_count; i++) {
        const struct tok_file *f = p->files[i];
        if (tok_docs(f) == 0) continue;
        if (tok_mask(f, 0)) masked = f;
        else plain = f;
    }
    if (masked && plain)
        return FAIL(ERR_USAGE, "%s has masks and %s has none; train on fine-tuning samples or on plain documents, not on both", tok_path(masked),
                    tok_path(plain));
    if (masked && p->across)
        return FAIL(ERR_USAGE, "data.pack=across does not go with the fine-tuning samples of %s; set data.pack=document", tok_path(masked));
    p->samples = masked;
    return OK;
}

static uint64_t fingerprint_of(const struct pack *p, int long_samples) {
    uint64_t h = 0;
    for (int64_t i = 0; i < p->file_count; i++) {
        uint64_t id = tok_identity(p->files[i]);
        h = XXH3_64bits_withSeed(&id, sizeof id, h);
    }
    uint64_t fraction;
    memcpy(&fraction, &p->fraction, 8);
    const uint64_t how[] = {1, /* version of packing and order: a change of either is another identity */
                            (uint64_t)p->seq,
                            p->across,
                            (uint64_t)p->side,
                            fraction,
                            p->seed,
                            p->samples ? (uint64_t)long_samples : 0};
    return XXH3_64bits_withSeed(how, sizeof how, h);
}

static err_t open_split(struct loader *l, const struct data_opts *o, enum data_split split) {
    struct pack *p = &l->pack;
    bool held_out = !o->valid && o->valid_fraction > 0;
    const char *paths = split == DATA_VALID && o->valid ? o->valid : o->train;
    if (!paths) return FAIL(ERR_USAGE, "data.train is not set; give the token files to train on (mop tokenize makes them)");
    if (split == DATA_VALID && !o->valid && !held_out)
        return FAIL(ERR_USAGE, "there is nothing to validate on: set data.valid to token files, or data.valid_fraction to a share of data.train");
    p->side = !held_out ? PACK_ALL : split == DATA_VALID ? PACK_HELD_OUT : PACK_KEPT;
    p->fraction = held_out ? o->valid_fraction : 0;
    p->seq = o->seq;
    p->across = o->pack == DATA_PACK_ACROSS;
    p->seed = l->seed;
    TRY(open_files(p, paths, o->verify));
    TRY(choose_kind(p));
    TRY(pack_index(p, o->long_samples));
    if (p->row_count == 0)
        return FAIL(ERR_FORMAT, "no token of %s has a target in the %s split (%lld tokens in %lld documents%s); %s", paths,
                    split == DATA_VALID ? "validation" : "training", (long long)p->tokens, (long long)p->first_doc[p->file_count],
                    held_out ? ", data.valid_fraction applied" : "",
                    held_out ? "documents are held out whole, so part the text into more (data.document_end, where it is read) or give data.valid"
                             : "give more text");
    while (((int64_t)1 << (2 * l->half_bits)) < p->row_count) l->half_bits++;
    l->fingerprint = fingerprint_of(p, o->long_samples);
    return OK;
}

err_t loader_open(const struct data_opts *o, enum data_split split, int64_t vocab, uint64_t seed, struct loader **out) {
    ENSURE(o->seq > 0 && o->seq <= INT32_MAX && vocab > 0);
    struct loader *l = calloc(1, sizeof *l);
    if (!l) return FAIL(ERR_NOMEM, "out of memory for a loader");
    l->seed = seed;
    l->pack.vocab = vocab;
    l->half_bits = 1;
    err_t err = open_split(l, o, split);
    if (err != OK) {
        loader_close(l);
        return err_frame(err, __func__);
    }
    *out = l;
    return OK;
}

void loader_close(struct loader *l) {
    if (!l) return;
    for (int64_t i = 0; i < l->pack.file_count; i++) tok_close(l->pack.files[i]);
    free(l->pack.files);
    free(l->pack.first_doc);
    free(l->pack.rows);
    free(l);
}

int64_t loader_sequences(const struct loader *l) { return l->pack.row_count; }
int64_t loader_targets(const struct loader *l) { return l->pack.targets; }
int64_t loader_tokens(const struct loader *l) { return l->pack.tokens; }
int64_t loader_files(const struct loader *l) { return l->pack.file_count; }
const struct tok_file *loader_file(const struct loader *l, int64_t i) { return l->pack.files[i]; }
uint64_t loader_fingerprint(const struct loader *l) { return l->fingerprint; }

/* ---- order ---- */

/* The i-th sequence of an epoch. A Feistel network over 2^(2*half_bits) numbers is a bijection whatever its round
 * function; walking it until it comes back below n makes it one over [0, n). The domain is less than 4 n. */
static int64_t permuted(const struct loader *l, int64_t epoch, int64_t i) {
    uint64_t low = ((uint64_t)1 << l->half_bits) - 1, x = (uint64_t)i;
    uint64_t stream = rng_stream("data.order") + (uint64_t)epoch;
    do {
        uint64_t a = x >> l->half_bits, b = x & low;
        for (uint64_t round = 0; round < 6; round++) {
            uint64_t next = a ^ (rng_u64(l->seed, stream, round << 32 | b) & low);
            a = b;
            b = next;
        }
        x = a << l->half_bits | b;
    } while (x >= (uint64_t)l->pack.row_count);
    return (int64_t)x;
}

/* Index of the row for place i of the batch of a step. */
static err_t row_of(const struct loader *l, int64_t step, int64_t batch, int64_t i, int64_t *row) {
    int64_t g;
    if (step < 0 || batch < 1 || __builtin_mul_overflow(step, batch, &g) || __builtin_add_overflow(g, i, &g))
        return FAIL(ERR_USAGE, "step %lld of batches of %lld sequences is beyond what can be counted; use smaller numbers", (long long)step,
                    (long long)batch);
    *row = permuted(l, g / l->pack.row_count, g % l->pack.row_count);
    return OK;
}

static struct batch row_at(const struct batch *b, int64_t i, int64_t seq) {
    return (struct batch){b->ids + i * seq, b->targets + i * seq, b->positions + i * seq, b->doc_start + i * seq};
}

err_t loader_batch(const struct loader *l, int64_t step, int64_t batch, int64_t first, int64_t rows, const struct batch *out) {
    ENSURE(first >= 0 && rows >= 0 && first <= batch - rows);
    for (int64_t i = 0; i < rows; i++) {
        struct batch to = row_at(out, i, l->pack.seq);
        int64_t row;
        TRY(row_of(l, step, batch, first + i, &row));
        TRY(pack_fill(&l->pack, row, &to));
    }
    return OK;
}

err_t loader_step_targets(const struct loader *l, int64_t step, int64_t batch, int64_t *targets) {
    int64_t sum = 0;
    for (int64_t i = 0; i < batch; i++) {
        int64_t row;
        TRY(row_of(l, step, batch, i, &row));
        sum += l->pack.rows[row].targets;
    }
    *targets = sum;
    return OK;
}

err_t loader_rows(const struct loader *l, int64_t first, int64_t rows, const struct batch *out) {
    ENSURE(first >= 0 && rows >= 0 && first <= INT64_MAX - rows);
    for (int64_t i = 0; i < rows; i++) {
        struct batch to = row_at(out, i, l->pack.seq);
        if (first + i < l->pack.row_count) TRY(pack_fill(&l->pack, first + i, &to));
        else pack_pad(l->pack.seq, &to);
    }
    return OK;
}

/* ---- what the data is ---- */

err_t loader_unigram_entropy(const struct loader *l, double *nats) {
    const struct pack *p = &l->pack;
    int64_t *count = calloc((size_t)p->vocab, sizeof *count);
    int32_t *memory = calloc((size_t)p->seq, 4 * sizeof *memory);
    err_t err = count && memory ? OK : FAIL(ERR_NOMEM, "out of memory for counting %lld ids", (long long)p->vocab);
    struct batch to = {memory, memory + p->seq, memory + 2 * p->seq, memory + 3 * p->seq};
    for (int64_t r = 0; err == OK && r < p->row_count; r++) {
        err = pack_fill(p, r, &to);
        for (int64_t i = 0; err == OK && i < p->seq; i++)
            if (to.targets[i] >= 0) count[to.targets[i]]++;
    }
    double n = (double)p->targets, sum = 0;
    for (int64_t i = 0; err == OK && i < p->vocab; i++)
        if (count[i]) sum += (double)count[i] * log((double)count[i]);
    if (err == OK) *nats = log(n) - sum / n;
    free(count);
    free(memory);
    return err;
}
