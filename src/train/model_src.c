#include "base/log.h"
#include "base/os.h"
#include "model/family.h"
#include "train/train.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIG_MAX = 16 << 20 };

static err_t read_config(const char *path, struct model_src *m) {
    int64_t bytes;
    TRY(os_read_all(path, CONFIG_MAX, &m->config_json, &bytes));
    return spec_from_json(path, m->config_json, bytes, &m->spec);
}

static err_t read_folder(const struct model_opts *o, struct model_src *m) {
    char path[OS_PATH_MAX], why[OS_WHY_MAX];
    if (!os_enters(o->init))
        return FAIL(ERR_USAGE, "model.init=%s %s; give a Hugging Face folder, or model.init=random", o->init, os_no_dir(o->init, why));
    TRY(os_join(path, o->init, "config.json"));
    TRY(read_config(path, m));
    m->dir = o->init;
    TRY(st_open_folder(o->init, &m->reader));
    TRY(params_build(&m->spec, &m->params));
    TRY(st_find_names(m->reader, &m->spec, &m->params, &m->names));
    m->extras.list = malloc(sizeof *m->extras.list * (size_t)(st_count(m->reader) + 1));
    if (!m->extras.list) return FAIL(ERR_NOMEM, "out of memory for a list of %lld tensors", (long long)st_count(m->reader));
    TRY(st_check_model(m->reader, &m->spec, &m->names, &m->extras));
    if (m->extras.count)
        log_line(LOG_RUN,
                 o->extra_tensors == EXTRAS_DROP ? "%lld tensors in %s are no part of the text model (%s and others): dropped (model.extra_tensors)"
                                                 : "%lld tensors in %s are no part of the text model (%s and others): carried along as they are, "
                                                   "not trained (model.extra_tensors)",
                 (long long)m->extras.count, o->init, st_at(m->reader, m->extras.list[0])->name);
    if (o->extra_tensors == EXTRAS_DROP) m->extras.count = 0;
    if (m->spec.quant != QUANT_NONE)
        log_line(LOG_RUN, "packed weights (%s) in %s become plain ones, written as %s (model.dtype)", m->spec.quant == QUANT_MXFP4 ? "MXFP4" : "FP8",
                 o->init, dtype_name(m->dtype));
    return OK;
}

/* A run at work there may put another model in its place: all that is read is of one. */
static err_t open_folder(const struct model_opts *o, struct model_src *m) {
    const struct model_src before = *m;
    for (;;) {
        struct ckpt_mark mark;
        TRY(ckpt_settle(o->init, &mark));
        err_t err = read_folder(o, m);
        if (!ckpt_changed(o->init, &mark)) return err;
        model_src_close(m);
        *m = before;
    }
}

/* What a config promises besides the text model cannot start from nothing. */
static err_t check_promises(const struct model_opts *o, const struct spec *s) {
    if (o->extra_tensors == EXTRAS_DROP) return OK;
    if (s->mtp_layers > 0)
        return FAIL(ERR_FORMAT,
                    "%s: key %s is %d: layers of multi-token prediction would have to be trained, which is not supported; make it 0, or give "
                    "model.extra_tensors=drop",
                    o->config, s->family->mtp_key, s->mtp_layers);
    if (s->outer)
        return FAIL(ERR_FORMAT,
                    "%s: key vision_config: a vision tower would have to be trained, which is not supported; take text_config alone, or give "
                    "model.extra_tensors=drop",
                    o->config);
    return OK;
}

static const char *dtype_word(const struct model_opts *o) { return o->dtype == MODEL_BF16 ? "bfloat16" : "float32"; }

