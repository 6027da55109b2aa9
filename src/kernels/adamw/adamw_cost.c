#include "kernels/cost_int.h"

struct cost adamw_cost(const struct adamw_args *a) {
    return (struct cost){16 * (double)a->count, (a->w ? 34 : 32) * (double)a->count};
}

struct cost sumsq_cost(const struct sumsq_args *a) {
    return (struct cost){2 * (double)a->count, 4 * (double)a->count};
}

void adamw_touch(const struct adamw_args *a, struct touch *t) {
    touch_range(t, TOUCH_ADD, a->p, 4 * a->count);
    touch_range(t, TOUCH_WRITE, a->w, 2 * a->count);
    touch_range(t, TOUCH_ADD, a->m, 4 * a->count);
    touch_range(t, TOUCH_ADD, a->v, 4 * a->count);
    touch_range(t, TOUCH_ADD, a->g, 4 * a->count);
}

void sumsq_touch(const struct sumsq_args *a, struct touch *t) {
    touch_range(t, TOUCH_READ, a->x, 4 * a->count);
    touch_range(t, TOUCH_WORK, a->partial, 8 * i64_div_up(a->count, SUMSQ_BLOCK));
    touch_range(t, TOUCH_WRITE, a->out, 8);
}
