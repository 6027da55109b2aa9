/* Rotary embedding over vectors; the same roundings as the reference. Part of kernels/vector_set.h. */

/* Pairs j and on: y1 and y2 from x1 and x2, in two statements each, which are not to be fused. */
VEC_INLINE void rope_turn(const float *cosine, const float *sine, int64_t j, int64_t n, vf sign, vf x1, vf x2, vf *y1, vf *y2) {
    const vf c = vf_load_act(DT_F32, cosine, j, n), s = vf_load_act(DT_F32, sine, j, n) * sign;
    const vf x1c = x1 * c, x1s = x1 * s, x2c = x2 * c, x2s = x2 * s;
    *y1 = x1c - x2s;
    *y2 = x2c + x1s;
}

static void rope_head(const struct rope_args *a, const float *cosine, const float *sine, int64_t at) {
    const enum dtype t = a->act;
    const int64_t half = a->dim / 2;
    const vf sign = vf_set1(a->backward ? -1.0f : 1.0f);
    for (int64_t j = 0; j < half; j += L) {
        const int64_t n = half - j;
        vf y1, y2;
        rope_turn(cosine, sine, j, n, sign, vf_load_act(t, a->x, at + j, n), vf_load_act(t, a->x, at + half + j, n), &y1, &y2);
        vf_store_act(t, a->x, at + j, n, y1);
        vf_store_act(t, a->x, at + half + j, n, y2);
    }
}

static void rope_interleaved(const struct rope_args *a, const float *cosine, const float *sine, int64_t at) {
    const enum dtype t = a->act;
    const int64_t half = a->dim / 2;
    const vf sign = vf_set1(a->backward ? -1.0f : 1.0f);
    float x1[ROPE_INTERLEAVED_MAX / 2 + L], x2[ROPE_INTERLEAVED_MAX / 2 + L];
    for (int64_t j = 0; j < half; j++) {
        x1[j] = act_load(t, a->x, at + (a->backward ? j : 2 * j));
        x2[j] = act_load(t, a->x, at + (a->backward ? j + half : 2 * j + 1));
    }
    for (int64_t j = 0; j < half; j += L) {
        vf y1, y2;
        rope_turn(cosine, sine, j, half - j, sign, vf_load_act(DT_F32, x1, j, half - j), vf_load_act(DT_F32, x2, j, half - j), &y1, &y2);
        vf_store(x1 + j, y1);
        vf_store(x2 + j, y2);
    }
    for (int64_t j = 0; j < half; j++) {
        act_store(t, a->x, at + (a->backward ? 2 * j : j), x1[j]);
        act_store(t, a->x, at + (a->backward ? 2 * j + 1 : j + half), x2[j]);
    }
}

static void rope_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct rope_args *a = arg;
    const int64_t half = a->dim / 2, per = rows_per_task(a->heads * a->dim), stride = rope_head_stride(a);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++) {
        const float *cosine = a->cos + a->positions[r] * half, *sine = a->sin + a->positions[r] * half;
        for (int64_t at = r * a->x_stride; at < r * a->x_stride + a->heads * stride; at += stride) {
            if (a->interleaved) rope_interleaved(a, cosine, sine, at);
            else rope_head(a, cosine, sine, at);
        }
    }
}

static void rope_cpu(struct pool *pool, const struct rope_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->heads * a->dim)), rope_task, (void *)(uintptr_t)a);
}
