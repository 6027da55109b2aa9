/* Rows dealt to lists: numbers, counts and places are those of a walk over all rows, with every set and any number of threads; weights go to
 * the rows and home. */
#include "kernel_test.h"

struct shape {
    int64_t tokens, chunks; /* chunks of either kind */
    int experts, k, cuts;   /* an expert's rows are cut into so many pieces, some of them empty */
};

/* Ids with some slots and whole tokens left out. */
static uint16_t *make_ids(struct io *io, const struct shape *s) {
    uint16_t *ids = io_new(io, s->tokens * s->k * 2);
    for (int64_t t = 0; t < s->tokens; t++)
        for (int i = 0; i < s->k; i++) {
            const int64_t first = rng_below(io->seed, 99, (uint64_t)t, s->experts);
            ids[t * s->k + i] = (uint16_t)((first + (int64_t)i * (s->experts / s->k)) % s->experts);
            if (t % 7 == 3 || (t + i) % 5 == 4) ids[t * s->k + i] = 0xffff;
        }
    return ids;
}

static struct dispatch_count_args counted(struct io *io, const struct shape *s, int64_t span) {
    const int64_t chunks = i64_div_up(s->tokens, span);
    const struct dispatch_count_args a = {.tokens = s->tokens,
                                          .span = span,
                                          .experts = s->experts,
                                          .k = s->k,
                                          .ids = make_ids(io, s),
                                          .number = io_new(io, 4 * s->tokens * s->k),
                                          .count = io_new(io, 4 * chunks * s->experts),
                                          .work = io_new(io, 4 * dispatch_count_work(s->tokens, span, s->experts))};
    io->k->dispatch_count(io->pool, &a);
    return a;
}

static void count(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const int64_t span = i64_max(1, i64_div_up(s->tokens, s->chunks)), chunks = i64_div_up(s->tokens, span);
    const struct dispatch_count_args a = counted(io, s, span);
    (void)io_out(io, "number", DT_I32, a.number, s->tokens * s->k);
    (void)io_out(io, "count", DT_I32, a.count, chunks * s->experts);
    if (!io->bounds || s->tokens > 1000) return;
    bool right = true;
    for (int64_t i = 0; i < s->tokens * s->k; i++) {
        int32_t before = 0;
        for (int64_t j = i / s->k / span * span * s->k; j < i; j++) before += a.ids[j] == a.ids[i];
        right = right && a.number[i] == (a.ids[i] == 0xffff ? -1 : before);
    }
    CASE(right, "rows are numbered by chunk and expert");
}

/* The pieces of every expert, in the order of a shuffled list. */
struct pieces {
    int32_t *first, *until, *place;
    int lists;
};

static struct pieces cut(struct io *io, const struct shape *s, const int32_t *count) {
    struct pieces p = {io_new(io, 4 * (s->experts + 1)), io_new(io, 4 * s->experts * s->cuts), io_new(io, 4 * s->experts * s->cuts), 0};
    for (int e = 0; e < s->experts; e++) {
        for (int c = 0; c < s->cuts; c++) p.until[p.lists++] = (int32_t)((int64_t)count[e] * (c + 1) / s->cuts);
        p.first[e + 1] = p.lists;
    }
    for (int i = 0; i < p.lists; i++) p.place[i] = (int32_t)((int64_t)(i % s->cuts) * s->experts + i / s->cuts);
    return p;
}

static struct dispatch_place_args placed(struct io *io, const struct shape *s) {
    const struct dispatch_count_args a = counted(io, s, i64_max(1, s->tokens));
    const struct pieces p = cut(io, s, a.count);
    const struct dispatch_place_args b = {.tokens = s->tokens,
                                          .chunks = s->chunks,
                                          .experts = s->experts,
                                          .k = s->k,
                                          .lists = p.lists,
                                          .ids = a.ids,
                                          .first = p.first,
                                          .until = p.until,
                                          .place = p.place,
                                          .number = a.number,
                                          .list = io_new(io, 4 * s->tokens * s->k),
                                          .count = io_new(io, 4 * s->chunks * p.lists),
                                          .work = io_new(io, 4 * dispatch_place_work(s->tokens, s->chunks, p.lists))};
    io->k->dispatch_place(io->pool, &b);
    return b;
}

static void place(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const struct dispatch_place_args b = placed(io, s);
    (void)io_out(io, "number", DT_I32, b.number, s->tokens * s->k);
    (void)io_out(io, "list", DT_I32, b.list, s->tokens * s->k);
    (void)io_out(io, "count", DT_I32, b.count, s->chunks * b.lists);
    if (!io->bounds || s->tokens > 1000) return;
    int32_t *seen = io_new(io, 4 * s->experts), *held = io_new(io, 4 * s->chunks * b.lists);
    bool right = true;
    for (int64_t i = 0; i < s->tokens * s->k; i++) {
        const int e = b.ids[i];
        if (e == 0xffff) {
            right = right && b.list[i] == -1;
            continue;
        }
        const int32_t row = seen[e]++; /* of the expert, over the whole call */
        int piece = b.first[e];
        while (row >= b.until[piece]) piece++;
        right = right && b.list[i] == b.place[piece] && b.number[i] == held[i / s->k % s->chunks * b.lists + b.list[i]]++;
    }
    CASE(right && memcmp(held, b.count, (size_t)(4 * s->chunks * b.lists)) == 0, "rows are placed by chunk and list");
}

