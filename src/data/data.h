/* WHAT    From token files to batches. A token file (docs/formats/tokens.md) is a checksummed list of 32-bit ids with
 *         documents' borders (and, for fine-tuning, which tokens count in the loss). A packing lays documents into
 *         sequences of S tokens; the loader's batch is a pure function of (seed, step), so that a resumed run, and any
 *         number of ranks, sees the same.
 * INVARIANTS
 *         I1 batch(step) depends on the files, the options and the seed only.
 *         I2 every sequence of an epoch comes once per epoch; each epoch has an order of its own.
 *         I3 targets are shifted before anything is cut: a sequence's last target is the next token of its document
 *            wherever that document goes on in the file; the last token of a document has no target (-100). With
 *            pack=across the documents of a split are one stream, and only the stream's last token has none.
 *         I4 every sequence has at least one target: a stretch of S tokens without any is left out.
 * PACKING Documents in file order are laid end to end and cut every S tokens; the last sequence is padded. A document
 *         that is cut goes on in the next sequence as if it began there (position 0, nothing before it to attend to).
 *         Fine-tuning files (with a mask) are packed by whole samples, in order, each sequence as full as the next
 *         sample allows, padded at its end; pack=across and a mix with plain files are refused.
 * Local. */
#ifndef MOP_DATA_DATA_H
#define MOP_DATA_DATA_H

#include "base/err.h"
#include "base/opt.h"

enum { DATA_NO_TARGET = -100 };

/* ---- token files ---- */
struct tok_writer;
struct tok_file; /* mapped read-only */

/* `vocab`: ids must be below it. fingerprint: the tokenizer's, 0 if unknown. Written under a temporary name; in memory
 * are 8 bytes a document and, where there are masks, a bit a token. */
MUST err_t tok_write_open(const char *path, int64_t vocab, uint64_t fingerprint, struct tok_writer **out);
/* The next tokens of a document without a mask that goes on with the next call. */
MUST err_t tok_write_part(struct tok_writer *w, const int32_t *ids, int64_t count);
/* One document, or the rest of one; mask (count bytes, 1: this token is a target that counts) or NULL: all count. */
MUST err_t tok_write_doc(struct tok_writer *w, const int32_t *ids, const uint8_t *mask, int64_t count);
MUST err_t tok_write_commit(struct tok_writer *w); /* frees w, also on error */
void tok_write_abort(struct tok_writer *w);

/* Opening checks header, sizes and borders; check_sums also reads all of it against the checksums and every id against
 * the vocabulary. */
MUST err_t tok_open(const char *path, bool check_sums, struct tok_file **out);
void tok_close(struct tok_file *f);
int64_t tok_tokens(const struct tok_file *f);
int64_t tok_docs(const struct tok_file *f);
int64_t tok_vocab(const struct tok_file *f);
uint64_t tok_fingerprint(const struct tok_file *f); /* of the tokenizer that made it; 0: not known */
const char *tok_path(const struct tok_file *f);
const int32_t *tok_doc(const struct tok_file *f, int64_t doc, int64_t *count); /* borrowed */
const uint8_t *tok_mask(const struct tok_file *f, int64_t doc);                /* borrowed; NULL: all count */

/* XXH3-64 of a tokenizer.json, or of the one in a folder: tok_fingerprint of the files that it makes. */
MUST err_t tok_tokenizer_sum(const char *path, uint64_t *sum);

/* What a list names (data.train): names, patterns, folders; comma-separated, "\\," a comma of a name. A list of tokens and text is ERR_USAGE. */
enum data_kind { DATA_TOKENS, DATA_JSONL, DATA_TEXT, DATA_KINDS }; /* DATA_JSONL: JSON lines by their names, or by names that say nothing */
MUST err_t data_kind(const char *paths, enum data_kind *kind);
/* The files of a list: token files, or text and JSON lines; of a folder those of its files that are that, sorted. Owned by the caller:
 * os_free_list. At least one, or ERR_FORMAT. */
MUST err_t data_list(const char *paths, enum data_kind kind, char ***files, int64_t *count);

