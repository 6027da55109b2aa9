#include "base/json.h"
#include "base/os.h"
#include "cli/plot.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* No number of a run comes near; what lies beyond would leave the doubles when it is scaled. */
#define LARGEST 1e30

static err_t series_new(struct plot_series *s, int64_t room) {
    s->step = malloc(sizeof *s->step * (size_t)room + 1);
    s->y = malloc(sizeof *s->y * (size_t)room + 1);
    if (!s->step || !s->y) return FAIL(ERR_NOMEM, "out of memory for a log of %lld lines", (long long)room);
    return OK;
}

static void series_free(struct plot_series *s) {
    free(s->step);
    free(s->y);
}

/* A number of the line; *there false where it may lack and does. */
static err_t number(const char *where, const json_t *line, const char *key, bool needed, double *out, bool *there) {
    const json_t *v = json_object_get(line, key);
    *there = v != NULL;
    if (!v && !needed) return OK;
    *out = json_number_value(v);
    if (!json_is_number(v) || !(fabs(*out) <= LARGEST))
        return FAIL(ERR_FORMAT, "%s: \"%s\" is %s; is this the log of a run of mop train?", where, key, v ? "no number of a run" : "missing");
    return OK;
}

static void add(struct plot_series *s, int64_t step, double y) {
    s->step[s->n] = step;
    s->y[s->n++] = y;
}

static err_t read_line(const char *where, const json_t *line, struct plot_run *r) {
    const json_t *s = json_object_get(line, "step");
    const int64_t before = r->loss.n ? r->loss.step[r->loss.n - 1] : 0;
    double x;
    bool there;
    if (!json_is_integer(s) || json_integer_value(s) <= before || json_integer_value(s) > INT64_C(1) << 52)
        return FAIL(ERR_FORMAT, "%s: \"step\" must be a whole number above %lld, the step before; is this the log of a run of mop train?", where,
                    (long long)before);
    const int64_t step = json_integer_value(s);
    TRY(number(where, line, "loss", true, &x, &there));
    add(&r->loss, step, x);
    TRY(number(where, line, "tokens_per_s", true, &x, &there));
    add(&r->speed, step, x);
    TRY(number(where, line, "tokens", true, &x, &there));
    r->tokens += (int64_t)fmin(fabs(x), 1e12); /* so that 2^23 lines do not overflow */
    TRY(number(where, line, "valid_loss", false, &x, &there));
    if (there) add(&r->valid, step, x);
    TRY(number(where, line, "expert_balance", false, &x, &there));
    if (there) add(&r->balance, step, x);
    TRY(number(where, line, "expert_max_over_mean", false, &x, &there));
    if (there && x < 1) return FAIL(ERR_FORMAT, "%s: \"expert_max_over_mean\" is %g; no maximum is below its mean", where, x);
    if (there) add(&r->busiest, step, 1 / x);
    TRY(number(where, line, "dead_experts", false, &x, &there));
    if (there) r->dead = (int64_t)fmin(fmax(x, 0), 1e12);
    return OK;
}

static err_t read_lines(const char *path, const char *text, int64_t bytes, struct plot_run *r) {
    char where[OS_PATH_MAX + 32];
    json_error_t why;
    int64_t n = 0;
    for (const char *p = text, *end; (end = memchr(p, '\n', (size_t)(text + bytes - p))); p = end + 1) {
        (void)snprintf(where, sizeof where, "%s:%lld", path, (long long)++n);
        json_t *line = json_read(p, end - p, 0, &why);
        if (!line) return FAIL(ERR_FORMAT, "%s: not JSON: %s; is this the log of a run of mop train?", where, why.text);
        err_t err = read_line(where, line, r);
        json_decref(line);
        TRY(err);
    }
    if (!n) return FAIL(ERR_FORMAT, "%s: no step is done yet; wait for the first", path);
    return OK;
}

err_t plot_load(const char *run, struct plot_run *out) {
    char path[OS_PATH_MAX], why[OS_WHY_MAX], *text;
    int64_t bytes, lines = 0;
    *out = (struct plot_run){.tokens = 0};
    TRY(os_join(path, run, "log.jsonl"));
    if (!os_exists(path)) return FAIL(ERR_IO, "%s %s; name the folder that a training run writes (its out=)", path, os_no_dir(path, why));
    TRY(os_read_all(path, INT64_MAX - 1, &text, &bytes));
    for (int64_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    struct plot_series *const all[] = {&out->loss, &out->valid, &out->speed, &out->balance, &out->busiest};
    err_t err = OK;
    for (int i = 0; i < 5 && err == OK; i++) err = series_new(all[i], lines);
    if (err == OK) err = read_lines(path, text, bytes, out);
    free(text);
    return err;
}

void plot_free(struct plot_run *r) {
    series_free(&r->loss);
    series_free(&r->valid);
    series_free(&r->speed);
    series_free(&r->balance);
    series_free(&r->busiest);
}
