/* Two folders of runs held against each other, tensor by tensor. */
#include "base/num.h"
#include "ckpt/ckpt_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct compare {
    FILE *to;
    double tolerance;
    int64_t tensors, different;
    void *a, *b; /* CHUNK numbers of up to 8 bytes each */
};
enum { CHUNK = 1 << 20 };

/* |a - b| / |a| in L2; *same: every element has the same bits once read. */
static err_t distance(struct compare *c, const struct st_reader *ra, const struct tensor_info *a, const struct st_reader *rb,
                      const struct tensor_info *b, double *out, bool *same) {
    double diff = 0, norm = 0;
    *same = a->dtype == b->dtype;
    for (int64_t at = 0; at < a->count; at += CHUNK) {
        const int64_t n = i64_min(CHUNK, a->count - at);
        if (a->dtype == DT_I64 && b->dtype == DT_I64) { /* step, seed and the like: equal or not */
            TRY(st_read(ra, a, at, n, c->a));
            TRY(st_read(rb, b, at, n, c->b));
            if (memcmp(c->a, c->b, (size_t)n * sizeof(int64_t)) != 0) {
                *same = false;
                diff = INFINITY;
            }
            continue;
        }
        TRY(st_read_f32(ra, a, at, n, c->a));
        TRY(st_read_f32(rb, b, at, n, c->b));
        if (memcmp(c->a, c->b, (size_t)n * sizeof(float)) != 0) *same = false;
        const float *x = c->a, *y = c->b;
        for (int64_t i = 0; i < n; i++) {
            const double d = (double)x[i] - (double)y[i];
            diff += d * d;
            norm += (double)x[i] * (double)x[i];
        }
    }
    *out = norm > 0 ? sqrt(diff / norm) : sqrt(diff);
    return OK;
}

static err_t compare_sets(struct compare *c, const char *what, const struct st_reader *ra, const struct st_reader *rb) {
    for (int64_t i = 0; i < st_count(ra); i++) {
        const struct tensor_info *a = st_at(ra, i), *b = st_find(rb, a->name);
        double d = 0;
        bool same = false;
        c->tensors++;
        if (!b || a->count != b->count) {
            c->different++;
            (void)fprintf(c->to, "%s %s: %s\n", what, a->name, b ? "another shape" : "only in the first");
            continue;
        }
        TRY(distance(c, ra, a, rb, b, &d, &same));
        if (same || d <= c->tolerance) continue; /* a NaN is not within any tolerance */
        c->different++;
        (void)fprintf(c->to, "%s %s: differs by %.3g of its norm\n", what, a->name, d);
    }
    for (int64_t i = 0; i < st_count(rb); i++) {
        if (st_find(ra, st_at(rb, i)->name)) continue;
        c->different++;
        (void)fprintf(c->to, "%s %s: only in the second\n", what, st_at(rb, i)->name);
    }
    return OK;
}

static err_t compare_models(struct compare *c, const char *a, const char *b) {
    struct st_reader *ra = NULL, *rb = NULL;
    TRY(st_open_folder(a, &ra));
    err_t err = st_open_folder(b, &rb);
    if (err == OK) err = compare_sets(c, "model", ra, rb);
    st_close(ra);
    st_close(rb);
    return err;
}

static err_t compare_checkpoints(struct compare *c, const char *a, const char *b, int64_t step) {
    struct ckpt_in ia, ib;
    char what[64];
    TRY(ckpt_open(a, step, &ia));
    err_t err = ckpt_open(b, step, &ib);
    if (err == OK) {
        (void)snprintf(what, sizeof what, "step %" PRId64, step);
        err = compare_sets(c, what, ia.model, ib.model);
        if (err == OK) err = compare_sets(c, what, ia.optim, ib.optim);
        if (err == OK) err = compare_sets(c, what, ia.run, ib.run);
        ckpt_close(&ib);
    }
    ckpt_close(&ia);
    return err;
}

static bool holds_model(const char *dir) {
    char path[OS_PATH_MAX];
    static const char *const weights[] = {WEIGHTS_NAME, WEIGHTS_INDEX};
    for (int i = 0; i < 2; i++)
        if (os_join(path, dir, weights[i]) == OK && os_exists(path)) return true;
    return false;
}

err_t ckpt_compare(const char *dir, const char *other, double tolerance, int64_t *tensors, int64_t *different) {
    struct compare c = {.to = stdout, .tolerance = tolerance, .a = malloc(8 * CHUNK), .b = malloc(8 * CHUNK)};
    int64_t *steps = NULL, count = 0, done = 0;
    err_t err = c.a && c.b ? steps_list(dir, &steps, &count) : FAIL(ERR_NOMEM, "out of memory for two buffers of %d numbers", CHUNK);
    if (err == OK && holds_model(dir) && holds_model(other)) {
        err = compare_models(&c, dir, other);
        done++;
    }
    for (int64_t i = 0; err == OK && i < count; i++) {
        char path[OS_PATH_MAX];
        err = step_path(other, steps[i], path);
        if (err != OK || !os_is_dir(path)) continue;
        err = compare_checkpoints(&c, dir, other, steps[i]);
        done++;
    }
    if (err == OK && done == 0)
        err = FAIL(ERR_FORMAT, "%s and %s have neither a model nor a checkpoint of the same step to compare; give folders that mop train wrote", dir,
                   other);
    free(steps);
    free(c.a);
    free(c.b);
    *tensors = c.tensors;
    *different = c.different;
    return err;
}
