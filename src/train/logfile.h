/* OUT/log.jsonl: one JSON object per step (docs/formats/log.md). Local (rank 0). */
#ifndef MOP_TRAIN_LOGFILE_H
#define MOP_TRAIN_LOGFILE_H

#include "base/os.h"
#include "train/train.h"

struct logfile {
    int fd;
    char path[OS_PATH_MAX];
};

struct step_line {
    int64_t step; /* from 1 */
    struct step_out out;
    double lr, tokens_per_s, seconds; /* of this step */
    bool validated;
    double valid_loss;
};

/* Opens for appending; lines of steps after `step` (a run that is resumed there) are cut off. */
MUST err_t logfile_open(struct logfile *f, const char *out, int64_t step);
void logfile_close(struct logfile *f);
MUST err_t logfile_step(struct logfile *f, const struct run *r, const struct step_line *s);

#endif
