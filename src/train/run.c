#include "base/log.h"
#include "base/num.h"
#include "comm/share.h"
#include "train/train.h"

#include <stdio.h>
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
    TRY(store_bytes(h->spec, p, &h->split, h->act, u->train, r->rooms.dense->strategy, g));
    TRY(ledger_predict(g, "train", "layers", TIER_HOST, LIFE_RUN,
                       arena_bytes((int64_t)sizeof(int) * h->spec->layers) + arena_bytes((int64_t)sizeof(int) * (2 * h->spec->layers + 1))));
    const int64_t many = h->split.seq > 1 ? arena_bytes(4 * h->tokens * h->split.seq) : 0;
    TRY(ledger_predict(g, "train", "batch", TIER_HOST, LIFE_RUN,
                       5 * arena_bytes(4 * h->tokens) + (h->split.seq > 1 ? many + 4 * arena_bytes(4 * r->all_seq) : 0)));
    TRY(ledger_predict(g, "train", "batch", TIER_DEVICE, LIFE_STEP, 5 * arena_bytes(4 * h->tokens) + many));
    TRY(ledger_predict(g, "train", "rows of experts", TIER_HOST, LIFE_RUN, arena_bytes(8 * (int64_t)spec_moe_layers(h->spec) * h->spec->experts)));
    TRY(ledger_predict(g, "train", "sums", TIER_DEVICE, LIFE_RUN, arena_bytes((int64_t)sizeof(struct step_sums))));
    if (u->train) {
        TRY(ledger_predict(g, "train", "upstream gradient", TIER_DEVICE, LIFE_STEP, 2 * hidden));
        int64_t n = 0;
        for (int i = 0; i < p->units; i++) n += shard_of(h->spec, &p->unit[i], &h->split, h->split.rank).length;
        TRY(optim_bytes(n, h->act, g));
    }
    TRY(stash_bytes(h, g));
    TRY(dense_bytes(h, g));
    TRY(attention_bytes(h, r->rooms.attention, u->positions, g));
    if (u->cache) TRY(attention_cache_bytes(h, u->positions, g));
    TRY(experts_bytes(h, r->rooms.experts, g));
    return vocab_bytes(h, r->rooms.vocab, g);
}

/* Run twice: on arenas that only count, then on reserved ones. The rooms' scratch lies in the same bytes, one after another. */
static err_t lay_out(struct run *r, const struct run_setup *u) {
    struct arenas *m = &r->arenas;
    const struct shape *h = &r->shape;
    const int64_t b = dtype_bytes(h->act);
    TRY(store_layout(&r->store, &r->ex, &r->mesh, h->spec, &r->src->params, &h->split, h->act, u->train, r->rooms.dense->strategy, m));
    TRY(ARENA(&m->host, "train", "layers", h->spec->layers, &r->slot));
    TRY(ARENA(&m->host, "train", "layers", 2 * h->spec->layers + 1, &r->unit));
    TRY(push_batch(&m->host, h->tokens, "batch", &r->host));
    TRY(ARENA(&m->host, "train", "batch", h->tokens, &r->host_start));
    TRY(push_batch(&m->step, h->tokens, "batch", &r->batch));
    TRY(ARENA(&m->step, "train", "batch", h->tokens, &r->start));
    TRY(ARENA(&m->host, "train", "rows of experts", (int64_t)spec_moe_layers(h->spec) * h->spec->experts, &r->expert_rows));
    TRY(ARENA(&m->run, "train", "sums", 1, &r->sums));
    if (h->split.seq > 1) {
        TRY(ARENA(&m->host, "train", "batch", h->tokens * h->split.seq, &r->host_start_all));
        TRY(push_batch(&m->host, r->all_seq, "batch", &r->whole));
        TRY(ARENA(&m->step, "train", "batch", h->tokens * h->split.seq, &r->start_all));
    }
    if (u->train) {
        TRY(arena_push(&m->step, "train", "upstream gradient", h->tokens * h->spec->hidden * b, &r->dx));
        TRY(arena_push(&m->step, "train", "upstream gradient", h->tokens * h->spec->hidden * b, &r->dh));
        TRY(optim_layout(&r->optim, &r->ex, &r->store, &r->mesh, u->optim, m));
    }
    TRY(stash_layout(&r->stash, h, m));
    TRY(dense_layout(&r->dense, &r->ex, &r->store, &r->mesh, h, m));
    const int64_t mark = arena_mark(&m->scratch);
    TRY(mlp_layout(&r->dense, m));
    arena_pop(&m->scratch, mark);
    TRY(embed_layout(&r->dense, m));
    arena_pop(&m->scratch, mark);
    TRY(attention_layout(&r->attention, &r->ex, &r->store, &r->mesh, r->rooms.attention, h, u->positions, m));
    if (u->cache) TRY(attention_cache_layout(&r->attention, u->positions, m));
    arena_pop(&m->scratch, mark);
    TRY(experts_layout(&r->experts, &r->ex, &r->store, &r->mesh, r->rooms.experts, h, m));
    arena_pop(&m->scratch, mark);
    TRY(vocab_layout(&r->vocab, &r->ex, &r->store, &r->mesh, r->rooms.vocab, h, m));
    arena_pop(&m->scratch, mark);
    return OK;
}