/* Every chunk's rows, and their weights there and home. */
static void rows(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const struct dispatch_place_args b = placed(io, s);
    float *weights = io_normal(io, DT_F32, s->tokens * s->k, 1), *home = io_normal(io, DT_F32, s->tokens * s->k, 1);
    int32_t *base = io_new(io, 4 * b.lists), *all_pos = io_new(io, 4 * s->tokens * s->k), *all_token = io_new(io, 4 * s->tokens * s->k);
    float *all_rows = io_new(io, 4 * s->tokens * s->k);
    int64_t slots = 0, total = 0;
    bool right = true;
    for (int64_t c = 0; c < s->chunks; c++) {
        const int64_t n = s->tokens > c ? i64_div_up(s->tokens - c, s->chunks) : 0;
        int32_t sum = 0;
        for (int l = 0; l < b.lists; l++) {
            base[l] = sum;
            sum += b.count[c * b.lists + l];
        }
        int32_t *pos = all_pos + slots, *token = all_token + total;
        float *of_rows = all_rows + total;
        io->k->dispatch_rows(io->pool, &(struct dispatch_rows_args){.tokens = s->tokens,
                                                                    .first = c,
                                                                    .step = s->chunks,
                                                                    .count = n,
                                                                    .rows = sum,
                                                                    .k = s->k,
                                                                    .lists = b.lists,
                                                                    .list = b.list,
                                                                    .number = b.number,
                                                                    .base = base,
                                                                    .token = token,
                                                                    .pos = pos});
        for (int way = 0; way < 2; way++)
            io->k->dispatch_weights(io->pool, &(struct dispatch_weights_args){.first = c,
                                                                              .step = s->chunks,
                                                                              .count = n,
                                                                              .rows = sum,
                                                                              .k = s->k,
                                                                              .home = way,
                                                                              .pos = pos,
                                                                              .weights = way ? home : weights,
                                                                              .of_rows = of_rows});
        for (int64_t j = 0; j < n * s->k; j++) { /* a row is its token's, of its list, and later than the one before in it */
            const int64_t i = (c + j / s->k * s->chunks) * s->k + j % s->k;
            if (b.list[i] < 0) {
                right = right && pos[j] == -1 && home[i] == 0;
                continue;
            }
            const int32_t at = pos[j], first = base[b.list[i]];
            right = right && at >= first && at < first + b.count[c * b.lists + b.list[i]] && token[at] == i / s->k && home[i] == weights[i];
            right = right && (at == first || token[at - 1] <= token[at]);
        }
        slots += n * s->k;
        total += sum;
    }
    CASE(right, "%s: every row is where its list and number say, its weight with it", io->k->isa);
    (void)io_out(io, "pos", DT_I32, all_pos, slots);
    (void)io_out(io, "token", DT_I32, all_token, total);
    (void)io_out(io, "weights", DT_F32, all_rows, total);
    (void)io_out(io, "home", DT_F32, home, s->tokens * s->k);
}

static void balance_of(const struct kernels *k) {
    enum { LAYERS = 2, EXPERTS = 3 };
    const int64_t count[LAYERS * EXPERTS] = {4, 0, 2, 1, 4, 1};
    const double prob[EXPERTS] = {2.5, 2, 1.5};
    int64_t step[LAYERS * EXPERTS] = {1, 1, 1, 1, 1, 1}, tokens = 3;
    float grad[EXPERTS] = {9, 9, 9}, bias[LAYERS * EXPERTS] = {0};
    double aux = 0.25;
    struct balance_args a = {LAYERS, EXPERTS, 0.5, 2, &tokens, count, prob, step, grad, &aux};
    k->balance(NULL, &a);
    /* n = 6, F = (5, 4, 3)/6, R = prob/6: aux = 3 (12.5 + 8 + 4.5)/36; gradient 0.5*3/6*F */
    CASE(fabs(aux - (0.25 + 3.0 * 25 / 36 / 2)) < 1e-15, "%s: aux %.17g", k->isa, aux);
    for (int e = 0; e < EXPERTS; e++) CASE(fabs(grad[e] - 0.25 * (5 - e) / 6) < 1e-7, "%s: gradient %d is %g", k->isa, e, (double)grad[e]);
    for (int i = 0; i < LAYERS * EXPERTS; i++) CASE(step[i] == count[i] + 1, "%s: counts of the step", k->isa);
    tokens = 0;
    k->balance(NULL, &a);
    CASE(fabs(aux - (0.25 + 3.0 * 25 / 36 / 2)) < 1e-15 && grad[0] == 0, "%s: no token, no loss", k->isa);
    k->balance_bias(NULL, &(struct balance_bias_args){LAYERS, EXPERTS, 0.125, count, bias});
    const float want[LAYERS * EXPERTS] = {-0.125f, 0.125f, 0, 0.125f, -0.125f, 0.125f}; /* means are 2 */
    for (int i = 0; i < LAYERS * EXPERTS; i++) CASE(bias[i] == want[i], "%s: bias %d is %g", k->isa, i, (double)bias[i]);
}

int main(void) {
    static const struct shape shapes[] = {{0, 1, 4, 2, 2},     {1, 1, 1, 1, 1},     {13, 3, 5, 2, 2},     {64, 10, 8, 8, 3},
                                          {5, 7, 16, 2, 4},    {301, 2, 128, 4, 1}, {5000, 4, 7, 3, 2},   {2600, 1, 40, 4, 3},
                                          {700, 5, 130, 2, 2}, {4097, 3, 1, 1, 1},  {1500, 2, 2000, 2, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        hold("count", count, &shapes[i]);
        hold("place", place, &shapes[i]);
        hold("rows", rows, &shapes[i]);
    }
    struct kernels sets[SETS_MAX + 1];
    const int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) balance_of(&sets[s]);
    return test_end();
}
