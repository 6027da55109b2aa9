#include "kernels/cost_int.h"

struct cost embed_forward_cost(const struct embed_args *a) {
    return (struct cost){0, (double)a->tokens * (2 * (double)a->width * size_of(a->act) + 4)};
}

struct cost embed_backward_cost(const struct embed_args *a) {
    const double n = (double)(a->tokens * a->width);
    return (struct cost){n, n * (size_of(a->act) + 8) + (double)a->tokens * 8};
}

void embed_forward_touch(const struct embed_args *a, struct touch *t) {
    const int64_t row = a->width * act_bytes(a->act);
    if (a->tokens == 0) return;
    touch_range(t, TOUCH_READ, a->ids, 4 * a->tokens);
    touch_range(t, TOUCH_READ, a->w, a->vocab * row);
    touch_range(t, TOUCH_WRITE, a->y, a->tokens * row);
}

void embed_backward_touch(const struct embed_args *a, struct touch *t) {
    if (a->tokens == 0) return;
    touch_range(t, TOUCH_READ, a->ids, 4 * a->tokens);
    touch_range(t, TOUCH_READ, a->start, 4 * a->tokens);
    touch_range(t, TOUCH_READ, a->dy, a->tokens * a->width * act_bytes(a->act));
    touch_range(t, TOUCH_ADD, a->dw_acc, 4 * a->vocab * a->width);
}
