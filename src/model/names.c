#include "model/names.h"

#include "base/num.h"
#include "model/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A table being filled. */
struct build {
    const struct spec *s;
    const struct params *p;
    struct names_style style;
    struct names *n;
    int64_t boxes, box_room, room;
};

static err_t no_memory(int64_t n) { return FAIL(ERR_NOMEM, "no memory for the names of %lld tensors; free some memory", (long long)n); }

/* A name as files have it: the outer prefix, and "mlp" for the family's block. */
static err_t file_name(const struct build *b, const char *name, char out[128]) {
    const struct family *f = b->s ? b->s->family : NULL;
    const char *block = b->style.block ? strstr(name, f->block) : NULL, *rest = name;
    size_t n = 0;
    if (b->style.outer && strncmp(name, "model.", 6) == 0) {
        n = (size_t)snprintf(out, 128, "%s", f->outer_prefix);
        rest += 6;
    }
    int more =
        block ? snprintf(out + n, 128 - n, "%.*smlp%s", (int)(block - rest), rest, block + strlen(f->block)) : snprintf(out + n, 128 - n, "%s", rest);
    ENSURE(n + (size_t)more < 128);
    return OK;
}

static err_t add_tensor(struct build *b, const char *name, int ndim, const int64_t shape[4]) {
    struct names *n = b->n;
    ENSURE(n->count < b->room);
    struct file_tensor *t = &n->list[n->count];
    *t = (struct file_tensor){.ndim = ndim, .count = 1, .box = b->boxes};
    TRY(file_name(b, name, t->name));
    for (int i = 0; i < 4; i++) {
        t->shape[i] = i < ndim ? shape[i] : 1;
        t->count *= t->shape[i];
    }
    n->count++;
    return OK;
}

/* A box of the tensor added last, of param `p` from `at` on. */
static err_t add_box(struct build *b, const struct param *p, int64_t at, struct name_box box) {
    struct file_tensor *t = &b->n->list[b->n->count - 1];
    ENSURE(p && b->boxes < b->box_room);
    box.param = p - b->p->list;
    box.at = at;
    box.count = box.n[0] * box.n[1] * box.n[2];
    b->n->tensor_of_box[b->boxes] = b->n->count - 1;
    b->n->box[b->boxes++] = box;
    t->boxes++;
    t->trained = p->trained;
    t->always_fp32 = !p->trained;
    return OK;
}

static struct name_box run_box(int64_t file_at, int64_t n) { return (struct name_box){.n = {1, 1, n}, .stride = {0, 0, 1}, .file_at = file_at}; }

static err_t add_plain(struct build *b, const struct param *p, const char *name) {
    const int64_t shape[4] = {p->shape[0], p->shape[1], p->shape[2], 1};
    TRY(add_tensor(b, name, p->ndim, shape));
    return add_box(b, p, 0, run_box(0, p->count));
}

/* ---- experts, stacked ---- */

static const struct param *expert(const struct build *b, enum param_kind kind, int layer, int e) { return params_at(b->p, kind, layer, e); }

static err_t stacked_name(const struct build *b, const char *what, int layer, char out[120]) {
    const char *block = b->s->family->block; /* file_name makes it "mlp" where the style says so */
    ENSURE(snprintf(out, 120, "model.layers.%d.%s.experts.%s", layer, block ? block : "mlp", what) < 120);
    return OK;
}

/* (E, 2I, H), gate first; (E, H, I). */
static err_t add_stacked(struct build *b, int layer, bool down) {
    const int64_t h = b->s->hidden, w = b->s->expert_width, each = (down ? 1 : 2) * w * h;
    const int64_t shape[4] = {b->s->experts, down ? h : 2 * w, down ? w : h, 1};
    char name[120];
    TRY(stacked_name(b, down ? "down_proj" : "gate_up_proj", layer, name));
    TRY(add_tensor(b, name, 3, shape));
    for (int e = 0; e < b->s->experts; e++) {
        if (down) TRY(add_box(b, expert(b, PARAM_EXPERT_DOWN, layer, e), 0, run_box(e * each, each)));
        else TRY(add_box(b, expert(b, PARAM_EXPERT_GATE, layer, e), 0, run_box(e * each, w * h)));
        if (!down) TRY(add_box(b, expert(b, PARAM_EXPERT_UP, layer, e), 0, run_box(e * each + w * h, w * h)));
    }
    return OK;
}

