#include "base/opt_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* May it stand in YAML without quotes and come back as it is? */
static bool plain(const char *text) {
    static const char alnum[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    if (!*text || !strchr(alnum, *text)) {
        if (*text != '/' && *text != '.') return false;
    }
    for (const char *p = text; *p; p++)
        if (!strchr(alnum, *p) && !strchr("/._+-,", *p)) return false;
    return strcmp(text, "null") != 0 && strcmp(text, "Null") != 0 && strcmp(text, "NULL") != 0;
}

/* path: a $ is one, no variable's. */
static void print_quoted(const char *text, bool path) {
    (void)putchar('"');
    while (*text) {
        uint32_t code;
        int n = opt_utf8(text, &code); /* values are UTF-8: opt_store refuses others */
        /* what YAML calls unprintable, and its further line breaks */
        bool escape =
            code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 || code == 0xfeff || code == 0xfffe || code == 0xffff;
        if (escape) (void)printf("\\u%04x", code);
        else if (code == '"' || code == '\\') (void)printf("\\%c", (char)code);
        else if (path && (code == '$' || code == '`')) (void)printf("\\\\%c", (char)code);
        else (void)printf("%.*s", n, text);
        text += n > 0 ? n : 1;
    }
    (void)putchar('"');
}

/* A value that is no text. */
enum { VALUE_MAX = 64 };
static void value_text(const struct opt_entry *e, char out[VALUE_MAX]) {
    double f;
    int c;
    bool b;
    int64_t i;
    out[0] = 0;
    switch (e->o->type) {
    case OPT_BOOL:
        memcpy(&b, e->field, sizeof b);
        (void)snprintf(out, VALUE_MAX, "%s", b ? "true" : "false");
        break;
    case OPT_INT:
        memcpy(&i, e->field, sizeof i);
        (void)snprintf(out, VALUE_MAX, "%lld", (long long)i);
        break;
    case OPT_FLOAT:
        memcpy(&f, e->field, sizeof f);
        (void)snprintf(out, VALUE_MAX, "%.15g", f);
        if (strtod(out, NULL) < f || strtod(out, NULL) > f) (void)snprintf(out, VALUE_MAX, "%.17g", f);
        break;
    case OPT_CHOICE:
        memcpy(&c, e->field, sizeof c);
        (void)opt_choice(e->o->choices, c, out, VALUE_MAX);
        break;
    case OPT_TEXT:
    case OPT_PATH:
    case OPT_PATHS: break;
    }
}

static void print_value(const struct opt_entry *e) {
    char value[VALUE_MAX];
    value_text(e, value);
    if (!opt_is_text(e->o->type)) (void)printf("%s", value);
    else if (!e->text) (void)printf("null");
    else if (plain(e->text)) (void)printf("%s", e->text);
    else print_quoted(e->text, e->o->type != OPT_TEXT);
}

err_t opt_at(const struct opt_set *s, int i, const struct opt **o, char **text) {
    char value[VALUE_MAX];
    *o = NULL;
    *text = NULL;
    if (!s || i >= s->count) return OK;
    const struct opt_entry *e = &s->list[i];
    value_text(e, value);
    const char *from = opt_is_text(e->o->type) ? e->text : value;
    if (from && !(*text = strdup(from))) return FAIL(ERR_NOMEM, "out of memory for the value of %s", e->o->key);
    *o = e->o;
    return OK;
}

err_t opt_default(const struct opt *o, char **text) {
    char value[VALUE_MAX];
    int64_t field = 0; /* as large as any value */
    *text = NULL;
    if (o->def) TRY(opt_convert(o, o->def, "default", &field));
    value_text(&(struct opt_entry){.o = o, .field = &field}, value);
    const char *from = opt_is_text(o->type) ? o->def : value;
    if (from && !(*text = strdup(from))) return FAIL(ERR_NOMEM, "out of memory for the default of %s", o->key);
    return OK;
}

/* A comment to the end of the line, whatever a path is made of. */
static void print_origin(const char *text) {
    (void)printf("  # ");
    while (*text) {
        uint32_t code;
        int n = opt_utf8(text, &code);
        if (n > 0 && code >= 0x20 && (code < 0x7f || code >= 0xa0) && code < 0xfffe) (void)printf("%.*s", n, text);
        else (void)putchar('?');
        text += n > 0 ? n : 1;
    }
    (void)putchar('\n');
}

void opt_print(const struct opt_set *s) {
    for (int i = 0; i < s->count; i++) {
        const struct opt_entry *e = &s->list[i];
        if (i == 0 || strcmp(e->room, s->list[i - 1].room) != 0) (void)printf("%s# %s\n", i ? "\n" : "", e->room);
        (void)printf("%s: ", e->o->key);
        print_value(e);
        print_origin(e->origin ? e->origin : "default");
    }
}

static const char *const type_names[] = {[OPT_BOOL] = "true|false", [OPT_INT] = "whole number", [OPT_FLOAT] = "number", [OPT_TEXT] = "text",
                                         [OPT_CHOICE] = "one of",   [OPT_PATH] = "path",        [OPT_PATHS] = "paths"};

void opt_help(const struct opt_table *tables, int count) {
    for (int t = 0; t < count; t++) {
        (void)printf("%s%s\n", t ? "\n" : "", tables[t].room);
        for (const struct opt *o = tables[t].opts; o->key; o++) {
            char range[256];
            opt_range(o, range, sizeof range);
            (void)printf("  %-24s %s\n  %-24s   ", o->key, o->help, "");
            if (o->type == OPT_INT || o->type == OPT_FLOAT) (void)printf("%s%s%s", type_names[o->type], range[0] ? ", " : "", range);
            else (void)printf("%s", range[0] ? range : type_names[o->type]);
            (void)printf("; default %s\n", !o->def ? "none" : *o->def ? o->def : "\"\"");
        }
    }
}

/* In a cell of a table a bar would end the cell. */
static void print_cell(const char *text) {
    for (; *text; text++) {
        if (*text == '|') (void)putchar('\\');
        (void)putchar(*text);
    }
}

void opt_help_markdown(const struct opt_table *tables, int count) {
    for (int t = 0; t < count; t++) {
        (void)printf("\n## %s\n\n| key | what | type | range | default |\n|---|---|---|---|---|\n", tables[t].room);
        for (const struct opt *o = tables[t].opts; o->key; o++) {
            char range[256];
            opt_range(o, range, sizeof range);
            (void)printf("| `%s` | ", o->key);
            print_cell(o->help);
            (void)printf(" | %s | ", o->type == OPT_BOOL ? "switch" : type_names[o->type]);
            print_cell(range);
            (void)printf(" | ");
            print_cell(!o->def ? "none" : *o->def ? o->def : "\"\"");
            (void)printf(" |\n");
        }
    }
}
