#include "base/opt_int.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int opt_utf8(const char *p, uint32_t *code) {
    const unsigned char *u = (const unsigned char *)p;
    if (u[0] < 0x80) {
        *code = u[0];
        return 1;
    }
    int n = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (u[0] < 0xc2 || u[0] > 0xf4) return 0;
    uint32_t c = u[0] & (0xffu >> (n + 1));
    for (int i = 1; i < n; i++) {
        if ((u[i] & 0xc0) != 0x80) return 0; /* also stops at the NUL */
        c = c << 6 | (u[i] & 0x3fu);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    *code = c;
    return n;
}

const char *opt_shown(const char *text, char out[OPT_SHOWN_MAX]) {
    size_t at = 0;
    while (*text) {
        uint32_t code;
        int n = opt_utf8(text, &code);
        bool plain = n > 0 && code >= 0x20 && (code < 0x7f || code >= 0xa0);
        if (at + 8 > OPT_SHOWN_MAX) {
            memcpy(out + at, "...", 3);
            at += 3;
            break;
        }
        if (plain) memcpy(out + at, text, (size_t)n);
        else out[at] = '?';
        at += plain ? (size_t)n : 1;
        text += n > 0 ? n : 1;
    }
    out[at] = 0;
    return out;
}

bool opt_choice(const char *choices, int index, char *out, size_t size) {
    for (; index > 0 && choices; index--) {
        choices = strchr(choices, '|');
        if (choices) choices++;
    }
    if (!choices) return false;
    size_t n = strcspn(choices, "|");
    if (n >= size) n = size - 1;
    memcpy(out, choices, n);
    out[n] = 0;
    return true;
}

static bool has_limits(const struct opt *o) { return o->lo < 0 || o->lo > 0 || o->hi < 0 || o->hi > 0; }

void opt_range(const struct opt *o, char *out, size_t size) {
    out[0] = 0;
    if (o->type == OPT_BOOL) {
        (void)snprintf(out, size, "true|false");
    } else if (o->type == OPT_CHOICE) {
        (void)snprintf(out, size, "%s", o->choices);
    } else if (!opt_is_text(o->type) && has_limits(o)) {
        bool open_above = o->hi >= (o->type == OPT_INT ? (double)INT64_MAX : DBL_MAX);
        bool open_below = o->lo <= (o->type == OPT_INT ? (double)INT64_MIN : -DBL_MAX);
        if (open_above && open_below) return;
        if (open_above) (void)snprintf(out, size, "%.15g or more", o->lo);
        else if (open_below) (void)snprintf(out, size, "%.15g or less", o->hi);
        else (void)snprintf(out, size, "%.15g..%.15g", o->lo, o->hi);
    }
}

/* Each parser gives NULL, or what is wrong with the text. */
static const char *parse_bool(const char *text, bool *out) {
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (int i = 0; i < 4; i++) {
        if (strcasecmp(text, yes[i]) == 0) *out = true;
        else if (strcasecmp(text, no[i]) == 0) *out = false;
        else continue;
        return NULL;
    }
    return "is neither true nor false";
}

static const char *parse_int(const char *text, int64_t *out) {
    static const struct {
        const char *suffix;
        int64_t times;
    } units[] = {
        {"", 1}, {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30},
    };
    const char *p = text;
    bool minus = *p == '-';
    if (*p == '-' || *p == '+') p++;
    size_t digits = strspn(p, "0123456789");
    if (digits == 0) return "is not a whole number";
    int64_t v = 0;
    bool over = false;
    for (size_t i = 0; i < digits; i++) over |= __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, p[i] - '0', &v);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(p + digits, units[i].suffix) != 0) continue;
        if (over || __builtin_mul_overflow(v, units[i].times, &v)) return "does not fit 64 bits";
        *out = minus ? -v : v;
        return NULL;
    }
    return "is not a whole number (k, M, G or Ki, Mi, Gi may follow the digits)";
}

static const char *parse_float(const char *text, double *out) {
    /* strtod alone would take "nan", "inf" and hexadecimal */
    const char *p = text;
    if (*p == '-' || *p == '+') p++;
    size_t whole = strspn(p, "0123456789"), part = 0;
    p += whole;
    if (*p == '.') {
        part = strspn(p + 1, "0123456789");
        p += 1 + part;
    }
    if (whole + part == 0) return "is not a number";
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+') p++;
        size_t digits = strspn(p, "0123456789");
        if (digits == 0) return "is not a number";
        p += digits;
    }
    if (*p) return "is not a number";
    errno = 0;
    double v = strtod(text, NULL);
    if (!isfinite(v)) return "is too large";
    if (errno == ERANGE) return "is too close to 0";
    *out = v;
    return NULL;
}

static const char *parse_choice(const char *choices, const char *text, int *out) {
    char one[64];
    for (int i = 0; opt_choice(choices, i, one, sizeof one); i++) {
        if (strcmp(one, text) != 0) continue;
        *out = i;
        return NULL;
    }
    return "is not one of the choices";
}

err_t opt_convert(const struct opt *o, const char *text, const char *origin, void *field) {
    const char *wrong = NULL;
    union {
        bool b;
        int64_t i;
        double f;
        int c;
    } v = {0};
    size_t size = 0;
    double number = 0;
    switch (o->type) {
    case OPT_BOOL:
        wrong = parse_bool(text, &v.b);
        size = sizeof v.b;
        break;
    case OPT_INT:
        wrong = parse_int(text, &v.i);
        number = (double)v.i;
        size = sizeof v.i;
        break;
    case OPT_FLOAT:
        wrong = parse_float(text, &v.f);
        number = v.f;
        size = sizeof v.f;
        break;
    case OPT_CHOICE:
        wrong = parse_choice(o->choices, text, &v.c);
        size = sizeof v.c;
        break;
    case OPT_TEXT:
    case OPT_PATH:
    case OPT_PATHS: break; /* the set keeps the text itself */
    }
    bool numeric = o->type == OPT_INT || o->type == OPT_FLOAT;
    if (!wrong && numeric && has_limits(o) && (number < o->lo || number > o->hi)) wrong = "is out of range";
    if (wrong) {
        char range[256], shown[OPT_SHOWN_MAX];
        opt_range(o, range, sizeof range);
        return FAIL(ERR_USAGE, "%s: %s=%s %s; give %s%s%s", origin, o->key, opt_shown(text, shown), wrong,
                    o->type == OPT_INT     ? "a whole number"
                    : o->type == OPT_FLOAT ? "a number"
                                           : "one of ",
                    numeric && range[0] ? " in " : "", range);
    }
    if (size) memcpy(field, &v, size); /* a union's members all begin at its first byte */
    return OK;
}
