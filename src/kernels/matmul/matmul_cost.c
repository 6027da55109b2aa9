#include "kernels/cost_int.h"

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
