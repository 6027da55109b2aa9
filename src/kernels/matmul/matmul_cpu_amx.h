/* What the two AMX engines share; for matmul_cpu_{amx,split_amx}.c only. */
#ifndef MOP_KERNELS_MATMUL_CPU_AMX_H
#define MOP_KERNELS_MATMUL_CPU_AMX_H

#include "kernels/matmul/matmul_cpu_avx512.h"

enum { AMX_TILE_BYTES = 1024 };

/* Palette 1: every one of the eight tiles is 16 rows of 64 bytes. A constant, because the compiler takes
 * ldtilecfg to read only a word of it and would drop stores to the rest. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_config = {.palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
_Static_assert(sizeof amx_config == 64, "the layout of ldtilecfg");

static inline void amx_begin(void) { _tile_loadconfig(&amx_config); }

static inline void amx_end(void) { _tile_release(); }

#endif
