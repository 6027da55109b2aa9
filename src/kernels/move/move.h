/* Rows of memory from one place to another: copied, converted to another type, added. What is read and what is written do not
 * overlap, and nothing is touched between rows. Element by element, so any cut gives the same bits. Local. */
#ifndef MOP_KERNELS_MOVE_H
#define MOP_KERNELS_MOVE_H

#include "base/pool.h"
#include "tensor/dtype.h"

/* `rows` runs of `bytes`; strides in bytes. */
struct copy_rows_args {
    int64_t rows, bytes;
    const void *from;
    int64_t from_stride;
    void *to;
    int64_t to_stride;
};

/* to = from, F32 or BF16 each, rounded once; of one type: a copy. Strides in elements. */
struct convert_args {
    int64_t rows, width;
    enum dtype from_type;
    const void *from;
    int64_t from_stride;
    enum dtype to_type;
    void *to;
    int64_t to_stride;
};

/* to_acc += from in fp32. Strides in elements. */
struct accumulate_args {
    int64_t rows, width;
    enum dtype from_type; /* F32 or BF16 */
    const void *from;
    int64_t from_stride;
    float *to_acc;
    int64_t to_stride;
};

#endif
