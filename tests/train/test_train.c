/* The corridor's own promises: schedules, clipping, accumulation, packing, what is said when numbers go wrong. */
#include "../equiv/tiny.h"

static const struct optim_opts adamw = {0.9, 0.95, 1e-6, 0.1};

static void open_tiny(int which, struct model_src *src, const struct run_setup *u, struct run *r) {
    tiny_open(which, src);
    NEED(run_open(r, src, u));
    tiny_weights(&src->params, r->optim.master);
    optim_refresh(&r->optim);
}

static void close_tiny(struct model_src *src, struct run *r) {
    run_close(r, OK);
    model_src_close(src);
}

static void schedules(void) {
    struct schedule s = {.kind = SCHEDULE_COSINE, .lr = 1, .floor = 0.1, .warmup = 4, .steps = 20, .decay = 5};
    CASE(schedule_lr(&s, 0) == 0.25 && schedule_lr(&s, 3) == 1, "warm-up rises by quarters to 1: %g %g", schedule_lr(&s, 0), schedule_lr(&s, 3));
    CASE(schedule_lr(&s, 4) == 1, "cosine begins at the top: %g", schedule_lr(&s, 4));
    CASE(fabs(schedule_lr(&s, 19) - 0.1) < 1e-15, "cosine ends at the floor: %g", schedule_lr(&s, 19));
    CASE(fabs(schedule_lr(&s, 9) - (0.1 + 0.9 * 0.5 * (1 + cos(M_PI / 3)))) < 1e-15, "cosine a third of the way: %g", schedule_lr(&s, 9));
    s.kind = SCHEDULE_LINEAR;
    CASE(fabs(schedule_lr(&s, 9) - 0.7) < 1e-15 && fabs(schedule_lr(&s, 19) - 0.1) < 1e-15, "linear: %g %g", schedule_lr(&s, 9), schedule_lr(&s, 19));
    s.kind = SCHEDULE_CONSTANT;
    CASE(schedule_lr(&s, 4) == 1 && schedule_lr(&s, 19) == 1, "constant stays");
    s.kind = SCHEDULE_WSD;
    CASE(schedule_lr(&s, 14) == 1 && fabs(schedule_lr(&s, 15) - 0.82) < 1e-15, "wsd stays until its last part");
    CASE(fabs(schedule_lr(&s, 17) - 0.46) < 1e-15 && fabs(schedule_lr(&s, 19) - 0.1) < 1e-15, "wsd falls in a line: %g %g", schedule_lr(&s, 17),
         schedule_lr(&s, 19));
    s.decay = 1;
    CASE(schedule_lr(&s, 18) == 1 && fabs(schedule_lr(&s, 19) - 0.1) < 1e-15, "wsd falls in one step too: %g", schedule_lr(&s, 19));
    s.decay = 5;
    s.warmup = 20;
    CASE(schedule_lr(&s, 9) == 0.5 && schedule_lr(&s, 19) == 1, "a warm-up as long as the run: %g %g", schedule_lr(&s, 9), schedule_lr(&s, 19));
    s = (struct schedule){.kind = SCHEDULE_COSINE, .lr = 2, .floor = 0, .warmup = 0, .steps = 1};
    CASE(schedule_lr(&s, 0) == 2, "a run of one step has the whole rate: %g", schedule_lr(&s, 0));
}

/* One batch as a single micro-batch, and split in micro-batches of `part_rows`: the loss is divided by the targets of the step, so both are
 * the same mean. A whole of more than EXPERTS_CHUNK tokens holds experts in chunks against experts at once. */
static void accumulation(int which, int rows, int part_rows, bool keep) {
    enum { SEQ = 12 };
    struct model_src src;
    struct run_setup whole = {.rows = rows, .seq = SEQ, .positions = SEQ, .act = DT_F32, .train = true, .threads = 2, .optim = &adamw}, part = whole;
    whole.keep = keep;
    part.rows = part_rows;
    struct run a, b;
    open_tiny(which, &src, &whole, &a);
    NEED(run_open(&b, &src, &part));
    memcpy(b.store.w, a.store.w, 4 * (size_t)src.params.elements);
    tiny_batch(&whole, src.spec.vocab, 5, &a.host);
    const int64_t targets = tiny_targets(&a.host, (int64_t)rows * SEQ);
    struct micro_out m;
    double sum = 0;
    NEED(run_upload(&a));
    NEED(step_micro(&a, (float)(1.0 / (double)targets), 0, &m));
    const double at_once = m.loss_sum;
    for (int i = 0; i < rows / part_rows; i++) {
        const size_t bytes = sizeof(int32_t) * SEQ * (size_t)part_rows;
        const int at = SEQ * part_rows * i;
        memcpy(b.host.ids, a.host.ids + at, bytes);
        memcpy(b.host.targets, a.host.targets + at, bytes);
        memcpy(b.host.positions, a.host.positions + at, bytes);
        memcpy(b.host.doc_start, a.host.doc_start + at, bytes);
        NEED(run_upload(&b));
        NEED(step_micro(&b, (float)(1.0 / (double)targets), 0, &m));
        sum += m.loss_sum;
    }
    CASE(fabs(sum - at_once) < 3e-6 * at_once, "%s: loss of %d rows in parts %.9g, at once %.9g", tiny_configs[which].name, rows, sum, at_once);
    const double e = tiny_error(b.store.grad_acc, a.store.grad_acc, src.params.elements);
    CASE(e < 1.5e-5, "%s: gradient of %d rows in parts is off by %.2e", tiny_configs[which].name, rows, e);
    run_close(&b, OK);
    close_tiny(&src, &a);
}

