#include "model/family.h"

#include "base/os.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tensor's place in the flat order: by layer (embedding first, final norm and head last), in a layer by kind,
 * but experts one after the other with gate, up, down of each together. params_at searches by it, so the
 * order in which params_build appends must agree with it; tests/model says so. */
struct place {
    int layer, group, expert, kind;
};

static struct place place_of(enum param_kind kind, int layer, int expert) {
    if (kind == PARAM_FINAL_NORM || kind == PARAM_HEAD) layer = INT_MAX;
    return (struct place){layer, param_is_of_expert(kind) ? PARAM_EXPERT_GATE : (int)kind, expert, (int)kind};
}

static int place_compare(struct place a, struct place b) {
    if (a.layer != b.layer) return a.layer < b.layer ? -1 : 1;
    if (a.group != b.group) return a.group < b.group ? -1 : 1;
    if (a.expert != b.expert) return a.expert < b.expert ? -1 : 1;
    return (a.kind > b.kind) - (a.kind < b.kind);
}

static enum unit_kind unit_of(enum param_kind kind) {
    switch (kind) {
    case PARAM_EMBED: return UNIT_EMBED;
    case PARAM_FINAL_NORM: return UNIT_FINAL_NORM;
    case PARAM_HEAD: return UNIT_HEAD;
    default: return param_is_of_expert(kind) ? UNIT_EXPERTS : kind <= PARAM_O_BIAS ? UNIT_ATTENTION : UNIT_FFN;
    }
}

/* The family's name with the path components L and N replaced by layer and expert. */
static err_t write_name(char out[120], const char *pattern, int layer, int expert) {
    size_t n = 0;
    for (const char *p = pattern; *p && n < 100;) {
        bool component = (p == pattern || p[-1] == '.') && (*p == 'L' || *p == 'N') && p[1] == '.';
        if (component) n += (size_t)snprintf(out + n, 120 - n, "%d", *p == 'L' ? layer : expert);
        else out[n++] = *p;
        p++;
    }
    ENSURE(n < 100);
    out[n] = 0;
    return OK;
}

static err_t append(const struct spec *s, struct params *p, int64_t cap, enum param_kind kind, int layer, int expert) {
    int64_t shape[3];
    const int ndim = param_shape(s, kind, layer, shape);
    if (!ndim) return OK;
    ENSURE(p->count < cap && s->family->names[kind]);
    struct param *t = &p->list[p->count++];
    TRY(write_name(t->name, s->family->names[kind], layer, expert));
    t->kind = kind;
    t->unit = unit_of(kind);
    t->layer = layer;
    t->expert = expert;
    t->ndim = ndim;
    memcpy(t->shape, shape, sizeof t->shape);
    t->count = shape[0] * shape[1] * shape[2];
    t->decay = ndim > 1 || param_is_of_expert(kind); /* files stack experts' biases: (E, n) */
    t->trained = kind != PARAM_CORRECTION_BIAS;
    t->offset = p->elements;
    p->elements += t->count;
    const struct unit *last = p->unit + p->units - 1;
    if (p->units == 0 || last->kind != t->unit || last->layer != layer)
        p->unit[p->units++] = (struct unit){.kind = t->unit, .layer = layer, .offset = t->offset};
    t->unit_at = p->units - 1;
    p->unit[t->unit_at].count += t->count;
    return OK;
}

static err_t append_layer(const struct spec *s, struct params *p, int64_t cap, int l) {
    for (int kind = PARAM_ATTN_NORM; kind < PARAM_EXPERT_GATE; kind++) TRY(append(s, p, cap, (enum param_kind)kind, l, -1));
    for (int e = 0; s->is_moe[l] && e < s->experts; e++)
        for (int kind = PARAM_EXPERT_GATE; kind <= PARAM_EXPERT_DOWN_BIAS; kind++) TRY(append(s, p, cap, (enum param_kind)kind, l, e));
    for (int kind = PARAM_MLP_GATE; kind <= PARAM_MLP_DOWN; kind++) TRY(append(s, p, cap, (enum param_kind)kind, l, -1));
    return OK;
}

static int compare_names(const void *a, const void *b, void *list) {
    const struct param *l = list;
    return strcmp(l[*(const int64_t *)a].name, l[*(const int64_t *)b].name);
}

static err_t build(const struct spec *s, struct params *p, int64_t cap) {
    TRY(append(s, p, cap, PARAM_EMBED, -1, -1));
    for (int l = 0; l < s->layers; l++) TRY(append_layer(s, p, cap, l));
    TRY(append(s, p, cap, PARAM_FINAL_NORM, -1, -1));
    TRY(append(s, p, cap, PARAM_HEAD, -1, -1));
    ENSURE(p->elements == spec_params(s));
    for (int64_t i = 0; i < p->count; i++) p->by_name[i] = i;
    qsort_r(p->by_name, (size_t)p->count, sizeof *p->by_name, compare_names, p->list);
    return OK;
}

/* A unit has at least one tensor. */
static size_t table_bytes(int64_t cap) { return (size_t)cap * (sizeof(struct param) + sizeof(struct unit) + sizeof(int64_t)); }

err_t params_build(const struct spec *s, struct params *out) {
    int64_t moe = spec_moe_layers(s), per_layer = PARAM_KINDS;
    int64_t cap = PARAM_KINDS + s->layers * per_layer + moe * (PARAM_EXPERT_DOWN_BIAS - PARAM_EXPERT_GATE + 1) * s->experts;
    struct params p = {0};
    void *memory = NULL;
    /* One piece, units and the index behind the table; pages beyond the last tensor are never touched. */
    TRY(os_reserve(table_bytes(cap), "the table of tensors", &memory));
    p.list = memory;
    p.unit = (struct unit *)(p.list + cap);
    p.by_name = (int64_t *)(p.unit + cap);
    err_t err = build(s, &p, cap);
    if (err != OK) {
        os_release(memory, table_bytes(cap));
        return err_frame(err, __func__);
    }
    *out = p;
    return OK;
}

void params_free(struct params *p) {
    if (p->list) {
        os_release(p->list, table_bytes((struct param *)(void *)p->unit - p->list));
    }
    *p = (struct params){0};
}

const struct param *params_find(const struct params *p, const char *name) {
    int64_t lo = 0, hi = p->count;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        const struct param *t = &p->list[p->by_name[mid]];
        int order = strcmp(name, t->name);
        if (order == 0) return t;
        if (order < 0) hi = mid;
        else lo = mid + 1;
    }
    return NULL;
}

const struct param *params_at(const struct params *p, enum param_kind kind, int layer, int expert) {
    struct place want = place_of(kind, layer, expert);
    int64_t lo = 0, hi = p->count;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        const struct param *t = &p->list[mid];
        int order = place_compare(want, place_of(t->kind, t->layer, t->expert));
        if (order == 0) return t;
        if (order < 0) hi = mid;
        else lo = mid + 1;
    }
    return NULL;
}

int params_unit(const struct params *p, enum unit_kind kind, int layer) {
    for (int i = 0; i < p->units; i++)
        if (p->unit[i].kind == kind && p->unit[i].layer == layer) return i;
    return -1;
}
