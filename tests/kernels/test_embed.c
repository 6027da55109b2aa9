/* Embedding: look-ups are copies; the gradient adds in token order, so it has the reference's bits. */
#include "kernel_test.h"

struct shape {
    int64_t tokens, width, vocab;
    enum dtype t;
    bool padded;
};

static int32_t *make_ids(struct io *io, const struct shape *s) {
    int32_t *ids = io_new(io, s->tokens * 4);
    for (int64_t t = 0; t < s->tokens; t++) ids[t] = (int32_t)rng_below(io->seed, 98, (uint64_t)t, s->vocab);
    return ids;
}

static void forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    void *w = io_normal(io, s->t, s->vocab * s->width, 1), *y = io_normal(io, s->t, (s->tokens + 1) * s->width, 1);
    io->k->embed_forward(io->pool, &(struct embed_args){.act = s->t, .tokens = s->tokens, .width = s->width, .ids = make_ids(io, s), .w = w, .y = y});
    (void)io_out(io, "y", s->t, y, (s->tokens + 1) * s->width);
}

static void backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    float *dw = io_normal(io, DT_F32, s->vocab * s->width, 1), *before = io_copy(io, dw, s->vocab * s->width * 4);
    void *dy = io_normal(io, s->t, s->tokens * s->width, 1);
    int32_t *ids = make_ids(io, s), *start = io_new(io, s->tokens * 4), skip = s->padded ? 2 : -1;
    for (int64_t t = 0; t < s->tokens; t++) start[t] = t % 5 == 4 ? -1 : 0;
    io->k->embed_backward(io->pool, &(struct embed_args){.act = s->t,
                                                         .tokens = s->tokens,
                                                         .width = s->width,
                                                         .ids = ids,
                                                         .dy = dy,
                                                         .start = s->padded ? start : NULL,
                                                         .skip = skip,
                                                         .dw_acc = dw});
    (void)io_out(io, "dw", DT_F32, dw, s->vocab * s->width);
    if (!io->bounds) return;
    bool right = true; /* the gradient itself: what was there, plus the rows of dy of the tokens that count */
    for (int64_t id = 0; id < s->vocab; id++)
        for (int64_t c = 0; c < s->width; c++) {
            double sum = before[id * s->width + c], size = fabs(sum);
            for (int64_t t = 0; t < s->tokens; t++) {
                if (ids[t] != id || (s->padded && (id == skip || start[t] < 0))) continue;
                sum += get(s->t, dy, t * s->width + c);
                size += fabs(get(s->t, dy, t * s->width + c));
            }
            right = right && fabs(sum - (double)dw[id * s->width + c]) <= (double)s->tokens * U32 * size;
        }
    CASE(right, "embedding gradient of %lld tokens", (long long)s->tokens);
}

int main(void) {
    static const struct shape shapes[] = {{0, 8, 3, 0, 0},     {1, 1, 1, 0, 0},     {13, 17, 5, 0, 1},
                                          {200, 64, 11, 0, 1}, {33, 131, 40, 0, 0}, {65, 200, 4, 0, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 2; t++) {
            struct shape s = shapes[i];
            s.t = t ? DT_BF16 : DT_F32;
            hold("embed forward", forward, &s);
            hold("embed backward", backward, &s);
        }
    return test_end();
}