/* Two documents in one row, and the same two in rows of their own with padding: documents do not see each other, padding counts nowhere. */
static void packing(int which) {
    struct model_src src;
    struct run_setup one = {.rows = 1, .seq = 14, .positions = 14, .act = DT_F32, .train = true, .threads = 1, .optim = &adamw}, two = one;
    two.rows = 2;
    struct run a, b;
    open_tiny(which, &src, &one, &a);
    NEED(run_open(&b, &src, &two));
    memcpy(b.store.w, a.store.w, 4 * (size_t)src.params.elements);
    for (int i = 0; i < 28; i++) {
        b.host.ids[i] = b.host.positions[i] = 0;
        b.host.doc_start[i] = -1;
        b.host.targets[i] = DATA_NO_TARGET;
    }
    for (int i = 0; i < 14; i++) {
        const int doc = i >= 6, at = doc ? 14 + i - 6 : i; /* documents of 6 and 8 tokens */
        a.host.ids[i] = b.host.ids[at] = (int32_t)rng_below(9, 1, (uint64_t)i, src.spec.vocab);
        a.host.targets[i] = b.host.targets[at] = i == 5 || i == 13 ? DATA_NO_TARGET : (int32_t)rng_below(9, 2, (uint64_t)i, src.spec.vocab);
        a.host.positions[i] = b.host.positions[at] = doc ? i - 6 : i;
        a.host.doc_start[i] = doc ? 6 : 0;
        b.host.doc_start[at] = 0;
    }
    struct micro_out x, y;
    NEED(run_upload(&a));
    NEED(step_micro(&a, 1.0f / 12, src.spec.aux_coef, &x));
    NEED(run_upload(&b));
    NEED(step_micro(&b, 1.0f / 12, src.spec.aux_coef, &y));
    CASE(x.tokens == 14 && y.tokens == 14 && x.targets == 12 && y.targets == 12, "padding is not counted: %lld and %lld tokens", (long long)x.tokens,
         (long long)y.tokens);
    CASE(fabs(x.loss_sum - y.loss_sum) < 3e-6 * x.loss_sum, "%s: loss packed %.9g, apart %.9g", tiny_configs[which].name, x.loss_sum, y.loss_sum);
    CASE(fabs(x.aux - y.aux) <= 3e-6 * x.aux, "%s: aux packed %.9g, apart %.9g", tiny_configs[which].name, x.aux, y.aux);
    const double e = tiny_error(b.store.grad_acc, a.store.grad_acc, src.params.elements);
    CASE(e < 1.5e-5, "%s: gradient of packed documents is off by %.2e", tiny_configs[which].name, e);
    run_close(&b, OK);
    close_tiny(&src, &a);
}

static const struct param *param_of(struct run *r, const char *name) {
    const struct param *p = params_find(r->store.params, name);
    if (p == NULL) {
        CASE(false, "the model has no %s", name);
        exit(test_end());
    }
    return p;
}

static float *weight_of(struct run *r, const char *name) { return r->optim.master + param_of(r, name)->offset; }

