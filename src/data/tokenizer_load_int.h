/* What reads a tokenizer.json, in two files: the model and the added tokens (tokenizer_json.c), and the lists of steps around them
 * (tokenizer_steps.c). Everything in the file is either understood or refused with file and field named. */
#ifndef MOP_DATA_TOKENIZER_LOAD_INT_H
#define MOP_DATA_TOKENIZER_LOAD_INT_H

#include "base/json.h"
#include "data/tokenizer_int.h"

struct load {
    struct tokenizer *t;
    const char *path;
};

/* The value stands in the macro so that an analyser of one file alone sees that it is an error. */
#define BAD(l, field, ...) (load_bad((l), (field), __VA_ARGS__), ERR_FORMAT)
void load_bad(const struct load *l, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);

const char *kind_of(const json_t *j); /* "a string", "missing" */
/* Every key of the object is among `keys` (space-separated) or null. */
MUST err_t only(const struct load *l, const char *field, const json_t *object, const char *keys);
/* missing: what an absent key means; -1: it must be there. */
MUST err_t get_bool(const struct load *l, const char *field, const json_t *object, const char *key, int missing, bool *out);
MUST err_t get_type(const struct load *l, const char *field, const json_t *object, const char **out);
MUST err_t get_id(const struct load *l, const char *field, const char *token, const json_t *j, int32_t *out);

/* The file's parts around the model, each NULL or null where there is none. pre_tokenizer decides whether words are bytes. */
MUST err_t load_normalizer(struct load *l, const json_t *normalizer);
MUST err_t load_pre_tokenizer(struct load *l, const json_t *pre_tokenizer);
MUST err_t load_post_processor(struct load *l, const json_t *post_processor);
MUST err_t load_decoder(struct load *l, const json_t *decoder);

#endif
