/* Private to record.c (writing and reading a run's record) and record_check.c (holding a run against it). */
#ifndef MOP_TRAIN_RECORD_INT_H
#define MOP_TRAIN_RECORD_INT_H

#include "train/record.h"

enum { RECORD_NUMBER = 40 };

void record_hex(uint64_t x, char out[RECORD_HEX]);

/* Values that an option's text does not tell: what train.epochs comes to, what mpirun has started. */
struct record_now {
    int64_t steps;
    int ranks;
};
/* The i-th option of the job as it acts; *o NULL behind the last. Text: free. */
MUST err_t record_option(const struct job *job, const struct record_now *now, int i, const struct opt **o, char **text);

#endif
