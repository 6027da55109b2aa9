/* Token files: what is written comes back, and no bytes whatever do harm. */
#include "base/fault.h"
#include "base/os.h"
#include "data/data.h"
#include "test.h"

#include <xxhash.h>

enum { VOCAB = 50, HEADER = 128 };

static char path[OS_PATH_MAX], other[OS_PATH_MAX];

static const int32_t DOC0[] = {1, 2, 3}, DOC2[] = {49, 0, 7, 7};
static const uint8_t MASK2[] = {0, 1, 0, 1};

/* Three documents, the middle one empty. */
static err_t write_file(const char *to, bool masked) {
    struct tok_writer *w;
    TRY(tok_write_open(to, VOCAB, 0xfeed, &w));
    err_t err = tok_write_doc(w, DOC0, NULL, 3);
    if (err == OK) err = tok_write_doc(w, NULL, NULL, 0);
    if (err == OK) err = tok_write_doc(w, DOC2, masked ? MASK2 : NULL, 4);
    if (err != OK) {
        tok_write_abort(w);
        return err;
    }
    return tok_write_commit(w);
}

static void round_trip(bool masked) {
    NEED(write_file(path, masked));
    struct tok_file *f;
    NEED(tok_open(path, true, &f));
    CASE(tok_tokens(f) == 7 && tok_docs(f) == 3 && tok_vocab(f) == VOCAB && tok_fingerprint(f) == 0xfeed, "numbers of the header");
    int64_t n;
    const int32_t *ids = tok_doc(f, 0, &n);
    CASE(n == 3 && memcmp(ids, DOC0, 12) == 0, "first document");
    (void)tok_doc(f, 1, &n);
    CASE(n == 0, "empty document");
    ids = tok_doc(f, 2, &n);
    CASE(n == 4 && memcmp(ids, DOC2, 16) == 0, "last document");
    if (masked) {
        CASE(memcmp(tok_mask(f, 0), "\1\1\1", 3) == 0, "a document before the first mask counts whole");
        CASE(memcmp(tok_mask(f, 2), MASK2, 4) == 0, "mask");
    } else {
        CASE(!tok_mask(f, 0) && !tok_mask(f, 2), "no mask");
    }
    tok_close(f);
}

/* A large one: borders, mask and buffers grow. */
static void many(void) {
    enum { DOCS = 5000, LONGEST = 97 };
    struct tok_writer *w;
    NEED(tok_write_open(path, 100000, 1, &w));
    int32_t ids[LONGEST];
    uint8_t mask[LONGEST];
    err_t err = OK;
    for (int d = 0; d < DOCS; d++) {
        for (int i = 0; i < d % LONGEST; i++) {
            ids[i] = (d * 31 + i * 7) % 100000;
            mask[i] = (d + i) % 3 == 0;
        }
        if (err == OK) err = tok_write_doc(w, ids, d < 1000 ? NULL : mask, d % LONGEST);
    }
    NEED(err);
    NEED(tok_write_commit(w));
    struct tok_file *f;
    NEED(tok_open(path, true, &f));
    int64_t wrong = 0;
    for (int d = 0; d < DOCS; d++) {
        int64_t n;
        const int32_t *got = tok_doc(f, d, &n);
        wrong += n != d % LONGEST;
        for (int i = 0; i < n; i++) wrong += got[i] != (d * 31 + i * 7) % 100000 || tok_mask(f, d)[i] != (d < 1000 || (d + i) % 3 == 0);
    }
    CASE(wrong == 0, "%lld of the many tokens came back otherwise", (long long)wrong);
    tok_close(f);
}

/* Use everything that an opened file offers, so that a sanitizer sees any bad pointer. */
static int64_t touch(const struct tok_file *f) {
    int64_t sum = 0;
    for (int64_t d = 0; d < tok_docs(f); d++) {
        int64_t n;
        const int32_t *ids = tok_doc(f, d, &n);
        const uint8_t *mask = tok_mask(f, d);
        for (int64_t i = 0; i < n; i++) sum += ids[i] + (mask ? mask[i] : 0);
    }
    return sum;
}

