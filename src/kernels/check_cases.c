/* The cases of the operations, each in its operation's folder, as one table. */
#include "kernels/case_int.h"

const struct case_shape case_awkward = {.tokens = 13,
                                        .seq = 7,
                                        .hidden = 45,
                                        .heads = 6,
                                        .kv_heads = 2,
                                        .head_dim = 22,
                                        .value_dim = 13,
                                        .window = 5,
                                        .sinks = true,
                                        .experts = 5,
                                        .top_k = 2,
                                        .width = 19,
                                        .vocab = 131,
                                        .vocab_rows = 13,
                                        .weights = 1003};
#define DEMO                                                                                                                             \
    .tokens = 2048, .seq = 512, .hidden = 256, .kv_heads = 2, .experts = 16, .top_k = 4, .width = 256, .vocab = 4096, .vocab_rows = 256, \
    .weights = 4 << 20
const struct case_shape case_demo = {DEMO, .heads = 4, .head_dim = 64};

const struct case_family case_families[CASE_FAMILIES] = {
    {"a window of 128, sinks",
     {DEMO, .heads = 4, .head_dim = 64, .window = 128, .sinks = true},
     {KERNEL_attention_forward, KERNEL_attention_backward}},
    {"heads of 192 and 128", {DEMO, .heads = 2, .head_dim = 192, .value_dim = 128}, {KERNEL_attention_forward, KERNEL_attention_backward}},
};
#undef DEMO

err_t case_launch(enum kernel_id op, const struct kernels *k, struct pool *pool, enum dtype act, const struct case_shape *s, void *memory,
                  int64_t bytes, int64_t budget_ns, struct case_run *out) {
    static void (*const cases[KERNEL_COUNT])(struct ctx * c) = {
#define CASE_OF(name, args) case_##name,
        KERNEL_LIST(CASE_OF)
#undef CASE_OF
    };
    *out = (struct case_run){0};
    struct ctx c = {.k = k, .pool = pool, .act = act, .s = s, .at = memory, .end = (char *)memory + bytes, .budget_ns = budget_ns, .out = out};
    cases[op](&c);
    ENSURE(!c.full);
    return OK;
}
