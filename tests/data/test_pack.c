/* Packing by hand: small documents whose sequences can be written down. */
#include "base/log.h"
#include "base/os.h"
#include "data/data.h"
#include "test.h"

enum { VOCAB = 100, ROOM = 64, X = DATA_NO_TARGET };

static char first[OS_PATH_MAX], second[OS_PATH_MAX];

/* Documents as text: "1 2 3|4 5"; a token written *4 counts in the loss. */
static err_t write_docs(const char *path, const char *text, bool masked) {
    struct tok_writer *w;
    TRY(tok_write_open(path, VOCAB, 0, &w));
    for (const char *s = text; s;) {
        int32_t ids[ROOM];
        uint8_t mask[ROOM];
        int64_t n = 0;
        const char *end = strchr(s, '|');
        while (*s && *s != '|') {
            mask[n] = *s == '*';
            s += *s == '*';
            char *after;
            ids[n++] = (int32_t)strtol(s, &after, 10);
            s = after + (*after == ' ');
        }
        err_t err = tok_write_doc(w, ids, masked ? mask : NULL, n);
        if (err != OK) {
            tok_write_abort(w);
            return err;
        }
        s = end ? end + 1 : NULL;
    }
    return tok_write_commit(w);
}

static void same(const char *what, int64_t row, const int32_t *got, const int32_t *want, int64_t seq) {
    char text[512];
    int n = 0;
    for (int64_t i = 0; i < seq; i++) n += snprintf(text + n, sizeof text - (size_t)n, " %d", (int)got[i]);
    CASE(memcmp(got, want, (size_t)seq * sizeof *got) == 0, "%s of row %lld are%s", what, (long long)row, text);
}

/* want: rows x 4 x seq: ids, targets, positions, doc_start. */
static void check(const struct data_opts *o, int64_t rows, int64_t targets, int64_t tokens, const int32_t *want) {
    struct loader *l;
    NEED(loader_open(o, DATA_TRAIN, VOCAB, 1, &l));
    CASE(loader_sequences(l) == rows && loader_targets(l) == targets && loader_tokens(l) == tokens, "%lld sequences, %lld targets, %lld tokens",
         (long long)loader_sequences(l), (long long)loader_targets(l), (long long)loader_tokens(l));
    int32_t memory[4 * ROOM];
    for (int64_t r = 0; r <= loader_sequences(l) && r <= rows; r++) {
        memset(memory, 0x55, sizeof memory);
        struct batch b = {memory, memory + ROOM, memory + 2 * ROOM, memory + 3 * ROOM};
        NEED(loader_rows(l, r, 1, &b));
        if (r == rows) { /* beyond the end */
            bool pad = true;
            for (int64_t i = 0; i < o->seq; i++) pad = pad && !b.ids[i] && b.targets[i] == X && !b.positions[i] && b.doc_start[i] == -1;
            CASE(pad, "a row beyond the end is padding");
            break;
        }
        const int32_t *w = want + r * 4 * o->seq;
        same("ids", r, b.ids, w, o->seq);
        same("targets", r, b.targets, w + o->seq, o->seq);
        same("positions", r, b.positions, w + 2 * o->seq, o->seq);
        same("doc_start", r, b.doc_start, w + 3 * o->seq, o->seq);
    }
    loader_close(l);
}