/* gpt-oss: (E, H, 2I) with gate in even columns, (E, I, H), and biases (E, 2I), (E, H). Packed, the matrices are (E, 2I, H), (E, H, I). */
static err_t add_transposed(struct build *b, int layer) {
    const int64_t h = b->s->hidden, w = b->s->expert_width;
    const bool packed = b->style.mxfp4;
    static const struct {
        const char *name;
        enum param_kind kind[2];
        bool matrix, down;
    } t[4] = {{"gate_up_proj", {PARAM_EXPERT_GATE, PARAM_EXPERT_UP}, true, false},
              {"down_proj", {PARAM_EXPERT_DOWN, PARAM_EXPERT_DOWN}, true, true},
              {"gate_up_proj_bias", {PARAM_EXPERT_GATE_BIAS, PARAM_EXPERT_UP_BIAS}, false, false},
              {"down_proj_bias", {PARAM_EXPERT_DOWN_BIAS, PARAM_EXPERT_DOWN_BIAS}, false, true}};
    for (int i = 0; i < 4; i++) {
        const int parts = t[i].down ? 1 : 2;
        const int64_t out = t[i].down ? h : w, in = !t[i].matrix ? 1 : t[i].down ? w : h, wide = parts * out;
        const int64_t plain[4] = {b->s->experts, in, wide, 1}, turned[4] = {b->s->experts, wide, in, 1}, bias[4] = {b->s->experts, wide, 1, 1};
        char name[120];
        TRY(stacked_name(b, t[i].name, layer, name));
        TRY(add_tensor(b, name, t[i].matrix ? 3 : 2, !t[i].matrix ? bias : packed ? turned : plain));
        b->n->list[b->n->count - 1].packed = packed && t[i].matrix;
        for (int e = 0; e < b->s->experts; e++)
            for (int k = 0; k < parts; k++) {
                const int64_t row = packed ? in : 1, from = e * in * wide + k * row;
                const struct name_box box = {.n = {1, out, in}, .stride = {0, parts * row, packed ? 1 : wide}, .file_at = from};
                TRY(add_box(b, expert(b, t[i].kind[k], layer, e), 0, box));
            }
    }
    return OK;
}

/* ---- attention, interleaved by heads ---- */

/* A file tensor of `heads` groups of rows, each group cut into the parts of several params in turn. */
struct part {
    enum param_kind kind;
    int64_t at, rows; /* rows of the param: the first, and how many in each group */
};

static err_t add_by_heads(struct build *b, const char *name, int layer, int64_t heads, const struct part *part, int parts, int64_t columns,
                          int ndim) {
    int64_t group = 0, from = 0;
    for (int i = 0; i < parts; i++) group += part[i].rows;
    const int64_t shape[4] = {heads * group, columns, 1, 1};
    TRY(add_tensor(b, name, ndim, shape));
    for (int i = 0; i < parts; i++) {
        const struct name_box box = {.n = {1, heads, part[i].rows * columns}, .stride = {0, group * columns, 1}, .file_at = from * columns};
        TRY(add_box(b, params_at(b->p, part[i].kind, layer, -1), part[i].at * columns, box));
        from += part[i].rows;
    }
    return OK;
}

static err_t add_gated_q(struct build *b, const struct param *q) {
    const bool bias = q->kind == PARAM_Q_BIAS;
    const struct part part[2] = {{q->kind, 0, b->s->head_dim}, {bias ? PARAM_Q_GATE_BIAS : PARAM_Q_GATE, 0, b->s->head_dim}};
    return add_by_heads(b, q->name, q->layer, b->s->heads, part, 2, bias ? 1 : b->s->hidden, bias ? 1 : 2);
}

/* Qwen3-Next: by key head q, k, its v and z; and its b and a. */
static err_t add_delta(struct build *b, int layer) {
    const struct delta_spec *d = &b->s->delta;
    const int64_t r = d->v_heads / d->k_heads, k = (int64_t)d->k_heads * d->k_dim;
    const struct part qkvz[4] = {
        {PARAM_DELTA_QKV, 0, d->k_dim}, {PARAM_DELTA_QKV, k, d->k_dim}, {PARAM_DELTA_QKV, 2 * k, r * d->v_dim}, {PARAM_DELTA_Z, 0, r * d->v_dim}};
    const struct part ba[2] = {{PARAM_DELTA_B, 0, r}, {PARAM_DELTA_A, 0, r}};
    char name[120];
    (void)snprintf(name, sizeof name, "model.layers.%d.linear_attn.in_proj_qkvz.weight", layer);
    TRY(add_by_heads(b, name, layer, d->k_heads, qkvz, 4, b->s->hidden, 2));
    (void)snprintf(name, sizeof name, "model.layers.%d.linear_attn.in_proj_ba.weight", layer);
    return add_by_heads(b, name, layer, d->k_heads, ba, 2, b->s->hidden, 2);
}

