/* Byte-level BPE from a Hugging Face tokenizer.json: text to ids and back, identical to Hugging Face's
 * `tokenizers`; and the trainer that makes such a file. What a file asks for and we do not have is
 * refused by name (ERR_FORMAT, path and field). docs/formats/tokenizer.md. Local; a tokenizer may be used
 * by many threads at once, each with its own tok_scratch. */
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

/* Raw bytes of one id (for streaming text as it is generated); borrowed. */
MUST err_t tokenizer_bytes(const struct tokenizer *t, int32_t id, const char **text, int64_t *bytes);

int64_t tokenizer_vocab(const struct tokenizer *t);                 /* largest id + 1, added tokens included */
int32_t tokenizer_id(const struct tokenizer *t, const char *token); /* of an added or vocabulary token as written in the file; -1 */
/* End-of-document id: eos_token of a tokenizer_config.json beside the file, else <|endoftext|>, </s>, <|im_end|> or <|end_of_text|>, the first there is; -1. */
int32_t tokenizer_eos(const struct tokenizer *t);

/* True XXH3-64 of the file's text: a token file remembers which tokenizer made it. */
uint64_t tokenizer_fingerprint(const struct tokenizer *t);

#endif
