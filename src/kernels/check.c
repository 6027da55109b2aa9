#include "kernels/check.h"

#include "base/num.h"
#include "base/os.h"
#include "kernels/roofline.h"

#include <math.h>

static double value(enum dtype t, const void *p, int64_t i) {
    switch (t) {
    case DT_BF16: return bf16_to_f32(((const bf16 *)p)[i]);
    case DT_F64: return ((const double *)p)[i];
    case DT_I64: return (double)((const int64_t *)p)[i];
    case DT_I32: return ((const int32_t *)p)[i];
    case DT_U16: return ((const uint16_t *)p)[i];
    default: return ((const float *)p)[i];
    }
}

static bool same_element(const struct case_out *a, const struct case_out *b, int64_t i) {
    const int64_t size = dtype_bytes(a->t);
    return memcmp((const char *)a->p + i * size, (const char *)b->p + i * size, (size_t)size) == 0;
}

/* Within its bound and one rounding to its type on either side; a NaN never is. */
static bool close_element(const struct case_out *want, const struct case_out *got, int64_t i) {
    const double u = want->t == DT_BF16 ? 0x1p-8 : want->t == DT_F64 ? 0x1p-53 : 0x1p-24;
    const double a = value(want->t, want->p, i), b = value(got->t, got->p, i);
    return fabs(a - b) <= want->bound + 2 * u * fmax(fabs(a), fabs(b)) + 0x1p-126;
}

/* The first element of `got` that is off, into *r. */
static bool compare(const struct case_run *want, const struct case_run *got, enum check_verdict verdict, struct check_result *r) {
    for (int o = 0; o < want->outs; o++) {
        const struct case_out *w = &want->out[o], *g = &got->out[o];
        const bool bits = verdict != CHECK_FAR || w->bound < 0;
        for (int64_t i = 0; i < w->n; i++) {
            if (bits ? same_element(w, g, i) : close_element(w, g, i)) continue;
            *r = (struct check_result){verdict, w->what, i, value(g->t, g->p, i), value(w->t, w->p, i), bits ? 0 : w->bound};
            return false;
        }
    }
    return true;
}

static err_t check_one(enum kernel_id op, const struct kernels *k, struct pool *pool, enum dtype act, char *memory, struct check_result *r) {
    struct kernels reference;
    struct case_run want, alone, many;
    char *at[3] = {memory, memory + CASE_AWKWARD_BYTES, memory + 2 * (int64_t)CASE_AWKWARD_BYTES};
    kernels_reference(&reference);
    *r = (struct check_result){.verdict = CHECK_EQUAL};
    TRY(case_launch(op, &reference, NULL, act, &case_awkward, at[0], CASE_AWKWARD_BYTES, 0, &want));
    TRY(case_launch(op, k, NULL, act, &case_awkward, at[1], CASE_AWKWARD_BYTES, 0, &alone));
    if (!compare(&want, &alone, CHECK_FAR, r)) return OK;
    TRY(case_launch(op, k, pool, act, &case_awkward, at[2], CASE_AWKWARD_BYTES, 0, &many));
    (void)compare(&alone, &many, CHECK_THREADS, r);
    return OK;
}

/* Rows of a product, all together and each alone. */
static void check_rows(const struct kernels *k, struct pool *pool, enum dtype act, char *memory, struct check_result *r) {
    enum { ROWS = 37, IN = 83, OUT = 51 };
    const int64_t b = dtype_bytes(act);
    char *x = memory, *w = memory + CASE_AWKWARD_BYTES / 4, *y = memory + CASE_AWKWARD_BYTES / 2;
    roofline_numbers(act, x, CASE_AWKWARD_BYTES / 4 / b); /* x and w */
    memcpy(w, x + (int64_t)ROWS * IN * b, (size_t)(IN * OUT * b));
    for (int nn = 0; nn < 2; nn++) {
        struct matmul_args a = {.kind = nn ? MATMUL_NN : MATMUL_NT,
                                .groups = 1,
                                .rows = ROWS,
                                .n = OUT,
                                .k = IN,
                                .a = x,
                                .lda = IN,
                                .b = w,
                                .ldb = nn ? OUT : IN,
                                .c = y,
                                .ldc = OUT,
                                .a_dtype = act,
                                .b_dtype = act,
                                .c_dtype = DT_F32};
        float alone[OUT];
        k->matmul(pool, &a);
        a.c = alone;
        a.rows = 1;
        for (int64_t i = 0; i < ROWS; i++) {
            const float *all = (const float *)(const void *)y + i * OUT;
            a.a = x + i * IN * b;
            k->matmul(pool, &a);
            for (int64_t j = 0; j < OUT; j++) {
                if (bits_of_f32(alone[j]) == bits_of_f32(all[j])) continue;
                *r = (struct check_result){CHECK_ROWS, nn ? "rows of NN" : "rows of NT", i * OUT + j, alone[j], all[j], 0};
                return;
            }
        }
    }
}

err_t kernels_check(const struct kernels *k, struct pool *pool, enum dtype act, struct check_result out[KERNEL_COUNT]) {
    void *memory;
    err_t err = OK;
    TRY(os_reserve(3 * (size_t)CASE_AWKWARD_BYTES, "the check of the kernels", &memory));
    for (int op = 0; op < KERNEL_COUNT && err == OK; op++) {
        err = check_one((enum kernel_id)op, k, pool, act, memory, &out[op]);
        if (err == OK && op == KERNEL_matmul && out[op].verdict == CHECK_EQUAL) check_rows(k, pool, act, memory, &out[op]);
    }
    os_release(memory, 3 * (size_t)CASE_AWKWARD_BYTES);
    return err;
}