/* ---- the table ---- */

/* The file tensors that begin with this param; none where an earlier one has it already. */
static err_t add_param(struct build *b, const struct param *p) {
    const struct family *f = b->s->family;
    const bool transposed = f->expert_files == EXPERTS_TRANSPOSED;
    switch (p->kind) {
    case PARAM_EXPERT_GATE:
    case PARAM_EXPERT_UP:
        if (transposed) return p->kind == PARAM_EXPERT_GATE && p->expert == 0 ? add_transposed(b, p->layer) : OK;
        if (b->style.stacked_in) return p->kind == PARAM_EXPERT_GATE && p->expert == 0 ? add_stacked(b, p->layer, false) : OK;
        break;
    case PARAM_EXPERT_DOWN:
        if (transposed) return OK;
        if (b->style.stacked_out) return p->expert == 0 ? add_stacked(b, p->layer, true) : OK;
        break;
    case PARAM_EXPERT_GATE_BIAS:
    case PARAM_EXPERT_UP_BIAS:
    case PARAM_EXPERT_DOWN_BIAS:
        if (transposed) return OK;
        break;
    case PARAM_Q:
    case PARAM_Q_BIAS:
        if (b->s->layer[p->layer].attention == ATTENTION_GATED_GQA) return add_gated_q(b, p);
        break;
    case PARAM_Q_GATE:
    case PARAM_Q_GATE_BIAS: return OK;
    case PARAM_DELTA_QKV:
        if (f->delta_by_key_head) return add_delta(b, p->layer);
        break;
    case PARAM_DELTA_Z:
    case PARAM_DELTA_B:
    case PARAM_DELTA_A:
        if (f->delta_by_key_head) return OK;
        break;
    default: break;
    }
    return add_plain(b, p, p->name);
}

static int compare_names(const void *a, const void *b, void *list) {
    const struct file_tensor *l = list;
    return strcmp(l[*(const int64_t *)a].name, l[*(const int64_t *)b].name);
}

static err_t finish(struct build *b) {
    struct names *n = b->n;
    for (int64_t i = 0; i < n->count; i++) n->by_name[i] = i;
    qsort_r(n->by_name, (size_t)n->count, sizeof *n->by_name, compare_names, n->list);
    /* boxes by param: counted, then placed, in the order of their tensors */
    for (int64_t i = 0; i < b->boxes; i++) n->first_of_param[n->box[i].param + 1]++;
    for (int64_t p = 0; p < b->p->count; p++) n->first_of_param[p + 1] += n->first_of_param[p];
    for (int64_t i = b->boxes - 1; i >= 0; i--) n->of_param[--n->first_of_param[n->box[i].param + 1]] = i;
    for (int64_t p = 0; p < b->p->count; p++) n->first_of_param[p] = n->first_of_param[p + 1];
    n->first_of_param[b->p->count] = b->boxes;
    for (int64_t p = 0, most = b->p->count; p < most; p++) ENSURE(n->first_of_param[p] < n->first_of_param[p + 1]);
    return OK;
}

static err_t begin(struct build *b) {
    struct names *n = b->n;
    b->room = b->p->count + 1;
    b->box_room = 4 * b->p->count + 1;
    n->params = *b->p;
    n->style = b->style;
    n->list = calloc((size_t)b->room, sizeof *n->list);
    n->box = calloc((size_t)b->box_room, sizeof *n->box);
    n->by_name = calloc((size_t)b->room, sizeof *n->by_name);
    n->tensor_of_box = calloc((size_t)b->box_room, sizeof *n->tensor_of_box);
    n->of_param = calloc((size_t)b->box_room, sizeof *n->of_param);
    n->first_of_param = calloc((size_t)b->p->count + 2, sizeof *n->first_of_param);
    return n->list && n->box && n->by_name && n->tensor_of_box && n->of_param && n->first_of_param ? OK : no_memory(b->p->count);
}

err_t names_build(const struct spec *s, const struct params *p, const struct names_style *style, struct names *out) {
    struct names n = {0};
    struct build b = {.s = s, .p = p, .style = *style, .n = &n};
    err_t err = begin(&b);
    for (int64_t i = 0; i < p->count && err == OK; i++) err = add_param(&b, &p->list[i]);
    if (err == OK && style->head) err = add_plain(&b, params_at(p, PARAM_EMBED, -1, -1), s->family->names[PARAM_HEAD]);
    if (err == OK) err = finish(&b);
    if (err == OK) *out = n;
    else names_free(&n);
    return err;
}

