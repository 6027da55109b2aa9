/* The functions that every template has. */
#include "data/jinja_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RANGE_MAX = 100000 }; /* as Jinja's sandbox has it */

static const char *const NAMES[] = {NULL,
                                    [JG_RANGE] = "range",
                                    [JG_DICT] = "dict",
                                    [JG_FROMKEYS] = NULL,
                                    [JG_LIPSUM] = "lipsum",
                                    [JG_CYCLER] = "cycler",
                                    [JG_JOINER] = "joiner",
                                    [JG_NAMESPACE] = "namespace",
                                    [JG_RAISE] = "raise_exception",
                                    [JG_STRFTIME] = "strftime_now"};

int jglobal_find(const struct jstr *name) {
    for (int i = 1; i <= JG_STRFTIME; i++)
        if (NAMES[i] && jstr_is(name, NAMES[i])) return i;
    return 0;
}

static err_t range(struct jrun *r, const struct jargs *a, struct jval *out) {
    int64_t part[3] = {0, 0, 1};
    struct jrange *range;
    if (a->nkw || a->n < 1 || a->n > 3) return JFAIL(r, "range takes one to three whole numbers, without names");
    for (int64_t i = 0; i < a->n; i++) TRY(jarg_int(r, "a part of range", a->pos[i], 0, &part[a->n == 1 ? 1 : i]));
    const int64_t start = part[0], stop = part[1], step = part[2];
    if (step == 0) return JFAIL(r, "range with step 0; give another step");
    TRY(JNEW(&r->mem, 1, &range));
    *range = (struct jrange){.start = start, .stop = stop, .step = step};
    if (step > 0 ? start < stop : start > stop) {
        const uint64_t span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
        const uint64_t n = (span - 1) / (step > 0 ? (uint64_t)step : -(uint64_t)step) + 1;
        if (n > RANGE_MAX) return JFAIL(r, "range of %llu numbers, more than %d; take fewer", (unsigned long long)n, RANGE_MAX);
        range->n = (int64_t)n;
    }
    *out = (struct jval){.type = J_RANGE, .u.r = range};
    return OK;
}

/* dict(mapping or pairs, name=value ...) */
static err_t new_dict(struct jrun *r, const char *what, const struct jargs *a, struct jdict **out) {
    struct jdict *d;
    struct jlist *pairs, *pair;
    TRY(jdict_new(r, a->nkw, &d));
    if (a->n > 1) return JFAIL(r, "%s takes one dict or list of pairs, and names", what);
    if (a->n == 1 && a->pos[0].type == J_UNDEFINED) return JUNDEFINED(r, a->pos[0]);
    if (a->n == 1 && a->pos[0].type == J_DICT) {
        for (int64_t i = 0; i < a->pos[0].u.d->n; i++) TRY(jdict_put(r, d, a->pos[0].u.d->keys[i], a->pos[0].u.d->vals[i]));
    } else if (a->n == 1) {
        TRY(jiter_list(r, a->pos[0], &pairs));
        for (int64_t i = 0; i < pairs->n; i++) {
            TRY(jiter_list(r, pairs->v[i], &pair));
            if (pair->n != 2) return JFAIL(r, "%s meets a list of %lld among its pairs; give key and value", what, (long long)pair->n);
            TRY(jdict_put(r, d, pair->v[0], pair->v[1]));
        }
    }
    for (int64_t i = 0; i < a->nkw; i++) TRY(jdict_put(r, d, jv_str(a->names[i]), a->kw[i]));
    *out = d;
    return OK;
}

static err_t namespace(struct jrun *r, const struct jargs *a, struct jval *out) {
    struct jdict *d;
    TRY(new_dict(r, "namespace", a, &d));
    for (int64_t i = 0; i < d->n; i++)
        if (d->keys[i].type == J_STR && d->keys[i].u.s->bytes && d->keys[i].u.s->p[0] == '_')
            return JFAIL(r, "namespace: a name that begins with an underscore (%.*s) is not for templates; rename it", (int)d->keys[i].u.s->bytes,
                         d->keys[i].u.s->p);
    *out = (struct jval){.type = J_NAMESPACE, .u.ns = d};
    return OK;
}

static err_t fromkeys(struct jrun *r, const struct jargs *a, struct jval *out) {
    struct jval arg[2];
    struct jlist *keys;
    struct jdict *d;
    TRY(jargs_bind(r, "dict.fromkeys", a, "/ iterable value?", arg));
    TRY(jiter_list(r, arg[0], &keys));
    TRY(jdict_new(r, keys->n, &d));
    for (int64_t i = 0; i < keys->n; i++) TRY(jdict_put(r, d, keys->v[i], jv_given(arg[1]) ? arg[1] : jv_none()));
    *out = jv_dict(d);
    return OK;
}

static err_t cycler(struct jrun *r, const struct jargs *a, struct jval *out) {
    struct jcycler *c;
    struct jlist *l;
    if (a->n == 0 || a->nkw) return JFAIL(r, "cycler takes one value or more, without names");
    TRY(jlist_new(r, a->n, &l));
    for (int64_t i = 0; i < a->n; i++) TRY(jlist_add(r, l, a->pos[i]));
    TRY(JNEW(&r->mem, 1, &c));
    c->items = l;
    *out = (struct jval){.type = J_CYCLER, .u.cycler = c};
    return OK;
}

