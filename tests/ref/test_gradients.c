/* The oracle's gradients against central differences in double, tensor by tensor, over the options of the families; then
 * facts that need no other program: documents, padding, micro-batches, ties, clipping, AdamW's first step, bad batches.
 *
 * The tolerance is not tuned. Along a direction d, with D(h) the central difference, D(h) = <g, d> + a*h^2 + b*h^4 ...; the
 * extrapolated (4*D(h) - D(2h))/3 removes a, and is off by less than the correction |D(h) - D(2h)| it made. To that comes the
 * rounding of the loss, taken as 1000 ulp of it, over h. A case also says that this tolerance is small beside <g, d>'s size,
 * |g|*|d|/sqrt(n), so that a wrong gradient cannot hide in it. Routes are held fixed: the choice has no gradient. */
#include "test.h"

#define REF_REAL double
#include "base/rng.h"
#include "ref/ref.c" // NOLINT(bugprone-suspicious-include): the oracle is no part of the library

#include <float.h>

enum { SEQ = 10, ROWS = 3, N = ROWS * SEQ, VOCAB = 23, PAD = 4, DIRECTIONS = 2 };
static const double STEP = 1e-5, AUX_SCALE = 0.7;

/* The families' smallest configs; what follows %s is the variant's own. */
#define OLMOE                                                                                                                          \
    "{\"architectures\":[\"OlmoeForCausalLM\"],\"model_type\":\"olmoe\",\"vocab_size\":23,\"hidden_size\":12,\"intermediate_size\":7," \
    "\"num_hidden_layers\":2,\"num_attention_heads\":3,\"num_experts\":5,\"max_position_embeddings\":64,"                              \
    "\"eos_token_id\":2,\"hidden_act\":\"silu\",\"router_aux_loss_coef\":0.01,"
#define QWEN3                                                                                                                  \
    "{\"architectures\":[\"Qwen3MoeForCausalLM\"],\"model_type\":\"qwen3_moe\",\"vocab_size\":23,\"hidden_size\":12,"          \
    "\"intermediate_size\":11,\"moe_intermediate_size\":7,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":6," \
    "\"num_experts\":5,\"max_position_embeddings\":64,\"hidden_act\":\"silu\","
#define MIXTRAL                                                                                                                    \
    "{\"architectures\":[\"MixtralForCausalLM\"],\"model_type\":\"mixtral\",\"vocab_size\":23,\"hidden_size\":12,"                 \
    "\"intermediate_size\":7,\"num_hidden_layers\":2,\"num_attention_heads\":6,\"num_key_value_heads\":2,\"num_local_experts\":5," \
    "\"max_position_embeddings\":64,\"hidden_act\":\"silu\","
#define YARN(more) \
    "\"rope_parameters\":{\"rope_type\":\"yarn\",\"rope_theta\":10000.0,\"factor\":4.0,\"original_max_position_embeddings\":16" more "}"

#define GPT_OSS                                                                                                                           \
    "{\"architectures\":[\"GptOssForCausalLM\"],\"model_type\":\"gpt_oss\",\"vocab_size\":23,\"hidden_size\":12,\"intermediate_size\":7," \
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":6,\"num_local_experts\":5,"                 \
    "\"num_experts_per_tok\":2,\"sliding_window\":3,\"max_position_embeddings\":64,"
#define DEEPSEEK(rank)                                                                                                                    \
    "{\"architectures\":[\"DeepseekV3ForCausalLM\"],\"model_type\":\"deepseek_v3\",\"vocab_size\":23,\"hidden_size\":12,"                 \
    "\"intermediate_size\":11,\"moe_intermediate_size\":7,\"num_hidden_layers\":2,\"first_k_dense_replace\":1,\"num_attention_heads\":3," \
    "\"num_key_value_heads\":3,\"n_routed_experts\":6,\"n_shared_experts\":2,\"num_experts_per_tok\":2,\"kv_lora_rank\":5,"               \
    "\"qk_nope_head_dim\":3,\"qk_rope_head_dim\":4,\"v_head_dim\":5,\"max_position_embeddings\":64,\"q_lora_rank\":" rank ","
