#include "train/parity.h"

#include "base/num.h"
#include "base/os.h"

#include <stdlib.h>
#include <string.h>

static err_t number_of(const struct st_reader *f, const char *key, double *out) {
    const char *text = st_metadata(f, key);
    char *end;
    if (!text) return FAIL(ERR_FORMAT, "golden.safetensors has no \"%s\" in its metadata; make it with tools/golden", key);
    *out = strtod(text, &end);
    if (end == text || *end) return FAIL(ERR_FORMAT, "golden.safetensors: \"%s\" is %.40s, not a number", key, text);
    return OK;
}

static err_t read_ids(struct golden *g, int64_t vocab) {
    const struct tensor_info *t = st_find(g->file, "input_ids");
    if (!t || t->dtype != DT_I64 || t->ndim != 2 || t->shape[1] < 2 || t->count == 0)
        return FAIL(ERR_FORMAT, "golden.safetensors has no input_ids of I64 [rows, at least 2 tokens]; make it with tools/golden");
    g->rows = t->shape[0];
    g->seq = t->shape[1];
    int64_t *wide = malloc(sizeof *wide * (size_t)t->count);
    g->ids = malloc(sizeof *g->ids * (size_t)t->count);
    err_t err = wide && g->ids ? st_read(g->file, t, 0, t->count, wide) : FAIL(ERR_NOMEM, "out of memory for %lld input_ids", (long long)t->count);
    for (int64_t i = 0; err == OK && i < t->count; i++) {
        if (wide[i] < 0 || wide[i] >= vocab)
            err = FAIL(ERR_FORMAT, "golden.safetensors: input_ids has %lld at %lld, the model's ids go to %lld", (long long)wide[i], (long long)i,
                       (long long)vocab - 1);
        else g->ids[i] = (int32_t)wide[i];
    }
    free(wide);
    return err;
}

err_t golden_open(const char *dir, const struct model_src *src, struct golden *out) {
    char path[OS_PATH_MAX];
    struct golden g = {0};
    double steps;
    TRY(os_join(path, dir, "golden.safetensors"));
    TRY(st_open_file(path, &g.file));
    err_t err = OK;
    TRY_OR(read_ids(&g, src->spec.vocab), bad);
    TRY_OR(number_of(g.file, "lr", &g.lr), bad);
    TRY_OR(number_of(g.file, "beta1", &g.optim.beta1), bad);
    TRY_OR(number_of(g.file, "beta2", &g.optim.beta2), bad);
    TRY_OR(number_of(g.file, "eps", &g.optim.eps), bad);
    TRY_OR(number_of(g.file, "weight_decay", &g.optim.weight_decay), bad);
    TRY_OR(number_of(g.file, "clip", &g.clip), bad);
    TRY_OR(number_of(g.file, "router_aux_loss_coef", &g.coef), bad);
    TRY_OR(number_of(g.file, "steps", &steps), bad);
    if (steps < 1 || steps > 1000) {
        err = FAIL(ERR_FORMAT, "golden.safetensors: steps is %g; from 1 to 1000 are possible", steps);
        goto bad;
    }
    g.steps = (int64_t)steps;
    *out = g;
    return OK;
bad:
    golden_close(&g);
    return err;
}

void golden_close(struct golden *g) {
    st_close(g->file);
    free(g->ids);
    *g = (struct golden){0};
}

/* The golden batch: one document a row, labels the same ids shifted. */
static err_t set_batch(const struct golden *g, struct run *r) {
    const int64_t n = g->rows * g->seq;
    int32_t *m = calloc((size_t)n, 4 * sizeof *m);
    if (!m) return FAIL(ERR_NOMEM, "out of memory for a batch of %lld tokens", (long long)n);
    const struct batch all = {.ids = m, .targets = m + n, .positions = m + 2 * n, .doc_start = m + 3 * n};
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i % g->seq;
        all.ids[i] = g->ids[i];
        all.targets[i] = at + 1 < g->seq ? g->ids[i + 1] : DATA_NO_TARGET;
        all.positions[i] = (int32_t)at;
    }
    run_cut(r, &all);
    free(m);
    return run_upload(r);
}

/* Every tensor of an array as the store's, in flat order on rank 0. */
static err_t collect_all(struct run *r, const float *at_rest, float *out) {
    const struct params *p = r->store.params;
    for (int64_t i = 0; i < p->count; i++) TRY(run_collect(r, at_rest, &p->list[i], 0, p->list[i].count, out + p->list[i].offset));
    return OK;
}

/* The logits of the whole batch on rank 0: each rank's rows, one sequence's part after the other. */
static err_t collect_logits(struct run *r, float *out) {
    const struct shape *h = &r->shape;
    const int ranks = h->split.ranks;
    const int64_t each = 4 * h->spec->vocab;
    if (ranks == 1) return vocab_logits(&r->vocab, r->dense.last.h, 0, h->tokens, out);
    float *own = malloc((size_t)(h->tokens * each + 1));
    int64_t *table = calloc((size_t)ranks, 4 * sizeof *table);
    err_t err = own && table ? vocab_logits(&r->vocab, r->dense.last.h, 0, h->tokens, own) : FAIL(ERR_NOMEM, "out of memory for logits");
    for (int64_t row = 0; err == OK && row < r->all_rows; row++) { /* of each sequence the ranks that share it send their part */
        int64_t *send = table, *send_at = send + ranks, *recv = send_at + ranks, *recv_at = recv + ranks;
        memset(table, 0, 4 * sizeof *table * (size_t)ranks);
        for (int other = 0; other < ranks; other++) {
            int64_t first, rows;
            split_rows(&h->split, r->all_rows, other, &first, &rows);
            const int64_t begin = other % h->split.seq * h->seq, n = i64_min(h->seq, r->all_seq - begin);
            if (row < first || row >= first + rows || n <= 0) continue;
            if (other == h->split.rank) {
                send[0] = n * each;
                send_at[0] = (row - first) * h->seq * each;
            }
            if (h->split.rank == 0) {
                recv[other] = n * each;
                recv_at[other] = (row * r->all_seq + begin) * each;
            }
        }
        err = COMM(&r->mesh.control, all_to_allv, own, send, send_at, out, recv, recv_at);
    }
    free(own);
    free(table);
    return err;
}

