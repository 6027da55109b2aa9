/* The rooms against the oracle (ref/), and what must not change a bit: recomputation, threads. */
#include "tiny.h"

#include "ref/ref.h"

/* Each side is within the golden bounds of the exact result (1.5e-5 a gradient, 3e-6 logits, 3e-5 a weight after ten steps), so
 * they are within twice that of each other. */
static const double GRAD = 3e-5, LOGITS = 6e-6, WEIGHT = 6e-5;
static const struct optim_opts adamw = {0.9, 0.95, 1e-6, 0.1};
enum { STEPS = 3, MICROS = 2 };
static const double LR = 3e-3;

struct result {
    float *grad, *after;
    double loss[STEPS], aux, norm;
};

/* STEPS optimizer steps of MICROS micro-batches; the first step's gradient before the update. */
static void ours(const struct model_src *src, const struct run_setup *u, struct result *out) {
    struct run r;
    NEED(run_open(&r, src, u));
    tiny_weights(&src->params, r.optim.master);
    optim_refresh(&r.optim);
    for (int s = 0; s < STEPS; s++) {
        int64_t targets = 0;
        for (int i = 0; i < MICROS; i++) {
            tiny_batch(u, src->spec.vocab, (uint64_t)s * MICROS + (uint64_t)i, &r.host);
            targets += tiny_targets(&r.host, r.shape.tokens);
        }
        double sum = 0, norm;
        experts_begin_step(&r.experts);
        for (int i = 0; i < MICROS; i++) {
            struct micro_out m;
            tiny_batch(u, src->spec.vocab, (uint64_t)s * MICROS + (uint64_t)i, &r.host);
            NEED(run_upload(&r));
            NEED(step_micro(&r, (float)(1.0 / (double)targets), src->spec.aux_coef / MICROS, &m));
            sum += m.loss_sum;
            if (s == 0 && i == 0) out->aux = m.aux;
        }
        out->loss[s] = sum / (double)targets;
        NEED(optim_norm(&r.optim, &norm));
        if (s == 0) {
            out->norm = norm;
            memcpy(out->grad, r.store.grad_acc, sizeof(float) * (size_t)src->params.elements);
        }
        optim_update(&r.optim, LR, s + 1, norm, 1.0);
    }
    memcpy(out->after, r.optim.master, sizeof(float) * (size_t)src->params.elements);
    run_close(&r, OK);
}

static void oracle(const struct model_src *src, const struct run_setup *u, struct result *out) {
    const struct params *p = &src->params;
    const size_t n = (size_t)p->elements, t = (size_t)(u->rows * u->seq);
    float *g = calloc(n, 4), *m = calloc(n, 4), *v = calloc(n, 4);
    int32_t *mem = calloc(4 * t, sizeof *mem);
    const struct batch b = {mem, mem + t, mem + 2 * t, mem + 3 * t};
    tiny_weights(p, out->after);
    for (int s = 0; s < STEPS; s++) {
        int64_t targets = 0;
        for (int i = 0; i < MICROS; i++) {
            tiny_batch(u, src->spec.vocab, (uint64_t)s * MICROS + (uint64_t)i, &b);
            targets += tiny_targets(&b, (int64_t)t);
        }
        memset(g, 0, 4 * n);
        out->loss[s] = 0;
        for (int i = 0; i < MICROS; i++) {
            struct ref_out o = {0};
            tiny_batch(u, src->spec.vocab, (uint64_t)s * MICROS + (uint64_t)i, &b);
            const struct ref_batch rb = {
                .rows = u->rows, .seq = u->seq, .ids = b.ids, .targets = b.targets, .positions = b.positions, .doc_start = b.doc_start};
            NEED(ref_forward_backward(&src->spec, p, out->after, &rb, 1.0 / (double)targets, src->spec.aux_coef / MICROS, g, &o));
            out->loss[s] += o.loss_sum / (double)targets;
            if (s == 0 && i == 0) out->aux = o.aux;
        }
        const double norm = ref_grad_norm(p, g);
        if (s == 0) {
            out->norm = norm;
            memcpy(out->grad, g, 4 * n);
        }
        ref_clip(p, norm, 1.0, g);
        ref_adamw_step(p, &(struct ref_adamw){LR, adamw.beta1, adamw.beta2, adamw.eps, adamw.weight_decay, s + 1}, g, out->after, m, v);
    }
    free(g);
    free(m);
    free(v);
    free(mem);
}

