/* Tiny models and batches for the tests of the corridor: configs that differ where families differ, weights off their trivial
 * start, batches with several documents a row and padding. */
#ifndef MOP_TESTS_EQUIV_TINY_H
#define MOP_TESTS_EQUIV_TINY_H

#include "base/rng.h"
#include "model/family.h"
#include "test.h"

#include "train/train.h"
#include <math.h>

static const struct {
    const char *name, *json;
} tiny_configs[] = {
    {"olmoe",
     "{\"model_type\":\"olmoe\",\"vocab_size\":61,\"hidden_size\":24,\"intermediate_size\":20,\"num_hidden_layers\":2,\"num_attention_heads\":3,"
     "\"num_key_value_heads\":3,\"num_experts\":5,\"num_experts_per_tok\":3,\"norm_topk_prob\":false,\"clip_qkv\":0.9,\"pad_token_id\":1,"
     "\"max_position_embeddings\":64,\"rope_theta\":10000.0,\"router_aux_loss_coef\":0.01}"},
    {"qwen3",
     "{\"model_type\":\"qwen3_moe\",\"vocab_size\":67,\"hidden_size\":32,\"intermediate_size\":36,\"moe_intermediate_size\":24,\"num_hidden_layers\":"
     "3,"
     "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":10,\"num_experts\":6,\"num_experts_per_tok\":2,\"norm_topk_prob\":true,"
     "\"mlp_only_layers\":[1],\"attention_bias\":true,\"tie_word_embeddings\":true,\"max_position_embeddings\":64,\"rope_theta\":10000.0,"
     "\"router_aux_loss_coef\":0.02}"},
    {"mixtral",
     "{\"model_type\":\"mixtral\",\"vocab_size\":53,\"hidden_size\":40,\"intermediate_size\":28,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
     "\"num_key_value_heads\":1,\"head_dim\":8,\"num_local_experts\":4,\"num_experts_per_tok\":2,\"sliding_window\":null,"
     "\"max_position_embeddings\":64,\"rope_theta\":1000000.0,\"router_aux_loss_coef\":0.02}"},
    {"one expert",
     "{\"model_type\":\"qwen3_moe\",\"vocab_size\":31,\"hidden_size\":16,\"intermediate_size\":16,\"moe_intermediate_size\":8,\"num_hidden_layers\":"
     "1,"
     "\"num_attention_heads\":2,\"num_key_value_heads\":2,\"head_dim\":8,\"num_experts\":1,\"num_experts_per_tok\":1,\"norm_topk_prob\":true,"
     "\"max_position_embeddings\":64,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0},\"rope_theta\":10000.0,\"router_aux_loss_coef\":0.0}"},
};
/* Not among them: without experts. */
static const char *const tiny_dense =
    "{\"model_type\":\"qwen3_moe\",\"vocab_size\":43,\"hidden_size\":32,\"intermediate_size\":36,\"moe_intermediate_size\":24,\"num_hidden_layers\":"
    "2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":10,\"num_experts\":6,\"num_experts_per_tok\":2,\"norm_topk_prob\":true,"
    "\"mlp_only_layers\":[0,1],\"max_position_embeddings\":64,\"rope_theta\":10000.0,\"router_aux_loss_coef\":0.0}";
enum { TINY_CONFIGS = sizeof tiny_configs / sizeof tiny_configs[0] };

static inline void tiny_open(int which, struct model_src *m) {
    *m = (struct model_src){.seed = 7};
    NEED(spec_from_json(tiny_configs[which].name, tiny_configs[which].json, (int64_t)strlen(tiny_configs[which].json), &m->spec));
    NEED(params_build(&m->spec, &m->params));
}

/* Weights off their trivial start: a norm or a bias that is forgotten shows. */
static inline void tiny_weights(const struct params *p, float *w) {
    for (int64_t i = 0; i < p->count; i++) {
        const struct param *t = &p->list[i];
        const bool norm = strstr(t->name, "norm") != NULL;
        const double scale = t->ndim == 1 ? 0.3 : t->kind == PARAM_ROUTER ? 0.5 : 0.15;
        for (int64_t e = 0; e < t->count; e++)
            w[t->offset + e] = (float)((norm ? 1.0 : 0.0) + scale * rng_normal(3, rng_stream(t->name), (uint64_t)e));
    }
}

/* Every token to experts 0 to k - 1: channel 0 of what reaches a router is positive, because the embedding's is large, and routers go by it. */
static inline void tiny_skew(const struct model_src *m, float *w) {
    const int64_t width = m->spec.hidden;
    for (int64_t i = 0; i < m->params.count; i++) {
        const struct param *t = &m->params.list[i];
        for (int64_t row = 0; t->kind == PARAM_EMBED && row < m->spec.vocab; row++) w[t->offset + row * width] = 4;
        for (int64_t e = 0; t->kind == PARAM_ROUTER && e < m->spec.experts; e++) w[t->offset + e * width] = e < m->spec.top_k ? 2 : -2;
    }
}

/* Rows with documents of uneven lengths; the last row ends in padding. */
static inline void tiny_batch(const struct run_setup *u, int64_t vocab, uint64_t seed, const struct batch *b) {
    for (int64_t r = 0; r < u->rows; r++)
        for (int64_t i = 0, start = 0; i < u->seq; i++) {
            const int64_t at = r * u->seq + i;
            if (i > start && rng_below(seed, 1, (uint64_t)at, 5) == 0) start = i;
            const bool pad = r == u->rows - 1 && i >= u->seq - 3;
            b->ids[at] = pad ? 0 : (int32_t)rng_below(seed, 2, (uint64_t)at, vocab);
            b->positions[at] = pad ? 0 : (int32_t)(i - start);
            b->doc_start[at] = pad ? -1 : (int32_t)start;
            b->targets[at] = pad || rng_below(seed, 3, (uint64_t)at, 4) == 0 ? DATA_NO_TARGET : (int32_t)rng_below(seed, 4, (uint64_t)at, vocab);
        }
}

static inline int64_t tiny_targets(const struct batch *b, int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += b->targets[i] >= 0;
    return count;
}

static inline double tiny_error(const float *a, const float *b, int64_t n) {
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        diff += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return norm < 1e-24 ? diff : __builtin_sqrt(diff / norm);
}

#endif
