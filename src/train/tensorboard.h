/* OUT/events.out.tfevents.*.mop: the scalars of every step as TensorBoard reads them (docs/formats/tensorboard.md). Local (rank 0). */
#ifndef MOP_TRAIN_TENSORBOARD_H
#define MOP_TRAIN_TENSORBOARD_H

#include "train/logfile.h"

struct tensorboard {
    int fd;
    char path[OS_PATH_MAX];
};

/* A new file, which readers take behind those that are there; from those the steps after `step` (a run that is resumed there) are cut
 * off, and so is a record that a kill left torn. */
MUST err_t tensorboard_open(struct tensorboard *t, const char *out, int64_t step);
void tensorboard_close(struct tensorboard *t);
/* One record, written whole. */
MUST err_t tensorboard_step(struct tensorboard *t, const struct step_line *s);

/* CRC-32C (Castagnoli) as iSCSI has it: that of "123456789" is 0xe3069283. */
uint32_t crc32c(const void *data, int64_t bytes);

#endif
