#include "tensor/dtype.h"

#include "base/num.h"

#include <string.h>

static const struct {
    const char *name;
    int bytes;
} types[DT_COUNT] = {
    [DT_F32] = {"F32", 4}, [DT_BF16] = {"BF16", 2}, [DT_F16] = {"F16", 2}, [DT_F64] = {"F64", 8},         [DT_I64] = {"I64", 8},
    [DT_I32] = {"I32", 4}, [DT_U16] = {"U16", 2},   [DT_U8] = {"U8", 1},   [DT_F8_E4M3] = {"F8_E4M3", 1},
};

int dtype_bytes(enum dtype t) { return types[t].bytes; }
const char *dtype_name(enum dtype t) { return types[t].name; }

err_t dtype_parse(const char *name, enum dtype *out) {
    for (int t = 0; t < DT_COUNT; t++)
        if (strcmp(types[t].name, name) == 0) {
            *out = (enum dtype)t;
            return OK;
        }
    return FAIL(ERR_FORMAT, "the dtype \"%.32s\" is not supported; weights may be F32, BF16 or F16", name);
}

static float load(enum dtype t, const void *p, int64_t i) {
    if (t == DT_F32) return ((const float *)p)[i];
    uint16_t x = ((const uint16_t *)p)[i];
    return t == DT_BF16 ? bf16_to_f32(x) : f16_to_f32(x);
}

void dtype_convert(enum dtype from, const void *src, enum dtype to, void *dst, int64_t count) {
    if (from == to) {
        memcpy(dst, src, (size_t)count * (size_t)dtype_bytes(from));
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        float f = load(from, src, i);
        if (to == DT_F32) ((float *)dst)[i] = f;
        else if (to == DT_BF16) ((uint16_t *)dst)[i] = bf16_of_f32(f);
        else ((uint16_t *)dst)[i] = f16_of_f32(f);
    }
}
