#include "model/family.h"

#include <math.h>

#define AT(field) offsetof(struct model_opts, field)

const struct opt model_opt_list[] = {
    {.key = "model.init", .type = OPT_PATH, .offset = AT(init), .help = "where the model comes from: random, or a Hugging Face folder"},
    {.key = "model.config",
     .type = OPT_PATH,
     .offset = AT(config),
     .help = "with model.init=random: a Hugging Face config.json that describes the model"},
    {.key = "model.dtype",
     .type = OPT_CHOICE,
     .offset = AT(dtype),
     .def = "fp32",
     .choices = "fp32|bf16",
     .help = "of weights and activations; with bf16 the optimizer keeps fp32 masters"},
    {.key = "model.expert_files",
     .type = OPT_CHOICE,
     .offset = AT(expert_files),
     .def = "found",
     .choices = "found|single|stacked",
     .help = "how written folders have experts: as in the folder found, each one's matrices as tensors, or all of a layer stacked "
             "(experts.gate_up_proj)"},
    {.key = "model.extra_tensors",
     .type = OPT_CHOICE,
     .offset = AT(extra_tensors),
     .def = "keep",
     .choices = "keep|drop",
     .help = "tensors of the folder found that are no part of the text model (multi-token prediction, vision): carried along untouched, or dropped"},
    {.key = "model.family",
     .type = OPT_TEXT,
     .offset = AT(family),
     .def = "qwen3_moe",
     .help = "olmoe, qwen3_moe or mixtral; this and the keys below describe a random model without model.config"},
    {.key = "model.layers",
     .type = OPT_INT,
     .offset = AT(layers),
     .def = "4",
     .lo = 1,
     .hi = SPEC_LAYERS_MAX,
     .help = "number of layers, each of them MoE"},
    {.key = "model.hidden", .type = OPT_INT, .offset = AT(hidden), .def = "256", .lo = 1, .hi = INT32_MAX, .help = "width of the hidden state"},
    {.key = "model.vocab",
     .type = OPT_INT,
     .offset = AT(vocab),
     .def = "0",
     .lo = 0,
     .hi = INT32_MAX,
     .help = "size of the vocabulary; 0 takes it from the tokenizer or the token files"},
    {.key = "model.heads", .type = OPT_INT, .offset = AT(heads), .def = "4", .lo = 1, .hi = 65536, .help = "query heads"},
    {.key = "model.kv_heads",
     .type = OPT_INT,
     .offset = AT(kv_heads),
     .def = "0",
     .lo = 0,
     .hi = 65536,
     .help = "key and value heads, a divisor of model.heads; 0 means as many"},
    {.key = "model.head_dim",
     .type = OPT_INT,
     .offset = AT(head_dim),
     .def = "0",
     .lo = 0,
     .hi = 8192,
     .help = "width of a head, even; 0 means model.hidden / model.heads"},
    {.key = "model.dense_width",
     .type = OPT_INT,
     .offset = AT(dense_width),
     .def = "0",
     .lo = 0,
     .hi = INT32_MAX,
     .help = "intermediate_size written for layers without experts, of which a model from keys has none; 0 means that of the experts met by a token"},
    {.key = "model.expert_width",
     .type = OPT_INT,
     .offset = AT(expert_width),
     .def = "256",
     .lo = 1,
     .hi = INT32_MAX,
     .help = "intermediate size of an expert"},
    {.key = "model.experts", .type = OPT_INT, .offset = AT(experts), .def = "8", .lo = 1, .hi = SPEC_EXPERTS_MAX, .help = "experts per layer"},
    {.key = "model.top_k", .type = OPT_INT, .offset = AT(top_k), .def = "2", .lo = 1, .hi = SPEC_TOPK_MAX, .help = "experts that a token meets"},
    {.key = "model.max_positions",
     .type = OPT_INT,
     .offset = AT(max_positions),
     .def = "2048",
     .lo = 1,
     .hi = INT32_MAX,
     .help = "longest sequence, written as max_position_embeddings"},
    {.key = "model.tied", .type = OPT_BOOL, .offset = AT(tied), .def = "false", .help = "one matrix for embedding and head"},
    {.key = "model.rope_theta",
     .type = OPT_FLOAT,
     .offset = AT(rope_theta),
     .def = "10000",
     .lo = 1,
     .hi = 1e30,
     .help = "base of the rotary angles"},
    {.key = "model.aux_coef",
     .type = OPT_FLOAT,
     .offset = AT(aux_coef),
     .def = "0.001",
     .lo = 0,
     .hi = 1e6,
     .help = "coefficient of the load-balancing loss, written as router_aux_loss_coef beside output_router_logits true"},
    {.key = NULL},
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