err_t names_plain(const struct params *p, const char *head, struct names *out) {
    struct names n = {0};
    struct build b = {.p = p, .style = {.head = head != NULL}, .n = &n};
    err_t err = begin(&b);
    for (int64_t i = 0; i < p->count && err == OK; i++) err = add_plain(&b, &p->list[i], p->list[i].name);
    if (err == OK && head) err = add_plain(&b, params_at(p, PARAM_EMBED, -1, -1), head);
    if (err == OK) err = finish(&b);
    if (err == OK) *out = n;
    else names_free(&n);
    return err;
}

void names_free(struct names *n) {
    free(n->list);
    free(n->box);
    free(n->by_name);
    free(n->tensor_of_box);
    free(n->of_param);
    free(n->first_of_param);
    *n = (struct names){0};
}

struct names_style names_style_find(const struct spec *s, bool (*has)(void *ctx, const char *name), void *ctx) {
    struct names_style y = {0};
    const struct family *f = s->family;
    char name[256];
    int layer = 0;
    (void)snprintf(name, sizeof name, "%sembed_tokens.weight", f->outer_prefix ? f->outer_prefix : "?");
    y.outer = has(ctx, name);
    y.head = s->tied && has(ctx, f->names[PARAM_HEAD]);
    while (layer < s->layers - 1 && !s->is_moe[layer]) layer++;
    const char *prefix = y.outer ? f->outer_prefix : "model.";
    (void)snprintf(name, sizeof name, "%slayers.%d.mlp.gate.weight", prefix, layer);
    y.block = f->block && has(ctx, name);
    const char *block = f->block && !y.block ? f->block : "mlp";
    (void)snprintf(name, sizeof name, "%slayers.%d.%s.experts.gate_up_proj", prefix, layer, block);
    y.stacked_in = has(ctx, name);
    (void)snprintf(name, sizeof name, "%slayers.%d.%s.experts.down_proj", prefix, layer, block);
    y.stacked_out = has(ctx, name);
    (void)snprintf(name, sizeof name, "%slayers.%d.%s.experts.gate_up_proj_blocks", prefix, layer, block);
    y.mxfp4 = f->expert_files == EXPERTS_TRANSPOSED && has(ctx, name);
    return y;
}

const struct file_tensor *names_find(const struct names *n, const char *name) {
    int64_t lo = 0, hi = n->count;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        const struct file_tensor *t = &n->list[n->by_name[mid]];
        const int order = strcmp(name, t->name);
        if (order == 0) return t;
        if (order < 0) hi = mid;
        else lo = mid + 1;
    }
    return NULL;
}

const struct file_tensor *names_of_param(const struct names *n, const struct param *p) {
    return &n->list[n->tensor_of_box[n->of_param[n->first_of_param[p - n->params.list]]]];
}

struct name_run names_run(const struct name_box *b, int64_t from) {
    return (struct name_run){.at = i64_max(from, b->at), .stride = b->stride[2]};
}

bool names_next(const struct name_box *b, int64_t to, struct name_run *r) {
    r->at += r->m;
    const int64_t at = r->at - b->at, end = i64_min(to - b->at, b->count), row = b->n[2];
    if (at >= end) return false;
    const int64_t k = at % row, j = at / row % b->n[1], i = at / row / b->n[1];
    r->m = i64_min(row - k, end - at);
    r->file_at = b->file_at + i * b->stride[0] + j * b->stride[1] + k * b->stride[2];
    return true;
}

void names_gather(const struct names *n, const struct file_tensor *t, const float *flat, float *out) {
    for (const struct name_box *b = n->box + t->box; b < n->box + t->box + t->boxes; b++) {
        const float *x = flat + n->params.list[b->param].offset;
        for (struct name_run r = names_run(b, 0); names_next(b, INT64_MAX, &r);)
            for (int64_t i = 0; i < r.m; i++) out[r.file_at + i * r.stride] = x[r.at + i];
    }
}

void names_scatter(const struct names *n, const struct file_tensor *t, const float *values, float *flat) {
    for (const struct name_box *b = n->box + t->box; b < n->box + t->box + t->boxes; b++) {
        float *x = flat + n->params.list[b->param].offset;
        for (struct name_run r = names_run(b, 0); names_next(b, INT64_MAX, &r);)
            for (int64_t i = 0; i < r.m; i++) x[r.at + i] = values[r.file_at + i * r.stride];
    }
}
