/* mop tokenize: text to ids or to a token file, ids to text. */
#include "base/log.h"
#include "base/os.h"
#include "cli/cli.h"
#include "cli/lines.h"
#include "data/encode.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tokenize_opts {
    const char *tokenizer, *in, *out, *ids, *decode, *text;
    struct text_opts reading;
    int64_t threads, log_level;
    bool eos;
};

const struct opt tokenize_opt_list[] = {
    {.key = "tokenizer", .type = OPT_PATH, .offset = offsetof(struct tokenize_opts, tokenizer), .help = "tokenizer.json, or a folder that holds one"},
    {.key = "in",
     .type = OPT_PATHS,
     .offset = offsetof(struct tokenize_opts, in),
     .help = "text files, *.jsonl, folders of them, patterns, comma-separated; .gz and .zst too; -: standard input"},
    {.key = "out", .type = OPT_PATH, .offset = offsetof(struct tokenize_opts, out), .help = "token file to write"},
    {.key = "ids",
     .type = OPT_PATH,
     .offset = offsetof(struct tokenize_opts, ids),
     .help = "file for one JSON array of ids a document; -: standard output"},
    {.key = "decode",
     .type = OPT_PATH,
     .offset = offsetof(struct tokenize_opts, decode),
     .help = "JSON lines with {\"ids\": [...]} to turn into text; -: standard input"},
    {.key = "text",
     .type = OPT_PATH,
     .offset = offsetof(struct tokenize_opts, text),
     .help = "file for one JSON string a record of decode; -: standard output"},
    TEXT_OPT_ROWS(struct tokenize_opts, reading),
    {.key = "eos",
     .type = OPT_BOOL,
     .offset = offsetof(struct tokenize_opts, eos),
     .def = "true",
     .help = "end each document of a token file with the tokenizer's end-of-document token"},
    {.key = "threads",
     .type = OPT_INT,
     .offset = offsetof(struct tokenize_opts, threads),
     .def = "0",
     .lo = 0,
     .hi = 1024,
     .help = "threads; 0: one per CPU; the result does not depend on it"},
    {.key = "log.level",
     .type = OPT_INT,
     .offset = offsetof(struct tokenize_opts, log_level),
     .def = "3",
     .lo = 0,
     .hi = 5,
     .help = "0 errors, 1 warnings, 2 once per run, 3 progress"},
    {.key = NULL},
};

/* ---- what a file of lines may replace ---- */

/* The first line, or what is seen of it, is of ids, or a string. */
static bool is_ids(const char *begin, int64_t bytes) {
    int64_t n = 1;
    while (n < bytes && begin[n] && strchr("0123456789,", begin[n])) n++;
    return begin[0] == '[' && (n == bytes || (begin[n] == ']' && (n + 1 == bytes || begin[n + 1] == '\n')));
}

static bool is_texts(const char *begin, int64_t bytes) {
    const char *end = memchr(begin, '\n', (size_t)bytes);
    return begin[0] == '"' && (!end || (end > begin + 1 && end[-1] == '"'));
}

/* texts: or ids. */
static err_t open_lines(struct lines *l, const char *path, bool texts) {
    return texts ? lines_open(l, path, is_texts, "a file of texts as JSON strings") : lines_open(l, path, is_ids, "a file of ids");
}

/* ---- encoding ---- */

/* One array a document, however many parts it comes in. */
static err_t print_ids(void *ctx, const struct encoded *doc) {
    struct lines *l = ctx;
    char text[16];
    for (int64_t i = 0; i < doc->ids.count; i++) {
        int n = snprintf(text, sizeof text, "%c%d", l->inside ? ',' : '[', (int)doc->ids.ids[i]);
        TRY(lines_write(l, text, (size_t)n));
        l->inside = true;
    }
    if (doc->more) return OK;
    const char *end = l->inside ? "]\n" : "[]\n";
    l->inside = false;
    return lines_write(l, end, strlen(end));
}

static int threads_of(const struct tokenize_opts *o) { return o->threads ? (int)o->threads : os_cpus(); }

static err_t encode_to_lines(const struct tokenizer *t, struct corpus *c, const struct tokenize_opts *o) {
    struct lines lines = {0};
    TRY(open_lines(&lines, o->ids, false));
    const struct encode_in in = {.tokenizer = t, .corpus = c, .threads = threads_of(o), .eos = -1, .each = print_ids, .ctx = &lines};
    return lines_close(&lines, encode_corpus(&in));
}

/* The end-of-document id: an error if it was asked for and the tokenizer has none, a warning if it is only the default. */
static err_t find_eos(const struct tokenizer *t, const struct tokenize_opts *o, bool asked, int32_t *eos) {
    *eos = o->eos ? tokenizer_eos(t) : -1;
    if (!o->eos || *eos >= 0) return OK;
    if (asked)
        return FAIL(ERR_FAILED, "%s has no end-of-document token; leave eos out, or name one as eos_token in tokenizer_config.json", o->tokenizer);
    log_line(LOG_WARN, "%s has no end-of-document token: documents end without one", o->tokenizer);
    return OK;
}

