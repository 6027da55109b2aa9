#include "base/log.h"
#include "base/num.h"
#include "base/os.h"
#include "train/train.h"

#include <stdlib.h>
#include <string.h>

static err_t push_batch(struct arena *a, int64_t tokens, const char *what, struct batch *b) {
    TRY(ARENA(a, "train", what, tokens, &b->ids));
    TRY(ARENA(a, "train", what, tokens, &b->targets));
    TRY(ARENA(a, "train", what, tokens, &b->positions));
    return ARENA(a, "train", what, tokens, &b->doc_start);
}

/* What the rooms say they will hold, and what the corridor itself holds. */
static err_t predict(const struct run *r, const struct run_setup *u, struct ledger *g) {
    const struct shape *h = &r->shape;
    const struct params *p = &r->src->params;
    const int64_t b = dtype_bytes(h->act), hidden = arena_bytes(h->tokens * h->spec->hidden * b);
    TRY(ledger_predict(g, "train", "weights", TIER_DEVICE, LIFE_RUN, arena_bytes(p->elements * b)));
    TRY(ledger_predict(g, "train", "layers", TIER_DEVICE, LIFE_RUN, arena_bytes((int64_t)sizeof(int) * h->spec->layers)));
    TRY(ledger_predict(g, "train", "batch", TIER_DEVICE, LIFE_STEP, 9 * arena_bytes(4 * h->tokens)));
    if (u->train) {
        TRY(ledger_predict(g, "train", "gradients", TIER_DEVICE, LIFE_RUN, arena_bytes(4 * p->elements)));
        TRY(ledger_predict(g, "train", "upstream gradient", TIER_DEVICE, LIFE_STEP, 2 * hidden));
        TRY(optim_bytes(p, h->act, g));
    }
    TRY(stash_bytes(h, g));
    TRY(dense_bytes(h, g));
    TRY(attention_bytes(h, u->positions, g));
    if (u->cache) TRY(attention_cache_bytes(h, u->positions, g));
    TRY(experts_bytes(h, g));
    return vocab_bytes(h, g);
}

/* Run twice: on arenas that only count, then on reserved ones. The rooms' scratch lies in the same bytes, one after another. */
static err_t lay_out(struct run *r, const struct run_setup *u) {
    struct arenas *m = &r->arenas;
    const struct shape *h = &r->shape;
    const int64_t b = dtype_bytes(h->act), n = r->src->params.elements;
    r->store = (struct store){.params = &r->src->params, .act = h->act};
    TRY(arena_push(&m->run, "train", "weights", n * b, &r->store.w));
    TRY(ARENA(&m->run, "train", "layers", h->spec->layers, &r->slot));
    TRY(push_batch(&m->step, h->tokens, "batch", &r->host));
    TRY(push_batch(&m->step, h->tokens, "batch", &r->batch));
    TRY(ARENA(&m->step, "train", "batch", h->tokens, &r->start));
    if (u->train) {
        TRY(ARENA(&m->run, "train", "gradients", n, &r->store.grad_acc));
        TRY(arena_push(&m->step, "train", "upstream gradient", h->tokens * h->spec->hidden * b, &r->dx));
        TRY(arena_push(&m->step, "train", "upstream gradient", h->tokens * h->spec->hidden * b, &r->dh));
        TRY(optim_layout(&r->optim, &r->ex, &r->store, &r->mesh, u->optim, m));
    }
    TRY(stash_layout(&r->stash, h, m));
    TRY(dense_layout(&r->dense, &r->ex, &r->store, h, m));
    const int64_t mark = arena_mark(&m->scratch);
    TRY(mlp_layout(&r->dense, m));
    arena_pop(&m->scratch, mark);
    TRY(attention_layout(&r->attention, &r->ex, &r->store, h, u->positions, m));
    if (u->cache) TRY(attention_cache_layout(&r->attention, u->positions, m));
    arena_pop(&m->scratch, mark);
    TRY(experts_layout(&r->experts, &r->ex, &r->store, &r->mesh, h, m));
    arena_pop(&m->scratch, mark);
    TRY(vocab_layout(&r->vocab, &r->ex, &r->store, h, m));
    arena_pop(&m->scratch, mark);
    return OK;
}

static err_t load_weights(struct run *r) {
    enum { CHUNK = 1 << 20 };
    float *buffer = malloc(sizeof(float) * CHUNK);
    if (!buffer) return FAIL(ERR_NOMEM, "out of memory for a buffer of %d numbers while loading", CHUNK);
    const struct params *p = &r->src->params;
    float *master = r->optim.master;
    err_t err = OK;
    for (int64_t i = 0; i < p->count && err == OK; i++)
        for (int64_t from = 0; from < p->list[i].count && err == OK; from += CHUNK) {
            const int64_t n = i64_min(CHUNK, p->list[i].count - from), at = p->list[i].offset + from;
            err = model_src_read(r->src, &p->list[i], from, n, buffer);
            if (err != OK) break;
            if (master) memcpy(master + at, buffer, sizeof(float) * (size_t)n);
            dtype_convert(DT_F32, buffer, r->store.act, (char *)r->store.w + at * dtype_bytes(r->store.act), n);
        }
    free(buffer);
    return err;
}

