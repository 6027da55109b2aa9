/* The oracle of the tests: the whole journey of a training step in one process, in plain loops, from
 * token ids to AdamW. What mop's rooms compute must equal this; nothing in the program includes it.
 *
 * Everything is kept in one type, REF_REAL: float (the default) is fp32 throughout, as mop's fp32 is;
 * double is for central differences and for telling a mistake from rounding. A test that wants double
 * defines REF_REAL and includes ref/ref.c. Sums that decide nothing on the way (the loss, the gradient
 * norm) are taken in double in both.
 *
 * Weights, gradients and moments are flat arrays in the layout of model/params.h. Letters: N = rows*seq
 * tokens, S = seq, H, V, L, E, k as in model/spec.h. All calls: local. */
#ifndef MOP_REF_REF_H
#define MOP_REF_REF_H

#include "model/params.h"

#ifndef REF_REAL
#define REF_REAL float
#endif
typedef REF_REAL ref_real;

enum { REF_NO_TARGET = -100 };

/* A micro-batch; arrays are (rows, seq), borrowed. Targets are already shifted. */
struct ref_batch {
    int64_t rows, seq;
    const int32_t *ids;
    const int32_t *targets;   /* REF_NO_TARGET where the loss does not look */
    const int32_t *positions; /* for RoPE */
    const int32_t *doc_start; /* inside the row, the first token this one may attend to (it sees [doc_start, itself]); -1: padding */
    const int32_t *routes;    /* (L, N, k) experts to take instead of the router's choice, as ref_out.routes gives them; NULL: it chooses */
};

/* Results. The caller sets the pointers (NULL: not wanted), the calls fill what they point to and the rest. */
struct ref_out {
    ref_real *logits; /* (N, V) */
    int32_t *routes;  /* (L, N, k), slot 0 the most probable; -1 for padding and in layers without experts */
    double loss_sum;  /* cross-entropy summed over the targets, in nats */
    int64_t targets;  /* how many there were */
    double aux;       /* load-balancing loss over all MoE layers, before its coefficient; 0 without experts or tokens */
};

/* The forward pass. ERR_FAILED for a batch that makes no sense, ERR_NOMEM. */
MUST err_t ref_forward(const struct spec *s, const struct params *p, const ref_real *w, const struct ref_batch *b, struct ref_out *out);

/* Forward, and the gradient of loss_scale*loss_sum + aux_scale*aux added into grad_acc. A step of M micro-batches with
 * T targets in all starts from zeros and calls it M times with 1/T and router_aux_loss_coef/M. */
MUST err_t ref_forward_backward(const struct spec *s, const struct params *p, const ref_real *w, const struct ref_batch *b, double loss_scale,
                                double aux_scale, ref_real *grad_acc, struct ref_out *out);

/* Global L2 norm over all tensors, and grad *= min(1, clip/(norm + 1e-6)); clip 0: not at all. */
double ref_grad_norm(const struct params *p, const ref_real *grad);
void ref_clip(const struct params *p, double norm, double clip, ref_real *grad);

/* One AdamW step, the step-th (from 1): w *= 1 - lr*weight_decay (of tensors that decay), then
 * w -= lr * m^/(sqrt(v^) + eps) with bias-corrected moments, which start as zeros. */
struct ref_adamw {
    double lr, beta1, beta2, eps, weight_decay;
    int64_t step;
};
void ref_adamw_step(const struct params *p, const struct ref_adamw *a, const ref_real *grad, ref_real *w, ref_real *m, ref_real *v);

#endif
