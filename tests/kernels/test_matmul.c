/* The matrix product of every set against exact sums.
 *
 * The bound. One element is a chain of K products and K additions. Each rounds by at most u = 2^-24 of its
 * result (a fused step, or an exact product of two BF16, by less), so the sum is off by at most
 * ((1 + u)^(K+1) - 1) sum |a||b|; and each of the 2 K results that underflows by at most the smallest normal
 * number, 2^-126. Where AMX splits fp32 operands in three, products below 2^-22 |a||b| are left out, the small products' own sums
 * round 5 K times at 3/256 of the size (together less than K/16 of the first kind), and each block of k adds its two sums: K/16 + 2
 * roundings and 2^-22 sum |a||b| more. Adding the old C and rounding to BF16 (u = 2^-8) each happen once, on the result. The exact
 * sum is taken in fp64, whose own error, K 2^-53 sum |a||b|, is nothing beside it. */
#include "matmul_test.h"

/* The element (i, j) of group g: row i of the group in NT and NN, row i of C in TN. */
static double exact(const struct data *d, int g, int64_t i, int64_t j, double *abs_sum) {
    const struct matmul_args *a = &d->args;
    int64_t k_end = a->kind == MATMUL_TN ? d->row_off[g + 1] - d->row_off[g] : a->k;
    const void *b = a->kind == MATMUL_TN ? a->b : d->bs[g];
    double sum = 0;
    *abs_sum = 0;
    for (int64_t k = 0; k < k_end; k++) {
        double x, y;
        if (a->kind == MATMUL_TN) {
            x = get(a->a_dtype, a->a, (d->row_off[g] + k) * a->lda + i);
            y = get(a->b_dtype, b, (d->row_off[g] + k) * a->ldb + j);
        } else {
            x = get(a->a_dtype, a->a, (d->row_off[g] + i) * a->lda + k);
            y = get(a->b_dtype, b, a->kind == MATMUL_NT ? j * a->ldb + k : k * a->ldb + j);
        }
        sum += x * y;
        *abs_sum += fabs(x * y);
    }
    return sum;
}

struct result {
    const char *isa;
    void *c;
};

static double bound_of(const struct result *r, const struct problem *p, int64_t k, double abs_sum) {
    const bool split = strcmp(r->isa, "amx") == 0 && !(p->a == DT_BF16 && p->b == DT_BF16);
    const double roundings = (double)k + 1 + (split ? (double)k / 16 + 2 : 0);
    return (expm1(roundings * log1p(U32)) + (split ? 0x1p-22 : 0)) * abs_sum + 2 * (double)k * 0x1p-126;
}

/* Elements of C beyond their bound, one result after the other, and bytes around them that changed. */
static void check(const struct problem *p, const struct data *d, const void *before, const struct result *results, int count) {
    int64_t over[LEVELS + 1] = {0}, touched[LEVELS + 1] = {0}, size = dtype_bytes(p->c), cells = d->c_rows * d->args.ldc;
    char *ours = calloc(1, (size_t)cells + 1);
    if (!ours) exit(3);
    for (int g = 0; g < p->groups; g++) {
        int64_t k = p->kind == MATMUL_TN ? p->rows[g] : p->k, rows = p->kind == MATMUL_TN ? p->m : p->rows[g];
        int64_t row0 = p->kind == MATMUL_TN ? OUTSIDE + g * p->m : d->row_off[g];
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < p->n; j++) {
                int64_t at = (row0 + i) * d->args.ldc + j;
                double abs_sum, sum = exact(d, g, i, j, &abs_sum), old = p->accumulate ? get(p->c, before, at) : 0;
                ours[at] = 1;
                for (int r = 0; r < count; r++) {
                    double bound = bound_of(&results[r], p, k, abs_sum);
                    if (p->accumulate) bound += U32 * (fabs(sum + old) + bound);
                    if (p->c == DT_BF16) bound += U16 * (fabs(sum) + bound);
                    over[r] += !(fabs(get(p->c, results[r].c, at) - (sum + old)) <= bound);
                }
            }
        }
    }
    for (int r = 0; r < count; r++) {
        for (int64_t at = 0; at < cells; at++)
            touched[r] += !ours[at] && memcmp((char *)results[r].c + at * size, (const char *)before + at * size, (size_t)size) != 0;
        CASE(over[r] == 0, "%s %s m %lld n %lld k %lld groups %d %s %s %s%s: %lld elements beyond the bound", results[r].isa, kind_names[p->kind],
             (long long)p->m, (long long)p->n, (long long)p->k, p->groups, dtype_name(p->a), dtype_name(p->b), dtype_name(p->c),
             p->accumulate ? " accumulate" : "", (long long)over[r]);
        CASE(touched[r] == 0, "%s %s: %lld elements outside C written", results[r].isa, kind_names[p->kind], (long long)touched[r]);
    }
    free(ours);
}

