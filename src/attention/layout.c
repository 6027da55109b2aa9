#include "attention/attention_int.h"

#include "base/num.h"

#include <math.h>

static int64_t rot_width(const struct spec *s) {
    int64_t q = (int64_t)s->heads * s->head_dim, kv = (int64_t)s->kv_heads * s->head_dim;
    if (s->clip_qkv > 0) return q + 2 * kv;
    return s->qk_norm != QK_NORM_NONE ? q + kv : 0;
}

static int64_t norms_q(const struct spec *s) { return s->qk_norm == QK_NORM_HEAD ? s->heads : s->qk_norm == QK_NORM_ALL; }
static int64_t norms_k(const struct spec *s) { return s->qk_norm == QK_NORM_HEAD ? s->kv_heads : s->qk_norm == QK_NORM_ALL; }

const struct opt attention_opt_list[] = {
    {.key = "attention.head_chunks",
     .type = OPT_INT,
     .offset = offsetof(struct attention_opts, head_chunks),
     .def = "4",
     .lo = 1,
     .hi = 4096,
     .resume = OPT_ROUNDS,
     .help = "parts in which a rank's heads go through attention where mesh.seq is more than 1: more parts hold less at once"},
    {.key = NULL},
};

err_t attention_bytes(const struct shape *h, const struct attention_opts *o, int64_t positions, struct ledger *out) {
    const struct spec *s = h->spec;
    const int64_t t = h->tokens, b = dtype_bytes(h->act), q = (int64_t)s->heads * s->head_dim, kv = (int64_t)s->kv_heads * s->head_dim;
    const int64_t slots = shape_slots(h, s->layers), rot = rot_width(s);
    const int64_t set = arena_bytes(t * (q + 2 * kv) * b) + arena_bytes(t * rot * b) + arena_bytes(t * q * b) + arena_bytes(4 * t * s->heads) +
                        arena_bytes(4 * t * norms_q(s)) + arena_bytes(4 * t * norms_k(s));
    TRY(ledger_predict(out, "attention", "cos and sin", TIER_DEVICE, LIFE_RUN, 2 * arena_bytes(4 * positions * (s->rope.dim / 2))));
    TRY(ledger_predict(out, "attention", "sets", TIER_HOST, LIFE_RUN, arena_bytes(slots * (int64_t)sizeof(struct attention_saved))));
    TRY(ledger_predict(out, "attention", "intermediates", TIER_DEVICE, shape_kept(h) ? LIFE_STEP : LIFE_SCRATCH, slots * set));
    if (h->backward)
        TRY(ledger_predict(out, "attention", "gradients", TIER_DEVICE, LIFE_SCRATCH,
                           arena_bytes(t * q * b) + arena_bytes(t * (q + 2 * kv) * b) + arena_bytes(t * rot * b) + arena_bytes(4 * t * s->heads)));
    return h->split.seq > 1 ? ulysses_bytes(h, o, out) : OK;
}

err_t attention_cache_bytes(const struct shape *h, int64_t rows, struct ledger *out) {
    const struct spec *s = h->spec;
    return ledger_predict(out, "attention", "keys and values", TIER_DEVICE, LIFE_RUN,
                          arena_bytes(2 * s->layers * rows * s->kv_heads * s->head_dim * dtype_bytes(h->act)));
}

err_t attention_cache_layout(struct attention *a, int64_t rows, struct arenas *m) {
    a->cache_rows = rows;
    return arena_push(&m->run, "attention", "keys and values", 2 * a->shape.spec->layers * rows * a->kv_width * dtype_bytes(a->shape.act), &a->cache);
}