static void by_document(void) {
    struct data_opts o = {.train = first, .seq = 4, .pack = DATA_PACK_DOCUMENT, .verify = true};
    NEED(write_docs(first, "1 2 3|4 5 6 7 8 9||10|11 12", false));
    static const int32_t want[] = {
        1, 2,  3,  4,  /**/ 2, 3, X,  5, /**/ 0, 1, 2, 0, /**/ 0, 0, 0, 3, /* the last target is the next token of its document: I3 */
        5, 6,  7,  8,  /**/ 6, 7, 8,  9, /**/ 0, 1, 2, 3, /**/ 0, 0, 0, 0, /* the rest of a cut document begins anew */
        9, 10, 11, 12, /**/ X, X, 12, X, /**/ 0, 0, 0, 1, /**/ 0, 1, 2, 2,
    };
    check(&o, 3, 8, 12, want);
    /* the same from two files, and files without any document around them */
    char empty[OS_PATH_MAX], list[5 * OS_PATH_MAX + 8];
    struct tok_writer *w;
    (void)snprintf(empty, sizeof empty, "%s/empty.tok", test_dir());
    NEED(tok_write_open(empty, VOCAB, 0, &w));
    NEED(tok_write_commit(w));
    (void)snprintf(list, sizeof list, "%s,%s,%s,%s,%s", empty, first, empty, second, empty);
    NEED(write_docs(first, "1 2 3|4 5 6 7 8 9|", false));
    NEED(write_docs(second, "10|11 12", false));
    o.train = list;
    check(&o, 3, 8, 12, want);
    /* padding behind the last token */
    NEED(write_docs(first, "1 2 3|4 5", false));
    o.train = first;
    static const int32_t padded[] = {
        1, 2, 3, 4, /**/ 2, 3, X, 5, /**/ 0, 1, 2, 0, /**/ 0, 0, 0, 3,
    };
    check(&o, 1, 3, 5, padded); /* the 5 alone would be a sequence without a target: I4 */
    o.seq = 3;
    static const int32_t three[] = {
        1, 2, 3, /**/ 2, 3, X, /**/ 0, 1, 2, /**/ 0, 0, 0, 4, 5, 0, /**/ 5, X, X, /**/ 0, 1, 0, /**/ 0, 0, -1,
    };
    check(&o, 2, 3, 5, three);
    o.seq = 1;
    static const int32_t one[] = {1, 2, 0, 0, 2, 3, 0, 0, 4, 5, 0, 0};
    check(&o, 3, 3, 5, one);
}

static void across(void) {
    struct data_opts o = {.train = first, .seq = 4, .pack = DATA_PACK_ACROSS, .verify = true};
    NEED(write_docs(first, "1 2 3||4 5|6 7 8 9", false));
    static const int32_t want[] = {
        1, 2, 3, 4, /**/ 2, 3, 4, 5, /**/ 0, 1, 2, 3, /**/ 0, 0, 0, 0, 5, 6, 7, 8, /**/ 6, 7, 8, 9, /**/ 0, 1, 2, 3, /**/ 0, 0, 0, 0,
    };
    check(&o, 2, 8, 9, want); /* the 9, last of the stream, has no target */
    o.seq = 3;
    static const int32_t three[] = {
        1, 2, 3, /**/ 2, 3, 4, /**/ 0, 1, 2, /**/ 0, 0, 0, /* the document's end is the row's: its target is in the next row */
        4, 5, 6, /**/ 5, 6, 7, /**/ 0, 1, 2, /**/ 0, 0, 0, 7, 8, 9, /**/ 8, 9, X, /**/ 0, 1, 2, /**/ 0, 0, 0,
    };
    check(&o, 3, 8, 9, three);
    o.seq = 5;
    static const int32_t five[] = {
        1, 2, 3, 4, 5, /**/ 2, 3, 4, 5, 6, /**/ 0, 1, 2, 3, 4, /**/ 0, 0, 0, 0, 0,
        6, 7, 8, 9, 0, /**/ 7, 8, 9, X, X, /**/ 0, 1, 2, 3, 0, /**/ 0, 0, 0, 0, -1,
    };
    check(&o, 2, 8, 9, five);
}

