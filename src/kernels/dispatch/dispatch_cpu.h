/* Dispatch on the pool. Part of kernels/vector_set.h. Counting is in three passes: blocks of tokens number their rows and count them,
 * each on its own; the counts of blocks become what lies before each block; and that is added to the numbers. */

enum { DISPATCH_TOKENS = 1024 };

/* ---- count ---- */

static int64_t count_blocks(const struct dispatch_count_args *a) { return i64_div_up(a->span, dispatch_block(a->experts)); } /* of a chunk */

/* Rows [*from, *to) of a block, and its counts. */
static int32_t *count_block(const struct dispatch_count_args *a, int64_t block, int64_t *from, int64_t *to) {
    const int64_t chunk = block / count_blocks(a), most = dispatch_block(a->experts);
    const int64_t first = chunk * a->span + block % count_blocks(a) * most, end = i64_min(a->tokens, (chunk + 1) * a->span);
    *from = i64_min(first, end) * a->k;
    *to = i64_min(first + most, end) * a->k;
    return a->work + block * a->experts;
}

static void count_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct dispatch_count_args *a = arg;
    int64_t from, to;
    int32_t *count = count_block(a, task, &from, &to);
    memset(count, 0, sizeof *count * (size_t)a->experts);
    for (int64_t i = from; i < to; i++) a->number[i] = a->ids[i] == 0xffff ? -1 : count[a->ids[i]]++;
}

static void count_add_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct dispatch_count_args *a = arg;
    int64_t from, to;
    const int32_t *before = count_block(a, task, &from, &to);
    if (task % count_blocks(a) == 0) return; /* the first of a chunk */
    for (int64_t i = from; i < to; i++)
        if (a->number[i] >= 0) a->number[i] += before[a->ids[i]];
}

/* counts (blocks, keys) to what lies before each block; their sums into all. */
static void counts_before(int32_t *counts, int64_t blocks, int64_t keys, int32_t *all) {
    memset(all, 0, sizeof *all * (size_t)keys);
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t e = 0; e < keys; e++) {
            const int32_t count = counts[b * keys + e];
            counts[b * keys + e] = all[e];
            all[e] += count;
        }
}

static void dispatch_count_cpu(struct pool *pool, const struct dispatch_count_args *a) {
    if (a->tokens == 0) return;
    const int64_t each = count_blocks(a), chunks = i64_div_up(a->tokens, a->span);
    pool_run(pool, chunks * each, count_task, (void *)(uintptr_t)a);
    for (int64_t c = 0; c < chunks; c++) counts_before(a->work + c * each * a->experts, each, a->experts, a->count + c * a->experts);
    pool_run(pool, chunks * each, count_add_task, (void *)(uintptr_t)a);
}

/* ---- place ---- */

static int32_t *place_block(const struct dispatch_place_args *a, int64_t block, int64_t *from, int64_t *to) {
    const int64_t most = dispatch_block(a->chunks * a->lists);
    *from = block * most * a->k;
    *to = i64_min((block + 1) * most, a->tokens) * a->k;
    return a->work + block * a->chunks * a->lists;
}

/* The first piece of [lo, hi) that ends behind the row. */
static int32_t piece_of(const int32_t *until, int32_t row, int32_t lo, int32_t hi) {
    while (hi - lo > 1) {
        const int32_t mid = (lo + hi - 1) / 2;
        if (row < until[mid]) hi = mid + 1;
        else lo = mid + 1;
    }
    return lo;
}

static void place_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct dispatch_place_args *a = arg;
    int64_t from, to;
    int32_t *count = place_block(a, task, &from, &to);
    memset(count, 0, sizeof *count * (size_t)(a->chunks * a->lists));
    for (int64_t i = from; i < to; i++) {
        a->list[i] = -1;
        if (a->ids[i] == 0xffff) continue;
        a->list[i] = a->place[piece_of(a->until, a->number[i], a->first[a->ids[i]], a->first[a->ids[i] + 1])];
        a->number[i] = count[i / a->k % a->chunks * a->lists + a->list[i]]++;
    }
}

static void place_add_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct dispatch_place_args *a = arg;
    int64_t from, to;
    const int32_t *before = place_block(a, task, &from, &to);
    if (task == 0) return;
    for (int64_t i = from; i < to; i++)
        if (a->list[i] >= 0) a->number[i] += before[i / a->k % a->chunks * a->lists + a->list[i]];
}

static void dispatch_place_cpu(struct pool *pool, const struct dispatch_place_args *a) {
    const int64_t blocks = i64_div_up(a->tokens, dispatch_block(a->chunks * a->lists));
    pool_run(pool, blocks, place_task, (void *)(uintptr_t)a);
    counts_before(a->work, blocks, a->chunks * a->lists, a->count);
    pool_run(pool, blocks, place_add_task, (void *)(uintptr_t)a);
}

/* ---- a chunk ---- */

static void dispatch_rows_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct dispatch_rows_args *a = arg;
    for (int64_t j = task * DISPATCH_TOKENS; j < i64_min(a->count, (task + 1) * DISPATCH_TOKENS); j++)
        for (int s = 0; s < a->k; s++) {
            const int64_t token = a->first + j * a->step, i = token * a->k + s;
            const int32_t list = a->ids ? (a->ids[i] == 0xffff ? -1 : a->ids[i]) : a->list[i];
            const int32_t row = list < 0 ? -1 : a->base[list] + a->number[i];
            a->pos[j * a->k + s] = row;
            if (row >= 0) a->token[row] = (int32_t)token;
        }
}

static void dispatch_rows_cpu(struct pool *pool, const struct dispatch_rows_args *a) {
    pool_run(pool, i64_div_up(a->count, DISPATCH_TOKENS), dispatch_rows_task, (void *)(uintptr_t)a);
}

static void dispatch_weights_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct dispatch_weights_args *a = arg;
    for (int64_t j = task * DISPATCH_TOKENS; j < i64_min(a->count, (task + 1) * DISPATCH_TOKENS); j++) {
        const int32_t *pos = a->pos + j * a->k;
        float *weights = a->weights + (a->first + j * a->step) * a->k;
        for (int s = 0; s < a->k; s++) {
            if (a->home) weights[s] = pos[s] >= 0 ? a->of_rows[pos[s]] : 0;
            else if (pos[s] >= 0) a->of_rows[pos[s]] = weights[s];
        }
    }
}

static void dispatch_weights_cpu(struct pool *pool, const struct dispatch_weights_args *a) {
    pool_run(pool, i64_div_up(a->count, DISPATCH_TOKENS), dispatch_weights_task, (void *)(uintptr_t)a);
}
