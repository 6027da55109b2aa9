/* The data room's own: what its files share. */
#ifndef MOP_DATA_DATA_INT_H
#define MOP_DATA_DATA_INT_H

#include "data/data.h"

/* ---- files as they come ---- */

/* Lists of paths (data.train, in=). paths_free. */
struct paths {
    char **list;
    int64_t count, room;
};
void paths_free(struct paths *p);
MUST err_t paths_add(struct paths *p, const char *path);
/* The files and folders that a comma-separated list names (opt_split), patterns replaced by what they match, sorted by byte. A list that
 * is itself the name of a file is that file. A pattern without a match is an error; a name that is not there is kept. New: paths_free. */
MUST err_t paths_expand(const char *text, struct paths *out);
/* Every file in a folder and the folders in it, sorted by name (bytes), hidden ones left out. depth: 0. */
MUST err_t paths_walk(const char *dir, int depth, err_t (*file)(void *ctx, const char *path), void *ctx);

/* By its name, letters of either size alike, .gz and .zst behind it left out. */
enum file_kind { FILE_UNKNOWN, FILE_TEXT, FILE_JSONL, FILE_JSON, FILE_TOKENS, FILE_REFUSED };
enum file_kind file_kind(const char *path);
const char *file_name(const char *path);    /* for messages: the path, or "standard input" for "-" */
const char *file_packing(const char *path); /* "gzip", "Zstandard", or NULL where the name says neither */
/* ERR_FORMAT that calls the format by its name, if this one is not read: by the file's name; by its first bytes, which also say whether it is
 * JSON lines or text. */
MUST err_t file_check_name(const char *path);
MUST err_t file_check_text(const char *path, enum file_kind kind, const char *text, int64_t bytes, bool *lines);

/* A file's bytes in order, unpacked; "-" is standard input. path is borrowed. */
enum { STREAM_PEEK = 1 << 16 };
struct stream;
MUST err_t stream_open(const char *path, struct stream **out);
void stream_close(struct stream *s);
/* The first bytes, STREAM_PEEK of them unless there are fewer; they are still to be read. Borrowed until the first read. */
MUST err_t stream_peek(struct stream *s, const char **text, int64_t *bytes);
MUST err_t stream_read(struct stream *s, char *to, int64_t room, int64_t *got); /* *got 0: the end */
MUST err_t stream_skip(struct stream *s); /* to the end, as it lies: nothing can be read behind it but what was read */
bool stream_packed(const struct stream *s);
int64_t stream_bytes_read(const struct stream *s); /* of the file, as it lies */
uint64_t stream_sum(const struct stream *s);       /* XXH3-64 of these */

/* The documents of a text file. Longer ones come in parts of TEXT_PART bytes and more, if there is a place to cut: *more, the document goes
 * on in the next. in, path and how are borrowed. */
enum { TEXT_PART = 1 << 18, TEXT_MARK_MAX = 1024 };
struct text;
MUST err_t text_end_check(const char *document_end); /* ERR_USAGE where it is none of the words of corpus_how */
MUST err_t text_open(struct stream *in, const char *path, const struct corpus_how *how, struct text **out);
void text_close(struct text *t);
MUST err_t text_next(struct text *t, struct corpus_span *span, bool *more, bool *got);
const char *text_where(const struct text *t);

/* JSON lines of a stream, which stays the caller's. */
MUST err_t jsonl_of_stream(struct stream *in, const char *path, int invalid_utf8, struct jsonl **out);

/* ---- token files ---- */

#define TOK_MAGIC "MOPTOKEN" /* its first bytes */
enum { TOK_MAGIC_BYTES = sizeof TOK_MAGIC - 1 };
/* 64 bits that differ if any byte of the file does (the header's checksum, which covers the others). */
uint64_t tok_identity(const struct tok_file *f);

/* Where a sequence begins, and how many of its tokens have a target. */
struct row {
    int64_t doc, offset, targets;
}; /* document numbers run on over the files of a list */

/* A split laid into sequences. */
struct pack {
    struct tok_file **files;
    int64_t *first_doc; /* [file_count + 1]: number of each file's first document */
    int64_t file_count, seq, vocab;
    bool across, samples; /* documents are one stream; whole samples with masks */
    int side;             /* PACK_* */
    double fraction;
    uint64_t seed;
    struct row *rows;
    int64_t row_count, row_room, tokens, targets;
};
enum { PACK_ALL, PACK_KEPT, PACK_HELD_OUT }; /* all documents, those not held out, those held out */

/* files, first_doc and the options are set: find the rows. long_samples: DATA_LONG_*. */
MUST err_t pack_index(struct pack *p, int long_samples);
/* Write the sequence at rows[row] as one row of a batch (pointers to its first element). */
MUST err_t pack_fill(const struct pack *p, int64_t row, const struct batch *to);
void pack_pad(int64_t seq, const struct batch *to); /* a row that is all padding */

#endif
