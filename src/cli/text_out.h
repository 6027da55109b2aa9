/* Text as it is generated: a character that is split over tokens comes out whole, invalid UTF-8 as U+FFFD, and nothing
 * comes out that may turn out to begin a stop string. Private to cli. Local. */
#ifndef MOP_CLI_TEXT_OUT_H
#define MOP_CLI_TEXT_OUT_H

#include "data/tokenizer.h"

struct text_out {
    const struct tokenizer *tokenizer;
    bool print; /* or only look for stop strings */
    char **stop;
    int64_t stops;
    char *text; /* all that came */
    int64_t bytes, room;
    int64_t searched; /* where a stop string may begin: what lies before is the prompt, or held none */
    int64_t printed;
};

/* stops: comma-separated strings (opt_split), or NULL. New: text_out_close, also after an error. */
MUST err_t text_out_open(struct text_out *s, const struct tokenizer *t, bool print, const char *stops);
void text_out_close(struct text_out *s);

/* The text of the prompt, in which stop strings mean nothing. */
MUST err_t text_out_prompt(struct text_out *s, const int32_t *ids, int64_t count);
/* One more token; *stopped where a stop string is complete: the text ends before it. An id that the tokenizer lacks has no text. */
MUST err_t text_out_token(struct text_out *s, int32_t id, bool *stopped);
/* Everything that was held back. */
void text_out_flush(struct text_out *s);
/* How many of these ids, those of the whole text, lie whole before its end. */
int64_t text_out_whole(const struct text_out *s, const int32_t *ids, int64_t count);

#endif