#define GLM                                                                                                                             \
    "{\"architectures\":[\"Glm4MoeForCausalLM\"],\"model_type\":\"glm4_moe\",\"vocab_size\":23,\"hidden_size\":12,"                     \
    "\"intermediate_size\":11,\"moe_intermediate_size\":7,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2," \
    "\"head_dim\":8,\"n_routed_experts\":5,\"num_experts_per_tok\":2,\"max_position_embeddings\":64,"
#define MINIMAX                                                                                                           \
    "{\"architectures\":[\"MiniMaxM2ForCausalLM\"],\"model_type\":\"minimax_m2\",\"vocab_size\":23,\"hidden_size\":12,"   \
    "\"intermediate_size\":7,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":6," \
    "\"num_local_experts\":5,\"num_experts_per_tok\":2,\"max_position_embeddings\":64,"
#define NEXT                                                                                                              \
    "{\"architectures\":[\"Qwen3NextForCausalLM\"],\"model_type\":\"qwen3_next\",\"vocab_size\":23,\"hidden_size\":12,"   \
    "\"intermediate_size\":11,\"moe_intermediate_size\":7,\"shared_expert_intermediate_size\":5,\"num_hidden_layers\":3," \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":8,\"num_experts\":5,\"num_experts_per_tok\":2,"     \
    "\"linear_num_key_heads\":2,\"linear_num_value_heads\":4,\"linear_key_head_dim\":3,\"linear_value_head_dim\":5,"      \
    "\"linear_conv_kernel_dim\":3,\"max_position_embeddings\":64,\"layer_types\":[\"linear_attention\",\"full_attention\",\"linear_attention\"],"
#define QWEN2                                                                                                             \
    "{\"architectures\":[\"Qwen2MoeForCausalLM\"],\"model_type\":\"qwen2_moe\",\"vocab_size\":23,\"hidden_size\":12,"     \
    "\"intermediate_size\":11,\"moe_intermediate_size\":7,\"shared_expert_intermediate_size\":5,\"num_hidden_layers\":2," \
    "\"num_attention_heads\":3,\"num_key_value_heads\":1,\"num_experts\":5,\"num_experts_per_tok\":2,\"max_position_embeddings\":64,"

