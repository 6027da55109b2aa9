/* The table of tensors: the golden files' names and shapes both ways, the order of the flat store, initial values. */
#include "golden.h"

#include "base/fault.h"
#include "base/log.h"

#include <math.h>

/* Every tensor of tests/golden/FAMILY/model.safetensors is in the table with its shape, and nothing else is. */
static void names_and_shapes(const char *family) {
    struct spec s = golden_spec(family);
    struct params p;
    NEED(params_build(&s, &p));

    char path[OS_PATH_MAX], *file = NULL;
    int64_t bytes = 0;
    (void)snprintf(path, sizeof path, "tests/golden/%s/model.safetensors", family);
    NEED(os_read_all(path, 1 << 24, &file, &bytes));
    uint64_t header = 0;
    for (int i = 0; i < 8; i++) header |= (uint64_t)(unsigned char)file[i] << (8 * i);
    json_t *tensors = json_loadb(file + 8, (size_t)header, 0, NULL);
    (void)json_object_del(tensors, "__metadata__");

    const char *name;
    json_t *tensor;
    json_object_foreach(tensors, name, tensor) {
        const struct param *t = params_find(&p, name);
        if (!CASE(t != NULL, "%s: %s is in the table", family, name)) continue;
        json_t *shape = json_object_get(tensor, "shape");
        bool same = (int)json_array_size(shape) == t->ndim;
        for (int d = 0; same && d < t->ndim; d++) same = json_integer_value(json_array_get(shape, (size_t)d)) == t->shape[d];
        CASE(same, "%s: %s has the file's shape", family, name);
    }
    CASE((int64_t)json_object_size(tensors) == p.count, "%s: %lld tensors in the table, %zu in the file", family, (long long)p.count,
         json_object_size(tensors));
    json_decref(tensors);
    free(file);
    params_free(&p);
}

static const struct {
    const char *family, *edits;
} shapes[] = {
    {"olmoe", "{}"},
    {"qwen3_moe", "{}"},
    {"mixtral", "{}"},
    {"olmoe", "{\"attention_bias\": true, \"tie_word_embeddings\": true}"},
    {"qwen3_moe", "{\"attention_bias\": true, \"num_local_experts\": 257, \"num_hidden_layers\": 13, \"decoder_sparse_step\": 3}"},
    {"qwen3_moe", "{\"decoder_sparse_step\": 9}"},
    {"mixtral", "{\"num_key_value_heads\": 1, \"num_hidden_layers\": 1, \"num_local_experts\": 2}"},
};

/* Contiguous, in the order that params.h promises, found by name and by place. */
static void order(const char *family, const char *edits) {
    struct spec s;
    struct params p;
    NEED(edited_spec(family, edits, &s));
    NEED(params_build(&s, &p));
    int64_t at = 0, misplaced = 0, lost = 0, unsorted = 0;
    for (int64_t i = 0; i < p.count; i++) {
        const struct param *t = &p.list[i];
        misplaced += t->offset != at || t->count != t->shape[0] * t->shape[1] || (t->ndim == 1 && t->shape[1] != 1);
        at += t->count;
        lost += params_find(&p, t->name) != t || params_at(&p, t->kind, t->layer, t->expert) != t;
        unsorted += i > 0 && strcmp(p.list[p.by_name[i - 1]].name, p.list[p.by_name[i]].name) >= 0;
    }
    CASE(misplaced == 0 && at == p.elements, "%s %s: offsets are contiguous", family, edits);
    CASE(p.elements == spec_params(&s), "%s %s: the table has as many elements as spec_params says", family, edits);
    CASE(lost == 0, "%s %s: each tensor is found by name and by place", family, edits);
    CASE(unsorted == 0, "%s %s: names are sorted and differ", family, edits);

    int64_t bad_experts = 0, bad_qkv = 0, bad_units = 0;
    for (int l = 0; l < s.layers; l++) {
        const struct param *q = params_at(&p, PARAM_Q, l, -1), *k = params_at(&p, PARAM_K, l, -1), *v = params_at(&p, PARAM_V, l, -1);
        bad_qkv += !q || !k || !v || k->offset != q->offset + q->count || v->offset != k->offset + k->count;
        const struct param *qb = params_at(&p, PARAM_Q_BIAS, l, -1), *kb = params_at(&p, PARAM_K_BIAS, l, -1),
                           *vb = params_at(&p, PARAM_V_BIAS, l, -1);
        bad_qkv +=
            s.biases & BIAS_IN ? !qb || !kb || !vb || kb->offset != qb->offset + qb->count || vb->offset != kb->offset + kb->count : qb || kb || vb;
        CASE((params_at(&p, PARAM_ROUTER, l, -1) != NULL) == (s.is_moe[l] == 1) && (params_at(&p, PARAM_MLP_UP, l, -1) != NULL) == !s.is_moe[l],
             "%s %s: layer %d is what the spec says", family, edits, l);
        const struct param *first = params_at(&p, PARAM_EXPERT_GATE, l, 0);
        for (int e = 0; s.is_moe[l] && e < s.experts; e++) {
            const struct param *gate = params_at(&p, PARAM_EXPERT_GATE, l, e), *up = params_at(&p, PARAM_EXPERT_UP, l, e),
                               *down = params_at(&p, PARAM_EXPERT_DOWN, l, e);
            int64_t one = s.expert_width * s.hidden;
            bad_experts += !first || !gate || !up || !down || gate->offset != first->offset + 3 * one * e || up->offset != gate->offset + one ||
                           down->offset != up->offset + one || gate->unit != UNIT_EXPERTS;
        }
        bad_units += q && q->unit != UNIT_ATTENTION;
        bad_units += params_at(&p, PARAM_FFN_NORM, l, -1)->unit != UNIT_FFN;
    }
    CASE(bad_qkv == 0, "%s %s: q, k, v lie back to back, and so do their biases", family, edits);
    CASE(bad_experts == 0, "%s %s: an expert is one run of gate, up, down", family, edits);
    CASE(bad_units == 0 && p.list[0].unit == UNIT_EMBED, "%s %s: units", family, edits);

    /* Tensors of a unit are neighbours: a unit is gathered and released as one. */
    int64_t units = 1;
    for (int64_t i = 1; i < p.count; i++) units += p.list[i].unit != p.list[i - 1].unit || p.list[i].layer != p.list[i - 1].layer;
    CASE(units == 2 + !s.tied + 2 * s.layers + spec_moe_layers(&s), "%s %s: %lld runs of units", family, edits, (long long)units);
    CASE((params_find(&p, "lm_head.weight") == NULL) == s.tied, "%s %s: a tied head is no tensor", family, edits);
    CASE(!params_find(&p, "model.layers.99.input_layernorm.weight") && !params_find(&p, "") && !params_at(&p, PARAM_Q, s.layers, -1) &&
             !params_at(&p, PARAM_EXPERT_UP, 0, s.experts) && !params_at(&p, PARAM_Q, -1, -1),
         "%s %s: what is not there is not found", family, edits);
    params_free(&p);
    params_free(&p); /* fine on an empty table */
}