static void run(const struct problem *p, const struct kernels *sets, int count) {
    struct data d;
    data_new(p, &d);
    size_t bytes = (size_t)data_c_bytes(&d);
    void *before = malloc(bytes + 1);
    struct result results[LEVELS + 1];
    if (!before) exit(3);
    memcpy(before, d.c, bytes);
    for (int s = 0; s <= count; s++) {
        memcpy(d.c, before, bytes);
        if (s < count) sets[s].matmul(NULL, &d.args);
        else matmul_ref(NULL, &d.args);
        results[s] = (struct result){s < count ? sets[s].isa : "reference", malloc(bytes + 1)};
        if (!results[s].c) exit(3);
        memcpy(results[s].c, d.c, bytes);
    }
    check(p, &d, before, results, count + 1);
    for (int s = 0; s <= count; s++) free(results[s].c);
    free(before);
    data_free(&d);
}

/* One row or column that is not finite stays alone: what fills up panels never meets it. In three parts of BF16 infinity ends as NaN. */
static void run_infinite(enum matmul_kind kind, enum dtype t, const struct kernels *k) {
    enum { R = 13, N = 21, K = 37, ROW = 5, COL = 17 };
    struct problem p = {.kind = kind, .m = R, .n = N, .k = K, .groups = 1, .rows = {kind == MATMUL_TN ? K : R}, .a = t, .b = t, .c = DT_F32};
    struct data d;
    data_new(&p, &d);
    int64_t row0 = OUTSIDE;
    put(t, d.a, kind == MATMUL_TN ? (row0 + 2) * d.args.lda + ROW : (row0 + ROW) * d.args.lda + 2, INFINITY);
    put(t, d.b, kind == MATMUL_NT ? COL * d.args.ldb + 4 : (kind == MATMUL_TN ? row0 + 4 : 4) * d.args.ldb + COL, (double)NAN);
    k->matmul(NULL, &d.args);
    const bool parts = t == DT_F32 && strcmp(k->isa, "amx") == 0;
    int wrong = 0;
    for (int i = 0; i < R; i++) {
        for (int j = 0; j < N; j++) {
            double c = get(DT_F32, d.c, (row0 + i) * d.args.ldc + j);
            wrong += (j == COL || (i == ROW && parts)) ? !isnan(c) : (i == ROW) ? !isinf(c) : !isfinite(c);
        }
    }
    CASE(wrong == 0, "%s %s %s: %d elements with an infinity or a NaN that is not theirs, or without one", k->isa, kind_names[kind], dtype_name(t),
         wrong);
    data_free(&d);
}

int main(void) {
    static const struct {
        int64_t m, n, k;
        int groups;
        int64_t rows[GROUPS_MAX];
    } shapes[] = {
        {1, 1, 1, 1, {1}},
        {5, 7, 3, 1, {0}},
        {7, 1, 64, 1, {9}},
        {3, 2, 0, 1, {4}},
        {2, 0, 3, 1, {4}},
        {31, 33, 31, 4, {0, 1, 5, 16}},
        {64, 96, 32, 8, {0, 0, 3, 32, 1, 0, 17, 0}},
        {41, 257, 65, 2, {33, 12}},   /* from here on only types marked large */
        {17, 65, 513, 3, {2, 0, 25}}, /* k in blocks */
        {390, 37, 33, 1, {391}},      /* several blocks of rows */
        {25, 267, 67, 1, {270}},      /* several tasks beside each other; k in blocks for TN */
        {16, 40, 1030, 1, {1030}},
    };
    enum { SMALL = 7 };
    static const struct {
        enum dtype a, b, c;
        bool accumulate, large;
    } types[] = {
        {DT_F32, DT_F32, DT_F32, false, false}, {DT_F32, DT_F32, DT_F32, true, true},     {DT_BF16, DT_BF16, DT_F32, false, false},
        {DT_BF16, DT_BF16, DT_F32, true, true}, {DT_BF16, DT_BF16, DT_BF16, false, true}, {DT_F32, DT_F32, DT_BF16, false, false},
        {DT_BF16, DT_F32, DT_F32, true, false}, {DT_F32, DT_BF16, DT_BF16, false, true},
    };
    struct kernels sets[LEVELS];
    int count = matmul_sets(sets);
    for (int kind = MATMUL_NT; kind <= MATMUL_TN; kind++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
                if (s >= SMALL && !types[t].large) continue;
                struct problem p = {
                    (enum matmul_kind)kind, shapes[s].m, shapes[s].n, shapes[s].k, shapes[s].groups, {0}, types[t].a, types[t].b, types[t].c,
                    types[t].accumulate};
                memcpy(p.rows, shapes[s].rows, sizeof p.rows);
                run(&p, sets, count);
            }
        }
        for (int s = 0; s < count; s++) {
            run_infinite((enum matmul_kind)kind, DT_F32, &sets[s]);
            run_infinite((enum matmul_kind)kind, DT_BF16, &sets[s]);
        }
    }
    return test_end();
}