static const struct variant {
    const char *name, *config;
} VARIANTS[] = {
    {"olmoe",
     OLMOE "\"num_experts_per_tok\":2,\"num_key_value_heads\":3,\"pad_token_id\":null,\"tie_word_embeddings\":false,\"norm_topk_prob\":false}"},
    {"olmoe, groups of heads, biases, clip_qkv, tied, pad, renormalised",
     "{\"architectures\":[\"OlmoeForCausalLM\"],\"model_type\":\"olmoe\",\"vocab_size\":23,\"hidden_size\":16,\"intermediate_size\":7,"
     "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"num_experts\":5,\"num_experts_per_tok\":3,"
     "\"max_position_embeddings\":64,\"hidden_act\":\"silu\",\"attention_bias\":true,\"clip_qkv\":1.1,\"tie_word_embeddings\":true,"
     "\"pad_token_id\":4,\"eos_token_id\":2,\"norm_topk_prob\":true}"},
    {"olmoe, linear RoPE, every expert taken", OLMOE "\"num_key_value_heads\":1,\"num_experts_per_tok\":5,\"pad_token_id\":4,\"rope_parameters\":"
                                                     "{\"rope_type\":\"linear\",\"rope_theta\":10000.0,\"factor\":2.5}}"},
    {"qwen3_moe, a dense layer, renormalised",
     QWEN3 "\"num_experts_per_tok\":2,\"num_hidden_layers\":3,\"mlp_only_layers\":[1],\"norm_topk_prob\":true,\"tie_word_embeddings\":false}"},
    {"qwen3_moe, every second layer, biases, tied, yarn, not renormalised",
     QWEN3 "\"num_experts_per_tok\":2,\"num_hidden_layers\":3,\"decoder_sparse_step\":2,\"attention_bias\":true,\"tie_word_embeddings\":true,\"norm_"
           "topk_prob\":false," YARN("") "}"},
    {"qwen3_moe, one expert a token, not renormalised", QWEN3 "\"num_hidden_layers\":2,\"num_experts_per_tok\":1,\"norm_topk_prob\":false}"},
    {"qwen3_moe, no experts at all", QWEN3 "\"num_experts_per_tok\":2,\"num_hidden_layers\":2,\"mlp_only_layers\":[0,1],\"attention_bias\":true}"},
    {"mixtral", MIXTRAL "\"num_experts_per_tok\":2,\"rope_theta\":1000000.0,\"tie_word_embeddings\":false}"},
    {"mixtral, own head_dim, tied, pad, yarn",
     MIXTRAL "\"num_experts_per_tok\":3,\"head_dim\":4,\"tie_word_embeddings\":true,\"pad_token_id\":4," YARN(
         ",\"beta_fast\":8.0,\"beta_slow\":2.0,\"truncate\":false") "}"},
    {"mixtral, a window", MIXTRAL "\"num_experts_per_tok\":2,\"head_dim\":4,\"sliding_window\":4}"},
    {"gpt_oss, windows, sinks, biases, clamped experts", GPT_OSS "\"swiglu_limit\":0.9," YARN(",\"truncate\":false") "}"},
    {"deepseek_v3, groups, biases, yarn with mscale",
     DEEPSEEK("4") "\"n_group\":3,\"topk_group\":2,\"attention_bias\":true," YARN(",\"mscale\":0.7,\"mscale_all_dim\":1.1") "}"},
    {"deepseek_v3 without q_lora_rank, one group, halves, not renormalised",
     DEEPSEEK("null") "\"n_group\":1,\"topk_group\":1,\"rope_interleave\":false,\"norm_topk_prob\":false}"},
    {"glm4_moe, norms and biases, half of a head turns", GLM "\"use_qk_norm\":true,\"attention_bias\":true,\"first_k_dense_replace\":1}"},
    {"minimax_m2", MINIMAX "\"rotary_dim\":4}"},
    {"qwen3_next, a dense layer, biases",
     NEXT "\"mlp_only_layers\":[1],\"attention_bias\":true,\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":10000.0,"
          "\"partial_rotary_factor\":0.5}}"},
    {"qwen2_moe, windows in even layers, pad", QWEN2 "\"use_sliding_window\":true,\"sliding_window\":3,\"pad_token_id\":4}"},
};

struct world {
    struct spec s;
    struct params p;
    real *w, *g;
    int32_t ids[N], targets[N], positions[N], doc_start[N];
    struct ref_batch b;
    int64_t targets_n;
};

/* Row 0: documents of 4 and 6 tokens. Row 1: one of 7, three of padding. Row 2: documents that run on (no border), one with
 * masked targets. Token PAD also occurs as an ordinary one. */
static void world_batch(struct world *x) {
    for (int t = 0; t < N; t++) {
        int row = t / SEQ, i = t % SEQ, start = row == 0 && i >= 4 ? 4 : 0;
        bool pad = row == 1 && i >= 7, last = i == SEQ - 1 || (row == 0 && i == 3) || (row == 1 && i == 6);
        x->ids[t] = (int32_t)rng_below(5, 1, (uint64_t)t, VOCAB);
        if (t % 9 == 2 || pad) x->ids[t] = PAD;
        x->positions[t] = i - start;
        x->doc_start[t] = pad ? -1 : start;
        x->targets[t] = pad || last || (row == 2 && i < 4) ? REF_NO_TARGET : (int32_t)rng_below(5, 2, (uint64_t)t, VOCAB);
        x->targets_n += x->targets[t] != REF_NO_TARGET;
    }
    x->b = (struct ref_batch){.rows = ROWS, .seq = SEQ, .ids = x->ids, .targets = x->targets, .positions = x->positions, .doc_start = x->doc_start};
}

static real *reals(int64_t n) {
    real *a = calloc((size_t)n + 1, sizeof *a);
    if (!a) exit(2);
    return a;
}

static int32_t *ints(int64_t n) {
    int32_t *a = calloc((size_t)n + 1, sizeof *a);
    if (!a) exit(2);
    return a;
}

static bool same(const real *a, const real *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (a[i] != b[i]) return false;
    return true;
}

