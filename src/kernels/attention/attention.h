/* Exact causal attention, grouped queries, tiled with online softmax; never (S, S).
 * Token i attends to keys [start[i], i], with a window to those of them above i - window; start is non-decreasing, so documents and
 * sequences of a batch are blocks on the diagonal, and tiles that no query sees are skipped. Padding: start[i] = -1 (o, dq, dk and dv
 * are 0, lse is 0; no other token may see it) or start[i] = i.
 *   o_i = sum_j exp(scale * q_i.k_j - lse_i) v_j,   lse_i = log(exp(sink) + sum_j exp(scale * q_i.k_j))
 * A sink is a logit of its head, not scaled, that takes a share of the softmax and gives nothing; without sinks exp(sink) is 0.
 * Query head h uses KV head (q_head0 + h)/group - kv_head0 (a rank may hold a slice of the heads).
 * Scores, softmax and sums in fp32; in BF16 a set may round p and dS, which are fp32, to BF16 before it multiplies by them (by AMX it
 * does). scale > 0. A row never depends on the rows beside it. A document (a run of equal starts) has the same bits wherever it lies in
 * the call and whatever lies around it.
 * With first > 0 (forward only) the queries are tokens [first, tokens) alone, with the bits that they have in a call with
 * all: q, o, lse and start hold those tokens - first rows, k and v all. Local. */
#ifndef MOP_KERNELS_ATTENTION_H
#define MOP_KERNELS_ATTENTION_H

#include "base/pool.h"
#include "tensor/dtype.h"

enum { ATTENTION_DIM_MAX = 256 };

struct attention_args {
    enum dtype act;
    int64_t tokens, first;         /* keys; the first query's token */
    int heads, kv_heads, head_dim; /* held here; head_dim: of q and k */
    int value_dim;                 /* of v and o; 0: head_dim */
    int q_head0, kv_head0, group;  /* group = query heads per KV head of the model */
    float scale;
    int64_t window;        /* keys that a query sees at most, its own among them; 0: all */
    const void *sinks;     /* (heads) act; NULL: none */
    const void *q, *k, *v; /* (tokens, heads | kv_heads, head_dim | value_dim), rows *_stride apart */
    int64_t q_stride, k_stride, v_stride;
    const int32_t *start; /* (tokens) */
    void *o;              /* (tokens, heads, value_dim), rows o_stride apart */
    int64_t o_stride;
    float *lse;   /* (heads, tokens) */
    double pairs; /* of a query and a key that it sees, of one head: for the cost; start is not the host's to read */
};

static inline int attention_value_dim(const struct attention_args *a) { return a->value_dim ? a->value_dim : a->head_dim; }

/* The first key that query row i, no padding, sees; the last is its own, token first + i. */
static inline int64_t attention_first_key(const struct attention_args *a, int64_t i) {
    const int64_t lowest = a->window ? a->first + i - a->window + 1 : 0;
    return lowest > a->start[i] ? lowest : a->start[i];
}

/* `pairs` of a call, from the host's copy of start. */
double attention_pairs(const int32_t *start, int64_t first, int64_t tokens, int64_t window);

struct attention_backward_args {
    struct attention_args fwd; /* as the forward was called; o and lse are read */
    const void *dout;          /* (tokens, heads, value_dim), rows o_stride apart */
    float *delta;              /* (heads, tokens) work: sum over dims of dout*o */
    void *dq, *dk, *dv;        /* overwritten; strides q_stride, k_stride and v_stride */
    float *dsinks_acc;         /* (heads) added into, one sum over tokens in a fixed order; with sinks only */
};

#endif
