/* Comparison of a model's numbers with those of a golden file (docs/formats/golden.md): logits, losses, every gradient, ten
 * AdamW steps. In bf16 the routing is fixed to the one that fp32 chose. Local. */
#ifndef MOP_TRAIN_PARITY_H
#define MOP_TRAIN_PARITY_H

#include "train/train.h"

/* One side's numbers. */
struct numbers {
    int64_t rows, seq, vocab, steps, elements; /* elements of the model */
    int32_t *ids;                              /* (rows, seq) */
    float *logits;                             /* (rows*seq, vocab) */
    float loss, aux_loss, total_loss, grad_norm;
    float *losses;       /* (steps) total loss before each step */
    float *grad, *after; /* (elements) tensor by tensor as the folder's files have them, in the order of src->names_out */
};

struct golden {
    struct st_reader *file;
    int64_t rows, seq, steps;
    int32_t *ids;
    double lr, clip, coef;
    struct optim_opts optim;
};

MUST err_t golden_open(const char *dir, const struct model_src *src, struct golden *out);
void golden_close(struct golden *g);

/* Our numbers in `dtype` (enum model_dtype), on rank 0. `how` says keep, threads, isa, rooms, world and mesh. Collective over the world. */
MUST err_t numbers_measure(const struct golden *g, const struct model_src *src, int dtype, const struct run_setup *how, struct numbers *out);
void numbers_free(struct numbers *n);

/* Print every tensor's error beside its bound to standard output; *excess counts those over it. */
MUST err_t numbers_compare(const struct golden *g, const struct model_src *src, const struct numbers *n, int dtype, int64_t *excess);
/* Write them as a golden file. */
MUST err_t numbers_dump(const struct golden *g, const struct model_src *src, const struct numbers *n, const char *path);

#endif
