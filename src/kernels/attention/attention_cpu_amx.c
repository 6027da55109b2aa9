/* Attention of BF16 activations by AMX, and which kernels AMX brings. */
#define PLANES 1
#include "kernels/attention/attention_cpu_amx.h"

#include "kernels/attention/attention_cpu_backward_amx.h"
#include "kernels/attention/attention_cpu_forward_amx.h"

static void attention_forward_amx(struct pool *pool, const struct attention_args *a) {
    if (a->act == DT_BF16) attention_forward_tiles(pool, a);
    else attention_forward_split_amx(pool, a);
}

static void attention_backward_amx(struct pool *pool, const struct attention_backward_args *b) {
    if (b->fwd.act == DT_BF16) attention_backward_tiles(pool, b);
    else attention_backward_split_amx(pool, b);
}

void attention_install_amx(struct kernels *k) {
    k->attention_forward = attention_forward_amx;
    k->attention_backward = attention_backward_amx;
}
