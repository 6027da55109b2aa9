/* Packing B's columns where they are rows of memory, for sets that have nothing better, and the engine of such a set, named
 * by ENGINE; after matmul_cpu_body.h, with the same macros. */

typedef float NAME(vec4) __attribute__((vector_size(16)));

static inline float NAME(element)(const struct matmul_source *s, int64_t lane, int64_t step) {
    float x;
    NAME(copy)(&x, s, lane * s->ld + step, 1);
    return x;
}

static inline NAME(vec4) NAME(load4)(const struct matmul_source *s, int64_t at) {
    float x[4];
    NAME(vec4) v;
    NAME(copy)(x, s, at, 4);
    memcpy(&v, x, sizeof v);
    return v;
}

/* A full panel by 4 x 4 transposes. */
static inline void NAME(transpose)(float *dst, int width, const struct matmul_source *s, int64_t steps) {
    int64_t k = 0;
    for (; k + 4 <= steps; k += 4) {
        for (int l = 0; l < width; l += 4) {
            int64_t i = l * s->ld + k;
            NAME(vec4) r0 = NAME(load4)(s, i), r1 = NAME(load4)(s, i + s->ld);
            NAME(vec4) r2 = NAME(load4)(s, i + 2 * s->ld), r3 = NAME(load4)(s, i + 3 * s->ld);
            NAME(vec4) lo01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), hi01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
            NAME(vec4) lo23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5), hi23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
            NAME(vec4)
            out[4] = {__builtin_shufflevector(lo01, lo23, 0, 1, 4, 5), __builtin_shufflevector(lo01, lo23, 2, 3, 6, 7),
                      __builtin_shufflevector(hi01, hi23, 0, 1, 4, 5), __builtin_shufflevector(hi01, hi23, 2, 3, 6, 7)};
            for (int u = 0; u < 4; u++) memcpy(dst + (k + u) * width + l, &out[u], sizeof out[u]);
        }
    }
    for (; k < steps; k++)
        for (int l = 0; l < width; l++) dst[k * width + l] = NAME(element)(s, l, k);
}

static void NAME(pack_b)(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    enum { WIDTH = 2 * VW };
    if (s->layout == MATMUL_ACROSS) {
        NAME(pack_across)(dst, WIDTH, WIDTH * KC, s, lanes, steps);
    } else if (lanes == WIDTH) {
        NAME(transpose)(dst, WIDTH, s, steps);
    } else {
        float *to = dst;
        for (int64_t k = 0; k < steps; k++, to += WIDTH)
            for (int l = 0; l < WIDTH; l++) to[l] = l < lanes ? NAME(element)(s, l, k) : 0;
    }
}

enum { NR = 2 * VW, MC = 384, NC = 256 };
_Static_assert(MATMUL_FITS(MC, NC, KC, MR, NR, 4), "the block fits its buffers");

const struct matmul_engine ENGINE = {
    .mr = MR,
    .nr = NR,
    .step = 1,
    .elem_bytes = 4,
    .mc = MC,
    .nc = NC,
    .kc = KC,
    .task_mac = 8 << 20,
    .pack_a = NAME(pack_a),
    .pack_b = NAME(pack_b),
    .kernel = {NAME(kernel_along), NAME(kernel_across)},
    .store = NAME(store),
};
