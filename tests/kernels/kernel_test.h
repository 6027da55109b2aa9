/* Holding fast kernels equal to the reference. A runner builds its inputs from a seed, runs one kernel of the table it
 * is given and names its outputs. hold() runs it with the reference, which also states how far each element may be off,
 * then with every set this CPU has and 1, 2, 3 and 7 threads: within the bounds, and the same bits for any number of
 * threads. */
#ifndef MOP_TESTS_KERNELS_KERNEL_TEST_H
#define MOP_TESTS_KERNELS_KERNEL_TEST_H

#include "base/num.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include "tests/test.h"

#include <math.h>

enum { OUTS = 8, KEPT = 64, POOLS = 4, SETS_MAX = 4 };
static const int pool_sizes[POOLS] = {1, 2, 3, 7};
static const double U32 = 0x1p-24, U16 = 0x1p-8; /* half an ulp at most, relative: fp32, bf16 */

struct out {
    const char *what;
    enum dtype t;
    int64_t n;
    void *p;
    double *bound;
};

struct io {
    const struct kernels *k;
    struct pool *pool;
    bool bounds; /* the reference's run */
    uint64_t seed;
    uint64_t streams;
    struct out out[OUTS];
    int outs;
    void *kept[KEPT];
    int count;
};

static inline void *io_new(struct io *io, int64_t bytes) {
    void *p = io->count < KEPT ? calloc(1, (size_t)bytes + 64) : NULL;
    if (!p) exit(3);
    return io->kept[io->count++] = p;
}

static inline void io_end(struct io *io) {
    for (int i = 0; i < io->count; i++) free(io->kept[i]);
}

static inline double get(enum dtype t, const void *p, int64_t i) {
    if (t == DT_BF16) return bf16_to_f32(((const bf16 *)p)[i]);
    if (t == DT_F64) return ((const double *)p)[i];
    if (t == DT_I64) return (double)((const int64_t *)p)[i];
    if (t == DT_I32) return ((const int32_t *)p)[i];
    if (t == DT_U16) return ((const uint16_t *)p)[i];
    if (t == DT_U8) return ((const uint8_t *)p)[i];
    return ((const float *)p)[i];
}

static inline void put(enum dtype t, void *p, int64_t i, double x) {
    if (t == DT_BF16) ((bf16 *)p)[i] = bf16_of_f32((float)x);
    else ((float *)p)[i] = (float)x;
}

/* n normal numbers times `scale`, the next stream of the seed. */
static inline void *io_normal(struct io *io, enum dtype t, int64_t n, double scale) {
    void *p = io_new(io, n * dtype_bytes(t));
    uint64_t stream = io->streams++;
    for (int64_t i = 0; i < n; i++) put(t, p, i, scale * rng_normal(io->seed, stream, (uint64_t)i));
    return p;
}

static inline void *io_copy(struct io *io, const void *p, int64_t bytes) {
    void *copy = io_new(io, bytes);
    if (bytes) memcpy(copy, p, (size_t)bytes);
    return copy;
}

/* An output, and bounds for its elements: absolute, beside one rounding to its type on either side, which hold() adds.
 * Elements that keep -1 (all, to begin with) must have the same bits: gaps between rows, copies, integers. */
static inline double *io_out(struct io *io, const char *what, enum dtype t, void *p, int64_t n) {
    double *bound = io_new(io, n * 8);
    for (int64_t i = 0; i < n; i++) bound[i] = -1;
    io->out[io->outs++] = (struct out){what, t, n, p, bound};
    return bound;
}

typedef void (*runner)(struct io *io, const void *shape);

