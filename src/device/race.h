/* The race check of the deferred device (C4, C5): each run of bytes of device memory knows its last writer and its readers since, with a
 * clock a stream. Checked when a task is queued, from its footprint and the events alone, so that the verdict does not depend on the order
 * in which tasks run. Local. */
#ifndef MOP_DEVICE_RACE_H
#define MOP_DEVICE_RACE_H

#include "device/device.h"

/* What is known to come before: the first clock[s] tasks of each stream. */
struct clock {
    uint64_t of[DEVICE_STREAMS];
};

struct race; /* one a device */

MUST err_t race_new(struct race **out);
void race_free(struct race *r);
/* Device memory [p, p + bytes): nobody has written it yet. And gone. */
MUST err_t race_add(struct race *r, const void *p, int64_t bytes);
void race_remove(struct race *r, const void *p);
/* Task `ticket` of stream s, which comes after `before`, touches what t says. ERR_BUG names both places. */
MUST err_t race_check(struct race *r, int s, uint64_t ticket, const struct clock *before, const struct task *t);

#endif
