/* WHAT    Training on text: rank 0 makes token files of it in OUT/data before the first step, and a run that goes on uses them again
 *         (docs/formats/tokens.md). The other ranks wait and read what it made.
 * INVARIANTS
 *         I1 A run that goes on from a checkpoint has the tokens that it began with, or ends with an error that says what has changed.
 *         I2 Tokens are used again only if what they were made of is what it was: the files, the tokenizer and how the text is read. */
#ifndef MOP_TRAIN_TEXTDATA_H
#define MOP_TRAIN_TEXTDATA_H

#include "train/train.h"

struct textdata {
    bool is_text[2];             /* data.train, data.valid */
    char tokens[2][OS_PATH_MAX]; /* the token file of either, where it is text */
    char tokenizer[OS_PATH_MAX]; /* that reads it */
};

/* Which of a job's data are text. `data` is the job's and from then on names the token files, which lie in t. ERR_USAGE where there is no
 * tokenizer to read text with. Collective over world. */
MUST err_t textdata_look(struct textdata *t, const struct job *job, struct data_opts *data, struct comm *world);
/* Make them, or find them made. data: the job's before textdata_look. step: of the checkpoint that the run goes on from, -1: none. Collective over
 * world. */
MUST err_t textdata_make(const struct textdata *t, const struct job *job, const struct data_opts *data, int64_t step, struct comm *world);

#endif
