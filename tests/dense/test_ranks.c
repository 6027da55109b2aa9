/* Dense weights on n ranks: what is gathered is what all hold, what is summed is summed in rank order, the next half-layer's gather is
 * begun before this one's kernels; embedding rows are those of the table, and their gradients arrive. */
#include "../comm/delay.h"
#include "../equiv/tiny.h"

enum { TOKENS = 23 };

struct setting {
    struct model_src src;
    struct split split;
    enum dtype act;
    int strategy;
};

struct rank {
    const struct model_src *src;
    struct store store;
    struct arenas arenas;
    struct ledger ledger;
    struct mesh mesh;
    struct dense dense;
    struct device device;
    struct exec ex;
};

static float weight_at(int64_t i) { return (float)((i * 37) % 251 - 125); } /* exact in bf16 */
static float grad_at(int rank, int64_t i) { return (float)((i * 13 + rank * 7) % 97) * 0.37f; }

static err_t layout(struct rank *k, const struct setting *s, const struct split *how, const struct shape *h) {
    TRY(store_bytes(&k->src->spec, &k->src->params, how, s->act, true, s->strategy, &k->ledger));
    TRY(store_layout(&k->store, &k->ex, &k->mesh, &k->src->spec, &k->src->params, how, s->act, true, s->strategy, &k->arenas));
    TRY(dense_layout(&k->dense, &k->ex, &k->store, &k->mesh, h, &k->arenas));
    return embed_layout(&k->dense, &k->arenas);
}

static err_t open_rank(struct rank *k, const struct setting *s, struct comm *world) {
    struct split how = s->split;
    how.rank = world->rank;
    k->src = &s->src;
    const struct mesh_opts m = {.seq = how.seq, .expert = how.expert, .vocab = how.vocab};
    TRY(device_new(NULL, 1, &k->device));
    k->ex.s = &k->device.compute;
    TRY(mesh_open(&k->mesh, world, &m, 0, &k->device));
    kernels_reference(&k->ex.kernels);
    const struct shape h = {.spec = &k->src->spec,
                            .split = how,
                            .act = s->act,
                            .rows = 1,
                            .seq = world->rank == 1 ? 0 : TOKENS, /* a rank may have no token */
                            .tokens = world->rank == 1 ? 0 : TOKENS,
                            .tokens_most = TOKENS,
                            .backward = true};
    arenas_init(&k->arenas, &k->ledger);
    TRY(layout(k, s, &how, &h));
    TRY(device_arenas(&k->device, &k->arenas));
    TRY(layout(k, s, &how, &h));
    for (int64_t i = 0; i < k->src->params.count; i++) {
        const struct param *p = &k->src->params.list[i];
        const struct piece x = store_piece(&k->store, p);
        for (int64_t e = 0; e < x.count; e++) {
            const float v = weight_at(p->offset + x.from + e);
            dtype_convert(DT_F32, &v, s->act, (char *)k->store.w + (x.at + e) * dtype_bytes(s->act), 1);
        }
    }
    k->store.version++;
    return OK;
}

static void close_rank(struct rank *k) {
    mesh_close(&k->mesh);
    device_arenas_release(&k->device, &k->arenas);
    device_free(&k->device);
}

static float read_act(enum dtype t, const void *x, int64_t i) {
    float v;
    dtype_convert(t, (const char *)x + i * dtype_bytes(t), DT_F32, &v, 1);
    return v;
}

/* Every tensor of a unit in use; its gradients as this rank's backward would leave them. */
static err_t use_unit(struct rank *k, int unit, bool backward) {
    for (int64_t i = 0; i < k->src->params.count; i++) {
        const struct param *p = &k->src->params.list[i];
        if (p->unit_at != unit) continue;
        float *g = store_grad(&k->store, p);
        if (backward != (g != NULL) && k->dense.shape.split.ranks > 1) return FAIL(ERR_FAILED, "%s has %s gradient", p->name, g ? "a" : "no");
        for (int64_t e = 0; e < p->count; e++) {
            const float w = read_act(k->store.act, store_weight(&k->store, p), e);
            if (w < weight_at(p->offset + e) || w > weight_at(p->offset + e))
                return FAIL(ERR_FAILED, "%s: element %lld is %g as gathered, not %g", p->name, (long long)e, w, weight_at(p->offset + e));
            if (backward) g[e] += grad_at(k->dense.shape.split.rank, p->offset + e);
        }
    }
    return OK;
}

