/* Router: probabilities p = softmax(logits) over E in fp32, the k largest of p + bias (ties to the lower
 * index; NaN lowest), their weights: p, divided by their sum if renormalise, rounded to act unless keep_fp32. Local. */
#ifndef MOP_KERNELS_ROUTE_H
#define MOP_KERNELS_ROUTE_H

#include "base/pool.h"
#include "tensor/dtype.h"

enum { ROUTE_EXPERTS_ON_STACK = 4096, ROUTE_TOPK_MAX = 64 };

struct route_args {
    enum dtype act; /* of logits; weights are rounded to it */
    int64_t tokens;
    int experts, k;       /* k <= ROUTE_TOPK_MAX, experts <= 65535 (0xffff is no expert) */
    const void *logits;   /* (tokens, experts) act */
    const int32_t *start; /* (tokens) -1: padding, routes nowhere: ids 0xffff, weights 0, not in the sums; NULL: none */
    const float *bias;    /* (experts) added for the choice only; NULL: none */
    bool renormalise, keep_fp32;
    bool ids_given;   /* ids are read, not chosen */
    uint16_t *ids;    /* (tokens, k) by decreasing p + bias; 0xffff: none */
    float *weights;   /* (tokens, k) */
    double *prob_sum; /* (experts) added into: sum of p over tokens, fixed order; NULL: not wanted */
    int64_t *count;   /* (experts) added into: rows per expert; NULL: not wanted */
};

/* dlogits = p * (g - sum p g), g_e = dweights through the renormalisation (chosen experts) + aux[e]. */
struct route_backward_args {
    struct route_args fwd;
    const float *dweights; /* (tokens, k) */
    const float *aux;      /* (experts) dL/dp_e of the load-balancing loss, the same for every token (mop.md 5); NULL: none */
    void *dlogits;         /* (tokens, experts) act; 0 for padding; may be logits */
};

#endif
