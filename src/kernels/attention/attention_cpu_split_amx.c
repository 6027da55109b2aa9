/* Attention of F32 activations by AMX, each number in three BF16. */
#define PLANES 3
#include "kernels/attention/attention_cpu_amx.h"

#include "kernels/attention/attention_cpu_backward_amx.h"
#include "kernels/attention/attention_cpu_forward_amx.h"

_Static_assert(PLANES == AMX_PLANES, "operands are what amx_split makes");

void attention_forward_split_amx(struct pool *pool, const struct attention_args *a) { attention_forward_tiles(pool, a); }

void attention_backward_split_amx(struct pool *pool, const struct attention_backward_args *b) { attention_backward_tiles(pool, b); }
