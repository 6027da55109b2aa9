#include "kernels/cost_int.h"

struct cost add_cost(const struct add_args *a) {
    return (struct cost){(double)a->count, 3 * (double)a->count * size_of(a->act)};
}

static int64_t bias_rows(const struct bias_args *a) { return a->groups ? a->row_off[a->groups] - a->row_off[0] : a->rows; }

static struct cost bias_cost(const struct bias_args *a, double passes) {
    const double n = (double)bias_rows(a) * (double)a->width;
    int used = a->groups == 0; /* groups with rows: the others' biases are not read */
    for (int g = 0; g < a->groups; g++) used += a->row_off[g + 1] > a->row_off[g];
    return (struct cost){n, passes * n * size_of(a->act) + 8.0 * used * (double)a->width};
}

struct cost bias_forward_cost(const struct bias_args *a) {
    return bias_cost(a, 2);
}
struct cost bias_backward_cost(const struct bias_args *a) {
    return bias_cost(a, 1);
}

static struct cost clamp_cost(const struct clamp_args *a, double passes) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){2 * n, passes * n * size_of(a->act)};
}

struct cost clamp_forward_cost(const struct clamp_args *a) {
    return clamp_cost(a, 2);
}
struct cost clamp_backward_cost(const struct clamp_args *a) {
    return clamp_cost(a, 3);
}

void add_touch(const struct add_args *a, struct touch *t) {
    const int64_t bytes = a->count * act_bytes(a->act);
    touch_range(t, TOUCH_READ, a->a, bytes);
    touch_range(t, TOUCH_READ, a->b, bytes);
    touch_range(t, TOUCH_WRITE, a->y, bytes);
}

/* The rows of a call. */
static void bias_x_touch(const struct bias_args *a, enum access how, struct touch *t) {
    const int64_t b = act_bytes(a->act), first = a->groups ? a->row_off[0] : 0;
    touch_rows(t, how, (const char *)a->x + first * a->stride * b, bias_rows(a), a->width * b, a->stride * b);
}

void bias_forward_touch(const struct bias_args *a, struct touch *t) {
    const int64_t bytes = a->width * act_bytes(a->act);
    if (!a->groups && a->rows > 0) touch_range(t, TOUCH_READ, a->bias, bytes);
    for (int g = 0; g < a->groups; g++)
        if (a->row_off[g + 1] > a->row_off[g]) touch_range(t, TOUCH_READ, a->biases[g], bytes);
    bias_x_touch(a, TOUCH_ADD, t);
}

void bias_backward_touch(const struct bias_args *a, struct touch *t) {
    bias_x_touch(a, TOUCH_READ, t);
    if (!a->groups) touch_range(t, TOUCH_ADD, a->db_acc, 4 * a->width);
    for (int g = 0; g < a->groups; g++)
        if (a->row_off[g + 1] > a->row_off[g]) touch_range(t, TOUCH_ADD, a->dbs_acc[g], 4 * a->width);
}

static void bias_tables(struct bias_args *a, struct tables *t) {
    TABLE(t, &a->row_off, (int64_t)sizeof *a->row_off * (a->groups + 1));
    TABLE(t, &a->biases, (int64_t)sizeof *a->biases * a->groups);
    TABLE(t, &a->dbs_acc, (int64_t)sizeof *a->dbs_acc * a->groups);
}
void bias_forward_tables(struct bias_args *a, struct tables *t) { bias_tables(a, t); }
void bias_backward_tables(struct bias_args *a, struct tables *t) { bias_tables(a, t); }

void clamp_forward_touch(const struct clamp_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act);
    touch_rows(t, TOUCH_ADD, a->y, a->rows, a->width * b, a->stride * b);
}

void clamp_backward_touch(const struct clamp_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act);
    touch_rows(t, TOUCH_READ, a->x, a->rows, a->width * b, a->x_stride * b);
    touch_rows(t, TOUCH_ADD, a->y, a->rows, a->width * b, a->stride * b);
}