static void counts(void) {
    struct spec s = golden_spec("qwen3_moe");
    /* by hand: H 48, q 64, kv 32; attention 48*(64+2*32)+64*48 = 9216, norms 2*48+2*16; MoE 8*48+8*3*48*32; dense 3*48*80; 2*160*48+48 */
    int64_t attention = 9216 + 128, moe = 384 + 36864, dense = 11520;
    CASE(spec_params(&s) == 4 * attention + 3 * moe + dense + 15408, "parameters: %lld", (long long)spec_params(&s));
    CASE(spec_active_params(&s) == 4 * attention + 3 * (384 + 2 * 4608) + dense + 15408, "active parameters: %lld",
         (long long)spec_active_params(&s));
    s.tied = true;
    CASE(spec_params(&s) == 4 * attention + 3 * moe + dense + 15408 - 7680, "a tied head counts once");
}

static bool same_values(const float *x, const float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (x[i] != y[i]) return false;
    return true;
}

static void initial_values(void) {
    struct spec s;
    struct params p;
    NEED(edited_spec("olmoe", "{\"attention_bias\": true, \"vocab_size\": 2000, \"initializer_range\": 0.05}", &s));
    NEED(params_build(&s, &p));
    const struct param *embed = &p.list[0], *norm = params_at(&p, PARAM_FINAL_NORM, -1, -1), *bias = params_at(&p, PARAM_Q_BIAS, 1, -1);
    const struct param *gate = params_at(&p, PARAM_EXPERT_GATE, 0, 0), *up = params_at(&p, PARAM_EXPERT_UP, 0, 0);
    int64_t n = embed->count;
    float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
    if (!x || !y) exit(2);

    params_init(&s, embed, 42, 0, n, x);
    double sum = 0, square = 0;
    int64_t counted = n - s.hidden;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
        square += (double)x[i] * (double)x[i];
    }
    /* mean and variance of n draws are within 5 of their own deviations: sd/sqrt(n), sd^2*sqrt(2/n) */
    double mean = sum / (double)counted, variance = square / (double)counted, sd = 0.05;
    CASE(fabs(mean) < 5 * sd / sqrt((double)counted), "the mean of %lld normals is %g", (long long)counted, mean);
    CASE(fabs(variance - sd * sd) < 5 * sd * sd * sqrt(2.0 / (double)counted), "their variance is %g, not %g", variance, sd * sd);
    bool pad_zero = true, pad_only = false;
    for (int64_t i = 0; i < s.hidden; i++) {
        pad_zero &= x[s.pad_id * s.hidden + i] == 0;
        pad_only |= x[(s.pad_id + 1) * s.hidden + i] != 0;
    }
    CASE(pad_zero && pad_only, "the pad row is 0, the next is not");

    params_init(&s, embed, 42, 1001, 777, y);
    CASE(same_values(x + 1001, y, 777), "a part is the same as that part of the whole");
    params_init(&s, embed, 43, 0, 777, y);
    CASE(!same_values(x, y, 777), "another seed gives other values");
    params_init(&s, gate, 42, 0, gate->count, x);
    params_init(&s, up, 42, 0, up->count, y);
    CASE(!same_values(x, y, up->count), "another name gives other values");
    params_init(&s, norm, 42, 0, norm->count, x);
    params_init(&s, bias, 42, 0, bias->count, y);
    CASE(x[0] == 1 && x[norm->count - 1] == 1 && y[0] == 0 && y[bias->count - 1] == 0, "norms are 1, biases 0");
    free(x);
    free(y);
    params_free(&p);
}

static void no_memory(void) {
    struct spec s = golden_spec("mixtral");
    struct params p = {.count = -1};
    fault_arm(FAULT_RESERVE, 1);
    CASE_ERR(params_build(&s, &p), ERR_NOMEM, "table of tensors");
    fault_arm(FAULT_RESERVE, 0);
    CASE(p.count == -1, "nothing is written on error");
}

int main(void) {
    log_set_level(LOG_ERROR);
    for (int f = 0; f < GOLDEN_FAMILIES; f++) names_and_shapes(golden_families[f]);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) order(shapes[i].family, shapes[i].edits);
    counts();
    initial_values();
    no_memory();
    return test_end();
}