/* What is said when numbers stop being numbers. */
static void blame(void) {
    struct model_src src;
    const struct run_setup u = {.rows = 1, .seq = 8, .positions = 8, .act = DT_F32, .train = true, .threads = 1, .optim = &adamw};
    struct run r;
    struct micro_out m;
    open_tiny(1, &src, &u, &r);
    tiny_batch(&u, src.spec.vocab, 1, &r.host);
    NEED(run_upload(&r));
    weight_of(&r, "model.layers.2.mlp.experts.3.up_proj.weight")[5] = NAN;
    CASE_ERR(blame_loss(&r, 6, NAN), ERR_FAILED, "step 7");
    CASE(strstr(err_message(), "layer 2") && strstr(err_message(), "room experts") &&
             strstr(err_message(), "model.layers.2.mlp.experts.3.up_proj.weight"),
         "names layer, room and tensor: %s", err_message());
    weight_of(&r, "model.layers.2.mlp.experts.3.up_proj.weight")[5] = 0.1f;
    float *down = weight_of(&r, "model.layers.1.mlp.down_proj.weight");
    for (int64_t i = 0; i < src.spec.hidden * src.spec.dense_width; i++) down[i] = 3e38f; /* finite weights whose product overflows */
    NEED(step_micro(&r, 1, 0, &m));
    CASE(!isfinite(m.loss_sum), "the loss overflows: %g", m.loss_sum);
    CASE_ERR(blame_loss(&r, 0, m.loss_sum), ERR_FAILED, "layer 1");
    CASE(strstr(err_message(), "room dense") && strstr(err_message(), "feed-forward"), "names the half that overflowed: %s", err_message());
    memset(r.store.grad_acc, 0, 4 * (size_t)src.params.elements);
    store_grad(&r.store, param_of(&r, "model.layers.0.self_attn.k_proj.weight"))[3] = INFINITY;
    CASE_ERR(blame_gradient(&r, 1, INFINITY), ERR_FAILED, "model.layers.0.self_attn.k_proj.weight");
    CASE(strstr(err_message(), "room attention") != NULL, "names the room: %s", err_message());
    close_tiny(&src, &r);
}

/* A tensor that the optimizer forgets is found; one without a gradient is not blamed. */
static void moved(enum dtype act) {
    struct model_src src;
    const struct run_setup u = {.rows = 2, .seq = 10, .positions = 10, .act = act, .train = true, .threads = 2, .optim = &adamw};
    struct run r;
    struct micro_out m;
    struct moved *check;
    double norm;
    for (int forget = 0; forget < 2; forget++) {
        open_tiny(0, &src, &u, &r);
        tiny_batch(&u, src.spec.vocab, 1, &r.host);
        NEED(run_upload(&r));
        NEED(step_micro(&r, 0.1f, 0, &m));
        NEED(optim_norm(&r.optim, &norm));
        NEED(moved_before(&r, 1e-3, norm, 1.0, &check));
        const struct param *p = param_of(&r, "model.layers.1.mlp.experts.2.down_proj.weight");
        float *w = r.optim.master + p->offset, *kept = malloc(4 * (size_t)p->count);
        memcpy(kept, w, 4 * (size_t)p->count);
        optim_update(&r.optim, 1e-3, 1, norm, 1.0);
        if (forget) {
            memcpy(w, kept, 4 * (size_t)p->count);
            CASE_ERR(moved_after(&r, 0, check), ERR_BUG, "model.layers.1.mlp.experts.2.down_proj.weight");
        } else {
            CASE_OK(moved_after(&r, 0, check));
        }
        free(kept);
        close_tiny(&src, &r);
    }
}

/* The bias of an expert with more than the mean falls, of one with less rises, at the mean it stays. */
static void balance_bias(void) {
    struct model_src src;
    const struct run_setup u = {.rows = 1, .seq = 4, .positions = 4, .act = DT_F32, .train = true, .threads = 1, .optim = &adamw};
    struct run r;
    open_tiny(2, &src, &u, &r);
    const int64_t counts[8] = {10, 2, 4, 0, 3, 3, 3, 3};
    STREAM_UPLOAD(r.ex.s, r.experts.count_step, counts, (int64_t)sizeof counts);
    experts_balance_bias(&r.experts, 0.25);
    const float want[8] = {-0.25f, 0.25f, 0, 0.25f, 0, 0, 0, 0};
    float bias[8];
    NEED(STREAM_FETCH(r.ex.s, bias, r.experts.bias, (int64_t)sizeof bias));
    for (int i = 0; i < 8; i++) CASE(bias[i] == want[i], "bias of expert %d is %g, not %g", i, (double)bias[i], (double)want[i]);
    close_tiny(&src, &r);
}

/* A run reserves what it was said to need. */
static void sizes(int which) {
    struct model_src src;
    struct run_setup u = {.rows = 3, .seq = 12, .positions = 12, .act = DT_BF16, .train = true, .threads = 1, .optim = &adamw};
    for (int keep = 0; keep < 2; keep++) {
        u.keep = keep;
        struct run r;
        int64_t bytes;
        open_tiny(which, &src, &u, &r);
        NEED(run_bytes(&src, &u, &bytes));
        const int64_t held = r.arenas.host.cap + r.arenas.run.cap + r.arenas.step.cap + r.arenas.scratch.cap;
        CASE(bytes == held, "%s, keep %d: said to need %lld bytes, reserved %lld", tiny_configs[which].name, keep, (long long)bytes, (long long)held);
        close_tiny(&src, &r);
    }
}

int main(void) {
    schedules();
    for (int i = 0; i < TINY_CONFIGS; i++) {
        accumulation(i, 4, 1, false);
        accumulation(i, 350, 50, false);
        accumulation(i, 350, 50, true);
        packing(i);
        sizes(i);
    }
    blame();
    moved(DT_F32);
    moved(DT_BF16);
    balance_bias();
    return test_end();
}