/* Weights far enough from their trivial start that a term left out shows. */
static void world_new(const char *config, struct world *x) {
    *x = (struct world){0};
    NEED(spec_from_json("config.json", config, (int64_t)strlen(config), &x->s));
    NEED(params_build(&x->s, &x->p));
    x->w = reals(x->p.elements);
    x->g = reals(x->p.elements);
    for (int64_t i = 0; i < x->p.count; i++) {
        const struct param *t = &x->p.list[i];
        bool is_norm = strstr(t->name, "norm") != NULL;
        for (int64_t j = 0; j < t->count; j++) x->w[t->offset + j] = (is_norm ? 1 : 0) + 0.3 * rng_normal(7, rng_stream(t->name), (uint64_t)j);
    }
    world_batch(x);
}

static void world_free(struct world *x) {
    free(x->w);
    free(x->g);
    params_free(&x->p);
}

static double total(const struct world *x, const real *w) {
    struct ref_out out = {0};
    NEED(ref_forward(&x->s, &x->p, w, &x->b, &out));
    return out.loss_sum / (double)x->targets_n + AUX_SCALE * out.aux;
}

/* The difference along d*h, in a copy of the weights. */
static double along(const struct world *x, const struct param *t, const real *d, double h, real *w) {
    double value[2];
    for (int side = 0; side < 2; side++) {
        memcpy(w, x->w, (size_t)x->p.elements * sizeof *w);
        for (int64_t j = 0; j < t->count; j++) w[t->offset + j] += (side ? -h : h) * d[j];
        value[side] = total(x, w);
    }
    return (value[0] - value[1]) / (2 * h);
}

static void check_tensor(const struct world *x, const char *name, const struct param *t, double loss, real *d, real *w) {
    const real *g = x->g + t->offset;
    double size = sqrt(dot(g, g, t->count)); /* |d| is about sqrt(n), so <g, d> is about |g| */
    for (int k = 0; k < DIRECTIONS; k++) {
        for (int64_t j = 0; j < t->count; j++) d[j] = rng_normal(11 + (uint64_t)k, rng_stream(t->name), (uint64_t)j);
        if (t->kind == PARAM_EMBED && x->s.pad_id >= 0) /* that row's look-ups are left out on purpose: see check_pad_row */
            for (int64_t j = 0; j < t->shape[1]; j++) d[x->s.pad_id * t->shape[1] + j] = 0;
        double got = dot(g, d, t->count), once = along(x, t, d, STEP, w), twice = along(x, t, d, 2 * STEP, w);
        double tolerance = fabs(once - twice) + 1000 * DBL_EPSILON * loss / STEP;
        CASE(fabs(got - (4 * once - twice) / 3) <= tolerance, "%s: %s: <g, d> = %.12g, differences %.12g, tolerance %.2g", name, t->name, got,
             (4 * once - twice) / 3, tolerance);
        CASE(tolerance <= 1e-3 * size || size < 1e-6, "%s: %s: tolerance %.2g hides a gradient of size %.2g", name, t->name, tolerance, size);
    }
}

/* Without pad_id, only that row of the embedding gains, and it does gain: the token occurs and its look-ups matter. */
static void check_pad_row(struct world *x, const char *name) {
    const struct param *t = params_at(&x->p, PARAM_EMBED, -1, -1);
    struct ref_out out = {0};
    real *g = reals(x->p.elements);
    int64_t pad = x->s.pad_id, H = t->shape[1];
    x->s.pad_id = -1;
    NEED(ref_forward_backward(&x->s, &x->p, x->w, &x->b, 1 / (double)x->targets_n, AUX_SCALE, g, &out));
    x->s.pad_id = pad;
    double gained = 0, head = 0;
    for (int64_t j = 0; j < H; j++) {
        gained += fabs(g[t->offset + pad * H + j] - x->g[t->offset + pad * H + j]);
        head += fabs(x->g[t->offset + pad * H + j]);
        g[t->offset + pad * H + j] = x->g[t->offset + pad * H + j];
    }
    CASE(gained > 1e-6, "%s: the pad token's look-ups have a gradient to leave out", name);
    CASE(same(g, x->g, x->p.elements), "%s: pad_id changes nothing but its own row", name);
    CASE(x->s.tied ? head > 0 : head == 0, "%s: the pad row keeps only a tied head's gradient", name);
    free(g);
}

