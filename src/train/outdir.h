/* WHAT    What lies in OUT, and whether this run may go on there. Rank 0 locks the folder, puts right what a killed run left and decides; the others
 *         wait for it, are told, and make sure that they see the same folder.
 * INVARIANTS
 *         I1 A run that may not write in OUT has changed nothing there but what a killed run left half-done.
 *         I2 A model that this run did not write is never replaced. */
#ifndef MOP_TRAIN_OUTDIR_H
#define MOP_TRAIN_OUTDIR_H

#include "train/record.h"

struct outdir {
    struct out_lock lock; /* rank 0's */
    int64_t step;         /* of the checkpoint to go on from, -1: none */
    struct record record; /* of the model there; rank 0's */
    int64_t done;         /* steps of the model there, as far as is known */
    bool model;           /* of this run, which the end of it replaces */
    bool finished;        /* nothing is left to do: outdir_decide */
};

/* ERR_USAGE where no run may go on there. Closed by outdir_close, whatever came of it. Collective over world. */
MUST err_t outdir_open(struct outdir *d, const struct job *job, struct comm *world);
/* Once train.steps is known: is it done, may it go on? Rank 0 reads the model that would be replaced. */
MUST err_t outdir_decide(struct outdir *d, const struct job *job);
void outdir_close(struct outdir *d);

#endif
