/* Token files: docs/formats/tokens.md. Header, ids, borders, mask; everything little-endian, so that a mapped file is
 * used as it lies. */
#include "base/os.h"
#include "data/data_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "token files are mapped as they lie: little-endian");

enum { HEADER = 128, VERSION = 1, FLAG_MASK = 1 };

struct header {
    char magic[8];
    uint32_t version, flags;
    uint64_t vocab, fingerprint, tokens, docs;
    uint64_t ids_sum, borders_sum, mask_sum; /* XXH3-64; ids with the padding behind them */
    uint64_t zero[6];
    uint64_t sum; /* of the bytes before */
};
_Static_assert(sizeof(struct header) == HEADER, "the header has no gaps");

static uint64_t header_sum(const struct header *h) { return XXH3_64bits(h, HEADER - 8); }
static int64_t ids_bytes(uint64_t tokens) { return (int64_t)((tokens * 4 + 7) / 8 * 8); }

/* ---- writing ---- */

struct tok_writer {
    struct os_writer os;
    struct header head;
    XXH3_state_t *sum; /* of the ids as they pass */
    uint64_t *borders; /* [docs + 1] */
    int64_t border_room;
    uint8_t *mask;     /* a bit a token; NULL until a document brings a mask */
    int64_t mask_room; /* bytes */
};

static void writer_free(struct tok_writer *w) {
    if (w->sum) (void)XXH3_freeState(w->sum);
    free(w->borders);
    free(w->mask);
    free(w);
}

static bool is_tokens(const char *begin, int64_t bytes) {
    return bytes >= (int64_t)TOK_MAGIC_BYTES && memcmp(begin, TOK_MAGIC, TOK_MAGIC_BYTES) == 0;
}

err_t tok_write_open(const char *path, int64_t vocab, uint64_t fingerprint, struct tok_writer **out) {
    ENSURE(vocab > 0 && vocab <= INT32_MAX);
    TRY(os_may_replace(path, is_tokens, "a token file"));
    struct tok_writer *w = calloc(1, sizeof *w);
    if (!w) return FAIL(ERR_NOMEM, "out of memory for writing %s", path);
    w->border_room = 1024;
    w->borders = malloc((size_t)w->border_room * sizeof *w->borders);
    w->sum = XXH3_createState();
    err_t err = OK;
    if (!w->borders || !w->sum || XXH3_64bits_reset(w->sum) != XXH_OK) err = FAIL(ERR_NOMEM, "out of memory for writing %s", path);
    if (err == OK) err = os_write_open(&w->os, path);
    if (err == OK) {
        memcpy(w->head.magic, TOK_MAGIC, TOK_MAGIC_BYTES);
        w->head.version = VERSION;
        w->head.vocab = (uint64_t)vocab;
        w->head.fingerprint = fingerprint;
        w->borders[0] = 0;
        err = os_write(&w->os, &w->head, HEADER); /* its place; the numbers come with the commit */
    }
    if (err != OK) {
        tok_write_abort(w);
        return err_frame(err, __func__);
    }
    *out = w;
    return OK;
}

void tok_write_abort(struct tok_writer *w) {
    if (!w) return;
    os_write_abort(&w->os);
    writer_free(w);
}

/* Note which of the next `count` tokens count. Documents before the first mask count whole. */
static err_t keep_mask(struct tok_writer *w, const uint8_t *mask, int64_t count) {
    if (!mask && !w->mask) return OK;
    int64_t at = (int64_t)w->head.tokens, need = (at + count) / 8 + 1;
    bool first = !w->mask;
    if (first || need > w->mask_room) {
        int64_t room = need + need / 2;
        uint8_t *more = realloc(w->mask, (size_t)room);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for the mask of %s: %lld bytes", w->os.path, (long long)room);
        memset(more + w->mask_room, 0, (size_t)(room - w->mask_room));
        w->mask = more;
        w->mask_room = room;
    }
    if (first)
        for (int64_t i = 0; i < at; i++) w->mask[i / 8] |= (uint8_t)(1u << (i % 8));
    for (int64_t i = 0; i < count; i++)
        if (!mask || mask[i]) w->mask[(at + i) / 8] |= (uint8_t)(1u << ((at + i) % 8));
    return OK;
}

static err_t write_tokens(struct tok_writer *w, const int32_t *ids, const uint8_t *mask, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || (uint64_t)ids[i] >= w->head.vocab)
            return FAIL(ERR_FAILED, "the id %d is not in the vocabulary of %lld; %s, document %lld, token %lld; is it the right tokenizer?",
                        (int)ids[i], (long long)w->head.vocab, w->os.path, (long long)w->head.docs, (long long)i);
    TRY(keep_mask(w, mask, count));
    if (count > 0) {
        TRY(os_write(&w->os, ids, count * 4));
        (void)XXH3_64bits_update(w->sum, ids, (size_t)count * 4);
    }
    w->head.tokens += (uint64_t)count;
    return OK;
}

err_t tok_write_part(struct tok_writer *w, const int32_t *ids, int64_t count) { return write_tokens(w, ids, NULL, count); }

