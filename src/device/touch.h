/* What a task touches: the ranges of device memory that it reads and writes, and the host's arrays that its arguments point to. A kernel
 * says it in its folder (NAME_cost.c), from its arguments alone; its reference's loops are the truth of it (tests/kernels/test_touch.c).
 * Local. */
#ifndef MOP_DEVICE_TOUCH_H
#define MOP_DEVICE_TOUCH_H

#include "base/err.h"

enum access {
    TOUCH_READ,
    TOUCH_WRITE, /* overwritten, all of it */
    TOUCH_SOME,  /* overwritten in places that the arguments do not say (a scatter); the rest stays */
    TOUCH_ADD,   /* read and written (added into, turned in place) */
    TOUCH_WORK   /* written and read again by the task alone; what it leaves there nobody may read */
};

struct touch {
    void (*range)(struct touch *t, enum access how, const void *p, int64_t bytes);
};

/* bytes of 0, or p NULL: nothing. */
static inline void touch_range(struct touch *t, enum access how, const void *p, int64_t bytes) {
    if (p && bytes > 0) t->range(t, how, p, bytes);
}

/* `rows` runs of `bytes`, `stride` bytes from one to the next; one range where they lie back to back. */
static inline void touch_rows(struct touch *t, enum access how, const void *p, int64_t rows, int64_t bytes, int64_t stride) {
    if (bytes == stride || rows <= 1) {
        touch_range(t, how, p, rows * bytes);
        return;
    }
    for (int64_t r = 0; r < rows; r++) touch_range(t, how, (const char *)p + r * stride, bytes);
}

/* Each call hands over one host array: the device makes a copy that lives until the task has run, and sets *p to it. NULL stays. */
struct tables {
    void (*take)(struct tables *t, const void **p, int64_t bytes);
};
/* TABLE(t, &a->row_off, bytes) whatever the pointer's type. */
#define TABLE(t, p, bytes) ((t)->take((t), (const void **)(uintptr_t)(p), (bytes)))

#endif
