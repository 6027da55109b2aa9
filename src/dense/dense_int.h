#ifndef MOP_DENSE_DENSE_INT_H
#define MOP_DENSE_DENSE_INT_H

#include "dense/dense.h"

/* Elements of a half-layer's unit as gathered, padding included; 0: not of this room. */
int64_t dense_gathered(const struct shape *h, const struct unit *u);

#endif