err_t tok_write_doc(struct tok_writer *w, const int32_t *ids, const uint8_t *mask, int64_t count) {
    if ((int64_t)w->head.docs + 2 > w->border_room) {
        uint64_t *more = realloc(w->borders, (size_t)w->border_room * 2 * sizeof *more);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for the borders of %s: %lld documents", w->os.path, (long long)w->head.docs);
        w->borders = more;
        w->border_room *= 2;
    }
    TRY(write_tokens(w, ids, mask, count));
    w->borders[++w->head.docs] = w->head.tokens;
    return OK;
}

/* The mask goes to the file as a byte a token. */
static err_t write_mask(struct tok_writer *w) {
    (void)XXH3_64bits_reset(w->sum);
    uint8_t bytes[4096];
    for (uint64_t at = 0; at < w->head.tokens;) {
        uint64_t n = w->head.tokens - at < sizeof bytes ? w->head.tokens - at : sizeof bytes;
        for (uint64_t i = 0; i < n; i++, at++) bytes[i] = (w->mask[at / 8] >> (at % 8)) & 1;
        (void)XXH3_64bits_update(w->sum, bytes, n);
        TRY(os_write(&w->os, bytes, (int64_t)n));
    }
    w->head.flags |= FLAG_MASK;
    w->head.mask_sum = XXH3_64bits_digest(w->sum);
    return OK;
}

static err_t write_rest(struct tok_writer *w) {
    const char zero[8] = {0};
    int64_t pad = ids_bytes(w->head.tokens) - (int64_t)w->head.tokens * 4, borders = ((int64_t)w->head.docs + 1) * 8;
    (void)XXH3_64bits_update(w->sum, zero, (size_t)pad);
    w->head.ids_sum = XXH3_64bits_digest(w->sum);
    TRY(os_write(&w->os, zero, pad));
    w->head.borders_sum = XXH3_64bits(w->borders, (size_t)borders);
    TRY(os_write(&w->os, w->borders, borders));
    if (w->mask) TRY(write_mask(w));
    w->head.sum = header_sum(&w->head);
    TRY(os_write_at(&w->os, &w->head, HEADER, 0));
    return os_write_commit(&w->os);
}

err_t tok_write_commit(struct tok_writer *w) {
    err_t err = write_rest(w);
    tok_write_abort(w); /* after a commit: only frees */
    return err == OK ? OK : err_frame(err, __func__);
}

/* ---- reading ---- */

struct tok_file {
    char *path;
    unsigned char *map;
    int64_t bytes;
    const struct header *head; /* these point into the map */
    const int32_t *ids;
    const uint64_t *borders;
    const uint8_t *mask; /* NULL: all count */
};

/* Every number of the header, against each other and the file's size. Whatever passes can be used without a check. */
static err_t check_header(const struct tok_file *f) {
    const struct header *h = f->head;
    if (memcmp(h->magic, TOK_MAGIC, TOK_MAGIC_BYTES) != 0)
        return FAIL(ERR_FORMAT, "%s is not a token file: it does not begin with %.8s; make one with mop tokenize", f->path, TOK_MAGIC);
    if (h->version != VERSION)
        return FAIL(ERR_FORMAT, "%s is a token file of version %u, this program reads version %d; make it again with mop tokenize", f->path,
                    (unsigned)h->version, VERSION);
    if (h->sum != header_sum(h))
        return FAIL(ERR_FORMAT, "the header of %s does not have its checksum: the file is damaged; make it again with mop tokenize", f->path);
    bool zero = true;
    for (int i = 0; i < 6; i++) zero = zero && h->zero[i] == 0;
    if (h->flags & ~(uint32_t)FLAG_MASK || !zero || (!(h->flags & FLAG_MASK) && h->mask_sum))
        return FAIL(ERR_FORMAT, "the header of %s has bits that version %d does not know (flags %#x); make it again with mop tokenize", f->path,
                    VERSION, (unsigned)h->flags);
    if (h->vocab < 1 || h->vocab > INT32_MAX)
        return FAIL(ERR_FORMAT, "%s says that its vocabulary has %llu ids, which cannot be; make it again with mop tokenize", f->path,
                    (unsigned long long)h->vocab);
    uint64_t size = (uint64_t)f->bytes; /* below 2^63: no product or sum here wraps once both counts are bounded by it */
    if (h->tokens > size / 4 || h->docs > size / 8)
        return FAIL(ERR_FORMAT, "%s says %llu tokens and %llu documents, more than its %lld bytes hold; copy it or make it again", f->path,
                    (unsigned long long)h->tokens, (unsigned long long)h->docs, (long long)f->bytes);
    uint64_t must = HEADER + (uint64_t)ids_bytes(h->tokens) + (h->docs + 1) * 8 + (h->flags & FLAG_MASK ? h->tokens : 0);
    if (size != must)
        return FAIL(ERR_FORMAT, "%s has %lld bytes where its header asks for %llu: it is %s; copy it or make it again", f->path, (long long)f->bytes,
                    (unsigned long long)must, size < must ? "truncated" : "followed by surplus bytes");
    return OK;
}

