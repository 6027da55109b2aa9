#include "kernels/cost.h"

#include "base/num.h"

const char *const kernel_names[KERNEL_COUNT] = {
#define KERNEL_NAME(name, args) #name,
    KERNEL_LIST(KERNEL_NAME)
#undef KERNEL_NAME
};

static double size_of(enum dtype t) { return dtype_bytes(t); }

struct cost matmul_cost(const struct matmul_args *a) {
    const bool tn = a->kind == MATMUL_TN;
    int used = 0; /* groups with rows: the others' weights are not read */
    for (int g = 0; a->row_off && g < a->groups; g++) used += a->row_off[g + 1] > a->row_off[g];
    if (!a->row_off) used = a->rows > 0;
    const double rows = (double)(a->row_off ? a->row_off[a->groups] - a->row_off[0] : a->rows), n = (double)a->n;
    const double inner = (double)(tn ? a->m : a->k), once = a->accumulate ? 2 : 1;
    double bytes = rows * inner * size_of(a->a_dtype);
    if (tn) bytes += rows * n * size_of(a->b_dtype) + used * inner * n * size_of(a->c_dtype) * once;
    else bytes += used * inner * n * size_of(a->b_dtype) + rows * n * size_of(a->c_dtype) * once;
    return (struct cost){2 * rows * inner * n, bytes};
}

struct cost norm_forward_cost(const struct norm_args *a) {
    const double heads = (double)(a->rows * a->heads), n = heads * (double)a->width;
    return (struct cost){4 * n, 2 * n * size_of(a->act) + (a->rstd ? 4 * heads : 0) + (double)a->width * size_of(a->act)};
}

struct cost norm_backward_cost(const struct norm_backward_args *a) {
    const double heads = (double)(a->rows * a->heads), n = heads * (double)a->width;
    return (struct cost){(a->add ? 9 : 8) * n,
                         (a->add ? 4 : 3) * n * size_of(a->act) + 4 * heads + (double)a->width * (size_of(a->act) + 2 * sizeof(float))};
}

struct cost rope_cost(const struct rope_args *a) {
    const double n = (double)(a->rows * a->heads * a->dim);
    return (struct cost){3 * n, 2 * n * size_of(a->act) + (double)a->rows * (4 + 4 * (double)a->dim)};
}

/* Pairs of a query and a key that it sees, over all heads; padding sees nothing. */
static double pairs_of(const struct attention_args *a) {
    int64_t pairs = 0;
    for (int64_t i = a->first; i < a->tokens; i++) {
        const int64_t start = a->start[i - a->first];
        pairs += start < 0 ? 0 : i - start + 1;
    }
    return (double)pairs * a->heads;
}

/* Elements of q (o, their gradients) and of k (v, their gradients). */
static void sizes_of(const struct attention_args *a, double *q, double *kv) {
    *q = (double)(a->tokens - a->first) * a->heads * a->head_dim;
    *kv = (double)a->tokens * a->kv_heads * a->head_dim;
}

struct cost attention_forward_cost(const struct attention_args *a) {
    double q, kv;
    sizes_of(a, &q, &kv);
    return (struct cost){pairs_of(a) * (4.0 * a->head_dim + 4), size_of(a->act) * 2 * (q + kv) + 4 * (double)(a->tokens - a->first) * (a->heads + 1)};
}

/* Five products where the forward has two: the scores again, dV, dP, dQ and dK. */
struct cost attention_backward_cost(const struct attention_backward_args *a) {
    double q, kv;
    sizes_of(&a->fwd, &q, &kv);
    return (struct cost){pairs_of(&a->fwd) * (10.0 * a->fwd.head_dim + 6) + 2 * q,
                         size_of(a->fwd.act) * 4 * (q + kv) + 4 * (double)a->fwd.tokens * (3 * a->fwd.heads + 1)};
}

struct cost swiglu_forward_cost(const struct swiglu_args *a) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){5 * n, 3 * n * size_of(a->act)};
}

struct cost swiglu_backward_cost(const struct swiglu_args *a) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){11 * n, (a->h ? 6 : 5) * n * size_of(a->act)};
}

/* Softmax over the experts; one pass of comparisons per choice. */
struct cost route_forward_cost(const struct route_args *a) {
    const double t = (double)a->tokens, chosen = t * a->k;
    return (struct cost){t * a->experts * (4 + (a->ids_given ? 0 : a->k)), t * a->experts * size_of(a->act) + chosen * (2 + 4)};
}

struct cost route_backward_cost(const struct route_backward_args *a) {
    const double t = (double)a->fwd.tokens;
    return (struct cost){t * a->fwd.experts * 8, t * a->fwd.experts * 2 * size_of(a->fwd.act) + t * a->fwd.k * (2 + 4 + 4)};
}

struct cost rows_plan_cost(const struct rows_plan_args *a) {
    const double chosen = (double)a->tokens * a->k;
    return (struct cost){chosen, chosen * (2 + 4 + 4)};
}

struct cost rows_gather_cost(const struct rows_gather_args *a) {
    return (struct cost){0, (double)a->rows * (2 * (double)a->width * size_of(a->act) + 4)};
}

struct cost rows_combine_cost(const struct rows_combine_args *a) {
    const double t = (double)a->tokens, n = t * (double)a->width;
    return (struct cost){(a->w ? 2 : 1) * n * a->k, n * (a->k + 1) * size_of(a->act) + t * a->k * (a->w ? 8 : 4)};
}

struct cost rows_combine_backward_cost(const struct rows_combine_backward_args *a) {
    const double t = (double)a->tokens, n = t * (double)a->width;
    return (struct cost){3 * n * a->k, n * (2 * a->k + 1) * size_of(a->act) + t * a->k * 12};
}

struct cost embed_forward_cost(const struct embed_args *a) {
    return (struct cost){0, (double)a->tokens * (2 * (double)a->width * size_of(a->act) + 4)};
}

struct cost embed_backward_cost(const struct embed_args *a) {
    const double n = (double)(a->tokens * a->width);
    return (struct cost){n, n * (size_of(a->act) + 8) + (double)a->tokens * 8};
}

struct cost fold_forward_cost(const struct fold_args *a) {
    const double n = (double)(a->rows * a->cols);
    return (struct cost){4 * n, 4 * n + 28 * (double)a->rows};
}

struct cost fold_backward_cost(const struct fold_backward_args *a) {
    const double n = (double)(a->fwd.rows * a->fwd.cols);
    return (struct cost){4 * n, n * (4 + size_of(a->act)) + 12 * (double)a->fwd.rows};
}

struct cost adamw_cost(const struct adamw_args *a) {
    return (struct cost){16 * (double)a->count, (a->w ? 34 : 32) * (double)a->count};
}

struct cost sumsq_cost(const struct sumsq_args *a) {
    return (struct cost){2 * (double)a->count, 4 * (double)a->count};
}

struct cost add_cost(const struct add_args *a) {
    return (struct cost){(double)a->count, 3 * (double)a->count * size_of(a->act)};
}

static struct cost bias_cost(const struct bias_args *a, double passes) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){n, passes * n * size_of(a->act) + (double)a->width * 8};
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