/* Forward through the half-layers, then backward, as the corridor does. */
static err_t walk(struct rank *k) {
    int unit[64], n = 0;
    for (int i = 0; i < k->src->params.units; i++) {
        const enum unit_kind u = k->src->params.unit[i].kind;
        if (u == UNIT_ATTENTION || u == UNIT_FFN || u == UNIT_FINAL_NORM) unit[n++] = i;
    }
    for (int j = 0; j < n; j++) {
        TRY(unit_enter(&k->store, unit[j], j + 1 < n ? unit[j + 1] : -1, false));
        TRY(use_unit(k, unit[j], false));
        TRY(unit_leave(&k->store, unit[j], false));
    }
    for (int j = n - 1; j >= 0; j--) {
        TRY(unit_enter(&k->store, unit[j], j > 0 ? unit[j - 1] : -1, true));
        TRY(use_unit(k, unit[j], true));
        TRY(unit_leave(&k->store, unit[j], true));
    }
    return unit_settle(&k->store);
}

static err_t check_sums(const struct rank *k, int times) {
    for (int64_t i = 0; i < k->src->params.count; i++) {
        const struct param *p = &k->src->params.list[i];
        const struct piece x = store_piece(&k->store, p);
        if (p->unit == UNIT_EMBED || p->unit == UNIT_EXPERTS || p->unit == UNIT_HEAD) continue;
        for (int64_t e = 0; e < x.count; e++) {
            float sum = 0, all = 0;
            for (int r = 0; r < k->dense.shape.split.ranks; r++) sum += grad_at(r, p->offset + x.from + e);
            for (int t = 0; t < times; t++) all += sum;
            const float got = k->store.grad_acc[x.at + e];
            if (got < all || got > all) return FAIL(ERR_FAILED, "%s: gradient %lld is %.9g, not %.9g", p->name, (long long)e, got, all);
        }
    }
    return OK;
}

static err_t embedding(struct rank *k, const struct setting *s) {
    const int64_t width = k->src->spec.hidden, vocab = k->src->spec.vocab, ranks = k->dense.shape.split.ranks, n = k->dense.shape.tokens;
    const struct param *p = params_at(&k->src->params, PARAM_EMBED, -1, -1);
    int32_t ids[TOKENS], doc[TOKENS];
    char *x = calloc(TOKENS, (size_t)(width * 4)), *dx = calloc(TOKENS, (size_t)(width * 4));
    for (int64_t i = 0; i < n; i++) { /* many of one owner, some twice */
        ids[i] = (int32_t)(i % 3 == 0 ? 2 : rng_below((uint64_t)k->dense.shape.split.rank, 5, (uint64_t)i, vocab));
        doc[i] = i % 7 == 6 ? -1 : 0;
        for (int64_t c = 0; c < width; c++) {
            const float g = (float)((i * 5 + c + k->dense.shape.split.rank) % 64);
            dtype_convert(DT_F32, &g, s->act, dx + (i * width + c) * dtype_bytes(s->act), 1);
        }
    }
    const struct embed_batch batch = {ids, doc, ids, doc};
    err_t err = embed_forward(&k->dense, &batch, x);
    for (int64_t i = 0; err == OK && i < n; i++)
        for (int64_t c = 0; err == OK && c < width; c++) {
            const float got = read_act(s->act, x, i * width + c), want = weight_at(p->offset + ids[i] * width + c);
            if (got < want || got > want) err = FAIL(ERR_FAILED, "row of token %lld, id %d: %g, not %g", (long long)i, (int)ids[i], got, want);
        }
    if (err == OK) err = embed_backward(&k->dense, &batch, dx);
    /* all gradients are whole numbers: any order of sums is exact */
    const struct piece own = store_piece(&k->store, p);
    float *want = calloc((size_t)(vocab * width), sizeof *want);
    for (int r = 0; r < ranks; r++)
        for (int64_t i = 0; i < (r == 1 ? 0 : TOKENS); i++) {
            const int64_t id = i % 3 == 0 ? 2 : rng_below((uint64_t)r, 5, (uint64_t)i, vocab);
            if (i % 7 == 6 || id == k->src->spec.pad_id) continue;
            for (int64_t c = 0; c < width; c++) want[id * width + c] += (float)((i * 5 + c + r) % 64);
        }
    for (int64_t e = 0; err == OK && e < own.count; e++) {
        const float got = k->store.grad_acc[own.at + e];
        if (got < want[own.from + e] || got > want[own.from + e])
            err = FAIL(ERR_FAILED, "gradient of row %lld: %g, not %g", (long long)((own.from + e) / width), got, want[own.from + e]);
    }
    free(x);
    free(dx);
    free(want);
    return err;
}

