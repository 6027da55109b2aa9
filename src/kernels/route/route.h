/* Router: of each token's logits a score per expert, the k experts with the best, and their weights.
 *   SOFTMAX  p = softmax(logits) over all experts;  the k largest p + bias
 *   SIGMOID  p = sigmoid(logit);                    the k largest p + bias
 *   CHOSEN   the k largest logits + bias;           p = softmax over those k
 * Ties go to the lower index; NaN is the lowest. With groups, experts lie in `groups` equal runs, and the k come from the groups_kept runs
 * whose two best (p + bias) have the largest sum. Weights are p, divided by (their sum + sum_eps) if renormalise, times factor, rounded to
 * act unless keep_fp32; all in fp32. The load-balancing loss is of the softmax over all experts whatever the score: prob_sum adds it up,
 * softmax_count counts its k largest, aux is its gradient. Local. */
#ifndef MOP_KERNELS_ROUTE_H
#define MOP_KERNELS_ROUTE_H

#include "base/pool.h"
#include "tensor/dtype.h"

enum { ROUTE_EXPERTS_ON_STACK = 4096, ROUTE_TOPK_MAX = 64, ROUTE_GROUPS_MAX = 256 };

enum route_score { ROUTE_SOFTMAX, ROUTE_SIGMOID, ROUTE_CHOSEN };

struct route_args {
    enum dtype act; /* of logits; weights are rounded to it */
    enum route_score score;
    int64_t tokens;
    int experts, k;              /* k <= ROUTE_TOPK_MAX, experts <= 65535 (0xffff is no expert) */
    const void *logits;          /* (tokens, experts) act */
    const int32_t *start;        /* (tokens) -1: padding, routes nowhere: ids 0xffff, weights 0, not in the sums; NULL: none */
    const float *bias;           /* (experts) added for the choice only; NULL: none */
    int groups, groups_kept;     /* groups <= ROUTE_GROUPS_MAX divides experts, and k <= groups_kept * experts / groups; 0, 0: none */
    bool renormalise, keep_fp32; /* renormalise: of CHOSEN in any case */
    float sum_eps, factor;       /* factor 0: 1 */
    bool ids_given;              /* ids are read, not chosen */
    uint16_t *ids;               /* (tokens, k) by decreasing p + bias; 0xffff: none */
    float *weights;              /* (tokens, k) */
    double *prob_sum;            /* (experts) added into: sum of softmax(logits) over tokens, fixed order; NULL: not wanted */
    int64_t *count;              /* (experts) added into: rows per expert; NULL: not wanted */
    int64_t *softmax_count;      /* (experts) added into: tokens of whose softmax the expert is among the k largest; NULL: not wanted */
};

/* With g = dL/dp, dweights through factor and renormalisation (chosen experts), and q = softmax(logits):
 *   SOFTMAX  dlogits = q * (g + aux - sum q (g + aux))
 *   SIGMOID  dlogits = p (1 - p) g + q * (aux - sum q aux)
 *   CHOSEN   dlogits = p g + q * (aux - sum q aux)                (g has sum p g = 0) */
struct route_backward_args {
    struct route_args fwd;
    const float *dweights; /* (tokens, k) */
    const float *aux;      /* (experts) dL/dq_e of the load-balancing loss, the same for every token; NULL: none */
    void *dlogits;         /* (tokens, experts) act; 0 for padding; may be logits */
};

static inline float route_factor(const struct route_args *a) { return a->factor != 0 ? a->factor : 1; }
static inline bool route_renormalises(const struct route_args *a) { return a->renormalise || a->score == ROUTE_CHOSEN; }

#endif
