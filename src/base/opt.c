#include "base/opt_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char on_command_line[] = "command line";

struct opt_entry *opt_find(const struct opt_set *s, const char *key) {
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->list[i].o->key, key) == 0) return &s->list[i];
    return NULL;
}

bool opt_is_group(const struct opt_set *s, const char *key) {
    size_t n = strlen(key);
    for (int i = 0; i < s->count; i++)
        if (strncmp(s->keys[i], key, n) == 0 && s->keys[i][n] == '.') return true;
    return false;
}

static err_t entry_init(struct opt_set *s, const struct opt_table *t, const struct opt *o) {
    if (opt_find(s, o->key)) return FAIL(ERR_BUG, "internal: the option %s stands in two tables; remove it from %s", o->key, t->room);
    ENSURE(strlen(o->key) <= OPT_KEY_MAX && (o->def || opt_is_text(o->type)));
    struct opt_entry e = {.o = o, .room = t->room, .field = (char *)t->values + o->offset};
    if (o->def) {
        TRY(opt_convert(o, o->def, "default", e.field));
        e.text = strdup(o->def);
        if (!e.text) return FAIL(ERR_NOMEM, "out of memory for the options");
    }
    if (opt_is_text(o->type)) {
        const char *text = e.text;
        memcpy(e.field, &text, sizeof text);
    }
    s->keys[s->count] = o->key;
    s->list[s->count++] = e;
    return OK;
}

err_t opt_new(const struct opt_table *tables, int count, struct opt_set **out) {
    ENSURE(count >= 0 && count <= OPT_TABLES);
    size_t total = 1;
    for (int t = 0; t < count; t++)
        for (const struct opt *o = tables[t].opts; o->key; o++) total++;
    struct opt_set *s = calloc(1, sizeof *s);
    if (s) s->list = calloc(total, sizeof *s->list);
    if (s) s->keys = calloc(total, sizeof *s->keys);
    err_t err = OK;
    if (!s || !s->list || !s->keys) err = FAIL(ERR_NOMEM, "out of memory for %zu options", total - 1);
    for (int t = 0; t < count && err == OK; t++)
        for (const struct opt *o = tables[t].opts; o->key && err == OK; o++) err = entry_init(s, &tables[t], o);
    if (err != OK) {
        opt_free(s);
        return err_frame(err, __func__);
    }
    *out = s;
    return OK;
}

void opt_free(struct opt_set *s) {
    if (!s) return;
    for (int i = 0; i < s->count; i++) {
        free(s->list[i].text);
        free(s->list[i].origin);
    }
    free(s->list);
    free(s->keys);
    free(s);
}

/* ERR_USAGE where a text of an option is not UTF-8: messages and `mop config` print it. */
static err_t check_utf8(const char *key, const char *text, const char *origin) {
    char shown[OPT_SHOWN_MAX];
    for (const char *p = text; *p;) {
        uint32_t code;
        int n = opt_utf8(p, &code);
        if (n == 0)
            return FAIL(ERR_USAGE, "%s: %s=%s is not UTF-8 at byte %td; rename the file or re-encode the text", origin, key, opt_shown(text, shown),
                        p - text);
        p += n;
    }
    return OK;
}

err_t opt_store(struct opt_set *s, const char *key, const char *text, const char *origin, enum opt_from from) {
    struct opt_entry *e = opt_find(s, key);
    if (!e && opt_is_group(s, key) && !opt_word_find(s->words, key))
        return FAIL(ERR_USAGE, "%s: %s is a group of options, not one; write %s.NAME (`mop help options` lists all)", origin, key, key);
    if (!e) return opt_unknown(s, key, text, origin);
    if (text && !*text && opt_is_text(e->o->type) && !e->o->def) text = NULL; /* "tokenizer=" takes back what a run file gave */
    if (!text && (!opt_is_text(e->o->type) || e->o->def)) return FAIL(ERR_USAGE, "%s: %s has no value; give one or leave the key out", origin, key);
    char *copy = NULL;
    const bool path = e->o->type == OPT_PATH || e->o->type == OPT_PATHS;
    if (text) TRY(check_utf8(key, text, origin));
    if (text && path && from != OPT_FROM_PROGRAM) TRY(opt_path(e->o, text, origin, from, &copy));
    else copy = text ? strdup(text) : NULL;
    char *where = strdup(origin);
    err_t err = (text && !copy) || !where ? FAIL(ERR_NOMEM, "out of memory for the option %s", key) : OK;
    if (err == OK && copy && path) err = check_utf8(key, copy, origin);
    if (err == OK && copy) err = opt_convert(e->o, copy, origin, e->field);
    if (err != OK) {
        free(copy);
        free(where);
        return err;
    }
    free(e->text);
    free(e->origin);
    e->text = copy;
    e->origin = where;
    if (opt_is_text(e->o->type)) {
        const char *value = copy;
        memcpy(e->field, &value, sizeof value);
    }
    return OK;
}

err_t opt_set_value(struct opt_set *s, const char *key, const char *value, const char *origin) {
    return opt_store(s, key, value, origin, OPT_FROM_PROGRAM);
}

err_t opt_assign(struct opt_set *s, const char *assignment) {
    const char *equals = strchr(assignment, '=');
    char key[OPT_KEY_MAX + 1], shown[OPT_SHOWN_MAX];
    if (!equals || equals == assignment)
        return FAIL(ERR_USAGE, "%s: %s is not key=value; write options as train.steps=100", on_command_line, opt_shown(assignment, shown));
    size_t n = (size_t)(equals - assignment);
    if (n > OPT_KEY_MAX)
        return FAIL(ERR_USAGE, "%s: the key of %s is longer than any option's; `mop help options` lists all", on_command_line,
                    opt_shown(assignment, shown));
    memcpy(key, assignment, n);
    key[n] = 0;
    TRY(opt_store(s, key, equals + 1, on_command_line, OPT_FROM_COMMAND_LINE));
    return OK;
}

bool opt_given(const struct opt_set *s, const char *key) {
    const struct opt_entry *e = opt_find(s, key);
    return e && e->origin;
}

const char *opt_origin(const struct opt_set *s, const char *key) {
    const struct opt_entry *e = opt_find(s, key);
    return !e ? NULL : e->origin ? e->origin : "default";
}
