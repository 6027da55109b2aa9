#include "train/parity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A quantity of the golden file and our side of it. The bound is on |ours - golden| relative to |golden| in L2, on the largest
 * difference, or on the root mean square difference of an element, which is then shown relative as well. */
enum measure { RELATIVE, ABSOLUTE, PER_ELEMENT };
struct quantity {
    char name[CKPT_NAME_MAX];
    enum measure kind;
    const float *ours;
    int64_t count;
    double bound;
    int ndim;
    int64_t shape[4];
};

struct bounds {
    double logits, scalar, norm, grad, losses, after;
};
static const enum measure after_kind[] = {[MODEL_FP32] = RELATIVE, [MODEL_BF16] = PER_ELEMENT};

/* Roundings to bf16 of a step, each weighted as if all of the signal went through it (docs/math/bf16_bounds.md counts them).
 * `before` sums over half-layers those that its input has had. */
struct roundings {
    double forward, backward, before;
};

static struct roundings count_roundings(const struct spec *s) {
    const int qk = s->qk_norm != QK_NORM_NONE, bias = (s->biases & BIAS_IN ? 3 : 0) + (s->biases & BIAS_OUT ? 1 : 0);
    struct roundings n = {.forward = 1, .backward = 5};
    for (int l = 0; l < s->layers; l++) {
        n.before += n.forward;
        n.forward += 10 + 3 * qk + bias;
        n.before += n.forward;
        n.forward += s->is_moe[l] ? 13 : 9;
        n.backward += 8 + 2 * qk + (s->is_moe[l] ? 13 : 7);
    }
    n.forward += 4;
    return n;
}

/* In fp32 the bounds of docs/formats/golden.md, in bf16 those that docs/math/bf16_bounds.md derives. */
static struct bounds bounds_of(const struct spec *s, int dtype, const struct golden *g, double grad_norm) {
    if (dtype == MODEL_FP32) return (struct bounds){.logits = 3e-6, .scalar = 2e-6, .norm = 2e-6, .grad = 1.5e-5, .losses = 1e-5, .after = 3e-5};
    const double rounding = 0x1p-8 / sqrt(3); /* root mean square, relative to the number at its worst place in a binade */
    const double gain = 2;                    /* of the softmaxes */
    const double tail = 2;                    /* of numbers that are a single draw: scalars, gradients of an expert with one row */
    const struct roundings n = count_roundings(s);
    const double forward = gain * rounding * sqrt(n.forward), targets = (double)(g->rows * (g->seq - 1));
    const double smooth = tail * gain * rounding * sqrt(2 * n.forward + n.before + n.backward);
    const double flipped = s->clip_qkv > 0 ? 1.5 * forward : 0; /* share of the gradient where rounding crosses the limit */
    const double grad = sqrt(smooth * smooth + flipped);
    const double after = 2 * g->lr * (double)g->steps * sqrt(grad / 3.14159265358979323846);
    const double scalar = tail * forward / sqrt(targets);
    return (struct bounds){.logits = forward,
                           .scalar = scalar,
                           .norm = grad / sqrt(targets),
                           .grad = grad,
                           .losses = scalar * log((double)s->vocab) + grad_norm * after,
                           .after = after};
}

typedef err_t (*visit)(void *ctx, const struct quantity *q);

static err_t visit_one(visit f, void *ctx, const char *name, enum measure kind, const float *ours, int64_t count, double bound, int ndim,
                       const int64_t *shape) {
    struct quantity q = {.kind = kind, .ours = ours, .count = count, .bound = bound, .ndim = ndim};
    (void)snprintf(q.name, sizeof q.name, "%s", name);
    memcpy(q.shape, shape, sizeof *shape * (size_t)ndim);
    return f(ctx, &q);
}

/* Every quantity in the order of a golden file. */
static err_t visit_all(const struct golden *g, const struct model_src *src, const struct numbers *n, int dtype, visit f, void *ctx) {
    const struct bounds b = bounds_of(&src->spec, dtype, g, n->grad_norm);
    const int64_t one[1] = {1}, steps[1] = {n->steps}, logits[3] = {n->rows, n->seq, n->vocab};
    TRY(visit_one(f, ctx, "logits", RELATIVE, n->logits, n->rows * n->seq * n->vocab, b.logits, 3, logits));
    TRY(visit_one(f, ctx, "loss", RELATIVE, &n->loss, 1, b.scalar, 1, one));
    TRY(visit_one(f, ctx, "aux_loss", RELATIVE, &n->aux_loss, 1, b.scalar, 1, one));
    TRY(visit_one(f, ctx, "total_loss", RELATIVE, &n->total_loss, 1, b.scalar, 1, one));
    TRY(visit_one(f, ctx, "grad_norm", RELATIVE, &n->grad_norm, 1, b.norm, 1, one));
    TRY(visit_one(f, ctx, "losses", ABSOLUTE, n->losses, n->steps, b.losses, 1, steps));
    for (int part = 0; part < 2; part++) {
        int64_t at = 0;
        for (int64_t i = 0; i < src->names_out.count; at += src->names_out.list[i++].count) {
            const struct file_tensor *t = &src->names_out.list[i];
            char name[CKPT_NAME_MAX];
            (void)snprintf(name, sizeof name, "%s/%s", part ? "after10" : "grad", t->name);
            if (!t->trained) continue;
            const enum measure kind = part ? after_kind[dtype] : RELATIVE;
            TRY(visit_one(f, ctx, name, kind, (part ? n->after : n->grad) + at, t->count, part ? b.after : b.grad, t->ndim, t->shape));
        }
    }
    return OK;
}