/* ---- packing and batches ---- */
enum { DATA_PACK_DOCUMENT, DATA_PACK_ACROSS }; /* attention and positions confined to each document, or running across them */
enum { DATA_LONG_ERROR, DATA_LONG_TRUNCATE };
/* How text is read. */
enum { CORPUS_UTF8_STRICT, CORPUS_UTF8_REPLACE };
enum { CORPUS_AUTO, CORPUS_TEXT, CORPUS_JSONL };
struct text_opts {
    int invalid_utf8;         /* CORPUS_UTF8_* */
    int format;               /* CORPUS_AUTO: by names and first bytes */
    const char *document_end; /* "token", "file", "line", "blank", "line:TEXT" */
};
/* Its rows in the tables of those who read text; `field` is where it stands in their struct `owner`. */
#define TEXT_OPT_ROWS(owner, field)                                                                                                          \
    {.key = "data.invalid_utf8",                                                                                                             \
     .type = OPT_CHOICE,                                                                                                                     \
     .offset = offsetof(owner, field.invalid_utf8),                                                                                          \
     .def = "error",                                                                                                                         \
     .choices = "error|replace",                                                                                                             \
     .resume = OPT_FREE,                                                                                                                     \
     .help = "invalid UTF-8 in text is an error, or U+FFFD takes its place"},                                                                \
        {.key = "data.format",                                                                                                               \
         .type = OPT_CHOICE,                                                                                                                 \
         .offset = offsetof(owner, field.format),                                                                                            \
         .def = "auto",                                                                                                                      \
         .choices = "auto|text|jsonl",                                                                                                       \
         .resume = OPT_FREE,                                                                                                                 \
         .help = "what files of text are: by their names and first bytes, or as said"},                                                      \
    {                                                                                                                                        \
        .key = "data.document_end", .type = OPT_TEXT, .offset = offsetof(owner, field.document_end), .def = "token", .resume = OPT_FREE,     \
        .help = "where a document of a text file ends: token (the end-of-document token, written out), file, line (each is one), blank (an " \
                "empty line), or line:TEXT (a line that is TEXT)"                                                                            \
    }

enum { DATA_TOKENIZER_SAME, DATA_TOKENIZER_ANY };
struct data_opts {
    const char *train, *valid; /* data_kind; to loader_open of token files only */
    int64_t seq;               /* S */
    int pack;
    double valid_fraction; /* without data.valid: the share of documents held out, by a hash of the document's number and the seed */
    int long_samples;      /* DATA_LONG_*: what to do with a fine-tuning sample of more than S tokens */
    bool verify;           /* loader_open reads the files against their checksums first */
    struct text_opts text; /* of train and valid where they are text */
    int tokenizer;         /* DATA_TOKENIZER_*: are files of another tokenizer than the model's taken? (train/tokens.c) */
};
extern const struct opt data_opt_list[];

struct batch {          /* rows x S, row-major; memory is the caller's, laid out in its arena */
    int32_t *ids;       /* token ids; padding holds 0 */
    int32_t *targets;   /* next token, or DATA_NO_TARGET */
    int32_t *positions; /* restart with each document (pack=document), or 0..S-1 */
    int32_t *doc_start; /* index inside the ROW of the first token that this one may attend to; -1: padding */
};

enum data_split { DATA_TRAIN, DATA_VALID };
struct loader; /* a split of a set of token files, packed into sequences */
/* vocab: the model's; an id that is not below it is ERR_FORMAT with file and document. Reads what it needs to index (24
 * bytes a sequence are kept), holds no copy of the tokens. A split without a target is an error. New: loader_close. */
MUST err_t loader_open(const struct data_opts *o, enum data_split split, int64_t vocab, uint64_t seed, struct loader **out);
void loader_close(struct loader *l);
int64_t loader_sequences(const struct loader *l); /* in one epoch */
int64_t loader_targets(const struct loader *l);   /* in one epoch */
int64_t loader_tokens(const struct loader *l);
int64_t loader_files(const struct loader *l);
const struct tok_file *loader_file(const struct loader *l, int64_t i); /* borrowed */
/* Sequences [first, first+rows) of the training step `step` (from 0) whose batch has `batch` sequences: any rank or
 * micro-batch asks for its part. No allocation. */
