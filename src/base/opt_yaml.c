/* Run files. libyaml gives events, never a document, so an alias cannot multiply anything and what is held is one value
 * at a time; the file's size and the depth of its maps are bounded. */
#include "base/opt_int.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { FILE_MAX = 1 << 20, DEPTH_MAX = 8 };

struct reader {
    struct opt_set *s;
    const char *path;
    yaml_parser_t parser;
    char key[OPT_KEY_MAX + 1];    /* dotted, of where we are */
    char where[OS_PATH_MAX + 32]; /* FILE:LINE */
};

/* "FILE:LINE" of an event or a problem. */
static const char *at(struct reader *r, yaml_mark_t mark) {
    (void)snprintf(r->where, sizeof r->where, "%s:%zu", r->path, mark.line + 1);
    return r->where;
}

static err_t next(struct reader *r, yaml_event_t *e) {
    if (yaml_parser_parse(&r->parser, e)) {
        const char *where = at(r, e->start_mark), *what = NULL;
        if (e->type == YAML_ALIAS_EVENT) what = "an alias (*name)";
        if (e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor) what = "an anchor (&name)";
        if (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.anchor) what = "an anchor (&name)";
        if (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.anchor) what = "an anchor (&name)";
        if (e->type == YAML_SCALAR_EVENT && e->data.scalar.tag) what = "a tag (!name)";
        if (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.tag) what = "a tag (!name)";
        if (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.tag) what = "a tag (!name)";
        if (!what) return OK;
        yaml_event_delete(e);
        return FAIL(ERR_USAGE, "%s: %s is not taken in a run file; write the value out", where, what);
    }
    if (r->parser.error == YAML_MEMORY_ERROR) return FAIL(ERR_NOMEM, "out of memory while reading %s", r->path);
    yaml_mark_t mark = r->parser.problem_mark;
    if (r->parser.error == YAML_READER_ERROR) /* no mark of its own: where the scanner stood */
        mark = r->parser.mark;
    return FAIL(ERR_USAGE, "%s: not YAML: %s%s%s; write `key: value` lines, two spaces deeper inside a group", at(r, mark),
                r->parser.problem ? r->parser.problem : "unreadable", r->parser.context ? ", " : "", r->parser.context ? r->parser.context : "");
}

static bool is_null(const yaml_event_t *e) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp((const char *)e->data.scalar.value, words[i]) == 0) return true;
    return false;
}

static bool has_nul(const yaml_event_t *e) { return strlen((const char *)e->data.scalar.value) != e->data.scalar.length; }

/* Store the value of r->key that stands at `line`. */
static err_t store(struct reader *r, const char *text, size_t line) {
    struct opt_entry *e = opt_find(r->s, r->key);
    if (e && e->file == r->s->files)
        return FAIL(ERR_USAGE, "%s: %s was already set in line %lld of this file; remove one of the two", r->where, r->key, (long long)e->line);
    if (!e && !text && opt_is_group(r->s, r->key)) return OK; /* "train:" with every line of it commented out */
    TRY(opt_store(r->s, r->key, text, r->where, OPT_FROM_FILE));
    ENSURE(e); /* opt_store refuses unknown keys */
    e->file = r->s->files;
    e->line = (int64_t)line;
    return OK;
}

static err_t read_scalar(struct reader *r, const yaml_event_t *e) {
    if (has_nul(e)) return FAIL(ERR_USAGE, "%s: the value of %s holds a NUL character; remove it", r->where, r->key);
    TRY(store(r, is_null(e) ? NULL : (const char *)e->data.scalar.value, e->start_mark.line + 1));
    return OK;
}

/* An item of a list behind those that are there, commas of its own with a backslash before them (opt_split). */
static err_t add_item(struct reader *r, char **text, size_t *used, const char *item) {
    const size_t n = strlen(item);
    if (n == 0) return FAIL(ERR_USAGE, "%s: a value in the list of %s is empty; leave it out", r->where, r->key);
    if (item[n - 1] == '\\') /* it would take the comma behind it for one of its own */
        return FAIL(ERR_USAGE, "%s: a value in the list of %s ends with a backslash; give it alone, or rename the file", r->where, r->key);
    char *more = realloc(*text, *used + 2 * n + 2);
    if (!more) return FAIL(ERR_NOMEM, "out of memory for the list of %s", r->key);
    *text = more;
    char *to = more + *used;
    if (*used) *to++ = ',';
    for (; *item; item++) {
        if (*item == ',') *to++ = '\\';
        *to++ = *item;
    }
    *to = 0;
    *used = (size_t)(to - more);
    return OK;
}