/* cos and sin of position * inv_freq in fp32, times the attention factor, rounded to act, as transformers has them: of one position. */
static void fill_position(const struct spec *s, enum dtype act, int64_t position, const float *inv, float *cos_out, float *sin_out) {
    const float factor = (float)s->rope.attention_factor;
    for (int j = 0; j < s->rope.dim / 2; j++) {
        const float angle = (float)position * inv[j];
        float w[2] = {cosf(angle) * factor, sinf(angle) * factor};
        if (act == DT_BF16) {
            uint16_t r[2];
            dtype_convert(DT_F32, w, DT_BF16, r, 2); /* host */
            dtype_convert(DT_BF16, r, DT_F32, w, 2); /* host */
        }
        cos_out[j] = w[0];
        sin_out[j] = w[1];
    }
}

void attention_open(struct attention *a) {
    enum { AT_ONCE = 64 };
    float inv[ATTENTION_DIM_MAX / 2], c[AT_ONCE * ATTENTION_DIM_MAX / 2], v[AT_ONCE * ATTENTION_DIM_MAX / 2];
    const int64_t half = a->shape.spec->rope.dim / 2;
    rope_inv_freq(a->shape.spec, inv);
    for (int64_t first = 0; first < a->positions; first += AT_ONCE) {
        const int64_t n = i64_min(AT_ONCE, a->positions - first);
        for (int64_t p = 0; p < n; p++) fill_position(a->shape.spec, a->shape.act, first + p, inv, c + p * half, v + p * half);
        STREAM_UPLOAD(a->ex->s, a->cos + first * half, c, 4 * n * half);
        STREAM_UPLOAD(a->ex->s, a->sin + first * half, v, 4 * n * half);
    }
}

err_t attention_layout(struct attention *a, const struct exec *ex, const struct store *store, struct mesh *mesh, const struct attention_opts *o,
                       const struct shape *h, int64_t positions, struct arenas *m) {
    const struct spec *s = h->spec;
    const int64_t t = h->tokens, b = dtype_bytes(h->act);
    ENSURE(s->head_dim <= ATTENTION_DIM_MAX && s->head_dim % 2 == 0);
    *a = (struct attention){.ex = ex, .store = store, .mesh = mesh, .opts = *o, .shape = *h, .rot_width = rot_width(s), .places = positions};
    a->q_width = (int64_t)s->heads * s->head_dim;
    a->kv_width = (int64_t)s->kv_heads * s->head_dim;
    const int64_t all = a->q_width + 2 * a->kv_width;
    TRY(ARENA(&m->run, "attention", "cos and sin", positions * (s->rope.dim / 2), &a->cos));
    TRY(ARENA(&m->run, "attention", "cos and sin", positions * (s->rope.dim / 2), &a->sin));
    a->positions = positions;
    const int slots = shape_slots(h, s->layers);
    TRY(ARENA(&m->host, "attention", "sets", slots, &a->saved));
    struct arena *keep = shape_kept(h) ? &m->step : &m->scratch;
    for (int i = 0; i < slots; i++) {
        struct attention_saved unused, *v = a->saved ? &a->saved[i] : &unused;
        TRY(arena_push(keep, "attention", "intermediates", t * all * b, &v->qkv));
        TRY(arena_push(keep, "attention", "intermediates", t * a->rot_width * b, &v->rot));
        TRY(arena_push(keep, "attention", "intermediates", t * a->q_width * b, &v->o));
        TRY(ARENA(keep, "attention", "intermediates", t * s->heads, &v->lse));
        TRY(ARENA(keep, "attention", "intermediates", t * norms_q(s), &v->rstd_q));
        TRY(ARENA(keep, "attention", "intermediates", t * norms_k(s), &v->rstd_k));
    }
    if (h->split.seq > 1) TRY(ulysses_layout(a, m));
    if (!h->backward) return OK;
    TRY(arena_push(&m->scratch, "attention", "gradients", t * a->q_width * b, &a->dout));
    TRY(arena_push(&m->scratch, "attention", "gradients", t * all * b, &a->dqkv));
    TRY(arena_push(&m->scratch, "attention", "gradients", t * a->rot_width * b, &a->drot));
    TRY(ARENA(&m->scratch, "attention", "gradients", t * s->heads, &a->delta));
    return OK;
}
