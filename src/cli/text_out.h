/* Text as it is generated: a character that is split over tokens comes out whole, invalid UTF-8 as U+FFFD, and nothing
 * comes out that may turn out to begin a stop string. Private to cli. Local. */
#ifndef MOP_CLI_TEXT_OUT_H
#define MOP_CLI_TEXT_OUT_H

#include "data/tokenizer.h"

struct text_out {
    struct tok_stream *stream;
    bool print; /* or only look for stop strings */
    char **stop;
    int64_t stops;
    const char *text;    /* all that came, the stream's */
    int64_t bytes, sure; /* of it, and so many do not change any more */
    int64_t cut;         /* where a stop string ended it; -1: nowhere */
    int64_t *ends;       /* [tokens] how much text there was behind each */
    int64_t tokens, room;
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
/* Nothing follows: everything that was held back. */
MUST err_t text_out_flush(struct text_out *s);
/* How many of the ids, those of the prompt included, lie whole before the text's end. */
int64_t text_out_whole(const struct text_out *s);

#endif
