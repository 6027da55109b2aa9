/* What a launch must do and what it touches, from its arguments alone. Cost: arithmetic operations (an addition, product, division, comparison, root or
 * exponential is one) and bytes (each operand read once, each result written once, tables and indices too). One function per
 * operation of the list, so that an operation without one does not link. Local. */
#ifndef MOP_KERNELS_COST_H
#define MOP_KERNELS_COST_H

#include "base/trace.h"
#include "device/touch.h"
#include "kernels/kernels.h"

enum kernel_id {
#define KERNEL_ID(name, args) KERNEL_##name,
    KERNEL_LIST(KERNEL_ID)
#undef KERNEL_ID
        KERNEL_COUNT
};
_Static_assert((int)KERNEL_COUNT <= (int)TRACE_KINDS, "a trace has a place for each kernel");

extern const char *const kernel_names[KERNEL_COUNT];

#define KERNEL_COST(name, args) struct cost name##_cost(const struct args *a);
KERNEL_LIST(KERNEL_COST)
#undef KERNEL_COST

/* What a launch touches of the device's memory (device/touch.h), and the host's arrays that it is given. Where rows are looked up by
 * an index that lies on the device, all that could be meant counts as touched. */
#define KERNEL_TOUCH(name, args) void name##_touch(const struct args *a, struct touch *t);
KERNEL_LIST(KERNEL_TOUCH)
#undef KERNEL_TOUCH
#define KERNEL_TABLE(name, args) void name##_tables(struct args *a, struct tables *t);
KERNEL_TABLES(KERNEL_TABLE)
#undef KERNEL_TABLE

#endif