/* How near the closest of `n` values lies to a limit, where the loss has a kink; and how many are beyond it. */
static double near_limit(const real *x, int64_t n, double limit, double nearest, int64_t *clamped) {
    for (int64_t i = 0; i < n; i++) {
        nearest = fmin(nearest, fabs(fabs(x[i]) - limit));
        *clamped += fabs(x[i]) > limit;
    }
    return nearest;
}

static double kink_distance(const struct world *x, int64_t *clamped) {
    const struct spec *s = &x->s;
    struct run r = {.s = s, .p = &x->p, .w = x->w, .b = &x->b, .n = N};
    struct ref_out out = {0};
    NEED(journey(&r, 0, 0, &out));
    double nearest = 1;
    *clamped = 0;
    const int64_t kv = (int64_t)N * s->kv_heads * s->head_dim, q = (int64_t)N * s->heads * s->head_dim;
    for (int layer = 0; layer < s->layers; layer++) {
        const struct attention *a = &r.att[layer];
        const struct ffn *f = &r.ffn[layer];
        if (s->clip_qkv > 0) {
            nearest = near_limit(a->qn, q, s->clip_qkv, nearest, clamped);
            nearest = near_limit(a->kn, kv, s->clip_qkv, nearest, clamped);
            nearest = near_limit(a->v, kv, s->clip_qkv, nearest, clamped);
        }
        if (s->activation != ACTIVATION_SWIGLU_CLAMPED) continue;
        nearest = near_limit(f->gate, N * f->slots * f->width, s->activation_limit, nearest, clamped);
        nearest = near_limit(f->up, N * f->slots * f->width, s->activation_limit, nearest, clamped);
    }
    free_blocks(&r);
    return nearest;
}

/* Differences must not cross a kink: a limit that no value is within 100 steps of (a value moves a few steps per step). */
static void keep_off_kinks(struct world *x) {
    int64_t clamped;
    double *limit = x->s.clip_qkv > 0 ? &x->s.clip_qkv : &x->s.activation_limit;
    for (int i = 0; i < 200 && kink_distance(x, &clamped) < 100 * STEP; i++) *limit += 1e-3;
    CASE(kink_distance(x, &clamped) >= 100 * STEP && clamped > N, "a limit of %.3g clamps %d values and is far from others", *limit, (int)clamped);
}

static void check_variant(const struct variant *variant) {
    struct world x;
    world_new(variant->config, &x);
    if (x.s.clip_qkv > 0 || x.s.activation == ACTIVATION_SWIGLU_CLAMPED) keep_off_kinks(&x);
    int32_t *routes = ints((int64_t)x.s.layers * N * x.s.top_k);
    struct ref_out out = {.routes = routes};
    NEED(ref_forward_backward(&x.s, &x.p, x.w, &x.b, 1 / (double)x.targets_n, AUX_SCALE, x.g, &out));
    double loss = out.loss_sum / (double)x.targets_n + AUX_SCALE * out.aux;
    CASE(out.targets == x.targets_n, "%s: targets counted", variant->name);
    CASE(spec_moe_layers(&x.s) && x.s.has_aux ? out.aux > 0 : out.aux == 0, "%s: aux %.9g is there with experts, and not without", variant->name,
         out.aux);
    x.b.routes = routes;
    CASE(total(&x, x.w) == loss, "%s: given routes give the same bits", variant->name);
    real *d = reals(x.p.elements), *w = reals(x.p.elements);
    for (int64_t i = 0; i < x.p.count; i++) {
        const struct param *t = &x.p.list[i];
        if (t->trained) check_tensor(&x, variant->name, t, loss, d, w);
        else CASE(dot(x.g + t->offset, x.g + t->offset, t->count) == 0, "%s: %s is not trained and has no gradient", variant->name, t->name);
    }
    if (x.s.pad_id >= 0) check_pad_row(&x, variant->name);
    free(d);
    free(w);
    free(routes);
    world_free(&x);
}

