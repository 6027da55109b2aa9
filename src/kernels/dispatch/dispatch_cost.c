#include "kernels/cost_int.h"

int64_t dispatch_block(int64_t lists) { return i64_max(512, lists); }

int64_t dispatch_count_work(int64_t tokens, int64_t span, int experts) {
    return i64_div_up(tokens, i64_max(span, 1)) * i64_div_up(span, dispatch_block(experts)) * experts;
}

int64_t dispatch_place_work(int64_t tokens, int64_t chunks, int lists) { return i64_div_up(tokens, dispatch_block(chunks * lists)) * chunks * lists; }

/* Ids once, numbers once, and the counts. */
struct cost dispatch_count_cost(const struct dispatch_count_args *a) {
    const double rows = (double)(a->tokens * a->k), chunks = (double)i64_div_up(a->tokens, i64_max(1, a->span));
    return (struct cost){rows, 6 * rows + 4 * chunks * a->experts};
}

struct cost dispatch_place_cost(const struct dispatch_place_args *a) {
    const double rows = (double)(a->tokens * a->k);
    return (struct cost){2 * rows, 14 * rows + 4 * ((double)a->chunks * a->lists + 2 * a->lists + a->experts)};
}

struct cost dispatch_rows_cost(const struct dispatch_rows_args *a) {
    const double slots = (double)(a->count * a->k);
    return (struct cost){slots, (a->ids ? 10 : 12) * slots + 4 * (double)(a->rows + a->lists)};
}

struct cost dispatch_weights_cost(const struct dispatch_weights_args *a) {
    return (struct cost){0, 8 * (double)(a->count * a->k) + 4 * (double)a->rows};
}

void dispatch_count_touch(const struct dispatch_count_args *a, struct touch *t) {
    if (a->tokens == 0) return;
    touch_range(t, TOUCH_READ, a->ids, 2 * a->tokens * a->k);
    touch_range(t, TOUCH_WRITE, a->number, 4 * a->tokens * a->k);
    touch_range(t, TOUCH_WRITE, a->count, 4 * i64_div_up(a->tokens, a->span) * a->experts);
    touch_range(t, TOUCH_WORK, a->work, 4 * dispatch_count_work(a->tokens, a->span, a->experts));
}

void dispatch_place_touch(const struct dispatch_place_args *a, struct touch *t) {
    touch_range(t, TOUCH_READ, a->ids, 2 * a->tokens * a->k);
    touch_range(t, TOUCH_ADD, a->number, 4 * a->tokens * a->k);
    touch_range(t, TOUCH_WRITE, a->list, 4 * a->tokens * a->k);
    touch_range(t, TOUCH_WRITE, a->count, 4 * a->chunks * a->lists);
    touch_range(t, TOUCH_WORK, a->work, 4 * dispatch_place_work(a->tokens, a->chunks, a->lists));
}

void dispatch_place_tables(struct dispatch_place_args *a, struct tables *t) {
    TABLE(t, &a->first, 4 * (int64_t)(a->experts + 1));
    TABLE(t, &a->until, 4 * (int64_t)a->lists);
    TABLE(t, &a->place, 4 * (int64_t)a->lists);
}

void dispatch_rows_touch(const struct dispatch_rows_args *a, struct touch *t) {
    const int64_t k = a->k, at = a->first * k;
    if (a->count == 0) return;
    if (a->ids) touch_rows(t, TOUCH_READ, a->ids + at, a->count, 2 * k, 2 * k * a->step);
    else touch_rows(t, TOUCH_READ, a->list + at, a->count, 4 * k, 4 * k * a->step);
    touch_rows(t, TOUCH_READ, a->number + at, a->count, 4 * k, 4 * k * a->step);
    touch_range(t, TOUCH_WRITE, a->token, 4 * a->rows);
    touch_range(t, TOUCH_WRITE, a->pos, 4 * a->count * k);
}

void dispatch_rows_tables(struct dispatch_rows_args *a, struct tables *t) { TABLE(t, &a->base, 4 * (int64_t)a->lists); }

void dispatch_weights_touch(const struct dispatch_weights_args *a, struct touch *t) {
    const int64_t k = a->k;
    touch_range(t, TOUCH_READ, a->pos, 4 * a->count * k);
    touch_rows(t, a->home ? TOUCH_WRITE : TOUCH_READ, a->weights + a->first * k, a->count, 4 * k, 4 * k * a->step);
    touch_range(t, a->home ? TOUCH_READ : TOUCH_WRITE, a->of_rows, 4 * a->rows);
}
