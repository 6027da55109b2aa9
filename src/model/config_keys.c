/* Keys of config.json that no family here reads. Those that change the computation in transformers, in
 * these families or in their relatives, are refused unless their value means "not used"; those known to
 * change nothing here are passed over; the rest is for a warning. */
#include "model/config_int.h"

#include <string.h>

/* `inert` lists the values that ask for nothing, as JSON and separated by '|'; numbers are compared as numbers. */
static const struct {
    const char *key, *inert;
} asks[] = {
    {"sliding_window", "null"},
    {"use_sliding_window", "false"},
    {"attention_chunk_size", "null"},
    {"attention_dropout", "0"},
    {"hidden_dropout", "0"},
    {"hidden_dropout_prob", "0"},
    {"attention_probs_dropout_prob", "0"},
    {"residual_dropout", "0"},
    {"embedding_dropout", "0"},
    {"resid_pdrop", "0"},
    {"embd_pdrop", "0"},
    {"attn_pdrop", "0"},
    {"dropout", "0"},
    {"router_jitter_noise", "0"},
    {"jitter_noise", "0"},
    {"input_jitter_noise", "0"},
    {"partial_rotary_factor", "null|1"},
    {"rotary_pct", "null|1"},
    {"rotary_dim", "null"},
    {"no_rope_layers", "null|[]"},
    {"alibi", "null|false"},
    {"quantization_config", "null"},
    {"attention_bias", "false"},
    {"qkv_bias", "false"},
    {"mlp_bias", "false"},
    {"use_bias", "false"},
    {"lm_head_bias", "false"},
    {"clip_qkv", "null"},
    {"norm_topk_prob", "true"},
    {"scoring_func", "null|\"softmax\""},
    {"topk_method", "null|\"greedy\""},
    {"routed_scaling_factor", "null|1"},
    {"n_group", "null|0|1"},
    {"topk_group", "null|0|1"},
    {"use_routing_bias", "false"},
    {"n_shared_experts", "null|0"},
    {"num_shared_experts", "null|0"},
    {"shared_expert_intermediate_size", "null|0"},
    {"shared_intermediate_size", "null|0"},
    {"first_k_dense_replace", "null|0"},
    {"moe_layer_freq", "null|1"},
    {"decoder_sparse_step", "1"},
    {"mlp_only_layers", "null|[]"},
    {"mlp_layer_types", "null"},
    {"num_nextn_predict_layers", "null|0"},
    {"num_mtp_modules", "null|0"},
    {"use_mtp", "false"},
    {"pretraining_tp", "1"},
    {"final_logit_softcapping", "null"},
    {"attn_logit_softcapping", "null"},
    {"router_logit_softcapping", "null|0"},
    {"query_pre_attn_scalar", "null"},
    {"swiglu_limit", "null"},
    {"logit_scale", "null|1"},
    {"logits_scaling", "null|1"},
    {"embedding_multiplier", "null|1"},
    {"residual_multiplier", "null|1"},
    {"use_parallel_residual", "false"},
    {"parallel_attn", "false"},
    {"index_topk", "null"},
    {"index_n_heads", "null"},
    {"index_head_dim", "null"},
    {"vision_config", "null"},
    {"audio_config", "null"},
    {"text_config", "null"},
    {"mtp_loss_scaling_factor", "null|0"},
    {"mtp_loss_weight", "null|0"},
    {"mtp_loss_coef", "null|0"},
    {"linear_num_value_heads", "null"},
    {"attn_output_gate", "null|false"},
    {"swiglu_alpha", "null"},
    {"rope_interleave", "null|false"},
    {"kv_lora_rank", "null"},
    {"q_lora_rank", "null"},
    {"per_layer_config", "null|{}"},
    {"is_encoder_decoder", "false"},
    {"add_cross_attention", "false"},
    {"pruned_heads", "null|{}"},
};

/* What transformers keeps in a config.json for its own use, for generation and for other heads than the language model's. */
static const char *const harmless[] = {
    /* clang-format off */
    "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_experts_implementation", "_name_or_path",
    "attn_implementation", "experts_implementation", "name_or_path", "transformers_version", "use_cache", "return_dict",
    "return_dict_in_generate", "output_attentions", "output_hidden_states", "output_router_logits", "output_scores", "output_past",
    "torchscript", "use_bfloat16", "tf_legacy_loss", "chunk_size_feed_forward", "cross_attention_hidden_size", "is_decoder",
    "tie_encoder_decoder", "keys_to_ignore_at_inference", "max_window_layers", "id2label", "label2id", "num_labels", "problem_type",
    "finetuning_task", "task_specific_params", "classifier_dropout", "tokenizer_class", "prefix", "sep_token_id", "cls_token_id",
    "mask_token_id", "unk_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "max_length", "min_length",
    "max_new_tokens", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p",
    "min_p", "typical_p", "epsilon_cutoff", "repetition_penalty", "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
    "bad_words_ids", "num_return_sequences", "suppress_tokens", "begin_suppress_tokens", "exponential_decay_length_penalty",
    "remove_invalid_values", "auto_map", "ep_size", "aux_loss_alpha", "seq_aux",
    /* clang-format on */
};

static bool is_one_of(const json_t *value, const char *list) {
    if (strcmp(list, "*") == 0) return true;
    json_t *inert = NULL;
    bool found = false;
    for (const char *at = list; *at && !found;) {
        size_t n = strcspn(at, "|");
        inert = json_loadb(at, n, JSON_DECODE_ANY, NULL);
        found = json_is_number(value) ? json_is_number(inert) && json_number_value(value) == json_number_value(inert) : json_equal(value, inert);
        json_decref(inert);
        at += n + (at[n] == '|');
    }
    return found;
}

err_t config_check_rest(struct config *c, const struct family *f) {
    for (const struct inert_key *k = f->inert; k && k->key; k++) {
        const json_t *value = json_object_get(c->rest, k->key);
        if (!value) continue;
        if (!is_one_of(value, k->values)) {
            char shown[CONFIG_SHOWN];
            return FAIL(ERR_FORMAT, "%s: key %s%s is %s, which is not supported for this family; only %s is", c->path, c->prefix, k->key,
                        config_show(value, shown), k->values);
        }
        (void)json_object_del(c->rest, k->key);
    }
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
        const json_t *value = json_object_get(c->rest, asks[i].key);
        if (!value) continue;
        if (!is_one_of(value, asks[i].inert)) {
            char shown[CONFIG_SHOWN];
            return FAIL(ERR_FORMAT, "%s: key %s%s is %s, which is not supported for this family; only %s is", c->path, c->prefix, asks[i].key,
                        config_show(value, shown), asks[i].inert);
        }
        (void)json_object_del(c->rest, asks[i].key);
    }
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) (void)json_object_del(c->rest, harmless[i]);
    return OK;
}
