#include "model/family.h"

#include <math.h>

#define AT(field) offsetof(struct model_opts, field)

const struct opt model_opt_list[] = {
    {"model.init", OPT_PATH, AT(init), NULL, NULL, 0, 0, "where the model comes from: random, or a Hugging Face folder"},
    {"model.config", OPT_PATH, AT(config), NULL, NULL, 0, 0, "with model.init=random: a Hugging Face config.json that describes the model"},
    {"model.dtype", OPT_CHOICE, AT(dtype), "fp32", "fp32|bf16", 0, 0, "of weights and activations; with bf16 the optimizer keeps fp32 masters"},
    {"model.expert_files", OPT_CHOICE, AT(expert_files), "found", "found|single|stacked", 0, 0,
     "how written folders have experts: as in the folder found, each one's matrices as tensors, or all of a layer stacked (experts.gate_up_proj)"},
    {"model.extra_tensors", OPT_CHOICE, AT(extra_tensors), "keep", "keep|drop", 0, 0,
     "tensors of the folder found that are no part of the text model (multi-token prediction, vision): carried along untouched, or dropped"},
    {"model.family", OPT_TEXT, AT(family), "qwen3_moe", NULL, 0, 0,
     "olmoe, qwen3_moe or mixtral; this and the keys below describe a random model without model.config"},
    {"model.layers", OPT_INT, AT(layers), "4", NULL, 1, SPEC_LAYERS_MAX, "number of layers, each of them MoE"},
    {"model.hidden", OPT_INT, AT(hidden), "256", NULL, 1, INT32_MAX, "width of the hidden state"},
    {"model.vocab", OPT_INT, AT(vocab), "0", NULL, 0, INT32_MAX, "size of the vocabulary; 0 takes it from the tokenizer or the token files"},
    {"model.heads", OPT_INT, AT(heads), "4", NULL, 1, 65536, "query heads"},
    {"model.kv_heads", OPT_INT, AT(kv_heads), "0", NULL, 0, 65536, "key and value heads, a divisor of model.heads; 0 means as many"},
    {"model.head_dim", OPT_INT, AT(head_dim), "0", NULL, 0, 8192, "width of a head, even; 0 means model.hidden / model.heads"},
    {"model.dense_width", OPT_INT, AT(dense_width), "0", NULL, 0, INT32_MAX,
     "intermediate_size written for layers without experts, of which a model from keys has none; 0 means that of the experts met by a token"},
    {"model.expert_width", OPT_INT, AT(expert_width), "256", NULL, 1, INT32_MAX, "intermediate size of an expert"},
    {"model.experts", OPT_INT, AT(experts), "8", NULL, 1, SPEC_EXPERTS_MAX, "experts per layer"},
    {"model.top_k", OPT_INT, AT(top_k), "2", NULL, 1, SPEC_TOPK_MAX, "experts that a token meets"},
    {"model.max_positions", OPT_INT, AT(max_positions), "2048", NULL, 1, INT32_MAX, "longest sequence, written as max_position_embeddings"},
    {"model.tied", OPT_BOOL, AT(tied), "false", NULL, 0, 0, "one matrix for embedding and head"},
    {"model.rope_theta", OPT_FLOAT, AT(rope_theta), "10000", NULL, 1, 1e30, "base of the rotary angles"},
    {"model.aux_coef", OPT_FLOAT, AT(aux_coef), "0.001", NULL, 0, 1e6, "coefficient of the load-balancing loss, written as router_aux_loss_coef"},
    {NULL, OPT_TEXT, 0, NULL, NULL, 0, 0, NULL},
};

/* The fields of model_opts are wide; what does not fit an int is out of range in spec_check too. */
static int narrow(int64_t value) { return value < 0 || value > INT32_MAX ? -1 : (int)value; }

err_t spec_from_opts(const struct model_opts *o, struct spec *out) {
    bool outer = false;
    const struct family *f = o->family ? family_by_model_type(o->family, &outer) : NULL;
    if (f && !f->from_keys)
        return FAIL(ERR_USAGE, "model.family is \"%s\", which the keys model.* do not describe; give a config.json of it with model.config",
                    o->family);
    if (!f) return FAIL(ERR_USAGE, "model.family is \"%s\"; choose one of %s", o->family ? o->family : "", family_names(true));
    if (o->vocab == 0) return FAIL(ERR_USAGE, "model.vocab is 0 and no tokenizer or token file says how many ids there are; set it");
    if (o->layers < 1 || o->layers > SPEC_LAYERS_MAX)
        return FAIL(ERR_USAGE, "model.layers is %lld; set it from 1 to %d", (long long)o->layers, SPEC_LAYERS_MAX);
    if (o->heads < 1 || (o->head_dim == 0 && o->hidden % o->heads != 0))
        return FAIL(ERR_USAGE, "model.hidden is %lld, not a multiple of model.heads, %lld; change one or set model.head_dim", (long long)o->hidden,
                    (long long)o->heads);

    struct spec s = {
        .family = f,
        .layers = (int)o->layers,
        .hidden = o->hidden,
        .vocab = o->vocab,
        .heads = narrow(o->heads),
        .kv_heads = narrow(o->kv_heads ? o->kv_heads : o->heads),
        .head_dim = narrow(o->head_dim ? o->head_dim : o->hidden / o->heads),
        .qk_norm = f->qk_norm,
        .rope = {.kind = ROPE_DEFAULT, .theta = o->rope_theta, .factor = 1, .attention_factor = 1, .truncate = true},
        .norm = f->norm,
        .norm_eps = f->norm_eps,
        .expert_width = o->expert_width,
        .experts = narrow(o->experts),
        .top_k = narrow(o->top_k),
        .renormalise = true, /* a new model: routing weights that sum to 1 in every family */
        .weights_fp32 = f->weights_fp32,
        .groups = 1,
        .groups_kept = 1,
        .routed_scale = 1,
        .tied = o->tied,
        .pad_id = -1,
        .eos_id = -1,
        .bos_id = -1,
        .init_std = 0.02,
        .aux_coef = o->aux_coef,
        .has_aux = true,
        .aux_on = true, /* a new model: balanced from the start */
        .max_positions = o->max_positions,
    };
    for (int l = 0; l < s.layers; l++) s.is_moe[l] = 1;
    s.rope.dim = s.head_dim;
    s.softmax_scale = 1 / sqrt((double)s.head_dim);
    if (spec_check(&s, "options") != OK) return err_frame(ERR_USAGE, __func__);
    if (f->moe_rule == MOE_BY_STEP) s.dense_width = o->dense_width ? o->dense_width : s.expert_width * s.top_k;
    if (s.dense_width > INT32_MAX) s.dense_width = INT32_MAX;
    *out = s;
    return OK;
}
