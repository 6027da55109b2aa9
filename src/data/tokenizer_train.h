/* Makes a byte-level BPE tokenizer.json from text. The file holds 256 tokens for the bytes, the merges' tokens in the order
 * they were found, and the special tokens as added tokens behind them; Hugging Face's `tokenizers` reads it and gives the
 * same ids. The result is a function of the texts and the arguments: of pairs with the same count the one with the lower
 * ids is merged first, as in Hugging Face's own trainer. A pair seen once is not merged. Local. */
#ifndef MOP_DATA_TOKENIZER_TRAIN_H
#define MOP_DATA_TOKENIZER_TRAIN_H

#include "base/err.h"

enum tok_pattern { TOK_PATTERN_GPT2, TOK_PATTERN_QWEN, TOK_PATTERN_LLAMA3 }; /* how text is cut into words; Qwen's has NFC too */

struct tokenizer_train_args {
    /* The next text (UTF-8), borrowed until the next call; *got false at the end. */
    err_t (*next)(void *ctx, const char **text, int64_t *bytes, bool *got);
    void *ctx;
    int64_t text_bytes;          /* of all texts, for the progress line; 0: not known */
    int64_t vocab;               /* tokens, special ones included; fewer come out where the text has too few pairs (logged) */
    const char *const *specials; /* their contents; none repeats, none is a token by itself */
    int64_t special_count;
    enum tok_pattern pattern;
    const char *path; /* of the tokenizer.json; written whole or not at all */
};

MUST err_t tokenizer_train(const struct tokenizer_train_args *a);

#endif