struct report {
    const struct st_reader *file;
    int64_t excess, compared;
};

static err_t compare_one(void *ctx, const struct quantity *q) {
    struct report *r = ctx;
    const struct tensor_info *t = st_find(r->file, q->name);
    if (!t) return FAIL(ERR_FORMAT, "golden.safetensors has no %s; it is not of this model, make it anew with tools/golden", q->name);
    if (t->count != q->count)
        return FAIL(ERR_FORMAT, "golden.safetensors: %s has %lld numbers, the model %lld", q->name, (long long)t->count, (long long)q->count);
    float *golden = malloc(sizeof *golden * (size_t)(q->count + 1));
    if (!golden) return FAIL(ERR_NOMEM, "out of memory for %s", q->name);
    err_t err = st_read_f32(r->file, t, 0, q->count, golden);
    double diff = 0, norm = 0, most = 0;
    for (int64_t i = 0; err == OK && i < q->count; i++) {
        const double d = (double)q->ours[i] - (double)golden[i];
        diff += d * d;
        norm += (double)golden[i] * (double)golden[i];
        if (!(fabs(d) <= most)) most = fabs(d); /* a NaN stays */
    }
    free(golden);
    TRY(err);
    const bool tiny = q->kind != ABSOLUTE && sqrt(norm) < 1e-12;
    const double error = q->kind == ABSOLUTE ? most : tiny ? sqrt(diff) : sqrt(diff / norm);
    double bound = q->kind == RELATIVE && tiny ? 1e-9 : q->bound;
    if (q->kind == PER_ELEMENT) bound *= sqrt((double)q->count / (tiny ? 1 : norm));
    const bool fine = error <= bound;
    (void)printf("%-72s %9.2e  bound %8.1e %s%s\n", q->name, error, bound, fine ? "ok" : "EXCESS", tiny || q->kind == ABSOLUTE ? " (absolute)" : "");
    r->compared++;
    r->excess += !fine;
    return OK;
}

err_t numbers_compare(const struct golden *g, const struct model_src *src, const struct numbers *n, int dtype, int64_t *excess) {
    struct report r = {.file = g->file};
    TRY(visit_all(g, src, n, dtype, compare_one, &r));
    (void)printf("%lld compared, %lld over their bound\n", (long long)r.compared, (long long)r.excess);
    *excess = r.excess;
    return OK;
}

/* ---- dump ---- */

struct dump {
    struct st_out *list;
    const float **data;
    const int32_t *ids;
    int64_t count;
};

static err_t list_one(void *ctx, const struct quantity *q) {
    struct dump *d = ctx;
    struct st_out *o = &d->list[d->count];
    (void)snprintf(o->name, sizeof o->name, "%s", q->name);
    o->dtype = DT_F32;
    o->ndim = q->ndim;
    memcpy(o->shape, q->shape, sizeof *q->shape * (size_t)q->ndim);
    d->data[d->count++] = q->ours;
    return OK;
}

static err_t dump_values(void *ctx, int64_t i, int64_t from, int64_t count, void *out) {
    const struct dump *d = ctx;
    if (i > 0) memcpy(out, d->data[i] + from, sizeof(float) * (size_t)count);
    for (int64_t e = 0; i == 0 && e < count; e++) ((int64_t *)out)[e] = d->ids[from + e];
    return OK;
}

err_t numbers_dump(const struct golden *g, const struct model_src *src, const struct numbers *n, const char *path) {
    const size_t room = (size_t)(2 * src->names_out.count + 8);
    struct dump d = {.list = calloc(room, sizeof *d.list), .data = calloc(room, sizeof *d.data), .ids = g->ids, .count = 1};
    static const char *const keys[] = {"lr", "beta1", "beta2", "eps", "weight_decay", "clip", "steps", "decay", "router_aux_loss_coef"};
    enum { KEYS = sizeof keys / sizeof keys[0] };
    const char *metadata[2 * KEYS + 3];
    int m = 0;
    for (int i = 0; i < KEYS; i++)
        if (st_metadata(g->file, keys[i])) {
            metadata[m++] = keys[i];
            metadata[m++] = st_metadata(g->file, keys[i]);
        }
    metadata[m++] = "made_by";
    metadata[m++] = "mop";
    metadata[m] = NULL;
    err_t err = d.list && d.data ? OK : FAIL(ERR_NOMEM, "out of memory for the list of tensors to dump");
    if (err == OK) {
        d.list[0] = (struct st_out){.name = "input_ids", .dtype = DT_I64, .ndim = 2, .shape = {g->rows, g->seq}};
        err = visit_all(g, src, n, MODEL_FP32, list_one, &d);
    }
    unsigned char sum[16];
    if (err == OK) err = st_write_file(path, d.list, d.count, metadata, dump_values, &d, NULL, sum);
    free(d.list);
    free(d.data);
    return err;
}
