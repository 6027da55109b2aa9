#include "kernels/cost_int.h"

static double gates_of(const struct gate_args *a) { return (double)a->rows * (a->one ? 1.0 : (double)a->width); }

struct cost gate_forward_cost(const struct gate_args *a) {
    const double n = (double)(a->rows * a->width), gates = gates_of(a);
    return (struct cost){n + 3 * gates, (2 * n + gates) * size_of(a->act)};
}

struct cost gate_backward_cost(const struct gate_backward_args *b) {
    const struct gate_args *a = &b->fwd;
    const double n = (double)(a->rows * a->width), gates = gates_of(a);
    return (struct cost){3 * n + 6 * gates, (3 * n + 2 * gates) * size_of(a->act)};
}

static int64_t gate_bytes(const struct gate_args *a) { return (a->one ? 1 : a->width) * act_bytes(a->act); }

void gate_forward_touch(const struct gate_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act);
    touch_rows(t, TOUCH_READ, a->x, a->rows, a->width * b, a->x_stride * b);
    touch_rows(t, TOUCH_READ, a->gate, a->rows, gate_bytes(a), a->gate_stride * b);
    touch_rows(t, TOUCH_WRITE, a->y, a->rows, a->width * b, a->y_stride * b);
}

void gate_backward_touch(const struct gate_backward_args *g, struct touch *t) {
    const struct gate_args *a = &g->fwd;
    const int64_t b = act_bytes(a->act);
    touch_rows(t, TOUCH_READ, a->x, a->rows, a->width * b, a->x_stride * b);
    touch_rows(t, TOUCH_READ, a->gate, a->rows, gate_bytes(a), a->gate_stride * b);
    touch_rows(t, TOUCH_READ, g->dy, a->rows, a->width * b, a->y_stride * b);
    touch_rows(t, TOUCH_WRITE, g->dx, a->rows, a->width * b, a->x_stride * b);
    touch_rows(t, TOUCH_WRITE, g->dgate, a->rows, gate_bytes(a), a->gate_stride * b);
}