/* What each arena will hold, in dry[3]: predicted by formula, laid out without memory. */
static err_t plan(struct run *r, const struct run_setup *u, int64_t dry[3]) {
    struct arena *each[3] = {&r->arenas.run, &r->arenas.step, &r->arenas.scratch};
    const enum life life[3] = {LIFE_RUN, LIFE_STEP, LIFE_SCRATCH};
    for (int i = 0; i < 3; i++) arena_init(each[i], TIER_DEVICE, life[i], &r->ledger);
    TRY(predict(r, u, &r->ledger));
    TRY(lay_out(r, u));
    for (int i = 0; i < 3; i++) dry[i] = each[i]->high;
    return OK;
}

static err_t open_inner(struct run *r, const struct run_setup *u) {
    TRY(device_cpu_new(u->threads, &r->device));
    if (u->isa && strcmp(u->isa, "reference") == 0) kernels_reference(&r->ex.kernels);
    else TRY(kernels_cpu(u->isa, &r->ex.kernels));
    r->ex.pool = r->device.pool;
    mesh_self_init(&r->mesh);
    struct arena *each[3] = {&r->arenas.run, &r->arenas.step, &r->arenas.scratch};
    int64_t dry[3] = {0};
    TRY(plan(r, u, dry));
    const int64_t all = dry[0] + dry[1] + dry[2];
    if (all > os_memory_available()) {
        ledger_print(&r->ledger, LOG_RUN);
        return FAIL(ERR_NOMEM,
                    "the run needs %.2f GiB, of memory there are %.2f GiB available; the table above says what for: %s, or take a smaller model",
                    (double)all / 1073741824.0, (double)os_memory_available() / 1073741824.0,
                    u->advice ? u->advice : "lower train.micro_batch or data.seq, or take stash.strategy=recompute");
    }
    for (int i = 0; i < 3; i++) {
        TRY(arena_reserve(each[i], dry[i]));
    }
    TRY(lay_out(r, u));
    for (int i = 0; i < 3; i++) ENSURE(each[i]->high == dry[i]);
    int moe = 0, plain = 0;
    for (int l = 0; l < r->shape.spec->layers; l++) r->slot[l] = r->shape.spec->is_moe[l] ? moe++ : plain++;
    return load_weights(r);
}

/* Numbers that no memory holds end here, before products of them are taken; and row indices are 32-bit. */
static err_t check_size(const struct spec *s, const struct run_setup *u) {
    const double tokens = (double)u->rows * (double)u->seq, k = s->top_k > 0 ? s->top_k : 1;
    if (tokens * k >= 2147483648.0)
        return FAIL(ERR_USAGE, "a micro-batch of %lld sequences of %lld tokens is %.3g rows, more than 2^31; lower train.micro_batch or data.seq",
                    (long long)u->rows, (long long)u->seq, tokens * k);
    const double width =
        (double)s->hidden * (8 + 4 * k) + 6 * k * (double)s->expert_width + 6 * (double)s->dense_width + (double)s->vocab + s->experts;
    if (tokens * width > 1e15)
        return FAIL(ERR_NOMEM, "a micro-batch of %lld sequences of %lld tokens needs some %.3g bytes; lower train.micro_batch or data.seq",
                    (long long)u->rows, (long long)u->seq, tokens * width);
    return OK;
}

static struct run begin(const struct model_src *src, const struct run_setup *u) {
    struct run r = {.src = src};
    r.shape = (struct shape){
        .spec = &src->spec, .act = u->act, .rows = u->rows, .seq = u->seq, .tokens = u->rows * u->seq, .backward = u->train, .keep = u->keep};
    return r;
}

err_t run_bytes(const struct model_src *src, const struct run_setup *u, int64_t *bytes) {
    struct run r = begin(src, u);
    int64_t dry[3] = {0};
    TRY(check_size(&src->spec, u));
    mesh_self_init(&r.mesh);
    TRY(plan(&r, u, dry));
    *bytes = dry[0] + dry[1] + dry[2];
    return OK;
}

err_t run_open(struct run *r, const struct model_src *src, const struct run_setup *u) {
    *r = begin(src, u);
    err_t err = check_size(&src->spec, u);
    if (err == OK) err = open_inner(r, u);
    if (err != OK) run_close(r);
    return err;
}

void run_close(struct run *r) {
    arena_release(&r->arenas.scratch);
    arena_release(&r->arenas.step);
    arena_release(&r->arenas.run);
    device_free(&r->device);
}

void run_set_tokens(struct run *r, int64_t tokens) {
    r->shape.rows = 1;
    r->shape.seq = r->shape.tokens = tokens;
    r->dense.shape = r->attention.shape = r->experts.shape = r->vocab.shape = r->shape;
}

err_t run_upload(struct run *r) {
    const struct device_ops *ops = r->device.ops;
    struct stream *in = &r->device.copy_in;
    const int64_t t = r->shape.tokens, bytes = 4 * t;
    for (int64_t i = 0; i < t; i++) { /* index in the row to index in the micro-batch */
        const int64_t row = i / r->shape.seq * r->shape.seq;
        r->start[i] = (int32_t)(r->host.doc_start[i] < 0 ? i : row + r->host.doc_start[i]);
    }
    TRY(ops->copy(in, r->batch.ids, r->host.ids, bytes));
    TRY(ops->copy(in, r->batch.targets, r->host.targets, bytes));
    TRY(ops->copy(in, r->batch.positions, r->host.positions, bytes));
    TRY(ops->copy(in, r->batch.doc_start, r->host.doc_start, bytes));
    struct event arrived;
    ops->record(in, &arrived);
    ops->await(&r->device.compute, &arrived);
    return OK;
}