MUST err_t loader_batch(const struct loader *l, int64_t step, int64_t batch, int64_t first, int64_t rows, const struct batch *out);
/* Number of targets in the whole batch of a step, over all ranks and micro-batches. */
MUST err_t loader_step_targets(const struct loader *l, int64_t step, int64_t batch, int64_t *targets);
/* Sequences [first, first+rows) of the split in file order (validation, evaluation); rows beyond the end are padding. */
MUST err_t loader_rows(const struct loader *l, int64_t first, int64_t rows, const struct batch *out);
/* Identity of data and packing: a resumed run must have the same. */
uint64_t loader_fingerprint(const struct loader *l);
/* Entropy in nats of the unigram distribution of the split's targets: the loss of knowing only frequencies. */
MUST err_t loader_unigram_entropy(const struct loader *l, double *nats);

/* ---- text in ---- */
/* A stream of documents out of text files (docs/formats/tokens.md), JSON lines with {"text"} or {"prompt", "completion"} a line, and folders
 * of these: recursive, sorted by name, saying what was passed over. Packed by gzip or Zstandard or not, from files, pipes or standard
 * input ("-"). What cannot be read is refused by name. Memory is that of the longest JSON line, or of some MiB of text where its lines end. */
struct corpus;
struct corpus_span { /* a run of UTF-8 text */
    const char *text;
    int64_t bytes;
    bool counts; /* its tokens are targets of the loss */
};
struct corpus_doc {
    const struct corpus_span *spans;
    int64_t count;
    bool masked; /* a fine-tuning sample: counts says what the loss counts. Otherwise all spans count */
    bool more;   /* a long plain document's part of one span: it goes on in the next */
};
struct corpus_how { /* borrowed */
    struct text_opts text;
    const char *end_token; /* text of the token that ends a document; NULL: none */
};
extern const struct corpus_how corpus_defaults;                                               /* of the options, without a token */
MUST err_t corpus_open(const char *paths, const struct corpus_how *how, struct corpus **out); /* data_kind */
void corpus_close(struct corpus *c);
/* The next document, borrowed until the next call; *got false at the end. Invalid UTF-8: ERR_FORMAT with file and byte. {"messages"}: refused by name. */
MUST err_t corpus_next(struct corpus *c, struct corpus_doc *doc, bool *got);
struct corpus_file {
    const char *path;
    int64_t bytes, changed_ns; /* when it was opened; bytes -1: a pipe */
    uint64_t sum;              /* XXH3-64 of its bytes, once they have been read */
};
int64_t corpus_files(const struct corpus *c, const struct corpus_file **list); /* in their order; borrowed */
MUST err_t corpus_file_sum(const char *path, uint64_t *sum);
int64_t corpus_bytes_read(const struct corpus *c);
int64_t corpus_bytes_total(const struct corpus *c); /* 0: not known */
const char *corpus_where(const struct corpus *c);   /* "FILE:LINE" or "FILE" of the document just given */

/* One JSON object per line, streamed from a file as corpus_open takes them: memory is that of the longest line. Empty lines are passed over. Errors are
 * ERR_FORMAT with FILE:LINE. */
struct jsonl;
struct json_t; /* jansson's */
MUST err_t jsonl_open(const char *path, int invalid_utf8, struct jsonl **out);
void jsonl_close(struct jsonl *j);
MUST err_t jsonl_next(struct jsonl *j, const struct json_t **record, bool *got); /* borrowed until the next call; *got false at the end */
const char *jsonl_where(const struct jsonl *j);                                  /* "FILE:LINE" of that record */
/* The value under a key of a record; NULL where it is absent or null, which are the same. */
const struct json_t *jsonl_column(const struct json_t *record, const char *key);
/* The text under it, borrowed; ERR_FORMAT names the key where there is none. */
MUST err_t jsonl_string(const struct json_t *record, const char *key, const char *where, const char **text, int64_t *bytes);

#endif