static err_t encode_to_file(const struct tokenizer *t, struct corpus *c, const struct tokenize_opts *o, bool eos_asked) {
    int32_t eos;
    TRY(find_eos(t, o, eos_asked, &eos));
    return encode_file(t, c, o->in, threads_of(o), eos, o->out);
}

static err_t encode(const struct tokenizer *t, const struct tokenize_opts *o, bool eos_asked) {
    struct corpus *c;
    char end[ENCODE_END_MAX];
    encode_end_text(t, end);
    const struct corpus_how how = {o->reading, end};
    TRY(corpus_open(o->in, &how, &c));
    err_t err = o->ids ? encode_to_lines(t, c, o) : encode_to_file(t, c, o, eos_asked);
    corpus_close(c);
    return err;
}

/* ---- decoding ---- */

static err_t ids_of_record(const json_t *record, const char *where, struct tok_ids *ids) {
    const json_t *list = json_object_get(record, "ids");
    if (!json_is_array(list)) return FAIL(ERR_FORMAT, "%s has no list \"ids\"; every line must be {\"ids\": [...]}", where);
    ids->count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id > INT32_MAX) return FAIL(ERR_FORMAT, "%s: entry %zu of \"ids\" is not an id; ids are whole numbers from 0", where, i);
        TRY(encoded_push(ids, (int32_t)id));
    }
    return OK;
}

static err_t print_text(struct lines *l, const char *text, int64_t bytes) {
    json_t *string = json_stringn(text, (size_t)bytes);
    char *line = string ? json_dumps(string, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    err_t err = line ? lines_write(l, line, strlen(line)) : FAIL(ERR_NOMEM, "out of memory for a text of %lld bytes", (long long)bytes);
    if (err == OK) err = lines_write(l, "\n", 1);
    free(line);
    json_decref(string);
    return err;
}

static err_t decode_records(const struct tokenizer *t, struct jsonl *in, struct lines *l, struct tok_ids *ids) {
    for (;;) {
        const json_t *record;
        bool got;
        TRY(jsonl_next(in, &record, &got));
        if (!got) return OK;
        TRY(ids_of_record(record, jsonl_where(in), ids));
        char *text;
        int64_t bytes;
        err_t err = tokenizer_decode(t, ids->ids, ids->count, &text, &bytes);
        if (err != OK) return err_prefix(err, "%s", jsonl_where(in));
        err = print_text(l, text, bytes);
        free(text);
        TRY(err);
    }
}

static err_t decode(const struct tokenizer *t, const struct tokenize_opts *o) {
    struct jsonl *in;
    TRY(jsonl_open(o->decode, o->reading.invalid_utf8, &in));
    struct lines lines = {0};
    struct tok_ids ids = {0};
    err_t err = open_lines(&lines, o->text, true);
    if (err == OK) err = lines_close(&lines, decode_records(t, in, &lines, &ids));
    free(ids.ids);
    jsonl_close(in);
    return err;
}

/* ---- the command ---- */

static err_t check(const struct tokenize_opts *o, bool eos_asked) {
    if (!o->tokenizer) return FAIL(ERR_USAGE, "tokenizer= is missing; give a tokenizer.json or a folder that holds one");
    int to = (o->out != NULL) + (o->ids != NULL) + (o->text != NULL);
    if (to != 1) return FAIL(ERR_USAGE, "give one of out=, ids= and text=, not %d; see `mop help tokenize`", to);
    if (!o->text != !o->decode || !o->text == !o->in)
        return FAIL(ERR_USAGE, "in= goes with out= or ids=, decode= with text=; see `mop help tokenize`");
    if (eos_asked && o->eos && !o->out) return FAIL(ERR_USAGE, "eos=true goes with out= only; leave it out");
    return OK;
}

static err_t run(const struct tokenize_opts *o, bool eos_asked) {
    TRY(check(o, eos_asked));
    char path[OS_PATH_MAX];
    if (os_is_dir(o->tokenizer)) TRY(os_join(path, o->tokenizer, "tokenizer.json"));
    struct tokenizer *t;
    TRY(tokenizer_open(os_is_dir(o->tokenizer) ? path : o->tokenizer, &t));
    err_t err = o->decode ? decode(t, o) : encode(t, o, eos_asked);
    tokenizer_close(t);
    return err;
}

err_t cmd_tokenize(int argc, char **argv) {
    struct tokenize_opts o = {0};
    const struct opt_table table = {"tokenize", tokenize_opt_list, &o};
    struct opt_set *set;
    TRY(opt_new(&table, 1, &set));
    err_t err = cli_options(argc, argv, set);
    if (err == OK) {
        log_set_level((int)o.log_level);
        err = run(&o, opt_given(set, "eos"));
    }
    opt_free(set);
    return err;
}
