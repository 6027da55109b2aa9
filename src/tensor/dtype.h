/* Element types, of memory and of safetensors files. */
#ifndef MOP_TENSOR_DTYPE_H
#define MOP_TENSOR_DTYPE_H

#include "base/err.h"

enum dtype { DT_F32, DT_BF16, DT_F16, DT_F64, DT_I64, DT_I32, DT_U16, DT_U8, DT_F8_E4M3, DT_COUNT };

int dtype_bytes(enum dtype t);
const char *dtype_name(enum dtype t);                      /* safetensors' words: "F32", "BF16", "I64" ... */
MUST err_t dtype_parse(const char *name, enum dtype *out); /* ERR_FORMAT for others */

/* dst[i] = src[i] converted, F32, BF16 and F16 only; widening is exact, narrowing rounds to nearest even. */
void dtype_convert(enum dtype from, const void *src, enum dtype to, void *dst, int64_t count);

#endif
