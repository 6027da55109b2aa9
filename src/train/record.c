#include "train/record_int.h"

#include "base/json.h"
#include "base/num.h"
#include "base/os.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char format[] = "mop run 1";

void record_hex(uint64_t x, char out[RECORD_HEX]) { (void)snprintf(out, RECORD_HEX, "%016" PRIx64, x); }

/* Some numbers of some tensors of all parts. */
err_t record_mark(const struct model_src *src, char out[RECORD_HEX]) {
    enum { TENSORS = 1024, VALUES = 64 };
    const struct params *p = &src->params;
    const int64_t stride = i64_max(1, p->count / TENSORS);
    uint64_t h = 0;
    if (!src->reader) {
        (void)snprintf(out, RECORD_HEX, "random");
        return OK;
    }
    for (int64_t i = 0; i < p->count; i += stride) {
        float v[VALUES];
        const int64_t n = i64_min(VALUES, p->list[i].count);
        TRY(model_src_read(src, &p->list[i], 0, n, v));
        h = XXH3_64bits_withSeed(p->list[i].name, strlen(p->list[i].name), h);
        h = XXH3_64bits_withSeed(v, sizeof *v * (size_t)n, h);
    }
    record_hex(h, out);
    return OK;
}

err_t record_option(const struct job *job, const struct record_now *now, int i, const struct opt **o, char **text) {
    TRY(opt_at(job->options, i, o, text));
    const bool steps = *o && strcmp((*o)->key, "train.steps") == 0, ranks = *o && strcmp((*o)->key, "ranks") == 0;
    if (!steps && !ranks) return OK;
    char number[RECORD_NUMBER];
    (void)snprintf(number, sizeof number, "%" PRId64, steps ? now->steps : (int64_t)now->ranks);
    free(*text);
    *text = strdup(number);
    return *text ? OK : FAIL(ERR_NOMEM, "out of memory for the value of %s", (*o)->key);
}

static err_t put_options(const struct job *job, const struct record_now *now, json_t *to) {
    for (int i = 0;; i++) {
        const struct opt *o;
        char *text;
        TRY(record_option(job, now, i, &o, &text));
        if (!o) return OK;
        const int bad = o->resume == OPT_FREE ? 0 : json_object_set_new(to, o->key, text ? json_string(text) : json_null());
        free(text);
        if (bad) return FAIL(ERR_NOMEM, "out of memory for a record of %d options", i);
    }
}

err_t record_text(const struct job *job, const struct train_state *s, int ranks, char **text) {
    char data[RECORD_HEX];
    *text = NULL;
    if (!job->options) return OK;
    record_hex(s->data, data);
    json_t *options = json_object();
    err_t err = put_options(job, &(struct record_now){job->train->steps, ranks}, options);
    json_t *root = json_pack("{ss, sI, ss, ss, sf, so}", "format", format, "step", (json_int_t)s->step, "model", s->init, "data", data, "aux_coef",
                             s->aux_coef, "options", options);
    if (err == OK && root) *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (err == OK && !*text) err = FAIL(ERR_NOMEM, "out of memory for the record of a run");
    json_decref(root);
    return err;
}

err_t record_open(const char *dir, struct record *out) {
    *out = (struct record){.step = -1, .aux_coef = -1};
    char *text;
    TRY(ckpt_record(dir, &text));
    if (!text) return OK;
    json_error_t why;
    json_t *root = json_read(text, (int64_t)strlen(text), 0, &why);
    const char *is = json_string_value(json_object_get(root, "format"));
    const json_t *step = json_object_get(root, "step"), *aux = json_object_get(root, "aux_coef");
    err_t err = OK;
    if (!is || strcmp(is, format) != 0 || !json_is_integer(step) || !json_is_number(aux) || !json_is_object(json_object_get(root, "options")))
        err = FAIL(ERR_FORMAT, "%s/%s is no record of a run (%s, with a step, aux_coef and options); restore it from a copy, or remove it", dir,
                   CKPT_RECORD, format);
    else *out = (struct record){text, json_integer_value(step), json_number_value(aux)};
    json_decref(root);
    if (err != OK) free(text);
    return err;
}

void record_close(struct record *r) {
    free(r->text);
    *r = (struct record){.step = -1, .aux_coef = -1};
}
