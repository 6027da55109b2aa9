/* Three steps of a tiny model on any layout of ranks, threads of this process: losses, first gradients and weights on rank 0. */
#ifndef MOP_TESTS_EQUIV_RANKS_H
#define MOP_TESTS_EQUIV_RANKS_H

#include "tiny.h"

static const struct optim_opts adamw = {0.9, 0.95, 1e-6, 0.1};
enum { STEPS = 3, MICROS = 2, ROWS = 3, SEQ = 22 };
static const double LR = 3e-3;

/* What a rank's experts saw: its place in the expert group, most rows of a chunk, most migrated experts. */
struct seen {
    int place;
    int64_t rows, guests;
};

struct result {
    float *grad, *after; /* flat order */
    double loss[STEPS], aux, norm;
    int64_t targets;
    struct seen seen[16];       /* by rank */
    int64_t tasks[16], odd[16]; /* by rank: on the deferred device */
};

struct layout {
    int ranks;
    struct mesh_opts mesh;
    struct room_opts rooms;
    bool skewed; /* every token goes to the same k experts */
    char name[160];
    const struct device_opts *device; /* NULL: cpu */
};

struct work {
    const struct model_src *src;
    const struct layout *how;
    enum dtype act;
    bool keep;
    struct result *out;
    int64_t *held; /* [ranks] elements at rest */
    bool *formula; /* [ranks] every line of the ledger is as predicted */
};

static err_t collect(struct run *r, const float *at_rest, float *out) {
    const struct params *p = r->store.params;
    for (int64_t i = 0; i < p->count; i++) TRY(run_collect(r, at_rest, &p->list[i], 0, p->list[i].count, out + p->list[i].offset));
    return OK;
}

static bool as_predicted(const struct run *r) {
    bool ok = true;
    for (int i = 0; i < r->ledger.lines; i++) {
        const struct ledger_line *l = &r->ledger.line[i];
        if (l->predicted_bytes == l->held_bytes) continue;
        (void)printf("rank %d: %s %s: predicted %lld, held %lld\n", r->shape.split.rank, l->room, l->what, (long long)l->predicted_bytes,
                     (long long)l->held_bytes);
        ok = false;
    }
    return ok;
}

static err_t steps(struct run *r, const struct work *w, const struct run_setup *u) {
    const struct params *p = &w->src->params;
    int32_t *mem = calloc(4 * ROWS * SEQ, sizeof *mem);
    float *weights = malloc(sizeof *weights * (size_t)p->elements);
    const struct batch all = {mem, mem + ROWS * SEQ, mem + 2 * ROWS * SEQ, mem + 3 * ROWS * SEQ};
    struct result *o = w->out;
    const bool first = r->shape.split.rank == 0;
    err_t err = OK;
    tiny_weights(p, weights);
    if (w->how->skewed) tiny_skew(w->src, weights);
    for (int64_t i = 0; i < p->count; i++) {
        const struct piece x = store_piece(&r->store, &p->list[i]);
        STREAM_UPLOAD(r->ex.s, r->optim.master + x.at, weights + p->list[i].offset + x.from, (int64_t)sizeof *weights * x.count);
    }
    optim_refresh(&r->optim);
    for (int s = 0; s < STEPS && err == OK; s++) {
        int64_t targets = 0, mine = 0;
        double sum = 0, norm;
        for (int i = 0; i < MICROS; i++) {
            tiny_batch(u, w->src->spec.vocab, (uint64_t)(s * MICROS + i), &all);
            targets += tiny_targets(&all, ROWS * SEQ);
        }
        experts_begin_step(&r->experts);
        for (int i = 0; i < MICROS; i++) {
            struct micro_out m;
            tiny_batch(u, w->src->spec.vocab, (uint64_t)(s * MICROS + i), &all);
            run_cut(r, &all);
            TRY_OR(run_upload(r), done);
            TRY_OR(step_micro(r, (float)(1.0 / (double)targets), w->src->spec.aux_coef / MICROS, &m), done);
            sum += m.loss_sum;
            mine += m.targets;
            if (s == 0 && i == 0 && first) o->aux = m.aux;
        }
        TRY_OR(COMM(&r->mesh.dense, all_reduce, &sum, 1, DT_F64), done);
        TRY_OR(COMM(&r->mesh.dense, all_reduce, &mine, 1, DT_I64), done);
        TRY_OR(optim_norm(&r->optim, &norm), done);
        if (first) {
            o->loss[s] = sum / (double)targets;
            o->targets = mine - targets; /* 0: each counted once */
        }
        if (s == 0) {
            if (first) o->norm = norm;
            TRY_OR(collect(r, r->store.grad_acc, o->grad), done);
        }
        optim_update(&r->optim, LR, s + 1, norm, 1.0);
    }
    const struct experts_seen seen = experts_seen(&r->experts);
    o->seen[r->shape.split.rank] = (struct seen){r->mesh.expert.rank, seen.rows, seen.guests};
    err = collect(r, r->optim.master, o->after);
    o->tasks[r->shape.split.rank] = r->device.counts.tasks;
    o->odd[r->shape.split.rank] = r->device.counts.odd;
done:
    free(mem);
    free(weights);
    return err;
}

static err_t rank_main(void *arg, int rank, struct comm *world) {
    const struct work *w = arg;
    const struct run_setup u = {.rows = ROWS,
                                .seq = SEQ,
                                .positions = SEQ,
                                .act = w->act,
                                .train = true,
                                .keep = w->keep,
                                .threads = 1,
                                .device = w->how->device,
                                .optim = &adamw,
                                .rooms = w->how->rooms,
                                .world = world,
                                .mesh = &w->how->mesh};
    struct run r;
    TRY(run_open(&r, w->src, &u));
    w->held[rank] = r.store.elements;
    w->formula[rank] = as_predicted(&r);
    err_t err = steps(&r, w, &u);
    run_close(&r, err);
    return err;
}

static inline struct result new_result(const struct params *p) {
    return (struct result){.grad = calloc((size_t)p->elements, 4), .after = calloc((size_t)p->elements, 4)};
}

static inline void free_result(struct result *r) {
    free(r->grad);
    free(r->after);
}

/* Run a layout into a new result. */
static inline err_t run_layout(const struct model_src *src, const struct layout *how, enum dtype act, bool keep, int64_t *held, bool *formula,
                               struct result *out) {
    *out = new_result(&src->params);
    struct work w = {src, how, act, keep, out, held, formula};
    err_clear();
    return local_world_run(how->ranks, rank_main, &w);
}

#endif
