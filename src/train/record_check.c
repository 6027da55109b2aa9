#include "base/json.h"
#include "base/log.h"
#include "base/os.h"
#include "train/changes.h"
#include "train/record_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One check. */
struct check {
    const struct job *job;
    struct record_now now;
    json_t *record; /* NULL: the checkpoint has none */
    struct changes changes;
};

enum { BIT_SAME = 1 << OPT_SAME, BIT_CONFIG = 1 << OPT_CONFIG, BIT_MORE = 1 << OPT_MORE, BIT_ROUNDS = 1 << OPT_ROUNDS };

static bool same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }
static const char *or_none(const char *text) { return text ? text : "none"; }

static void compare_option(struct check *c, const struct opt *o, const char *was, const char *is) {
    /* a constant learning rate does not know the last step: fewer are as good as more */
    const bool more =
        o->resume == OPT_MORE && was && is && (strtoll(is, NULL, 10) > strtoll(was, NULL, 10) || c->job->train->schedule == SCHEDULE_CONSTANT);
    if (o->resume == OPT_ROUNDS) log_line(LOG_RUN, "%s was %s, is now %s: results differ by the rounding of sums", o->key, or_none(was), or_none(is));
    else if (more) log_line(LOG_RUN, "%s was %s, is now %s", o->key, was, is);
    else changes_add(&c->changes, o->key, or_none(was), or_none(is));
}

/* What an option was; where the record does not know it, there was none yet: its default. Text: free. */
static err_t option_was(const struct check *c, const struct opt *o, char **text) {
    const json_t *old = json_object_get(json_object_get(c->record, "options"), o->key);
    if (!old) return opt_default(o, text);
    const char *was = json_string_value(old);
    *text = was ? strdup(was) : NULL;
    return was && !*text ? FAIL(ERR_NOMEM, "out of memory for the value of %s", o->key) : OK;
}

/* The options of these classes; *differ: some did. */
static err_t compare_options(struct check *c, unsigned classes, bool *differ) {
    *differ = false;
    for (int i = 0;; i++) {
        const struct opt *o;
        char *is, *was = NULL;
        TRY(record_option(c->job, &c->now, i, &o, &is));
        if (!o) return OK;
        err_t err = classes & 1u << o->resume ? option_was(c, o, &was) : OK;
        if (err == OK && (classes & 1u << o->resume) && !same_text(was, is)) {
            *differ = true;
            compare_option(c, o, was, is);
        }
        free(is);
        free(was);
        TRY(err);
    }
}

/* A value of a config.json; a real in the fewest digits. */
static const char *show(const json_t *value, char out[48]) {
    if (!value) return "absent";
    if (!json_is_real(value)) return json_show(value, out, 48);
    (void)snprintf(out, 48, "%.15g", json_real_value(value));
    return out;
}

/* "num_experts_per_tok 1, now 2, ..." of two objects, however deep. */
static void differences(const json_t *a, const json_t *b, const char *prefix, char *out,
                        size_t size) { // NOLINT(misc-no-recursion): as deep as jansson reads
    const char *key;
    json_t *value;
    for (int side = 0; side < 2; side++) { /* keys of a, then those that only b has */
        json_object_foreach((json_t *)(side ? b : a), key, value) {
            const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);
            const size_t n = strlen(out);
            char name[128], was[48], is[48];
            if (side && x) continue;
            if (json_equal(x, y) || (json_is_number(x) && json_is_number(y) && json_number_value(x) == json_number_value(y))) continue;
            const bool both = json_is_object(x) && json_is_object(y);
            (void)snprintf(name, sizeof name, "%s%s%s", prefix, key, both ? "." : "");
            if (both) differences(x, y, name, out, size);
            else (void)snprintf(out + n, size - n, "%s%s %s, now %s", n ? ", " : "", name, show(x, was), show(y, is));
        }
    }
}

/* The model: `was` is the text of the checkpoint's config.json. */
static err_t compare_config(struct check *c, const struct model_src *src, const char *path, const char *was) {
    const char *is = src->config_json;
    struct spec old, now;
    char said[320] = "";
    bool differ = false;
    json_error_t why;
    if (strcmp(was, is) == 0) return OK;
    TRY(spec_from_json(path, was, (int64_t)strlen(was), &old));
    TRY(spec_from_json("config.json", is, (int64_t)strlen(is), &now));
    json_t *a = json_read(was, (int64_t)strlen(was), 0, &why), *b = json_read(is, (int64_t)strlen(is), 0, &why);
    differences(a, b, "", said, sizeof said);
    json_decref(a);
    json_decref(b);
    if (spec_same(&old, &now)) {
        if (*said) log_line(LOG_RUN, "config.json is written as it is now, which computes the same: %s", said);
        return OK;
    }
    if (c->record) TRY(compare_options(c, BIT_CONFIG, &differ));
    if (!differ) changes_add_text(&c->changes, "config.json", said);
    return OK;
}

static void compare_number(struct check *c, const char *name, uint64_t was, uint64_t is) {
    char a[RECORD_NUMBER], b[RECORD_NUMBER];
    (void)snprintf(a, sizeof a, "%" PRIu64, was);
    (void)snprintf(b, sizeof b, "%" PRIu64, is);
    if (was != is) changes_add(&c->changes, name, a, b);
}