/* Into the masters where there are any, which the weights follow. */
static err_t load_weights(struct run *r) {
    enum { CHUNK = 1 << 20 };
    float *buffer = malloc(sizeof(float) * CHUNK);
    if (!buffer) return FAIL(ERR_NOMEM, "out of memory for a buffer of %d numbers while loading", CHUNK);
    const struct params *p = &r->src->params;
    const int64_t b = dtype_bytes(r->store.act);
    err_t err = OK;
    for (int64_t i = 0; i < p->count && err == OK; i++) {
        const struct piece own = store_piece(&r->store, &p->list[i]);
        for (int64_t done = 0; done < own.count && err == OK; done += CHUNK) {
            const int64_t n = i64_min(CHUNK, own.count - done), at = own.at + done;
            err = model_src_read(r->src, &p->list[i], own.from + done, n, buffer);
            if (err != OK) break;
            if (r->optim.master) {
                STREAM_UPLOAD(r->ex.s, r->optim.master + at, buffer, 4 * n);
            } else {
                if (r->store.act == DT_BF16) dtype_convert(DT_F32, buffer, DT_BF16, buffer, n);
                STREAM_UPLOAD(r->ex.s, (char *)r->store.w + at * b, buffer, b * n);
            }
        }
    }
    if (err == OK && r->optim.master) optim_refresh(&r->optim);
    else r->store.version++;
    free(buffer);
    return err;
}

/* What rests and what is read before it is first written starts at zero; tables that no step changes. */
static err_t fill(struct run *r, const struct run_setup *u) {
    store_clear(&r->store);
    if (u->train) optim_open(&r->optim);
    attention_open(&r->attention);
    experts_open(&r->experts);
    TRY(vocab_open(&r->vocab));
    return load_weights(r);
}

/* What each arena will hold: predicted by formula, laid out without memory. */
static err_t plan(struct run *r, const struct run_setup *u, int64_t dry[ARENAS]) {
    struct arena *each[ARENAS];
    arenas_init(&r->arenas, &r->ledger);
    arenas_list(&r->arenas, each);
    TRY(predict(r, u, &r->ledger));
    TRY(lay_out(r, u));
    for (int i = 0; i < ARENAS; i++) dry[i] = each[i]->high;
    return OK;
}

static int64_t sum_of(const int64_t dry[ARENAS]) {
    int64_t sum = 0;
    for (int i = 0; i < ARENAS; i++) sum += dry[i];
    return sum;
}

static const struct mesh_opts mesh_defaults = {.seq = 1};

/* The deferred device orders communication of ranks that are threads, and begins it when it likes. */
static err_t check_device(const struct run_setup *u) {
    if (!u->device || u->device->kind != DEVICE_DEFERRED || !u->world) return OK;
    if (u->world->size > 1 && !comm_is_threads(u->world))
        return FAIL(ERR_USAGE, "device=deferred knows ranks that are threads only; start it without mpirun or srun, with ranks=%d", u->world->size);
    if (u->mesh && u->mesh->check)
        return FAIL(ERR_USAGE,
                    "comm.check compares operations as they are begun, which device=deferred does in an order of its own; leave out one of them");
    return OK;
}