static struct result new_result(const struct params *p) {
    return (struct result){.grad = calloc((size_t)p->elements, 4), .after = calloc((size_t)p->elements, 4)};
}
static void free_result(struct result *r) {
    free(r->grad);
    free(r->after);
}

static void against_oracle(int which, const char *isa) {
    struct model_src src;
    tiny_open(which, &src);
    const char *name = tiny_configs[which].name;
    const struct run_setup u = {.rows = 2, .seq = 21, .positions = 21, .act = DT_F32, .train = true, .threads = 2, .optim = &adamw, .isa = isa};
    struct result a = new_result(&src.params), b = new_result(&src.params);
    ours(&src, &u, &a);
    oracle(&src, &u, &b);
    for (int s = 0; s < STEPS; s++)
        CASE(fabs(a.loss[s] - b.loss[s]) < LOGITS * b.loss[s], "%s %s: loss of step %d is %.9g, ref has %.9g", name, isa, s, a.loss[s], b.loss[s]);
    CASE(fabs(a.aux - b.aux) <= LOGITS * b.aux, "%s %s: aux is %.9g, ref has %.9g", name, isa, a.aux, b.aux);
    CASE(fabs(a.norm - b.norm) < LOGITS * b.norm, "%s %s: norm is %.9g, ref has %.9g", name, isa, a.norm, b.norm);
    for (int64_t i = 0; i < src.params.count; i++) {
        const struct param *p = &src.params.list[i];
        const double ge = tiny_error(a.grad + p->offset, b.grad + p->offset, p->count),
                     we = tiny_error(a.after + p->offset, b.after + p->offset, p->count);
        CASE(ge < GRAD, "%s %s: gradient of %s is off by %.2e", name, isa, p->name, ge);
        CASE(we < WEIGHT, "%s %s: %s after %d steps is off by %.2e", name, isa, p->name, STEPS, we);
    }
    free_result(&a);
    free_result(&b);
    model_src_close(&src);
}

static void same_bits(int which, enum dtype act) {
    struct model_src src;
    tiny_open(which, &src);
    const struct run_setup base = {.rows = 2, .seq = 21, .positions = 21, .act = act, .train = true, .threads = 1, .optim = &adamw};
    struct result a = new_result(&src.params), b = new_result(&src.params);
    ours(&src, &base, &a);
    for (int threads = 1; threads <= 3; threads++)
        for (int keep = 0; keep < 2; keep++) {
            struct run_setup u = base;
            u.threads = threads;
            u.keep = keep;
            ours(&src, &u, &b);
            const size_t bytes = 4 * (size_t)src.params.elements;
            CASE(memcmp(a.grad, b.grad, bytes) == 0, "%s %s: gradients change with %d threads, keep %d", tiny_configs[which].name, dtype_name(act),
                 threads, keep);
            CASE(memcmp(a.after, b.after, bytes) == 0, "%s %s: weights change with %d threads, keep %d", tiny_configs[which].name, dtype_name(act),
                 threads, keep);
            bool same = true;
            for (int s = 0; s < STEPS; s++) same = same && a.loss[s] == b.loss[s];
            CASE(same, "%s %s: losses change with %d threads, keep %d", tiny_configs[which].name, dtype_name(act), threads, keep);
        }
    free_result(&a);
    free_result(&b);
    model_src_close(&src);
}

int main(void) {
    for (int i = 0; i < TINY_CONFIGS; i++) {
        against_oracle(i, "reference");
        against_oracle(i, "portable");
        against_oracle(i, NULL);
        same_bits(i, DT_F32);
        same_bits(i, DT_BF16);
    }
    return test_end();
}