static err_t open_random(const struct model_opts *o, const struct vocab_hint *hint, struct model_src *m) {
    if (o->config) {
        TRY(read_config(o->config, m));
        TRY(check_promises(o, &m->spec));
    } else {
        struct model_opts filled = *o;
        if (filled.vocab == 0 && hint) filled.vocab = hint->vocab;
        if (filled.vocab == 0)
            return FAIL(ERR_USAGE, "model.vocab is not known; give model.vocab=, tokenizer= or data.train= with a token file that knows it");
        TRY(spec_from_opts(&filled, &m->spec));
        if (hint && hint->eos < m->spec.vocab) m->spec.eos_id = hint->eos;
        TRY(spec_to_json(&m->spec, dtype_word(o), &m->config_json));
    }
    return params_build(&m->spec, &m->params);
}

/* How the folders that are written have the tensors, and what their config.json says. */
static err_t plan_output(const struct model_opts *o, struct model_src *m) {
    struct names_style style = m->names.style;
    style.mxfp4 = style.head = false; /* a model that was trained is written without a tied head, as transformers writes it */
    if (o->expert_files != EXPERT_FILES_FOUND) {
        const bool stacked = o->expert_files == EXPERT_FILES_STACKED;
        if (m->spec.family->expert_files == EXPERTS_TRANSPOSED)
            return FAIL(ERR_USAGE, "model.expert_files is given, but files of %s have experts in one way only; leave it out",
                        m->spec.family->model_type);
        style.stacked_in = style.stacked_out = stacked;
        style.block = stacked && m->spec.family->block; /* as transformers names them */
    }
    TRY(names_build(&m->spec, &m->params, &style, &m->names_out));
    m->file_dtype = malloc(sizeof *m->file_dtype * ((size_t)m->names_out.count + 1));
    if (!m->file_dtype) return FAIL(ERR_NOMEM, "out of memory for the table of %lld tensors", (long long)m->params.count);
    for (int64_t i = 0; i < m->names_out.count; i++) {
        const struct file_tensor *t = &m->names_out.list[i];
        const struct param *first = &m->params.list[m->names_out.box[t->box].param];
        m->file_dtype[i] = t->always_fp32 ? DT_F32 : m->reader ? st_param_dtype(m->reader, &m->names, first, m->dtype) : m->dtype;
    }
    const bool fresh = !m->reader && o->config, unpacked = m->spec.quant != QUANT_NONE, drop = o->extra_tensors == EXTRAS_DROP;
    if (!fresh && !unpacked && !drop) return OK;
    char *text;
    const struct config_edit edit = {.dtype = fresh || unpacked ? dtype_word(o) : NULL, .add_dtype = fresh, .plain = true, .drop_extras = drop};
    TRY(config_edit(&m->spec, m->config_json, &edit, &text));
    free(m->config_json);
    m->config_json = text;
    return OK;
}

err_t model_src_open(const struct model_opts *o, const struct vocab_hint *hint, uint64_t seed, struct model_src *out) {
    struct model_src m = {.seed = seed, .dtype = o->dtype == MODEL_BF16 ? DT_BF16 : DT_F32};
    err_t err = OK;
    if (!o->init)
        return FAIL(ERR_USAGE,
                    "model.init is not given; write model.init=FOLDER (a Hugging Face folder) or model.init=random with model.config=FILE");
    if (strcmp(o->init, "random") == 0) TRY_OR(open_random(o, hint, &m), bad);
    else TRY_OR(open_folder(o, &m), bad);
    TRY_OR(plan_output(o, &m), bad);
    *out = m;
    return OK;
bad:
    model_src_close(&m);
    return err;
}

void model_src_close(struct model_src *m) {
    st_close(m->reader);
    names_free(&m->names);
    names_free(&m->names_out);
    params_free(&m->params);
    free(m->config_json);
    free(m->file_dtype);
    free(m->extras.list);
    *m = (struct model_src){0};
}

err_t model_src_read(const struct model_src *m, const struct param *p, int64_t from, int64_t n, float *out) {
    if (m->reader) return st_read_param(m->reader, &m->spec, &m->names, p, from, n, out);
    params_init(&m->spec, p, m->seed, from, n, out);
    return OK;
}
