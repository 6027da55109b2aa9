/* What the cases of the operations share: memory, made-up numbers, bounds and a timed launch. A case makes one operation's arguments from a
 * shape, launches it, and says how far its outputs may be from another set's. Local. */
#ifndef MOP_KERNELS_CASE_INT_H
#define MOP_KERNELS_CASE_INT_H

#include "base/num.h"
#include "base/os.h"
#include "kernels/check.h"

#include <math.h>

#define CASE_U32 0x1p-24 /* half an ulp at most, relative: fp32 */
#define CASE_U16 0x1p-8  /* and bf16 */

/* A case at work. */
struct ctx {
    const struct kernels *k;
    struct pool *pool;
    enum dtype act;
    const struct case_shape *s;
    char *at, *end;
    uint64_t stream;
    int64_t budget_ns;
    bool full; /* the memory did not suffice */
    struct case_run *out;
};

/* What n roundings of terms up to `most` do to either side. */
static inline double roundings(double n, double most) { return 2 * n * CASE_U32 * most; }

static inline double unit_of(enum dtype act) { return act == DT_BF16 ? CASE_U16 : CASE_U32; }

static inline void *room_for(struct ctx *c, int64_t bytes) {
    char *p = c->at;
    const int64_t take = i64_round_up(bytes + 1, 64);
    if (take > c->end - c->at) {
        c->full = true;
        return NULL;
    }
    memset(p, 0, (size_t)take);
    c->at += take;
    return p;
}

/* n numbers in [-1, 1), the next stream (splitmix64 of stream and index). NULL where there is no room. */
static inline void *numbers(struct ctx *c, enum dtype t, int64_t n) {
    void *p = room_for(c, n * dtype_bytes(t));
    const uint64_t stream = c->stream++ << 40;
    for (int64_t i = 0; p && i < n; i++) {
        uint64_t z = (stream + (uint64_t)i) * 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        const float x = (float)((z ^ (z >> 31)) >> 41) * 0x1p-22f - 1.0f;
        if (t == DT_BF16) ((bf16 *)p)[i] = bf16_of_f32(x);
        else ((float *)p)[i] = x;
    }
    return p;
}

/* Whole numbers in [0, below). */
static inline int32_t *indices(struct ctx *c, int64_t n, int64_t below) {
    float *x = numbers(c, DT_F32, n);
    int32_t *p = room_for(c, n * 4);
    for (int64_t i = 0; x && p && i < n; i++) p[i] = (int32_t)i64_min(below - 1, (int64_t)((double)(x[i] + 1) / 2 * (double)below));
    return p;
}

static inline void wrote(struct ctx *c, const char *what, enum dtype t, const void *p, int64_t n, double bound) {
    c->out->out[c->out->outs++] = (struct case_out){what, t, p, n, bound};
}

static inline double most(const float *p, int64_t n) {
    float m = 0;
    for (int64_t i = 0; p && i < n; i++) m = fabsf(p[i]) > m ? fabsf(p[i]) : m;
    return m;
}

static inline void add_launch(struct case_run *r, int64_t ns, struct cost cost) {
    r->ns += ns;
    r->cost.flops += cost.flops;
    r->cost.bytes += cost.bytes;
}

/* Once, or as often as the budget gives; not at all where memory is missing. */
#define LAUNCH(c, op, args, ...)                                          \
    do {                                                                  \
        const struct args launch_ = {__VA_ARGS__};                        \
        const int64_t begin_ = os_now_ns();                               \
        int64_t best_ = INT64_MAX, now_ = begin_;                         \
        do {                                                              \
            if ((c)->full) break;                                         \
            (c)->k->op((c)->pool, &launch_);                              \
            const int64_t end_ = os_now_ns();                             \
            best_ = i64_min(best_, end_ - now_);                          \
            now_ = os_now_ns();                                           \
        } while (now_ - begin_ < (c)->budget_ns);                         \
        if (!(c)->full) add_launch((c)->out, best_, op##_cost(&launch_)); \
    } while (0)

#define CASE_DECLARED(name, args) void case_##name(struct ctx *c);
KERNEL_LIST(CASE_DECLARED)
#undef CASE_DECLARED

/* Logits and where their routing goes, not yet routed; and all tokens, routed, as one chunk whose places are to be found by dispatch_rows_ref: what
 * cases of rows begin with. */
struct route_args case_routing(struct ctx *c);
struct dispatch_rows_args case_dealt(struct ctx *c);

#endif