/* Documents packed into a row do not see each other: the second alone gives the same bits. So does a row without its padding. */
static void check_packing(const struct variant *variant) {
    struct world x;
    world_new(variant->config, &x);
    real *packed = reals((int64_t)N * VOCAB), *alone = reals((int64_t)N * VOCAB);
    struct ref_out out = {.logits = packed}, one = {.logits = alone};
    NEED(ref_forward(&x.s, &x.p, x.w, &x.b, &out));
    const int32_t zeros[SEQ] = {0};
    struct ref_batch b = {.rows = 1, .seq = 6, .ids = x.ids + 4, .targets = x.targets + 4, .positions = x.positions + 4, .doc_start = zeros};
    NEED(ref_forward(&x.s, &x.p, x.w, &b, &one));
    CASE(same(packed + 4 * VOCAB, alone, 6 * VOCAB), "%s: a document's logits do not depend on the one before it", variant->name);
    b = (struct ref_batch){.rows = 1, .seq = 7, .ids = x.ids + SEQ, .targets = x.targets + SEQ, .positions = x.positions + SEQ, .doc_start = zeros};
    real *g = reals(x.p.elements);
    NEED(ref_forward_backward(&x.s, &x.p, x.w, &b, 0.1, 0.3, x.g, &one));
    b.seq = SEQ;
    b.doc_start = x.doc_start + SEQ;
    NEED(ref_forward_backward(&x.s, &x.p, x.w, &b, 0.1, 0.3, g, &out));
    CASE(one.loss_sum == out.loss_sum && one.aux == out.aux && one.targets == out.targets, "%s: padding counts nowhere in the losses", variant->name);
    CASE(same(g, x.g, x.p.elements), "%s: padding has no part in any gradient", variant->name);
    b.doc_start = zeros;
    NEED(ref_forward(&x.s, &x.p, x.w, &b, &out));
    CASE(!x.s.has_aux || !spec_moe_layers(&x.s) || x.s.top_k == x.s.experts || one.aux != out.aux,
         "%s: the same tokens as tokens count in the load-balancing loss", variant->name);
    free(g);
    free(packed);
    free(alone);
    world_free(&x);
}

/* Rows as micro-batches: loss sums and gradients add up (without the load-balancing loss, which is a micro-batch's own). */
static void check_micro_batches(void) {
    struct world x;
    world_new(VARIANTS[1].config, &x);
    struct ref_out out = {0}, part = {0};
    real *g = reals(x.p.elements);
    double sum = 0, scale = 1 / (double)x.targets_n;
    NEED(ref_forward_backward(&x.s, &x.p, x.w, &x.b, scale, 0, x.g, &out));
    for (int row = 0; row < ROWS; row++) {
        int at = row * SEQ;
        struct ref_batch b = {
            .rows = 1, .seq = SEQ, .ids = x.ids + at, .targets = x.targets + at, .positions = x.positions + at, .doc_start = x.doc_start + at};
        NEED(ref_forward_backward(&x.s, &x.p, x.w, &b, scale, 0, g, &part));
        sum += part.loss_sum;
    }
    double n = ref_grad_norm(&x.p, x.g), off = 0;
    for (int64_t i = 0; i < x.p.elements; i++) off += (g[i] - x.g[i]) * (g[i] - x.g[i]);
    /* A different order of at most N*heads terms each: N * 3 ulp of the norm is more than rounding can do. */
    CASE(sqrt(off) <= 3 * N * DBL_EPSILON * n, "micro-batches' gradients add up: off by %.3g of %.3g", sqrt(off), n);
    CASE(fabs(sum - out.loss_sum) <= 3 * N * DBL_EPSILON * sum, "and so do their losses");

    ref_clip(&x.p, n, 2 * n, g);
    CASE(fabs(ref_grad_norm(&x.p, g) - n) <= 3 * N * DBL_EPSILON * n, "a norm under the limit is left alone");
    ref_clip(&x.p, n, 0, g);
    CASE(fabs(ref_grad_norm(&x.p, g) - n) <= 3 * N * DBL_EPSILON * n, "clip 0 is none");
    ref_clip(&x.p, n, n / 4, g);
    double want = n * (n / 4 / (n + 1e-6));
    CASE(fabs(ref_grad_norm(&x.p, g) - want) <= 3 * N * DBL_EPSILON * n, "a norm over the limit is brought to it");

    /* After one step m^ = g and v^ = g^2: w moves by lr*g/(|g| + eps), after the decay of what has two dimensions. */
    real *m = reals(x.p.elements), *v = reals(x.p.elements), *w = reals(x.p.elements);
    memcpy(w, x.w, sizeof *w * (size_t)x.p.elements);
    struct ref_adamw a = {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1, .step = 1};
    ref_adamw_step(&x.p, &a, x.g, w, m, v);
    for (int64_t i = 0; i < x.p.count; i++) {
        const struct param *t = &x.p.list[i];
        double worst = 0;
        for (int64_t j = t->offset; j < t->offset + t->count; j++) {
            double keep = t->decay ? 1 - 0.01 * 0.1 : 1;
            worst = fmax(worst, fabs(w[j] - (x.w[j] * keep - 0.01 * x.g[j] / (fabs(x.g[j]) + 1e-3))));
        }
        CASE(worst <= 1e-14, "AdamW's first step on %s is off by %.3g", t->name, worst);
    }
    free(g);
    free(m);
    free(v);
    free(w);
    world_free(&x);
}

