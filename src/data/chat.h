/* WHAT    A model folder's chat template: chat_template.jinja, or the key chat_template of tokenizer_config.json, a text or a list of named ones, as
 *         transformers looks for them; and the special tokens that a template sees. docs/formats/chat.md.
 * Local. */
#ifndef MOP_DATA_CHAT_H
#define MOP_DATA_CHAT_H

#include "data/jinja.h"

struct chat;
/* path: a template's file, a tokenizer_config.json, or a folder. A template that is refused is found here and refused by chat_template. ERR_FORMAT: there
 * is none. New: chat_close. */
MUST err_t chat_open(const char *path, struct chat **out);
void chat_close(struct chat *c);
/* Of the named ones, that for conversations with tools or that without; borrowed. ERR_FORMAT with file, line and word where it is refused. */
MUST err_t chat_template(const struct chat *c, bool tools, const struct jinja **out);
const struct json_t *chat_special_tokens(const struct chat *c); /* an object of bos_token, eos_token and the like; borrowed */

#endif