static inline bool out_close(const struct out *ref, const struct out *got, int64_t *at) {
    int size = dtype_bytes(ref->t);
    double u = ref->t == DT_BF16 ? U16 : U32;
    for (*at = 0; *at < ref->n; ++*at) {
        int64_t i = *at;
        double a = get(ref->t, ref->p, i), b = get(got->t, got->p, i);
        if (ref->bound[i] < 0) {
            if (memcmp((const char *)ref->p + i * size, (const char *)got->p + i * size, (size_t)size) != 0) return false;
        } else if (a != b && !(isnan(a) && isnan(b)) && !(fabs(a - b) <= ref->bound[i] + 2 * u * fmax(fabs(a), fabs(b)) + 0x1p-125)) {
            return false;
        }
    }
    return true;
}

/* The sets with operations of their own that this CPU has: amx has attention, and shares the others with avx512, as avx512_bf16 does
 * (test_levels.c). */
static inline int kernel_sets(struct kernels out[SETS_MAX]) {
    static const char *const names[SETS_MAX] = {"portable", "avx2", "avx512", "amx"};
    int n = 0;
    for (int i = 0; i < SETS_MAX; i++)
        if (kernels_cpu(names[i], &out[n]) == OK) n++;
    return n;
}

/* Cases: per set and output, the bounds; per set, the bits for every number of threads. */
static inline void hold(const char *name, runner run, const void *shape) {
    struct kernels sets[SETS_MAX], reference;
    struct pool *pools[POOLS];
    int n = kernel_sets(sets);
    kernels_reference(&reference);
    for (int p = 0; p < POOLS; p++) NEED(pool_new(pool_sizes[p], &pools[p]));
    struct io ref = {.k = &reference, .bounds = true, .seed = 11};
    run(&ref, shape);
    for (int s = 0; s < n; s++) {
        struct io one = {.k = &sets[s], .pool = pools[0], .seed = 11};
        run(&one, shape);
        for (int o = 0; o < ref.outs; o++) {
            int64_t at;
            bool close = out_close(&ref.out[o], &one.out[o], &at);
            CASE(close, "%s, %s: %s[%lld] is %.9g, reference %.9g, bound %.3g", name, sets[s].isa, ref.out[o].what, (long long)at,
                 close ? 0 : get(one.out[o].t, one.out[o].p, at), close ? 0 : get(ref.out[o].t, ref.out[o].p, at), close ? 0 : ref.out[o].bound[at]);
        }
        for (int p = 1; p < POOLS; p++) {
            struct io more = {.k = &sets[s], .pool = pools[p], .seed = 11};
            run(&more, shape);
            bool same = true;
            for (int o = 0; o < one.outs; o++)
                same = same && memcmp(one.out[o].p, more.out[o].p, (size_t)(one.out[o].n * dtype_bytes(one.out[o].t))) == 0;
            CASE(same, "%s, %s: other bits with %d threads", name, sets[s].isa, pool_sizes[p]);
            io_end(&more);
        }
        io_end(&one);
    }
    io_end(&ref);
    for (int p = 0; p < POOLS; p++) pool_free(pools[p]);
}

/* Central differences of f, a function of n numbers x in fp64, against a kernel's gradient g. The step 2^-17 leaves a
 * truncation error of f''' h^2/6 and a rounding error of f 2^-53/h: under 1e-9 each for the functions here, which are of
 * order 1 to 100. `bound[i]` is the gradient's own. */
static inline void check_gradient(const char *what, double (*f)(const double *x, const void *arg), const void *arg, double *x, int64_t n,
                                  const float *g, const double *bound) {
    const double h = 0x1p-17;
    int64_t worst = -1;
    for (int64_t i = 0; i < n; i++) {
        double keep = x[i], up, down;
        x[i] = keep + h;
        up = f(x, arg);
        x[i] = keep - h;
        down = f(x, arg);
        x[i] = keep;
        double slope = (up - down) / (2 * h);
        if (!(fabs(slope - (double)g[i]) <= bound[i] + 2e-8) && worst < 0) {
            worst = i;
            (void)printf("%s: gradient %lld is %.9g, central difference %.9g, bound %.3g\n", what, (long long)i, (double)g[i], slope, bound[i]);
        }
    }
    CASE(worst < 0, "%s: gradient against central differences", what);
}

#endif