/* The fingerprint is of the tokens, of how they are packed and, where some are held out, of the seed: options that differ say it better. */
static void compare_data(struct check *c, uint64_t was, uint64_t is) {
    char a[RECORD_HEX], b[RECORD_HEX];
    if (was == is || changes_have(&c->changes, "data.") || changes_have(&c->changes, "train.seed")) return;
    record_hex(was, a);
    record_hex(is, b);
    changes_add(&c->changes, "data.train", a, b);
}

/* Files go along, numbers do not depend on them. */
static err_t compare_tokenizer(struct check *c, const struct model_src *src, const char *dir) {
    char path[OS_PATH_MAX];
    uint64_t was = 0, is;
    TRY(tokens_tokenizer(src, c->job->tokenizer, path, &is));
    TRY(os_join(path, dir, "tokenizer.json"));
    if (os_exists(path)) TRY(tok_tokenizer_sum(path, &was));
    if (was != is)
        log_line(LOG_WARN, "the tokenizer is %s the one of the checkpoint in %s: what is written from now on has %s", is ? "another than" : "no more",
                 c->job->out, is ? "this one" : "none");
    return OK;
}

/* The names that are allowed must be names. */
static err_t check_allowed(const struct check *c) {
    for (int64_t k = 0; k < c->changes.allowed_count; k++) {
        const char *name = c->changes.allowed[k];
        bool known = strcmp(name, "config.json") == 0 || !c->job->options;
        for (int i = 0; !known; i++) {
            const struct opt *o;
            char *text;
            TRY(opt_at(c->job->options, i, &o, &text));
            free(text);
            if (!o) break;
            known = strcmp(o->key, name) == 0;
        }
        if (!known)
            return FAIL(ERR_USAGE, "train.resume_changes: %.60s is neither an option nor config.json; a run that is refused says what to name", name);
    }
    return OK;
}

/* What a checkpoint without a record does not tell. */
static err_t say_unchecked(const struct job *job, int64_t step) {
    char keys[1024] = "";
    for (int i = 0;; i++) {
        const struct opt *o;
        char *text;
        TRY(opt_at(job->options, i, &o, &text));
        free(text);
        if (!o) break;
        const bool known = strncmp(o->key, "data.", 5) == 0 || strcmp(o->key, "train.seed") == 0 || strcmp(o->key, "train.batch") == 0;
        const size_t n = strlen(keys);
        if (!known && (o->resume == OPT_SAME || o->resume == OPT_MORE)) (void)snprintf(keys + n, sizeof keys - n, "%s%s", n ? ", " : "", o->key);
    }
    log_line(LOG_WARN,
             "the checkpoint of step %" PRId64
             " in %s was written before options were recorded: model, seed, batch and data are those of this run; that "
             "the weights it began with are, and these options, could not be checked: %s",
             step, job->out, keys);
    return OK;
}

static err_t check(struct check *c, const struct model_src *src, const struct train_state *now, int64_t step) {
    char dir[OS_PATH_MAX], path[OS_PATH_MAX], *config;
    int64_t bytes;
    bool differ;
    struct train_state was;
    TRY(check_allowed(c));
    TRY(ckpt_path(c->job->out, step, dir));
    TRY(os_join(path, dir, "config.json"));
    TRY(state_read(c->job->out, step, &was));
    TRY(os_read_all(path, 64 << 20, &config, &bytes));
    err_t err = compare_config(c, src, path, config);
    free(config);
    TRY(err);
    if (c->record) {
        const char *init = json_string_value(json_object_get(c->record, "model"));
        TRY(compare_options(c, BIT_SAME | BIT_MORE | BIT_ROUNDS, &differ));
        if (init && strcmp(init, now->init) != 0) changes_add(&c->changes, "model.init", init, now->init);
    } else {
        compare_number(c, "train.seed", was.seed, now->seed);
        compare_number(c, "train.batch", (uint64_t)was.batch, (uint64_t)now->batch);
    }
    compare_data(c, was.data, now->data);
    TRY(changes_check(&c->changes, c->job->out));
    TRY(compare_tokenizer(c, src, dir));
    return c->record || !c->job->options ? OK : say_unchecked(c->job, step);
}

static err_t open(struct check *c, const struct record *r) {
    json_error_t why;
    TRY(changes_open(&c->changes, c->job->train->resume_changes));
    c->record = r->text ? json_read(r->text, (int64_t)strlen(r->text), 0, &why) : NULL;
    return r->text && !c->record ? FAIL(ERR_NOMEM, "out of memory for the record of a run") : OK;
}

static void shut(struct check *c) {
    json_decref(c->record);
    changes_close(&c->changes);
}

err_t record_check(const struct record *r, const struct job *job, const struct model_src *src, const struct train_state *now, int64_t step,
                   int ranks) {
    struct check c = {.job = job, .now = {job->train->steps, ranks}};
    err_t err = open(&c, r);
    if (err == OK) err = check(&c, src, now, step);
    shut(&c);
    return err;
}

err_t record_check_finished(const struct record *r, const struct job *job) {
    struct check c = {.job = job};
    bool differ;
    if (!r->text) return OK;
    err_t err = open(&c, r);
    if (err == OK) err = check_allowed(&c);
    if (err == OK) err = compare_options(&c, BIT_SAME | BIT_CONFIG, &differ);
    if (err == OK) err = changes_check(&c.changes, job->out);
    shut(&c);
    return err;
}
