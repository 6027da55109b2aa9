/* Packing for the fp32 kernel where the set has nothing better; after matmul_cpu_body.h, with the same
 * macros. Operands of either type are widened to fp32 on the way. */

typedef float NAME(vec4) __attribute__((vector_size(16)));

static inline float NAME(element)(const struct matmul_source *s, int64_t lane, int64_t step) {
    int64_t i = s->layout == MATMUL_ALONG ? lane * s->ld + step : step * s->ld + lane;
    return s->dtype == DT_BF16 ? bf16_to_f32(((const bf16 *)s->at)[i]) : ((const float *)s->at)[i];
}

static inline NAME(vec4) NAME(load4)(const struct matmul_source *s, int64_t i) {
    NAME(vec4) v;
    if (s->dtype == DT_BF16) {
        const bf16 *p = (const bf16 *)s->at + i;
        v = (NAME(vec4)){bf16_to_f32(p[0]), bf16_to_f32(p[1]), bf16_to_f32(p[2]), bf16_to_f32(p[3])};
    } else {
        memcpy(&v, (const float *)s->at + i, sizeof v);
    }
    return v;
}

/* A full panel whose lanes are rows of memory: 4 x 4 transposes; the last group of 4 lanes may overlap. */
static inline void NAME(panel_along)(float *dst, int width, const struct matmul_source *s, int64_t lane0, int64_t steps) {
    int64_t k = 0;
    for (; k + 4 <= steps; k += 4) {
        for (int l = 0; l < width; l += 4) {
            int at = l + 4 <= width ? l : width - 4;
            int64_t i = (lane0 + at) * s->ld + k;
            NAME(vec4) r0 = NAME(load4)(s, i), r1 = NAME(load4)(s, i + s->ld);
            NAME(vec4) r2 = NAME(load4)(s, i + 2 * s->ld), r3 = NAME(load4)(s, i + 3 * s->ld);
            NAME(vec4) lo01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), hi01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
            NAME(vec4) lo23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5), hi23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
            NAME(vec4) out[4] = {
                __builtin_shufflevector(lo01, lo23, 0, 1, 4, 5), __builtin_shufflevector(lo01, lo23, 2, 3, 6, 7),
                __builtin_shufflevector(hi01, hi23, 0, 1, 4, 5), __builtin_shufflevector(hi01, hi23, 2, 3, 6, 7)};
            for (int u = 0; u < 4; u++) memcpy(dst + (k + u) * width + at, &out[u], sizeof out[u]);
        }
    }
    for (; k < steps; k++)
        for (int l = 0; l < width; l++) dst[k * width + l] = NAME(element)(s, lane0 + l, k);
}

static inline void NAME(panel_across)(float *dst, int width, const struct matmul_source *s, int64_t lane0, int64_t steps) {
    for (int64_t k = 0; k < steps; k++) {
        int64_t i = k * s->ld + lane0;
        if (s->dtype == DT_BF16) {
            for (int l = 0; l < width; l++) dst[k * width + l] = bf16_to_f32(((const bf16 *)s->at)[i + l]);
        } else {
            memcpy(dst + k * width, (const float *)s->at + i, sizeof(float) * (size_t)width);
        }
    }
}

/* All panels; one follows the other by `apart` floats. */
__attribute__((always_inline)) static inline void NAME(pack)(float *dst, int width, int64_t apart, const struct matmul_source *s, int64_t lanes,
                                                             int64_t steps) {
    int64_t lane = 0;
    for (; lane + width <= lanes; lane += width, dst += apart) {
        if (s->layout == MATMUL_ALONG) NAME(panel_along)(dst, width, s, lane, steps);
        else NAME(panel_across)(dst, width, s, lane, steps);
    }
    if (lane == lanes) return;
    for (int64_t k = 0; k < steps; k++)
        for (int l = 0; l < width; l++) dst[k * width + l] = lane + l < lanes ? NAME(element)(s, lane + l, k) : 0;
}

static void NAME(pack_a)(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    if (s->layout == MATMUL_ALONG) NAME(pack_rows)(dst, s, lanes, steps);
    else NAME(pack)(dst, MR, MR * KC, s, lanes, steps);
}

static void NAME(pack_b)(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    NAME(pack)(dst, 2 * VW, 2 * VW * steps, s, lanes, steps);
}