static bool opens(const char *bytes, int64_t n, bool check) {
    struct tok_file *f;
    FILE *to = fopen(other, "wb"); /* not os_write_all: thousands of fsyncs take their time */
    if (!to || fwrite(bytes, 1, (size_t)n, to) != (size_t)n || fclose(to) != 0) exit(2);
    if (tok_open(other, check, &f) != OK) return false;
    (void)touch(f);
    tok_close(f);
    return true;
}

/* Every bit flipped, every length: with sums nothing passes; without, nothing crashes. */
static void damage(bool masked) {
    NEED(write_file(path, masked));
    char *bytes;
    int64_t n;
    NEED(os_read_all(path, 1 << 20, &bytes, &n));
    CASE(n == HEADER + 32 + 32 + (masked ? 7 : 0), "size as docs/formats/tokens.md has it: %lld", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        bool passed = false;
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
            passed = opens(bytes, n, true) || passed;
            if (bit == 7) (void)opens(bytes, n, false);
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
        }
        CASE(!passed, "a flipped bit of byte %lld passed the checks", (long long)i);
    }
    for (int64_t len = 0; len < n; len++) CASE(!opens(bytes, len, false), "a file cut to %lld bytes was opened", (long long)len);
    char *more = malloc((size_t)n + 1);
    if (!more) exit(2);
    memcpy(more, bytes, (size_t)n);
    more[n] = 0;
    CASE(!opens(more, n + 1, false), "a surplus byte was accepted");
    free(more);
    free(bytes);
}

/* Numbers that lie, under a checksum that is right: opened without sums, so that only the checks of sense are left. */
static void lies(void) {
    static const uint64_t values[] = {
        0, 1, 6, 8, 127, 1u << 31, 1ull << 32, 1ull << 61, 1ull << 62, (1ull << 63) - 1, 1ull << 63, UINT64_MAX - 7, UINT64_MAX};
    NEED(write_file(path, true));
    char *bytes;
    int64_t n;
    NEED(os_read_all(path, 1 << 20, &bytes, &n));
    for (int64_t at = 8; at + 8 < HEADER; at += 8) {
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            uint64_t was, sum;
            memcpy(&was, bytes + at, 8);
            memcpy(bytes + at, &values[v], 8);
            sum = XXH3_64bits(bytes, HEADER - 8);
            memcpy(bytes + HEADER - 8, &sum, 8);
            bool passed = opens(bytes, n, true);
            (void)opens(bytes, n, false);
            bool harmless = at == 16 ? values[v] >= VOCAB && values[v] <= INT32_MAX : at == 24; /* a larger vocabulary, another fingerprint */
            CASE(passed == (harmless || values[v] == was), "the header's number at %lld set to %llu: %s", (long long)at,
                 (unsigned long long)values[v], passed ? "accepted" : err_message());
            memcpy(bytes + at, &was, 8);
        }
    }
    free(bytes);
}

/* Borders that fall or overshoot, and an id beyond the vocabulary, all sums right. */
static void bad_sections(void) {
    NEED(write_file(path, false));
    char *bytes;
    int64_t n;
    NEED(os_read_all(path, 1 << 20, &bytes, &n));
    static const uint64_t borders[][4] = {{0, 3, 2, 7}, {1, 3, 3, 7}, {0, 3, 9, 7}, {0, 3, 3, 8}, {0, UINT64_MAX, 3, 7}};
    for (size_t i = 0; i < sizeof borders / sizeof borders[0]; i++) {
        memcpy(bytes + HEADER + 32, borders[i], 32);
        uint64_t sum = XXH3_64bits(borders[i], 32);
        memcpy(bytes + 56, &sum, 8);
        sum = XXH3_64bits(bytes, HEADER - 8);
        memcpy(bytes + HEADER - 8, &sum, 8);
        NEED(os_write_all(other, bytes, n));
        struct tok_file *f;
        CASE_ERR(tok_open(other, false, &f), ERR_FORMAT, "do not rise");
    }
    free(bytes);
    NEED(os_read_all(path, 1 << 20, &bytes, &n));
    int32_t id = VOCAB;
    memcpy(bytes + HEADER + 4 * 4, &id, 4);
    uint64_t sum = XXH3_64bits(bytes + HEADER, 32);
    memcpy(bytes + 48, &sum, 8);
    sum = XXH3_64bits(bytes, HEADER - 8);
    memcpy(bytes + HEADER - 8, &sum, 8);
    NEED(os_write_all(other, bytes, n));
    struct tok_file *f;
    CASE_ERR(tok_open(other, true, &f), ERR_FORMAT, "the id 50 in document 2 of");
    free(bytes);
}

