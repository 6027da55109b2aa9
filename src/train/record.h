/* WHAT    What decides a run's results, as mop_run.json in its checkpoints and with its model (docs/formats/checkpoint.md), and whether a run that
 *         goes on is the same: options by their tables (opt.h, enum opt_resume), the model by what its config.json means, the weights that it
 *         began with and the data by fingerprints.
 * INVARIANTS
 *         I1 A difference is refused by name with both values, or named in train.resume_changes and logged.
 *         I2 The text is the same for the same run, whatever its threads, paths and memory, and however often it was cut off. */
#ifndef MOP_TRAIN_RECORD_H
#define MOP_TRAIN_RECORD_H

#include "train/train.h"

/* What is known of a run from its folder. */
struct record {
    char *text;      /* of mop_run.json; NULL: it was written before there was one */
    int64_t step;    /* -1: not known */
    double aux_coef; /* of the load-balancing loss; -1: not known */
};
/* OUT or a checkpoint. New: record_close. */
MUST err_t record_open(const char *dir, struct record *out);
void record_close(struct record *r);

/* What the weights that a run begins with are known by. */
MUST err_t record_mark(const struct model_src *src, char out[RECORD_HEX]);
/* The text for a checkpoint, or for the model at the end. *text NULL where job->options is. Owned by the caller: free. */
MUST err_t record_text(const struct job *job, const struct train_state *s, int ranks, char **text);

/* May this run (now: its seed, data, batch and beginning) go on from that checkpoint of job->out? What differs is logged. */
MUST err_t record_check(const struct record *r, const struct job *job, const struct model_src *src, const struct train_state *now, int64_t step,
                        int ranks);
/* Is this the run that wrote the finished model in job->out, as far as options go? */
MUST err_t record_check_finished(const struct record *r, const struct job *job);

#endif