static err_t open_inner(struct run *r, const struct run_setup *u) {
    struct device_opts device = u->device ? *u->device : (struct device_opts){0};
    TRY(check_device(u));
    if (r->shape.split.rank > 0) device.drop = 0; /* one rank's wait */
    TRY(device_new(&device, u->threads, &r->device));
    if (u->isa && strcmp(u->isa, "reference") == 0) kernels_reference(&r->ex.kernels);
    else TRY(kernels_cpu(u->isa, &r->ex.kernels));
    r->ex.s = &r->device.compute;
    if (u->world) TRY(mesh_open(&r->mesh, u->world, u->mesh ? u->mesh : &mesh_defaults, r->shape.spec->experts, &r->device));
    else TRY(mesh_self_open(&r->mesh, &r->device));
    struct arena *each[ARENAS];
    int64_t dry[ARENAS] = {0};
    TRY(plan(r, u, dry));
    arenas_list(&r->arenas, each);
    struct share memory;
    TRY(share_memory(&r->mesh.control, sum_of(dry), &memory));
    if (memory.need > memory.have) {
        char there[SHARE_TEXT];
        ledger_print(&r->ledger, LOG_RUN, log_line);
        return FAIL(ERR_NOMEM, "the run needs %.2f GiB%s, of memory there are %s; the table above says what for%s: %s, or take a smaller model",
                    memory.need / 1073741824.0, memory.ranks > 1 ? " in all" : "", share_show(&memory, there),
                    memory.ranks > 1 ? " on each rank" : "",
                    u->advice ? u->advice : "lower train.micro_batch or data.seq, or take stash.strategy=recompute");
    }
    TRY(device_arenas(&r->device, &r->arenas));
    TRY(lay_out(r, u));
    for (int i = 0; i < ARENAS; i++) ENSURE(each[i]->high == dry[i]);
    int moe = 0, plain = 0;
    const struct params *p = &r->src->params;
    for (int l = 0; l < r->shape.spec->layers; l++) {
        r->slot[l] = r->shape.spec->is_moe[l] ? moe++ : plain++;
        r->unit[2 * l] = params_unit(p, UNIT_ATTENTION, l);
        r->unit[2 * l + 1] = params_unit(p, UNIT_FFN, l);
    }
    r->unit[2 * r->shape.spec->layers] = params_unit(p, UNIT_FINAL_NORM, -1);
    return fill(r, u);
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

/* Query heads are what the ranks of a sequence share. */
static err_t check_heads(const struct spec *s, int degree) {
    if (s->heads % degree == 0) return OK;
    char fits[256] = "";
    size_t n = 0;
    for (int d = 1; d <= s->heads && n + 16 < sizeof fits; d++)
        if (s->heads % d == 0) n += (size_t)snprintf(fits + n, sizeof fits - n, "%s%d", n ? ", " : "", d);
    return FAIL(ERR_USAGE, "mesh.seq=%d does not divide the model's %d query heads; set it to one of %s", degree, s->heads, fits);
}

static const struct dense_opts dense_defaults = {DENSE_ZERO3};
static const struct attention_opts attention_defaults = {4};
static const struct experts_opts experts_defaults = {
    .strategy = EXPERTS_PIPELINED, .alpha = 1, .min_rows = 1024, .lambda = 1.3, .chunk = 4096, .chunks_max = 10};
static const struct vocab_opts vocab_defaults = {VOCAB_RING, TRAVEL_AUTO};

/* The run's shape: how many sequences this rank works on, and how many tokens of each. */
static err_t begin(struct run *r, const struct model_src *src, const struct run_setup *u) {
    const struct spec *s = &src->spec;
    struct split how = split_one();
    *r = (struct run){.src = src, .rooms = u->rooms, .all_rows = u->rows, .all_seq = u->seq};
    if (!r->rooms.dense) r->rooms.dense = &dense_defaults;
    if (!r->rooms.attention) r->rooms.attention = &attention_defaults;
    if (!r->rooms.experts) r->rooms.experts = &experts_defaults;
    if (!r->rooms.vocab) r->rooms.vocab = &vocab_defaults;
    TRY(run_served(s));
    TRY(check_size(s, u));
    if (u->world) {
        how.ranks = u->world->size;
        how.rank = u->world->rank;
        TRY(mesh_degrees(u->mesh ? u->mesh : &mesh_defaults, how.ranks, s->experts, &how.seq, &how.expert, &how.vocab));
        TRY(check_heads(s, how.seq));
    }
    int64_t rows, most = 0;
    for (int other = 0; other < how.ranks; other++) {
        split_rows(&how, u->rows, other, &r->first_row, &rows);
        most = i64_max(most, rows);
    }
    split_rows(&how, u->rows, how.rank, &r->first_row, &rows);
    const int64_t seq = split_tokens(&how, u->seq);
    r->shape = (struct shape){.spec = s,
                              .split = how,
                              .act = u->act,
                              .rows = rows,
                              .seq = seq,
                              .tokens = rows * seq,
                              .tokens_most = most * seq,
                              .backward = u->train,
                              .keep = u->keep,
                              .threads = u->world && comm_is_threads(u->world)};
    return OK;
}

err_t run_bytes(const struct model_src *src, const struct run_setup *u, int64_t *bytes) {
    struct run r;
    int64_t dry[ARENAS] = {0};
    TRY(begin(&r, src, u));
    TRY(plan(&r, u, dry));
    *bytes = sum_of(dry);
    return OK;
}

err_t run_open(struct run *r, const struct model_src *src, const struct run_setup *u) {
    err_t err = begin(r, src, u);
    if (err == OK) err = open_inner(r, u);
    if (err != OK) run_close(r, err);
    return err;
}

void run_close(struct run *r, err_t err) {
    if (err == OK && r->device.ops) err = device_sync(&r->device); /* peers may wait for what is queued here */
    if (err != OK && r->mesh.dense.ops && r->mesh.dense.size > 1) r->mesh.dense.ops->abort(&r->mesh.dense, err_message());
    mesh_close(&r->mesh);
    device_arenas_release(&r->device, &r->arenas);
    device_free(&r->device);
}

void run_set_tokens(struct run *r, int64_t tokens) {
    r->shape.rows = 1;
    r->shape.seq = r->shape.tokens = tokens;
    r->dense.shape = r->attention.shape = r->experts.shape = r->vocab.shape = r->shape;
}