/* Counts so large that their products come round to the file's size again; borders and sums to match. */
static void wraps(void) {
    NEED(write_file(path, false));
    char *bytes;
    int64_t n;
    NEED(os_read_all(path, 1 << 20, &bytes, &n));
    const uint64_t tokens = (1ull << 62) + 7, borders[4] = {0, 3, 3, tokens};
    memcpy(bytes + 32, &tokens, 8);
    memcpy(bytes + HEADER + 32, borders, 32);
    uint64_t sum = XXH3_64bits(borders, 32);
    memcpy(bytes + 56, &sum, 8);
    sum = XXH3_64bits(bytes, HEADER - 8);
    memcpy(bytes + HEADER - 8, &sum, 8);
    NEED(os_write_all(other, bytes, n));
    struct tok_file *f;
    CASE_ERR(tok_open(other, false, &f), ERR_FORMAT, "more than its 192 bytes hold");
    free(bytes);
}

/* The n-th open, write, fsync or rename fails: an error, the old file as it was, no temporary file left. */
static void faults(void) {
    static const enum fault kinds[] = {FAULT_OPEN, FAULT_WRITE, FAULT_FSYNC, FAULT_RENAME};
    NEED(write_file(path, false));
    char part[OS_PATH_MAX + 16];
    (void)snprintf(part, sizeof part, "%s.mop-part", path);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        fault_arm(kinds[k], 1 << 20);
        NEED(write_file(path, false));
        int64_t points = fault_count(kinds[k]);
        CASE(points > 0, "%s has no fault point in writing a token file", fault_name(kinds[k]));
        for (int64_t i = 1; i <= points; i++) {
            fault_arm(kinds[k], i);
            CASE_ERR(write_file(path, true), ERR_IO, test_dir());
            fault_arm(kinds[k], 0);
            struct tok_file *f;
            NEED(tok_open(path, true, &f));
            /* after the rename only the folder's fsync is left: the new file is there, whole */
            CASE((tok_mask(f, 0) == NULL) || kinds[k] == FAULT_FSYNC, "the old file is not intact after a failed %s", fault_name(kinds[k]));
            tok_close(f);
            CASE(!os_exists(part), "a temporary file is left after a failed %s", fault_name(kinds[k]));
            NEED(write_file(path, false));
        }
    }
}

int main(void) {
    (void)snprintf(path, sizeof path, "%s/a.tok", test_dir());
    (void)snprintf(other, sizeof other, "%s/b.tok", test_dir());
    round_trip(false);
    round_trip(true);
    many();
    damage(false);
    damage(true);
    lies();
    bad_sections();
    wraps();
    faults();

    struct tok_writer *w;
    NEED(tok_write_open(path, VOCAB, 0, &w));
    const int32_t above = VOCAB, below = -1;
    CASE_ERR(tok_write_doc(w, &above, NULL, 1), ERR_FAILED, "the id 50 is not in the vocabulary of 50");
    CASE_ERR(tok_write_doc(w, &below, NULL, 1), ERR_FAILED, "the id -1 is not");
    tok_write_abort(w);

    struct tok_file *f;
    CASE_ERR(tok_open("/nonexistent/x.tok", true, &f), ERR_IO, "/nonexistent/x.tok");
    CASE_ERR(tok_open(test_dir(), true, &f), ERR_IO, "not an ordinary file");
    char text[200];
    memset(text, 'x', sizeof text);
    NEED(os_write_all(other, text, sizeof text));
    CASE_ERR(tok_open(other, true, &f), ERR_FORMAT, "is not a token file");
    NEED(os_remove_tree(test_dir()));
    return test_end();
}
