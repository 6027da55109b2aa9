#include "kernels/case_int.h"

/* Tokens routed by the reference and counted by it, in chunks of a third of them. */
static struct dispatch_count_args counted(struct ctx *c, int64_t span) {
    struct route_args r = case_routing(c);
    const int64_t rows = r.tokens * r.k, work = dispatch_count_work(r.tokens, span, r.experts);
    struct dispatch_count_args a = {.tokens = r.tokens,
                                    .span = span,
                                    .experts = r.experts,
                                    .k = r.k,
                                    .ids = r.ids,
                                    .number = room_for(c, 4 * rows),
                                    .count = room_for(c, 4 * i64_div_up(r.tokens, span) * r.experts),
                                    .work = room_for(c, 4 * work)};
    if (c->full) return a;
    route_forward_ref(NULL, &r);
    for (int64_t i = 4; i < rows; i += 11) r.ids[i] = 0xffff;
    return a;
}

void case_dispatch_count(struct ctx *c) {
    const struct dispatch_count_args a = counted(c, i64_div_up(c->s->tokens, 3));
    LAUNCH(c, dispatch_count, dispatch_count_args, .tokens = a.tokens, .span = a.span, .experts = a.experts, .k = a.k, .ids = a.ids,
           .number = a.number, .count = a.count, .work = a.work);
    wrote(c, "number", DT_I32, a.number, a.tokens * a.k, -1);
    wrote(c, "count", DT_I32, a.count, i64_div_up(a.tokens, a.span) * a.experts, -1);
}

/* Each expert's first third and its rest are two lists; lists of thirds come first. A timed launch places anew what it placed before,
 * which stays within the lists. */
void case_dispatch_place(struct ctx *c) {
    const struct dispatch_count_args a = counted(c, c->s->tokens);
    enum { CHUNKS = 3 };
    const int lists = 2 * a.experts;
    int32_t *first = room_for(c, 4 * (int64_t)(a.experts + 1)), *until = room_for(c, 4 * (int64_t)lists), *place = room_for(c, 4 * (int64_t)lists);
    int32_t *list = room_for(c, 4 * a.tokens * a.k), *count = room_for(c, 4 * CHUNKS * (int64_t)lists);
    int32_t *work = room_for(c, 4 * dispatch_place_work(a.tokens, CHUNKS, lists));
    if (c->full) return;
    dispatch_count_ref(NULL, &a);
    for (int e = 0; e < a.experts; e++) {
        first[e + 1] = 2 * (e + 1);
        until[2 * e] = (a.count[e] + 2) / 3;
        until[2 * e + 1] = a.count[e];
        place[2 * e] = e;
        place[2 * e + 1] = a.experts + e;
    }
    LAUNCH(c, dispatch_place, dispatch_place_args, .tokens = a.tokens, .chunks = CHUNKS, .experts = a.experts, .k = a.k, .lists = lists, .ids = a.ids,
           .first = first, .until = until, .place = place, .number = a.number, .list = list, .count = count, .work = work);
    wrote(c, "number", DT_I32, a.number, a.tokens * a.k, -1);
    wrote(c, "list", DT_I32, list, a.tokens * a.k, -1);
    wrote(c, "count", DT_I32, count, CHUNKS * (int64_t)lists, -1);
}

struct dispatch_rows_args case_dealt(struct ctx *c) {
    const struct dispatch_count_args a = counted(c, c->s->tokens);
    int32_t *base = room_for(c, 4 * (int64_t)(a.experts + 1));
    struct dispatch_rows_args r = {.tokens = a.tokens,
                                   .step = 1,
                                   .count = a.tokens,
                                   .k = a.k,
                                   .lists = a.experts,
                                   .ids = a.ids,
                                   .number = a.number,
                                   .base = base,
                                   .token = room_for(c, 4 * a.tokens * a.k),
                                   .pos = room_for(c, 4 * a.tokens * a.k)};
    if (c->full) return r;
    dispatch_count_ref(NULL, &a);
    for (int e = 0; e < a.experts; e++) base[e + 1] = base[e] + a.count[e];
    r.rows = base[a.experts];
    return r;
}

void case_dispatch_rows(struct ctx *c) {
    const struct dispatch_rows_args a = case_dealt(c);
    LAUNCH(c, dispatch_rows, dispatch_rows_args, .tokens = a.tokens, .step = a.step, .count = a.count, .rows = a.rows, .k = a.k, .lists = a.lists,
           .ids = a.ids, .number = a.number, .base = a.base, .token = a.token, .pos = a.pos);
    wrote(c, "token", DT_I32, a.token, a.rows, -1);
    wrote(c, "pos", DT_I32, a.pos, a.count * a.k, -1);
}

void case_dispatch_weights(struct ctx *c) {
    const struct dispatch_rows_args a = case_dealt(c);
    float *weights = numbers(c, DT_F32, a.tokens * a.k), *home = room_for(c, 4 * a.tokens * a.k), *of_rows = room_for(c, 4 * a.tokens * a.k);
    if (c->full) return;
    dispatch_rows_ref(NULL, &a);
    LAUNCH(c, dispatch_weights, dispatch_weights_args, .step = 1, .count = a.count, .rows = a.rows, .k = a.k, .pos = a.pos, .weights = weights,
           .of_rows = of_rows);
    LAUNCH(c, dispatch_weights, dispatch_weights_args, .step = 1, .count = a.count, .rows = a.rows, .k = a.k, .home = true, .pos = a.pos,
           .weights = home, .of_rows = of_rows);
    wrote(c, "numbers of rows", DT_F32, of_rows, a.rows, -1);
    wrote(c, "numbers of tokens", DT_F32, home, a.tokens * a.k, -1);
}
