/* Packed weights out of safetensors, as fp32: MXFP4 (gpt-oss) and FP8 with a scale for each block (DeepSeek-V3). SEE docs/formats/quantised.md. Local. */
#ifndef MOP_CKPT_QUANT_H
#define MOP_CKPT_QUANT_H

#include "ckpt/ckpt.h"

/* Elements [from, from + n) of a tensor (.., in) whose groups of 32 lie as `blocks` (.., in/32, 16) and `scales` (.., in/32), both U8. */
MUST err_t quant_read_mxfp4(const struct st_reader *r, const struct tensor_info *blocks, const struct tensor_info *scales, int64_t from, int64_t n,
                            float *out);

/* Elements [from, from + n) of t, F8_E4M3 (.., rows, columns), times scale[.., i / block_rows, j / block_columns] in fp32. */
MUST err_t quant_read_fp8(const struct st_reader *r, const struct tensor_info *t, const struct tensor_info *scale, int block_rows, int block_columns,
                          int64_t from, int64_t n, float *out);

/* One code of E4M3 without infinities: bias 7, 0x7f and 0xff not a number. */
float quant_e4m3(uint8_t code);

#endif