static err_t check_borders(const struct tok_file *f) {
    uint64_t docs = f->head->docs;
    if (XXH3_64bits(f->borders, (docs + 1) * 8) != f->head->borders_sum)
        return FAIL(ERR_FORMAT, "the documents' borders in %s do not have their checksum: the file is damaged; copy it or make it again", f->path);
    bool fine = f->borders[0] == 0 && f->borders[docs] == f->head->tokens;
    for (uint64_t d = 0; d < docs; d++) fine = fine && f->borders[d] <= f->borders[d + 1];
    if (!fine)
        return FAIL(ERR_FORMAT, "the documents' borders in %s do not rise from 0 to its %llu tokens; make it again with mop tokenize", f->path,
                    (unsigned long long)f->head->tokens);
    return OK;
}

static err_t check_all(const struct tok_file *f) {
    const struct header *h = f->head;
    if (XXH3_64bits(f->ids, (size_t)ids_bytes(h->tokens)) != h->ids_sum)
        return FAIL(ERR_FORMAT, "the ids in %s do not have their checksum: the file is damaged; copy it or make it again", f->path);
    if (h->tokens % 2 && f->ids[h->tokens] != 0)
        return FAIL(ERR_FORMAT, "the padding behind the ids in %s is not zero; make it again with mop tokenize", f->path);
    uint64_t d = 0;
    for (uint64_t i = 0; i < h->tokens; i++) {
        if ((uint32_t)f->ids[i] < h->vocab) continue;
        while (f->borders[d + 1] <= i) d++;
        return FAIL(ERR_FORMAT, "the id %d in document %llu of %s is not below its vocabulary of %llu; make it again with mop tokenize",
                    (int)f->ids[i], (unsigned long long)d, f->path, (unsigned long long)h->vocab);
    }
    if (!f->mask) return OK;
    bool bits = XXH3_64bits(f->mask, h->tokens) == h->mask_sum;
    for (uint64_t i = 0; i < h->tokens; i++) bits = bits && f->mask[i] <= 1;
    if (!bits) return FAIL(ERR_FORMAT, "the mask in %s does not have its checksum: the file is damaged; copy it or make it again", f->path);
    return OK;
}

static err_t map_file(struct tok_file *f) {
    int fd;
    TRY(os_open_read(f->path, &fd, &f->bytes));
    err_t err = OK;
    void *map = MAP_FAILED;
    if (f->bytes < HEADER)
        err = FAIL(ERR_FORMAT, "%s has %lld bytes, fewer than the %d of a token file's header; make it again with mop tokenize", f->path,
                   (long long)f->bytes, HEADER);
    else if ((map = mmap(NULL, (size_t)f->bytes, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        err = FAIL(ERR_IO, "cannot map %s, %lld bytes: %s", f->path, (long long)f->bytes, strerror(errno));
    else f->map = map;
    os_close(fd);
    return err;
}

static err_t read_file(struct tok_file *f, bool check_sums) {
    TRY(map_file(f));
    f->head = (const struct header *)(const void *)f->map;
    TRY(check_header(f));
    unsigned char *p = f->map + HEADER;
    f->ids = (const int32_t *)(const void *)p;
    p += ids_bytes(f->head->tokens);
    f->borders = (const uint64_t *)(const void *)p;
    p += (f->head->docs + 1) * 8;
    f->mask = f->head->flags & FLAG_MASK ? p : NULL;
    TRY(check_borders(f));
    return check_sums ? check_all(f) : OK;
}

err_t tok_open(const char *path, bool check_sums, struct tok_file **out) {
    struct tok_file *f = calloc(1, sizeof *f);
    if (f) f->path = strdup(path);
    if (!f || !f->path) {
        free(f);
        return FAIL(ERR_NOMEM, "out of memory while opening %s", path);
    }
    err_t err = read_file(f, check_sums);
    if (err != OK) {
        tok_close(f);
        return err_frame(err, __func__);
    }
    *out = f;
    return OK;
}

void tok_close(struct tok_file *f) {
    if (!f) return;
    if (f->map) (void)munmap(f->map, (size_t)f->bytes);
    free(f->path);
    free(f);
}

int64_t tok_tokens(const struct tok_file *f) { return (int64_t)f->head->tokens; }
int64_t tok_docs(const struct tok_file *f) { return (int64_t)f->head->docs; }
int64_t tok_vocab(const struct tok_file *f) { return (int64_t)f->head->vocab; }
uint64_t tok_fingerprint(const struct tok_file *f) { return f->head->fingerprint; }
uint64_t tok_identity(const struct tok_file *f) { return f->head->sum; }
const char *tok_path(const struct tok_file *f) { return f->path; }

const int32_t *tok_doc(const struct tok_file *f, int64_t doc, int64_t *count) {
    *count = (int64_t)(f->borders[doc + 1] - f->borders[doc]);
    return f->ids + f->borders[doc];
}

const uint8_t *tok_mask(const struct tok_file *f, int64_t doc) { return f->mask ? f->mask + f->borders[doc] : NULL; }
