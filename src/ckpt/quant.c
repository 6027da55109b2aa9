#include "ckpt/quant.h"

#include "base/num.h"

#include <math.h>

enum { GROUP = 32, GROUP_BYTES = GROUP / 2, GROUPS = 512 };

static const float fp4[16] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6};

err_t quant_read_mxfp4(const struct st_reader *r, const struct tensor_info *blocks, const struct tensor_info *scales, int64_t from, int64_t n,
                       float *out) {
    uint8_t code[GROUPS * GROUP_BYTES], scale[GROUPS];
    for (int64_t at = from; at < from + n;) {
        const int64_t first = at / GROUP, last = i64_min((from + n - 1) / GROUP, first + GROUPS - 1), groups = last - first + 1;
        const int64_t end = i64_min(from + n, (last + 1) * GROUP);
        TRY(st_read(r, blocks, first * GROUP_BYTES, groups * GROUP_BYTES, code));
        TRY(st_read(r, scales, first, groups, scale));
        while (at < end) {
            const int64_t group = at / GROUP - first, stop = i64_min(end, (first + group + 1) * GROUP);
            const double power = ldexp(1, (int)scale[group] - 127);
            float value[16];
            for (int c = 0; c < 16; c++) value[c] = (float)((double)fp4[c] * power);
            for (; at < stop; at++) {
                const uint8_t byte = code[(at - first * GROUP) / 2];
                out[at - from] = value[at % 2 ? byte >> 4 : byte & 15]; /* a group begins at an even place */
            }
        }
    }
    return OK;
}

float quant_e4m3(uint8_t code) {
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    const float size = exponent == 15 && mantissa == 7 ? NAN
                       : exponent == 0                 ? ldexpf((float)mantissa, -9)
                                                       : ldexpf((float)(8 + mantissa), exponent - 10);
    return code & 0x80 ? -size : size;
}

err_t quant_read_fp8(const struct st_reader *r, const struct tensor_info *t, const struct tensor_info *scale, int block_rows, int block_columns,
                     int64_t from, int64_t n, float *out) {
    enum { CODES = 1 << 13 };
    uint8_t code[CODES];
    float row[CODES], value[256];
    const int64_t columns = t->shape[t->ndim - 1], rows = t->shape[t->ndim - 2];
    const int64_t scale_columns = scale->shape[scale->ndim - 1], scale_rows = scale->shape[scale->ndim - 2];
    int64_t held = -1; /* `row` has the scales from this one on */
    for (int i = 0; i < 256; i++) value[i] = quant_e4m3((uint8_t)i);
    for (int64_t at = from; at < from + n;) {
        const int64_t line = at / columns, j = at % columns, m = i64_min(i64_min(CODES, columns - j), from + n - at);
        const int64_t first = (line / rows * scale_rows + line % rows / block_rows) * scale_columns + j / block_columns;
        const int64_t need = (j + m - 1) / block_columns - j / block_columns + 1; /* at most m */
        if (first != held) TRY(st_read_f32(r, scale, first, need, row));
        held = j == 0 && m == columns ? first : -1;
        TRY(st_read(r, t, at, m, code));
        for (int64_t i = 0; i < m; i++) out[at - from + i] = value[code[i]] * row[(j + i) / block_columns - j / block_columns];
        at += m;
    }
    return OK;
}
