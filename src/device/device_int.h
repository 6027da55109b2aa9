/* What the files of this room share. Local. */
#ifndef MOP_DEVICE_DEVICE_INT_H
#define MOP_DEVICE_DEVICE_INT_H

#include "device/queue.h"

MUST err_t cpu_open(struct device *d);
MUST err_t deferred_open(struct device *d, const struct device_opts *o);

#endif
