/* What is recorded of a step, and OUT/log.jsonl: one JSON object per step (docs/formats/log.md). Local (rank 0). */
#ifndef MOP_TRAIN_LOGFILE_H
#define MOP_TRAIN_LOGFILE_H

#include "base/os.h"
#include "train/train.h"

struct logfile {
    int fd;
    char path[OS_PATH_MAX];
};

/* How the rows of a step fell on the experts. With p the shares of a layer's experts in its rows, exp(entropy of p) is the number of experts
 * that, used alike, would be as diverse. */
struct expert_load {
    int layers;           /* with experts; where 0 the rest means nothing */
    double balance;       /* exp(entropy) / experts, mean over layers: 1.0 = perfect, 1 / experts where one expert has all rows */
    double max_over_mean; /* rows of the busiest expert over the mean, of the worst layer: 1.0 = perfect */
    int64_t dead;         /* experts of all layers without a row */
};

struct step_line {
    int64_t step; /* from 1 */
    struct step_out out;
    double lr, tokens_per_s, seconds; /* of this step */
    bool validated;
    double valid_loss;
    struct expert_load load;
    int64_t rss_bytes;
};

/* Opens for appending; lines of steps after `step` (a run that is resumed there) are cut off. */
MUST err_t logfile_open(struct logfile *f, const char *out, int64_t step);
void logfile_close(struct logfile *f);
/* The last step in out's log, 0: none. */
MUST err_t logfile_last(const char *out, int64_t *step);
MUST err_t logfile_step(struct logfile *f, const struct step_line *s);

/* From a step's counts (layers, experts). */
void experts_load(int layers, int64_t experts, const int64_t *count, struct expert_load *out);

#endif