static err_t rank_main(void *arg, int rank, struct comm *world) {
    (void)rank;
    const struct setting *s = arg;
    struct rank *k = calloc(1, sizeof *k);
    ENSURE(k != NULL);
    err_t err = open_rank(k, s, world);
    for (int i = 1; i <= 2 && err == OK; i++) {
        err = walk(k);
        if (err == OK) err = check_sums(k, i);
    }
    if (err == OK) err = embedding(k, s);
    close_rank(k);
    free(k);
    return err;
}

/* With a comm whose data moves as late as it may: the gather of the next unit is begun before the kernels of this one. */
static err_t order_main(void *arg, int rank, struct comm *world) {
    (void)rank;
    const struct setting *s = arg;
    struct rank *k = calloc(1, sizeof *k);
    struct events *e = calloc(1, sizeof *e);
    ENSURE(k && e);
    struct delay d, d2;
    err_t err = open_rank(k, s, world);
    if (err == OK) {
        struct comm inner = k->mesh.dense_gather, inner2 = k->mesh.dense_scatter;
        delay_init(&d, &inner, e, "gather", &k->mesh.dense_gather);
        delay_init(&d2, &inner2, e, "sum", &k->mesh.dense_scatter);
        int a = params_unit(&k->src->params, UNIT_ATTENTION, 0), b = params_unit(&k->src->params, UNIT_FFN, 0);
        TRY(unit_enter(&k->store, a, b, true));
        event_add(e, "kernel", "a");
        TRY(unit_leave(&k->store, a, true));
        TRY(unit_enter(&k->store, b, -1, true));
        event_add(e, "kernel", "b");
        TRY(unit_leave(&k->store, b, true));
        TRY(unit_settle(&k->store));
        static const char *const want[] = {"begin gather", "move gather", "begin gather", "kernel a",  "begin sum",
                                           "move gather",  "kernel b",    "move sum",     "begin sum", "move sum"};
        for (size_t i = 0; i < sizeof want / sizeof *want && err == OK; i++)
            if ((int)i >= e->count || strcmp(e->text[i], want[i]) != 0)
                err = FAIL(ERR_FAILED, "event %zu is \"%s\", not \"%s\"", i, (int)i < e->count ? e->text[i] : "none", want[i]);
        k->mesh.dense_gather = inner;
        k->mesh.dense_scatter = inner2;
    }
    close_rank(k);
    free(k);
    free(e);
    return err;
}

int main(void) {
    static const struct split splits[] = {{1, 0, 1, 1, 1}, {2, 0, 1, 2, 2}, {3, 0, 1, 1, 3}, {4, 0, 2, 2, 2},
                                          {6, 0, 1, 1, 3}, {8, 0, 1, 1, 4}, {5, 0, 1, 1, 1}};
    for (int i = 0; i < TINY_CONFIGS; i++)
        for (size_t n = 0; n < sizeof splits / sizeof *splits; n++)
            for (int t = 0; t < 4; t++) {
                struct setting s = {.split = splits[n], .act = t % 2 ? DT_BF16 : DT_F32, .strategy = t / 2 ? DENSE_REPLICATE : DENSE_ZERO3};
                tiny_open(i, &s.src);
                err_clear();
                err_t err = local_world_run(splits[n].ranks, rank_main, &s);
                CASE(err == OK, "%s, %d ranks, P %d, %s, strategy %d: %s", tiny_configs[i].name, splits[n].ranks, splits[n].vocab, dtype_name(s.act),
                     s.strategy, err_message());
                model_src_close(&s.src);
            }
    struct setting s = {.split = {2, 0, 1, 2, 2}, .act = DT_F32};
    tiny_open(1, &s.src);
    err_clear();
    err_t err = local_world_run(2, order_main, &s);
    CASE(err == OK, "order of events: %s", err_message());
    model_src_close(&s.src);
    return test_end();
}