static err_t joiner(struct jrun *r, const struct jargs *a, struct jval *out) {
    struct jjoiner *j;
    struct jval sep;
    TRY(jargs_bind(r, "joiner", a, "sep?", &sep));
    TRY(JNEW(&r->mem, 1, &j));
    if (!jv_given(sep)) TRY(jv_text(r, ", ", &sep));
    j->sep = sep;
    *out = (struct jval){.type = J_JOINER, .u.joiner = j};
    return OK;
}

static err_t raise_exception(struct jrun *r, const struct jargs *a) {
    struct jval message;
    const struct jstr *s;
    TRY(jargs_bind(r, "raise_exception", a, "message", &message));
    TRY(jv_to_str(r, message, &s));
    return JFAIL(r, "the template refuses this conversation: %.*s", (int)(s->bytes < 500 ? s->bytes : 500), s->p);
}

/* ---- the present ---- */

static bool parse_now(const char *text, struct tm *tm, int *micro) {
    char fraction[7] = "000000";
    int used = 0, year, month;
    *micro = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &tm->tm_mday, &used) != 3) return false;
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    text += used;
    if (*text) {
        if (sscanf(text + 1, "%2d:%2d%n", &tm->tm_hour, &tm->tm_min, &used) != 2) return false;
        text += 1 + used;
    }
    if (*text == ':') {
        if (sscanf(text, ":%2d%n", &tm->tm_sec, &used) != 1) return false;
        text += used;
    }
    if (*text == '.' || *text == ',') {
        text++;
        for (int i = 0; *text >= '0' && *text <= '9'; i++, text++)
            if (i < 6) fraction[i] = *text;
        *micro = (int)strtol(fraction, NULL, 10);
    }
    if (*text) return false;
    struct tm there = *tm;
    (void)timegm(&there); /* the day of the week and of the year */
    tm->tm_wday = there.tm_wday;
    tm->tm_yday = there.tm_yday;
    tm->tm_isdst = -1;
    return there.tm_mon == tm->tm_mon && there.tm_mday == tm->tm_mday && there.tm_hour == tm->tm_hour && there.tm_min == tm->tm_min;
}

static err_t present(struct jrun *r, struct tm *tm, int *micro) {
    struct timespec t;
    memset(tm, 0, sizeof *tm);
    if (r->now) {
        if (parse_now(r->now, tm, micro)) return OK;
        return JFAIL(r, "\"%.40s\" is not a time; write it as 2026-03-09T14:05:07", r->now);
    }
    (void)clock_gettime(CLOCK_REALTIME, &t);
    (void)localtime_r(&t.tv_sec, tm);
    *micro = (int)(t.tv_nsec / 1000);
    return OK;
}

static err_t strftime_now(struct jrun *r, const struct jargs *a, struct jval *out) {
    struct jval format;
    struct jbuf b = {0};
    const struct jstr *s;
    struct tm tm;
    int micro;
    TRY(jargs_bind(r, "strftime_now", a, "format", &format));
    TRY(jarg_str(r, "strftime_now's format", format, &s));
    TRY(present(r, &tm, &micro));
    for (int64_t i = 0; i < s->bytes;) {
        char piece[16] = {0}, text[256];
        int64_t n = 1;
        if (s->p[i] != '%') {
            while (i + n < s->bytes && s->p[i + n] != '%') n++;
            struct jval plain;
            TRY(jstr_part(r, s, i, i + n, &plain));
            TRY(jbuf_str(r, &b, plain.u.s));
            i += n;
            continue;
        }
        while (i + n < s->bytes && n < 12 && strchr("-_0^#EO123456789", s->p[i + n])) n++;
        n += i + n < s->bytes;
        memcpy(piece, s->p + i, (size_t)n);
        i += n;
        const char last = piece[n - 1];
        if (n == 2 && last == 'f') {
            (void)snprintf(text, sizeof text, "%06d", micro);
        } else if (n == 2 && (last == 'z' || last == 'Z')) {
            text[0] = 0; /* a time without a zone */
        } else {
            if ((unsigned char)last >= 0x80) return JFAIL(r, "strftime_now: %% before a character beyond ASCII; write %%%%");
            text[0] = 0;
            if (strftime(text, sizeof text, piece, &tm) == 0) text[0] = 0;
        }
        TRY(jbuf_text(r, &b, text));
    }
    return jbuf_value(r, &b, out);
}

err_t jglobal_call(struct jrun *r, int which, const struct jargs *a, struct jval *out) {
    struct jdict *d;
    switch (which) {
    case JG_RANGE: return range(r, a, out);
    case JG_DICT:
        TRY(new_dict(r, "dict", a, &d));
        *out = jv_dict(d);
        return OK;
    case JG_FROMKEYS: return fromkeys(r, a, out);
    case JG_CYCLER: return cycler(r, a, out);
    case JG_JOINER: return joiner(r, a, out);
    case JG_NAMESPACE: return namespace(r, a, out);
    case JG_RAISE: return raise_exception(r, a);
    case JG_STRFTIME: return strftime_now(r, a, out);
    default: return JFAIL(r, "lipsum makes text by chance, which mop's templates do not; write the template without it");
    }
}
