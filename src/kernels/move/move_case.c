#include "kernels/case_int.h"

/* Half of each row, as where heads are taken out of a projection. */
void case_copy_rows(struct ctx *c) {
    const int64_t t = c->s->tokens, row = c->s->hidden * dtype_bytes(c->act), half = row / 2;
    const void *from = numbers(c, c->act, t * c->s->hidden);
    void *to = room_for(c, t * half);
    LAUNCH(c, copy_rows, copy_rows_args, .rows = t, .bytes = half, .from = from, .from_stride = row, .to = to, .to_stride = half);
    wrote(c, "to", c->act, to, t * half / dtype_bytes(c->act), -1);
}

/* Into the other type. */
void case_convert(struct ctx *c) {
    const int64_t n = c->s->tokens * c->s->hidden;
    const enum dtype other = c->act == DT_F32 ? DT_BF16 : DT_F32;
    const void *from = numbers(c, c->act, n);
    void *to = room_for(c, n * dtype_bytes(other));
    LAUNCH(c, convert, convert_args, .rows = 1, .width = n, .from_type = c->act, .from = from, .from_stride = n, .to_type = other, .to = to,
           .to_stride = n);
    wrote(c, "to", other, to, n, -1);
}

void case_accumulate(struct ctx *c) {
    const int64_t n = c->s->tokens * c->s->hidden;
    const void *from = numbers(c, c->act, n);
    float *to = numbers(c, DT_F32, n);
    LAUNCH(c, accumulate, accumulate_args, .rows = 1, .width = n, .from_type = c->act, .from = from, .from_stride = n, .to_acc = to, .to_stride = n);
    wrote(c, "to", DT_F32, to, n, -1);
}
