/* Embedding over vectors. Part of kernels/vector_set.h. */

static void embed_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct embed_args *a = arg;
    int64_t bytes = a->width * act_bytes(a->act), per = rows_per_task(a->width);
    for (int64_t t = task * per; t < i64_min(a->tokens, (task + 1) * per); t++)
        memcpy((char *)a->y + t * bytes, (const char *)a->w + a->ids[t] * bytes, (size_t)bytes);
}

static void embed_forward_cpu(struct pool *pool, const struct embed_args *a) {
    pool_run(pool, i64_div_up(a->tokens, rows_per_task(a->width)), embed_forward_task, (void *)(uintptr_t)a);
}

/* A strip of columns for all tokens: two tokens of one id never meet in two tasks, and the order is that of the tokens. */
static void embed_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct embed_args *a = arg;
    int64_t c0 = task * STRIP, width = i64_min(STRIP, a->width - c0);
    for (int64_t t = 0; t < a->tokens; t++) {
        if (a->ids[t] == a->skip || (a->start && a->start[t] < 0)) continue;
        float *row = a->dw_acc + a->ids[t] * a->width + c0;
        for (int64_t c = 0; c < width; c += L) {
            vf sum = vf_load_act(DT_F32, row, c, width - c) + vf_load_act(a->act, a->dy, t * a->width + c0 + c, width - c);
            vf_store_act(DT_F32, row, c, width - c, sum);
        }
    }
}

static void embed_backward_cpu(struct pool *pool, const struct embed_args *a) {
    pool_run(pool, i64_div_up(a->width, STRIP), embed_backward_task, (void *)(uintptr_t)a);
}
