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

static int64_t partials(const struct params *p) { return (p->elements + SUMSQ_BLOCK - 1) / SUMSQ_BLOCK; }

err_t optim_bytes(const struct params *p, enum dtype act, struct ledger *out) {
    const int64_t one = arena_bytes(4 * p->elements);
    TRY(ledger_predict(out, "optim", "moments", TIER_DEVICE, LIFE_RUN, 2 * one));
    if (act == DT_BF16) TRY(ledger_predict(out, "optim", "masters", TIER_DEVICE, LIFE_RUN, one));
    return ledger_predict(out, "optim", "norm", TIER_DEVICE, LIFE_RUN, arena_bytes(8 * partials(p)));
}

err_t optim_layout(struct optim *o, const struct exec *ex, struct store *store, struct mesh *mesh, const struct optim_opts *opts, struct arenas *m) {
    *o = (struct optim){.ex = ex, .store = store, .mesh = mesh, .opts = *opts};
    const int64_t n = store->params->elements;
    TRY(ARENA(&m->run, "optim", "moments", n, &o->m));
    TRY(ARENA(&m->run, "optim", "moments", n, &o->v));
    if (store->act == DT_BF16) TRY(ARENA(&m->run, "optim", "masters", n, &o->master));
    else o->master = store->w;
    return ARENA(&m->run, "optim", "norm", partials(store->params), &o->partial);
}

void optim_refresh(struct optim *o) {
    if (o->store->act == DT_BF16) dtype_convert(DT_F32, o->master, DT_BF16, o->store->w, o->store->params->elements);
}

err_t optim_norm(struct optim *o, double *norm) {
    double sum = 0;
    RUN(o->ex, sumsq, sumsq_args, .count = o->store->params->elements, .x = o->store->grad_acc, .partial = o->partial, .out = &sum);
    TRY(o->mesh->dense.ops->all_reduce(&o->mesh->dense, &sum, 1, DT_F64));
    *norm = sqrt(sum);
    return OK;
}

void optim_update(struct optim *o, double lr, int64_t t, double norm, double clip) {
    const struct params *p = o->store->params;
    const double c1 = 1.0 - pow(o->opts.beta1, (double)t), c2 = 1.0 - pow(o->opts.beta2, (double)t);
    float scale = 1.0f;
    if (clip > 0 && clip / (norm + 1e-6) < 1.0) scale = (float)(clip / (norm + 1e-6));
    for (int64_t i = 0, next; i < p->count; i = next) { /* runs of tensors with the same decay, in forward order */
        const bool vector = p->list[i].ndim == 1;
        for (next = i + 1; next < p->count && (p->list[next].ndim == 1) == vector; next++) {
        }
        const int64_t from = p->list[i].offset, to = next < p->count ? p->list[next].offset : p->elements;
        RUN(o->ex, adamw, adamw_args, .count = to - from, .p = o->master + from,
            .w = o->store->act == DT_BF16 ? (uint16_t *)o->store->w + from : NULL, .m = o->m + from, .v = o->v + from, .g = o->store->grad_acc + from,
            .lr = lr, .beta1 = o->opts.beta1, .beta2 = o->opts.beta2, .eps = o->opts.eps, .decay = vector ? 0 : o->opts.weight_decay, .c1 = c1,
            .c2 = c2, .scale = scale);
    }
}