/* [a, b] becomes "a,b". */
static err_t read_list(struct reader *r, yaml_mark_t start) {
    char *text = NULL;
    size_t used = 0;
    err_t err = OK;
    for (bool end = false; err == OK && !end;) {
        yaml_event_t e;
        TRY_OR(next(r, &e), done);
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            end = true;
        } else if (e.type != YAML_SCALAR_EVENT) {
            err = FAIL(ERR_USAGE, "%s: the list of %s holds a list or a map; write plain values", r->where, r->key);
        } else if (has_nul(&e)) {
            err = FAIL(ERR_USAGE, "%s: a value in the list of %s holds a NUL character; remove it", r->where, r->key);
        } else {
            err = add_item(r, &text, &used, (const char *)e.data.scalar.value);
        }
        yaml_event_delete(&e);
    }
    if (err == OK) {
        (void)at(r, start);
        err = store(r, text ? text : "", start.line + 1);
    }
done:
    free(text);
    return err;
}

static err_t read_map(struct reader *r, int depth);

/* The value of r->key. */
static err_t read_value(struct reader *r, int depth) {
    yaml_event_t e;
    TRY(next(r, &e));
    yaml_mark_t start = e.start_mark;
    int type = (int)e.type;
    err_t err = type == YAML_SCALAR_EVENT ? read_scalar(r, &e) : OK;
    yaml_event_delete(&e);
    TRY(err);
    if (type == YAML_SEQUENCE_START_EVENT) TRY(read_list(r, start));
    if (type != YAML_MAPPING_START_EVENT) return OK;
    if (opt_find(r->s, r->key)) return FAIL(ERR_USAGE, "%s: %s is one option, not a group; give it one value", r->where, r->key);
    if (depth == DEPTH_MAX) return FAIL(ERR_USAGE, "%s: maps nest deeper than %d; no option's key has so many parts", r->where, DEPTH_MAX);
    TRY(read_map(r, depth + 1)); /* an unknown key in it says more than an unknown group */
    if (opt_is_group(r->s, r->key)) return OK;
    (void)at(r, start);
    return opt_unknown(r->s, r->key, NULL, r->where);
}

/* Behind the start of a map: its keys and values, to its end. */
static err_t read_map(struct reader *r, int depth) {
    size_t prefix = strlen(r->key);
    for (;;) {
        yaml_event_t e;
        TRY(next(r, &e));
        err_t err = OK;
        bool end = e.type == YAML_MAPPING_END_EVENT;
        if (!end && e.type != YAML_SCALAR_EVENT) {
            err = FAIL(ERR_USAGE, "%s: a key is a list or a map; keys are words such as train.lr", r->where);
        } else if (!end && (has_nul(&e) || e.data.scalar.length == 0 || prefix + 1 + e.data.scalar.length > OPT_KEY_MAX)) {
            err = FAIL(ERR_USAGE, "%s: a key is empty, holds a NUL or is longer than %d bytes; `mop help options` lists the keys", r->where,
                       OPT_KEY_MAX);
        } else if (!end) {
            char *k = r->key + prefix;
            if (prefix) *k++ = '.';
            memcpy(k, e.data.scalar.value, e.data.scalar.length + 1);
        }
        yaml_event_delete(&e);
        TRY(err);
        if (end) return OK;
        TRY(read_value(r, depth));
        r->key[prefix] = 0;
    }
}

/* The whole stream: nothing at all, or one document that is a map (or empty). */
static err_t read_stream(struct reader *r) {
    for (int documents = 0;;) {
        yaml_event_t e;
        TRY(next(r, &e));
        int type = (int)e.type;
        bool empty = type == YAML_SCALAR_EVENT && is_null(&e);
        yaml_event_delete(&e);
        if (type == YAML_STREAM_END_EVENT) return OK;
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_END_EVENT || empty) continue;
        if (type == YAML_DOCUMENT_START_EVENT && documents++ == 0) continue;
        if (type == YAML_DOCUMENT_START_EVENT)
            return FAIL(ERR_USAGE, "%s: a second document begins; a run file has one, so remove the `---`", r->where);
        if (type != YAML_MAPPING_START_EVENT) return FAIL(ERR_USAGE, "%s: not a map; a run file is a list of `key: value` lines", r->where);
        TRY(read_map(r, 1));
    }
}

err_t opt_read_yaml(struct opt_set *s, const char *path) {
    char *text;
    int64_t bytes;
    TRY(os_read_all(path, FILE_MAX, &text, &bytes));
    struct reader *r = calloc(1, sizeof *r);
    err_t err = OK;
    if (!r || !yaml_parser_initialize(&r->parser)) {
        err = FAIL(ERR_NOMEM, "out of memory while reading %s", path);
    } else {
        r->s = s;
        r->path = path;
        s->files++;
        yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, (size_t)bytes);
        err = read_stream(r);
        yaml_parser_delete(&r->parser);
    }
    free(r);
    free(text);
    return err == OK ? OK : err_frame(err, __func__);
}
