/* WHAT    Chat templates: what Hugging Face transformers' apply_chat_template makes of a conversation, by the part of Jinja 2 (3.1.6) and of Python
 *         that such templates use, set up as transformers does it: trim_blocks, lstrip_blocks, break and continue, {% generation %}, tojson as
 *         json.dumps, raise_exception, strftime_now, nothing that changes a list or a dict. docs/formats/chat.md.
 * INVARIANTS
 *         I1 What is not known is refused with the template's name, line and word; nothing is guessed. Where Python raises, there is an error.
 *         I2 A template reads what it is given and the clock, and writes its text: no files, no network, no environment.
 *         I3 Work and memory of a rendering are bounded (JINJA_STEPS, JINJA_BYTES, JINJA_DEPTH); beyond that it is an error.
 *         I4 A compiled template does not change: many threads may render it at once.
 * Local. Errors are ERR_FORMAT, or ERR_NOMEM where the machine has no memory. */
#ifndef MOP_DATA_JINJA_H
#define MOP_DATA_JINJA_H

#include "base/err.h"

enum { JINJA_STEPS = 20000000, JINJA_BYTES = 512 << 20, JINJA_DEPTH = 1500, JINJA_SOURCE = 4 << 20 };

struct json_t; /* jansson's */
struct jinja;

/* `name` stands before every message. New: jinja_free. */
MUST err_t jinja_compile(const char *name, const char *text, int64_t bytes, struct jinja **out);
void jinja_free(struct jinja *t);
bool jinja_marks(const struct jinja *t); /* it has {% generation %} */

/* A conversation as apply_chat_template takes it. Before the template sees it, keys of a message whose value is null are dropped, and the first of
 * reasoning_content, thinking, reasoning is put under reasoning_content and, unless it is there, under thinking. */
struct jinja_chat {
    const struct json_t *messages;          /* a list of objects, not empty */
    const struct json_t *tools, *documents; /* lists of objects; NULL or null: none */
    const struct json_t *special, *vars;    /* objects, or NULL: the tokenizer's special tokens, and other variables, which go before them */
    bool add_generation_prompt;
    const char *now; /* "2026-03-09T14:05:07", what strftime_now takes for the present; NULL: the clock, local time */
};

struct jinja_span {
    int64_t begin, end;             /* bytes of the text */
    int64_t begin_chars, end_chars; /* the same in code points */
};
struct jinja_text {
    char *text; /* UTF-8, a NUL behind it */
    int64_t bytes;
    struct jinja_span *spans; /* what stands between generation tags, in the order of their ends, where transformers takes it to be */
    int64_t span_count;
    bool spans_exact; /* false: a tag inside a macro, a block that is set or a filter: transformers then counts from a wrong place */
};
/* New: jinja_text_free, also after an error. */
MUST err_t jinja_render(const struct jinja *t, const struct jinja_chat *chat, struct jinja_text *out);
void jinja_text_free(struct jinja_text *x);

#endif