/* Equal probabilities go to the lower index; a head of zeros knows nothing. */
static void check_ties(void) {
    struct world x;
    world_new(VARIANTS[7].config, &x);
    int32_t *routes = ints((int64_t)x.s.layers * N * x.s.top_k);
    for (int64_t i = 0; i < x.p.count; i++)
        if (x.p.list[i].kind == PARAM_ROUTER || x.p.list[i].kind == PARAM_HEAD)
            memset(x.w + x.p.list[i].offset, 0, sizeof *x.w * (size_t)x.p.list[i].count);
    struct ref_out out = {.routes = routes};
    NEED(ref_forward(&x.s, &x.p, x.w, &x.b, &out));
    bool lower = true;
    for (int64_t i = 0; i < (int64_t)x.s.layers * N * x.s.top_k; i++)
        lower &= routes[i] == (x.doc_start[i / x.s.top_k % N] < 0 ? -1 : (int32_t)(i % x.s.top_k));
    CASE(lower, "ties go to the lower index, padding to none");
    CASE(fabs(out.loss_sum / (double)x.targets_n - log(VOCAB)) <= 100 * DBL_EPSILON, "no knowledge costs log V");
    CASE(fabs(out.aux - x.s.top_k) <= 100 * DBL_EPSILON, "even probabilities give a load-balancing loss of k");
    free(routes);
    world_free(&x);
}

static void check_refusals(void) {
    struct world x;
    world_new(VARIANTS[0].config, &x);
    struct ref_out out = {0};
    const struct {
        int32_t *at, value;
        const char *says;
    } bad[] = {{&x.ids[3], VOCAB, "id 23 of token 3"},
               {&x.ids[0], -1, "id -1"},
               {&x.targets[2], VOCAB, "target 23 of token 2"},
               {&x.targets[2], -7, "target -7"},
               {&x.targets[SEQ + 8], 1, "padding"},
               {&x.doc_start[2], 3, "doc_start 3 of token 2"},
               {&x.doc_start[SEQ + 9], -2, "doc_start -2"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t before = *bad[i].at;
        *bad[i].at = bad[i].value;
        CASE_ERR(ref_forward(&x.s, &x.p, x.w, &x.b, &out), ERR_FAILED, bad[i].says);
        *bad[i].at = before;
    }
    int32_t *routes = ints((int64_t)x.s.layers * N * x.s.top_k);
    x.b.routes = routes;
    CASE_OK(ref_forward(&x.s, &x.p, x.w, &x.b, &out));
    routes[1] = x.s.experts;
    CASE_ERR(ref_forward(&x.s, &x.p, x.w, &x.b, &out), ERR_FAILED, "given expert 5 of token 0 in layer 0");
    free(routes);
    world_free(&x);
}

int main(void) {
    for (size_t i = 0; i < sizeof VARIANTS / sizeof *VARIANTS; i++) check_variant(&VARIANTS[i]);
    for (size_t i = 0; i < sizeof VARIANTS / sizeof *VARIANTS; i++) check_packing(&VARIANTS[i]);
    check_micro_batches();
    check_ties();
    check_refusals();
    return test_end();
}
