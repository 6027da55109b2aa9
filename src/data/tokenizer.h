/* BPE from a Hugging Face tokenizer.json, byte-level or SentencePiece's kind: text to ids and back, identical to Hugging Face's
 * `tokenizers`; tokenizer_train.h makes such a file. What a file asks for and we do not have is refused by name (ERR_FORMAT, path and
 * field). docs/formats/tokenizer.md. Local; a tokenizer may be used by many threads at once, each with its own tok_scratch. */
#ifndef MOP_DATA_TOKENIZER_H
#define MOP_DATA_TOKENIZER_H

#include "base/err.h"

struct tokenizer;
struct tok_scratch; /* regex state, buffers, cache of words; one per thread */

struct tok_ids {
    int32_t *ids;
    int64_t count, room;
}; /* grows; free(ids) */

MUST err_t tokenizer_open(const char *path, struct tokenizer **out);
/* For work that can go on without one: where the file's format is the trouble and it is not `needed`, a warning, and *out is NULL. */
MUST err_t tokenizer_try(const char *path, bool needed, struct tokenizer **out);
void tokenizer_close(struct tokenizer *t);
MUST err_t tok_scratch_new(const struct tokenizer *t, struct tok_scratch **out);
void tok_scratch_free(struct tok_scratch *s);

/* Append the ids of `bytes` bytes of UTF-8 (NUL bytes allowed), without added specials (post-processor not
 * applied); added tokens inside the text are recognised. ERR_FORMAT with the byte's position for invalid UTF-8. */
MUST err_t tokenizer_encode(const struct tokenizer *t, struct tok_scratch *s, const char *text, int64_t bytes, struct tok_ids *out);

/* Text of ids, specials kept, invalid UTF-8 replaced as Hugging Face does (U+FFFD, Rust's from_utf8_lossy).
 * Owned by the caller: free. An id that is not in the vocabulary is ERR_FAILED. */
MUST err_t tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t count, char **text, int64_t *bytes);

/* The bytes that one id stands for inside a text; borrowed. */
MUST err_t tokenizer_bytes(const struct tokenizer *t, int32_t id, const char **text, int64_t *bytes);

/* The text of ids as they come: after tok_stream_end it is that of tokenizer_decode, but for invalid UTF-8 that a byte-level tokenizer
 * gives, which stays. An id that the tokenizer lacks has no text. */
struct tok_stream;
MUST err_t tok_stream_new(const struct tokenizer *t, struct tok_stream **out);
void tok_stream_free(struct tok_stream *x);
MUST err_t tok_stream_push(struct tok_stream *x, int32_t id);
MUST err_t tok_stream_end(struct tok_stream *x); /* nothing follows; tokens that waited for others get their text */
/* All text so far, borrowed until the next push. No later id changes its first `sure` bytes. */
const char *tok_stream_text(const struct tok_stream *x, int64_t *bytes, int64_t *sure);

/* The special tokens that the post-processor puts before and behind a text. */
const int32_t *tokenizer_before(const struct tokenizer *t, int64_t *count);
const int32_t *tokenizer_after(const struct tokenizer *t, int64_t *count);

int64_t tokenizer_vocab(const struct tokenizer *t);                 /* largest id + 1, added tokens included */
int32_t tokenizer_id(const struct tokenizer *t, const char *token); /* of an added or vocabulary token as written in the file; -1 */
/* End-of-document id, from the files beside the tokenizer's as transformers finds it, else the usual names; -1: none. */
int32_t tokenizer_eos(const struct tokenizer *t);

/* True XXH3-64 of the file's text: a token file remembers which tokenizer made it. */
uint64_t tokenizer_fingerprint(const struct tokenizer *t);

#endif
