/* The host waits for the device in the forward of a MoE layer only: once where nothing is sent, twice where rows are; never in backward, nor where the
 * forward is computed again (device.md C3; mop.md 6.4). */
#include "../equiv/tiny.h"

struct expected {
    const struct model_src *src;
    struct experts_opts experts;
    int expert; /* E_p */
    bool keep;
    int64_t forward;
};

static const struct optim_opts adamw = {0.9, 0.95, 1e-6, 0.1};

static int64_t waits_since(const struct run *r, int64_t *before) {
    const int64_t n = r->device.waits - *before;
    *before = r->device.waits;
    return n;
}

static err_t half(struct run *r, const struct expected *x) {
    const int64_t n = r->shape.tokens * r->shape.spec->hidden;
    float *zero = calloc((size_t)n, sizeof *zero);
    int64_t at = r->device.waits, forward, backward;
    err_t err = zero ? OK : ERR_NOMEM;
    if (zero) {
        for (int64_t i = 0; i < n; i++) zero[i] = (float)(i % 7) * 0.1f;
        STREAM_UPLOAD(r->ex.s, stash_boundary(&r->stash, 1), zero, 4 * n);
        STREAM_UPLOAD(r->ex.s, r->dx, zero, 4 * n);
    }
    free(zero);
    TRY(err);
    experts_begin_micro(&r->experts);
    TRY(unit_enter(&r->store, r->unit[1], -1, false));
    TRY(half_forward(r, 1, false));
    TRY(unit_leave(&r->store, r->unit[1], false));
    forward = waits_since(r, &at);
    TRY(unit_enter(&r->store, r->unit[1], -1, true));
    TRY(half_backward(r, 1));
    TRY(unit_leave(&r->store, r->unit[1], true));
    TRY(unit_settle(&r->store));
    backward = waits_since(r, &at);
    if (forward != x->forward || backward != 0)
        return FAIL(ERR_FAILED, "rank %d waits %lld times in forward, not %lld, and %lld times in backward", r->shape.split.rank, (long long)forward,
                    (long long)x->forward, (long long)backward);
    return OK;
}

static err_t rank_main(void *arg, int rank, struct comm *world) {
    const struct expected *x = arg;
    const struct mesh_opts mesh = {.seq = 1, .expert = x->expert};
    const struct run_setup u = {.rows = 4,
                                .seq = 12,
                                .positions = 12,
                                .act = DT_F32,
                                .train = true,
                                .keep = x->keep,
                                .threads = 1,
                                .optim = &adamw,
                                .rooms = {.experts = &x->experts},
                                .world = world,
                                .mesh = &mesh};
    int32_t mem[4 * 48] = {0};
    const struct batch all = {mem, mem + 48, mem + 96, mem + 144};
    struct run r;
    (void)rank;
    TRY(run_open(&r, x->src, &u));
    tiny_batch(&u, x->src->spec.vocab, 1, &all);
    run_cut(&r, &all);
    err_t err = run_upload(&r);
    if (err == OK) err = half(&r, x);
    run_close(&r, err);
    return err;
}

int main(void) {
    static const int strategies[] = {EXPERTS_PIPELINED, EXPERTS_LLEP, EXPERTS_EP, EXPERTS_GATHER};
    struct model_src src;
    tiny_open(2, &src);
    for (int s = 0; s < 4; s++)
        for (int ranks = 1; ranks <= 4; ranks *= 2)
            for (int keep = 0; keep < 2; keep++) {
                const bool sent = ranks > 1 && strategies[s] != EXPERTS_GATHER;
                struct expected x = {&src, {strategies[s], 1, 2, 1, 3, 4, 0}, ranks, keep, sent ? 2 : 1};
                CASE(local_world_run(ranks, rank_main, &x) == OK, "strategy %d, %d ranks, keep %d: %s", strategies[s], ranks, keep, err_message());
                err_clear();
            }
    model_src_close(&src);
    return test_end();
}
