/* Formula == dry run == what is held, line by line, and the arenas' high-water marks; nothing is allocated after the first step. */
#include "../equiv/tiny.h"

#include <malloc.h>

static const struct optim_opts adamw = {0.9, 0.95, 1e-8, 0.1};

static void formula(int which, struct run_setup u) {
    struct model_src src;
    tiny_open(which, &src);
    struct run r;
    NEED(run_open(&r, &src, &u));
    int64_t per_life[LIFE_COUNT] = {0}, host = 0;
    for (int i = 0; i < r.ledger.lines; i++) {
        const struct ledger_line *l = &r.ledger.line[i];
        CASE(l->predicted_bytes == l->held_bytes, "%s, %lld rows, act %s, keep %d: %s %s (life %d): predicted %lld, held %lld",
             tiny_configs[which].name, (long long)u.rows, dtype_name(u.act), u.keep, l->room, l->what, (int)l->life, (long long)l->predicted_bytes,
             (long long)l->held_bytes);
        if (l->tier == TIER_HOST) host += l->held_bytes;
        else per_life[l->life] += l->held_bytes;
    }
    CASE(host == r.arenas.host.high, "host arena: lines %lld, high %lld", (long long)host, (long long)r.arenas.host.high);
    CASE(per_life[LIFE_RUN] == r.arenas.run.high, "run arena: lines %lld, high %lld", (long long)per_life[LIFE_RUN], (long long)r.arenas.run.high);
    CASE(per_life[LIFE_STEP] == r.arenas.step.high, "step arena: lines %lld, high %lld", (long long)per_life[LIFE_STEP],
         (long long)r.arenas.step.high);
    CASE(per_life[LIFE_SCRATCH] >= r.arenas.scratch.high, "rooms share scratch: lines %lld, high %lld", (long long)per_life[LIFE_SCRATCH],
         (long long)r.arenas.scratch.high);
    run_close(&r, OK);
    model_src_close(&src);
}

/* In use on the heap, the mapped part included. */
static int64_t heap(void) {
    const struct mallinfo2 m = mallinfo2();
    return (int64_t)(m.uordblks + m.hblkhd);
}

static void no_allocation(int which, enum dtype act) {
    struct model_src src;
    tiny_open(which, &src);
    const struct run_setup u = {.rows = 2, .seq = 16, .positions = 16, .act = act, .train = true, .threads = 2, .optim = &adamw};
    struct run r;
    NEED(run_open(&r, &src, &u));
    int64_t after_first = 0;
    for (int s = 0; s < 4; s++) {
        struct micro_out m;
        double norm;
        tiny_batch(&u, src.spec.vocab, (uint64_t)s, &r.host);
        NEED(run_upload(&r));
        NEED(step_micro(&r, 0.01f, 0.001, &m));
        NEED(optim_norm(&r.optim, &norm));
        optim_update(&r.optim, 1e-3, s + 1, norm, 1);
        if (s == 0) after_first = heap();
        else
            CASE(heap() == after_first, "%s: step %d holds %lld bytes of heap more", tiny_configs[which].name, s + 1,
                 (long long)(heap() - after_first));
    }
    run_close(&r, OK);
    model_src_close(&src);
}

int main(void) {
    for (int i = 0; i < TINY_CONFIGS; i++) {
        for (int k = 0; k < 8; k++)
            formula(i, (struct run_setup){.rows = 1 + k % 3,
                                          .seq = 7 + 5 * k,
                                          .positions = 7 + 5 * k,
                                          .act = k % 2 ? DT_BF16 : DT_F32,
                                          .train = k < 6,
                                          .keep = k % 4 < 2,
                                          .threads = 1,
                                          .optim = &adamw});
        no_allocation(i, DT_F32);
        no_allocation(i, DT_BF16);
    }
    return test_end();
}
