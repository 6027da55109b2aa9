#include "cli/text_out.h"

#include "base/num.h"
#include "base/opt.h"
#include "base/os.h"
#include "data/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

err_t text_out_open(struct text_out *s, const struct tokenizer *t, bool print, const char *stops) {
    *s = (struct text_out){.print = print, .cut = -1};
    TRY(tok_stream_new(t, &s->stream));
    if (!stops) return OK;
    TRY(opt_split(stops, &s->stop, &s->stops));
    for (int64_t i = 0; i < s->stops; i++)
        if (!*s->stop[i]) return FAIL(ERR_USAGE, "stop=%.80s has an empty string; separate strings by single commas, or write stop=none", stops);
    return OK;
}

void text_out_close(struct text_out *s) {
    os_free_list(s->stop, s->stops);
    tok_stream_free(s->stream);
    free(s->ends);
    *s = (struct text_out){0};
}

static err_t append(struct text_out *s, int32_t id) {
    if (s->tokens == s->room) {
        const int64_t room = 2 * s->room + 1024;
        int64_t *more = realloc(s->ends, sizeof *more * (size_t)room);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for the text of %lld tokens; make fewer", (long long)room);
        s->ends = more;
        s->room = room;
    }
    TRY(tok_stream_push(s->stream, id));
    s->text = tok_stream_text(s->stream, &s->bytes, &s->sure);
    s->ends[s->tokens++] = s->bytes;
    return OK;
}

/* The end of the last whole character in front of `end`: what follows may be the begin of one. */
static int64_t whole_characters(const struct text_out *s, int64_t end) {
    for (int64_t back = 1; back <= 3 && back <= end - s->printed; back++) {
        const unsigned char c = (unsigned char)s->text[end - back];
        if ((c & 0xC0) == 0x80) continue;
        const int64_t wanted = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
        return wanted > back ? end - back : end;
    }
    return end;
}

static void print_to(struct text_out *s, int64_t end) {
    while (s->print && s->printed < end) {
        const char *from = s->text + s->printed;
        int64_t n = utf8_valid(from, end - s->printed);
        if (n > 0) {
            (void)fwrite(from, 1, (size_t)n, stdout);
        } else {
            (void)fputs("\xEF\xBF\xBD", stdout);
            n = -utf8_step(from, end - s->printed);
        }
        s->printed += n;
    }
    s->printed = i64_max(s->printed, end);
    if (s->print) (void)fflush(stdout);
}

err_t text_out_flush(struct text_out *s) {
    TRY(tok_stream_end(s->stream));
    s->text = tok_stream_text(s->stream, &s->bytes, &s->sure);
    print_to(s, s->cut < 0 ? s->bytes : s->cut);
    return OK;
}

err_t text_out_prompt(struct text_out *s, const int32_t *ids, int64_t count) {
    for (int64_t i = 0; i < count; i++) TRY(append(s, ids[i]));
    s->searched = s->bytes;
    print_to(s, whole_characters(s, s->sure));
    return OK;
}

/* The first place from `searched` on where a stop string stands; or, `cut`, where one may stand that goes on behind the text. The end if
 * there is none. */
static int64_t find_stop(const struct text_out *s, bool cut) {
    for (int64_t at = s->searched; at < s->bytes; at++)
        for (int64_t i = 0; i < s->stops; i++) {
            const int64_t n = (int64_t)strlen(s->stop[i]), left = s->bytes - at;
            if (cut ? n > left && memcmp(s->text + at, s->stop[i], (size_t)left) == 0 : n <= left && memcmp(s->text + at, s->stop[i], (size_t)n) == 0)
                return at;
        }
    return s->bytes;
}

err_t text_out_token(struct text_out *s, int32_t id, bool *stopped) {
    TRY(append(s, id));
    const int64_t end = find_stop(s, false);
    *stopped = end < s->bytes;
    if (*stopped) s->cut = end;
    s->searched = *stopped ? end : find_stop(s, true);
    print_to(s, whole_characters(s, i64_min(s->searched, s->sure)));
    return OK;
}

int64_t text_out_whole(const struct text_out *s) {
    int64_t whole = 0;
    while (whole < s->tokens && (s->cut < 0 || s->ends[whole] <= s->cut)) whole++;
    return whole;
}
