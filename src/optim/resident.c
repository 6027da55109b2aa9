/* AdamW with its state on the device. Owned: masters, moments, the norm's sums. Borrowed: the keeper's weights and gradients at rest. Called: open,
 * then norm and update once a step, behind the last gradient. */
#include "optim/optim.h"

#include <math.h>

#define FIELD(name) offsetof(struct optim_opts, name)
const struct opt optim_opt_list[] = {
    {.key = "optim.beta1", .type = OPT_FLOAT, .offset = FIELD(beta1), .def = "0.9", .lo = 0, .hi = 0.999999, .help = "decay of AdamW's first moment"},
    {.key = "optim.beta2",
     .type = OPT_FLOAT,
     .offset = FIELD(beta2),
     .def = "0.95",
     .lo = 0,
     .hi = 0.999999,
     .help = "decay of AdamW's second moment"},
    {.key = "optim.eps",
     .type = OPT_FLOAT,
     .offset = FIELD(eps),
     .def = "1e-8",
     .lo = 1e-30,
     .hi = 1,
     .help = "added to the root of AdamW's second moment"},
    {.key = "optim.weight_decay",
     .type = OPT_FLOAT,
     .offset = FIELD(weight_decay),
     .def = "0.1",
     .lo = 0,
     .hi = 1,
     .help = "decoupled weight decay; tensors of one dimension have none"},
    {.key = NULL},
};
#undef FIELD

static int64_t partials(int64_t elements) { return (elements + SUMSQ_BLOCK - 1) / SUMSQ_BLOCK; }

err_t optim_bytes(int64_t elements, enum dtype act, struct ledger *out) {
    const int64_t one = arena_bytes(4 * elements);
    TRY(ledger_predict(out, "optim", "moments", TIER_DEVICE, LIFE_RUN, 2 * one));
    if (act == DT_BF16) TRY(ledger_predict(out, "optim", "masters", TIER_DEVICE, LIFE_RUN, one));
    return ledger_predict(out, "optim", "norm", TIER_DEVICE, LIFE_RUN, arena_bytes(8 * (partials(elements) + 1)));
}

err_t optim_layout(struct optim *o, const struct exec *ex, struct store *store, struct mesh *mesh, const struct optim_opts *opts, struct arenas *m) {
    *o = (struct optim){.ex = ex, .store = store, .mesh = mesh, .opts = *opts};
    const int64_t n = store->elements;
    TRY(ARENA(&m->run, "optim", "moments", n, &o->m));
    TRY(ARENA(&m->run, "optim", "moments", n, &o->v));
    if (store->act == DT_BF16) TRY(ARENA(&m->run, "optim", "masters", n, &o->master));
    else o->master = store->w;
    return ARENA(&m->run, "optim", "norm", partials(n) + 1, &o->partial);
}

void optim_open(struct optim *o) {
    const int64_t bytes = 4 * o->store->elements;
    STREAM_FILL(o->ex->s, o->m, 0, bytes);
    STREAM_FILL(o->ex->s, o->v, 0, bytes);
    if (o->store->act == DT_BF16) STREAM_FILL(o->ex->s, o->master, 0, bytes);
}

void optim_refresh(struct optim *o) {
    const int64_t n = o->store->elements;
    o->store->version++;
    if (o->store->act == DT_BF16 && n)
        RUN(o->ex, convert, convert_args, .rows = 1, .width = n, .from_type = DT_F32, .from = o->master, .from_stride = n, .to_type = DT_BF16,
            .to = o->store->w, .to_stride = n);
}

err_t optim_norm(struct optim *o, double *norm) {
    double sum, *all = o->partial + partials(o->store->elements);
    RUN(o->ex, sumsq, sumsq_args, .count = o->store->elements, .x = o->store->grad_acc, .partial = o->partial, .out = all);
    TRY(COMM_ON(o->ex->s, &o->mesh->dense, comm_call_all_reduce(all, 1, DT_F64)));
    TRY(STREAM_FETCH(o->ex->s, &sum, all, (int64_t)sizeof sum));
    *norm = sqrt(sum);
    return OK;
}

/* Tensors that lie back to back in the store, with the same decay. */
struct stretch {
    int64_t from, to;
    bool vector;
};

static void update(struct optim *o, const struct stretch *s, struct adamw_args a) {
    a.count = s->to - s->from;
    a.p = o->master + s->from;
    a.w = o->store->act == DT_BF16 ? (uint16_t *)o->store->w + s->from : NULL;
    a.m = o->m + s->from;
    a.v = o->v + s->from;
    a.g = o->store->grad_acc + s->from;
    a.decay = s->vector ? 0 : o->opts.weight_decay;
    if (a.count) RUN_ARGS(o->ex, adamw, adamw_args, &a);
}

void optim_update(struct optim *o, double lr, int64_t t, double norm, double clip) {
    const struct params *p = o->store->params;
    struct adamw_args a = {.lr = lr, .beta1 = o->opts.beta1, .beta2 = o->opts.beta2, .eps = o->opts.eps, .scale = 1.0f};
    a.c1 = 1.0 - pow(o->opts.beta1, (double)t);
    a.c2 = 1.0 - pow(o->opts.beta2, (double)t);
    if (clip > 0 && clip / (norm + 1e-6) < 1.0) a.scale = (float)(clip / (norm + 1e-6));
    struct stretch now = {0};
    o->store->version++;
    for (int64_t i = 0; i < p->count; i++) { /* in forward order */
        const struct piece x = store_piece(o->store, &p->list[i]);
        const bool vector = !p->list[i].decay;
        if (x.count == 0) continue;
        if (x.at != now.to || vector != now.vector) {
            update(o, &now, a);
            now = (struct stretch){x.at, x.at, vector};
        }
        now.to += x.count;
    }
    update(o, &now, a);
}