static void samples(void) {
    struct data_opts o = {.train = first, .seq = 6, .pack = DATA_PACK_DOCUMENT, .verify = true};
    NEED(write_docs(first, "1 2 *3|4 *5 *6|7 8 *9 *10|11 12|13 *14", true));
    static const int32_t want[] = {
        1,  2,  3, 4,  5,  6,  /**/ X,  3, X,  5, 6, X, /**/ 0, 1, 2, 0, 1, 2, /**/ 0, 0, 0,  3,  3,  3,
        7,  8,  9, 10, 11, 12, /**/ X,  9, 10, X, X, X, /**/ 0, 1, 2, 3, 0, 1, /**/ 0, 0, 0,  0,  4,  4, /* never cut */
        13, 14, 0, 0,  0,  0,  /**/ 14, X, X,  X, X, X, /**/ 0, 1, 0, 0, 0, 0, /**/ 0, 0, -1, -1, -1, -1,
    };
    check(&o, 3, 6, 14, want);
    /* a sequence of samples without targets is left out, those around it are not */
    o.seq = 3;
    NEED(write_docs(first, "1 2 *3|4 5 6|7 *8|9 10", true));
    static const int32_t holes[] = {
        1, 2, 3, /**/ X, 3, X, /**/ 0, 1, 2, /**/ 0, 0, 0, 7, 8, 0, /**/ 8, X, X, /**/ 0, 1, 0, /**/ 0, 0, -1,
    };
    check(&o, 2, 2, 10, holes);

    struct loader *l;
    NEED(write_docs(first, "1 *2|3 *4 *5 *6", true));
    CASE_ERR(loader_open(&o, DATA_TRAIN, VOCAB, 1, &l), ERR_FORMAT, "sample 1 of");
    CASE(strstr(err_message(), "data.long=truncate") && strstr(err_message(), "4 tokens"), "the message says what to do: %s", err_message());
    o.long_samples = DATA_LONG_TRUNCATE;
    static const int32_t cut[] = {
        1, 2, 0, /**/ 2, X, X, /**/ 0, 1, 0, /**/ 0, 0, -1, 3, 4, 5, /**/ 4, 5, 6, /**/ 0, 1, 2, /**/ 0, 0, 0,
    };
    check(&o, 2, 4, 5, cut);

    o.pack = DATA_PACK_ACROSS;
    CASE_ERR(loader_open(&o, DATA_TRAIN, VOCAB, 1, &l), ERR_USAGE, "data.pack=across does not go with");
    o.pack = DATA_PACK_DOCUMENT;
    char list[2 * OS_PATH_MAX + 8];
    (void)snprintf(list, sizeof list, "%s,%s", first, second);
    o.train = list;
    CASE_ERR(loader_open(&o, DATA_TRAIN, VOCAB, 1, &l), ERR_USAGE, "has masks and");
}

static void refusals(void) {
    struct data_opts o = {.seq = 4, .verify = true};
    struct loader *l;
    CASE_ERR(loader_open(&o, DATA_TRAIN, VOCAB, 1, &l), ERR_USAGE, "data.train is not set");
    o.train = first;
    CASE_ERR(loader_open(&o, DATA_VALID, VOCAB, 1, &l), ERR_USAGE, "nothing to validate on");
    NEED(write_docs(first, "1|2||3", false));
    CASE_ERR(loader_open(&o, DATA_TRAIN, VOCAB, 1, &l), ERR_FORMAT, "no token of");
    NEED(write_docs(first, "1 2 3|4 60 6", false));
    CASE_ERR(loader_open(&o, DATA_TRAIN, 60, 1, &l), ERR_FORMAT, "the id 60 in document 1 of");
    NEED(loader_open(&o, DATA_TRAIN, 61, 1, &l));
    loader_close(l);
    char list[OS_PATH_MAX + 8];
    (void)snprintf(list, sizeof list, "%s,", first);
    o.train = list;
    CASE_ERR(loader_open(&o, DATA_TRAIN, VOCAB, 1, &l), ERR_USAGE, "an empty name");
    /* a damaged file: found at once, or, unverified, when the id is met */
    char *bytes;
    int64_t n;
    NEED(os_read_all(first, 1 << 20, &bytes, &n));
    bytes[128 + 4 * 4 + 1] = 1; /* 60 becomes 316 */
    NEED(os_write_all(second, bytes, n));
    free(bytes);
    o.train = second;
    CASE_ERR(loader_open(&o, DATA_TRAIN, VOCAB, 1, &l), ERR_FORMAT, "do not have their checksum");
    o.verify = false;
    NEED(loader_open(&o, DATA_TRAIN, VOCAB, 1, &l));
    int32_t memory[4][8];
    struct batch b = {memory[0], memory[1], memory[2], memory[3]};
    CASE_ERR(loader_rows(l, 0, 2, &b), ERR_FORMAT, "the id 316 in document 1 of");
    double nats;
    CASE_ERR(loader_unigram_entropy(l, &nats), ERR_FORMAT, "the id 316 in document 1 of");
    loader_close(l);
}

int main(void) {
    log_set_level(LOG_ERROR); /* the warning of what was cut */
    (void)snprintf(first, sizeof first, "%s/first.tok", test_dir());
    (void)snprintf(second, sizeof second, "%s/second.tok", test_dir());
    by_document();
    across();
    samples();
    refusals();
    NEED(os_remove_tree(test_dir()));
    return test_end();
}
