/* Reading config.json: one JSON object and what of it nobody has read yet. Private to the room. */
#ifndef MOP_MODEL_CONFIG_INT_H
#define MOP_MODEL_CONFIG_INT_H

#include "model/family.h"

#include <jansson.h>

struct config {
    const char *path;   /* of the file, for messages */
    const char *prefix; /* "" or "rope_scaling.": stands before key names in messages */
    const json_t *object;
    json_t *rest; /* a shallow copy, from which every read takes its key away */
};

/* New: config_close. */
MUST err_t config_open(const char *path, const char *prefix, const json_t *object, struct config *out);
void config_close(struct config *c);

/* A value as JSON text in `buf`, cut to fit: safe to print whatever the file holds. Returns buf. */
enum { CONFIG_SHOWN = 80 };
const char *config_show(const json_t *value, char buf[CONFIG_SHOWN]);

/* The value under `key`, or NULL; the key counts as read. */
const json_t *config_take(struct config *c, const char *key);

/* Each leaves *value, the default, where the key is absent. A count that is absent with default 0 is an
 * error; so are null, a fraction and a wrong type, always. */
MUST err_t config_count(struct config *c, const char *key, int64_t max, int64_t *value);
MUST err_t config_int(struct config *c, const char *key, int max, int *value);
/* The same from 0 on; absent or null leaves *value. */
MUST err_t config_whole(struct config *c, const char *key, int max, int *value);
MUST err_t config_real(struct config *c, const char *key, double lo, double hi, double *value);
MUST err_t config_flag(struct config *c, const char *key, bool *value);
MUST err_t config_text(struct config *c, const char *key, const char **value); /* borrowed from the object */
bool config_null(const struct config *c, const char *key);                     /* there and null; not a read */

enum { CONFIG_COUNT_MAX = 0x7fffffff };

/* What is left over: keys that ask for what we do not have are refused; then the known harmless ones go,
 * and a warning names those that remain and are not used. */
MUST err_t config_check_rest(struct config *c, const struct family *f);
void config_warn_rest(const struct config *c);

/* JSON text with the shortest digits that read back as the same numbers; NULL: no memory. Owned by the caller: free. */
char *config_text_of(const json_t *root, size_t flags);

/* Heads, latents, linear attention, windows, biases: hidden and layers are there already. Experts, and which layers are MoE. */
MUST err_t config_attention(struct config *c, const struct family *f, struct spec *s);
MUST err_t config_experts(struct config *c, const struct family *f, struct spec *s);

/* rope_theta, rope_scaling or rope_parameters into s->rope; max_positions and head_dim are there already. */
MUST err_t config_rope(struct config *c, const struct family *f, struct spec *s);

#endif
