/* Moves over vectors. Part of kernels/vector_set.h. A task takes a run of the rows laid end to end, so that one long row is cut too. */

enum { MOVE_BLOCK = 16384 };

/* Elements [c, c + n) of row r: what lies in one row of a task's run from `at` on. */
struct move_part {
    int64_t r, c, n;
};

static struct move_part move_part(int64_t at, int64_t end, int64_t width) {
    const int64_t r = at / width, c = at - r * width;
    return (struct move_part){r, c, i64_min(width - c, end - at)};
}

static void copy_rows_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct copy_rows_args *a = arg;
    const int64_t block = 4 * MOVE_BLOCK, end = i64_min(a->rows * a->bytes, (task + 1) * block);
    for (int64_t at = task * block; at < end;) {
        const struct move_part p = move_part(at, end, a->bytes);
        memcpy((char *)a->to + p.r * a->to_stride + p.c, (const char *)a->from + p.r * a->from_stride + p.c, (size_t)p.n);
        at += p.n;
    }
}

static void copy_rows_cpu(struct pool *pool, const struct copy_rows_args *a) {
    pool_run(pool, i64_div_up(a->rows * a->bytes, 4 * MOVE_BLOCK), copy_rows_task, (void *)(uintptr_t)a);
}

static void convert_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct convert_args *a = arg;
    const int64_t end = i64_min(a->rows * a->width, (task + 1) * MOVE_BLOCK);
    for (int64_t at = task * MOVE_BLOCK; at < end;) {
        const struct move_part p = move_part(at, end, a->width);
        const int64_t from = p.r * a->from_stride + p.c, to = p.r * a->to_stride + p.c;
        if (a->from_type == a->to_type)
            memcpy(act_at_mut(a->to_type, a->to, to), act_at(a->from_type, a->from, from), (size_t)(p.n * act_bytes(a->to_type)));
        else
            for (int64_t i = 0; i < p.n; i += L)
                vf_store_act(a->to_type, a->to, to + i, p.n - i, vf_load_act(a->from_type, a->from, from + i, p.n - i));
        at += p.n;
    }
}

static void convert_cpu(struct pool *pool, const struct convert_args *a) {
    pool_run(pool, i64_div_up(a->rows * a->width, MOVE_BLOCK), convert_task, (void *)(uintptr_t)a);
}

static void accumulate_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct accumulate_args *a = arg;
    const int64_t end = i64_min(a->rows * a->width, (task + 1) * MOVE_BLOCK);
    for (int64_t at = task * MOVE_BLOCK; at < end;) {
        const struct move_part p = move_part(at, end, a->width);
        const int64_t from = p.r * a->from_stride + p.c;
        float *to = a->to_acc + p.r * a->to_stride + p.c;
        for (int64_t i = 0; i < p.n; i += L) {
            vf sum = vf_load_act(DT_F32, to, i, p.n - i) + vf_load_act(a->from_type, a->from, from + i, p.n - i);
            vf_store_act(DT_F32, to, i, p.n - i, sum);
        }
        at += p.n;
    }
}

static void accumulate_cpu(struct pool *pool, const struct accumulate_args *a) {
    pool_run(pool, i64_div_up(a->rows * a->width, MOVE_BLOCK), accumulate_task, (void *)(uintptr_t)a);
}