static int64_t routing_size(const struct run *r) { return (int64_t)r->experts.layers * r->shape.tokens * r->shape.spec->top_k; }

/* All steps on the batch. `routing` holds the ids of each step: written where `record`, else used instead of the router's choice. */
static err_t all_steps(const struct golden *g, struct run *r, uint16_t *routing, bool record, struct numbers *n) {
    const int64_t targets = g->rows * (g->seq - 1), size = routing_size(r);
    for (int64_t s = 0; s < g->steps; s++) {
        struct micro_out m;
        double norm;
        if (!record && routing) r->experts.given = routing + s * size;
        experts_begin_step(&r->experts);
        TRY(step_micro(r, (float)(1.0 / (double)targets), g->coef, &m));
        TRY(COMM(&r->mesh.control, all_reduce, &m.loss_sum, 1, DT_F64));
        if (record && size) TRY(STREAM_FETCH(r->ex.s, routing + s * size, r->experts.ids, (int64_t)sizeof *routing * size));
        TRY(optim_norm(&r->optim, &norm));
        const double loss = m.loss_sum / (double)targets, total = loss + g->coef * m.aux;
        if (n) n->losses[s] = (float)total;
        if (n && s == 0) {
            n->loss = (float)loss;
            n->aux_loss = (float)m.aux;
            n->total_loss = (float)total;
            n->grad_norm = (float)norm;
            TRY(collect_all(r, r->store.grad_acc, n->grad));
            TRY(collect_logits(r, n->logits));
        }
        optim_update(&r->optim, g->lr, s + 1, norm, g->clip);
    }
    return n ? collect_all(r, r->optim.master, n->after) : OK;
}

/* One run over all steps in one dtype. */
static err_t one_pass(const struct golden *g, const struct model_src *src, const struct run_setup *u, uint16_t **routing, bool record,
                      struct numbers *n) {
    struct run r;
    TRY(run_open(&r, src, u));
    err_t err = OK;
    if (record) {
        *routing = malloc(sizeof **routing * (size_t)(routing_size(&r) * g->steps + 1));
        if (!*routing) err = FAIL(ERR_NOMEM, "out of memory for the routing of %lld steps", (long long)g->steps);
    }
    if (err == OK) err = set_batch(g, &r);
    if (err == OK) err = all_steps(g, &r, *routing, record, n);
    run_close(&r, err);
    return err;
}

/* Numbers in flat order become those of the tensors of files, one behind the other. */
static err_t in_file_order(const struct names *names, int64_t elements, float **numbers) {
    float *out = malloc(sizeof *out * (size_t)(elements + 1));
    int64_t at = 0;
    if (!out) return FAIL(ERR_NOMEM, "out of memory for the numbers to compare");
    for (int64_t i = 0; i < names->count; at += names->list[i++].count) names_gather(names, &names->list[i], *numbers, out + at);
    if (at != elements) {
        free(out);
        return FAIL(ERR_BUG, "internal: the names of the tensors hold %lld of %lld numbers; please report it", (long long)at, (long long)elements);
    }
    free(*numbers);
    *numbers = out;
    return OK;
}

err_t numbers_measure(const struct golden *g, const struct model_src *src, int dtype, const struct run_setup *how, struct numbers *out) {
    struct numbers n = {.rows = g->rows, .seq = g->seq, .vocab = src->spec.vocab, .steps = g->steps, .elements = src->params.elements, .ids = g->ids};
    n.logits = malloc(sizeof(float) * (size_t)(n.rows * n.seq * n.vocab));
    n.losses = malloc(sizeof(float) * (size_t)n.steps);
    n.grad = malloc(sizeof(float) * (size_t)n.elements);
    n.after = malloc(sizeof(float) * (size_t)n.elements);
    uint16_t *routing = NULL;
    err_t err = n.logits && n.losses && n.grad && n.after ? OK : FAIL(ERR_NOMEM, "out of memory for the numbers to compare");
    struct run_setup u = *how;
    u.rows = g->rows;
    u.seq = u.positions = g->seq;
    u.act = DT_F32;
    u.train = true;
    u.optim = &g->optim;
    if (err == OK && dtype == MODEL_BF16) {
        err = one_pass(g, src, &u, &routing, true, NULL);
        u.act = DT_BF16;
    }
    if (err == OK) err = one_pass(g, src, &u, &routing, false, &n);
    free(routing);
    if (err == OK) err = in_file_order(&src->names_out, n.elements, &n.grad);
    if (err == OK) err = in_file_order(&src->names_out, n.elements, &n.after);
    if (err != OK) {
        numbers_free(&n);
        return err;
    }
    *out = n;
    return OK;
}

void numbers_free(struct numbers *n) {
    free(n->logits);
    free(n->losses);
    free(n->grad);
    free(n->after);
    *n = (struct numbers){0};
}
