/* A model's params out of a Hugging Face folder: through names, unpacked; and the folder held against the model. */
#include "ckpt/ckpt_int.h"

#include "base/num.h"
#include "ckpt/quant.h"
#include "model/family.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Buffers that older checkpoints hold and transformers passes over. */
static bool is_ignored(const char *name) {
    static const char *const ends[] = {"inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached"};
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const size_t m = strlen(ends[i]);
        if (n >= m && strcmp(name + n - m, ends[i]) == 0) return true;
    }
    return false;
}

static const struct tensor_info *find_with(const struct st_reader *r, const char *name, const char *suffix) {
    char full[CKPT_NAME_MAX];
    return snprintf(full, sizeof full, "%s%s", name, suffix) < (int)sizeof full ? st_find(r, full) : NULL;
}

/* ---- reading ---- */

struct source {
    const struct st_reader *r;
    const struct tensor_info *t, *scale; /* t: the tensor, or its blocks; scale: NULL for plain ones */
    int rows, columns;                   /* of an FP8 block; 0: MXFP4 */
};

static err_t find_source(const struct st_reader *r, const struct spec *s, const struct file_tensor *t, struct source *out) {
    *out = (struct source){.r = r};
    if (t->packed) {
        out->t = find_with(r, t->name, "_blocks");
        out->scale = find_with(r, t->name, "_scales");
        ENSURE(out->t && out->scale);
        return OK;
    }
    out->t = st_find(r, t->name);
    ENSURE(out->t);
    if (out->t->dtype != DT_F8_E4M3) return OK;
    out->scale = find_with(r, t->name, "_scale_inv");
    ENSURE(s && out->scale);
    out->rows = s->quant_rows;
    out->columns = s->quant_cols;
    return OK;
}

static err_t read_run(const struct source *s, int64_t from, int64_t n, float *out) {
    if (!s->scale) return st_read_f32(s->r, s->t, from, n, out);
    if (s->rows > 0) return quant_read_fp8(s->r, s->t, s->scale, s->rows, s->columns, from, n, out);
    return quant_read_mxfp4(s->r, s->t, s->scale, from, n, out);
}

/* A box whose rows are columns of the file tensor: the file is read along its own rows. out: the param's elements [from, to). */
static err_t read_transposed(const struct source *s, const struct name_box *b, int64_t from, int64_t to, float *out) {
    enum { SPAN = 1 << 14 };
    float span[SPAN];
    ENSURE(b->n[0] == 1 && b->stride[1] > 0 && b->stride[1] < SPAN);
    const int64_t width = b->n[2], lo = i64_max(from - b->at, 0), hi = i64_min(to - b->at, b->count), most = (SPAN - 1) / b->stride[1];
    if (lo >= hi) return OK;
    for (int64_t k = 0; k < width; k++)
        for (int64_t j = lo / width; j <= (hi - 1) / width; j += most) {
            const int64_t n = i64_min(most, (hi - 1) / width + 1 - j);
            TRY(read_run(s, b->file_at + j * b->stride[1] + k * b->stride[2], (n - 1) * b->stride[1] + 1, span));
            for (int64_t i = 0; i < n; i++) {
                const int64_t at = (j + i) * width + k;
                if (at >= lo && at < hi) out[b->at + at - from] = span[i * b->stride[1]];
            }
        }
    return OK;
}

err_t st_read_param(const struct st_reader *r, const struct spec *s, const struct names *names, const struct param *p, int64_t from, int64_t n,
                    float *out) {
    const int64_t at = p - names->params.list;
    for (int64_t i = names->first_of_param[at]; i < names->first_of_param[at + 1]; i++) {
        const int64_t box = names->of_param[i];
        const struct name_box *b = &names->box[box];
        struct source source;
        if (b->at >= from + n || b->at + b->count <= from) continue;
        TRY(find_source(r, s, &names->list[names->tensor_of_box[box]], &source));
        if (b->stride[2] != 1) {
            TRY(read_transposed(&source, b, from, from + n, out));
            continue;
        }
        for (struct name_run run = names_run(b, from); names_next(b, from + n, &run);)
            TRY(read_run(&source, run.file_at, run.m, out + run.at - from));
        if (b->at + b->count >= from + n && b->at <= from) return OK; /* a tied head stands beside the embedding: the same values */
    }
    return OK;
}

enum dtype st_param_dtype(const struct st_reader *r, const struct names *names, const struct param *p, enum dtype unpacked) {
    const struct file_tensor *t = names_of_param(names, p);
    const struct tensor_info *found = t->packed ? NULL : st_find(r, t->name);
    return !found || found->dtype == DT_F8_E4M3 ? unpacked : found->dtype;
}

/* ---- tensors that are carried along ---- */

/* Whether this is a tensor of no use to the text model that lies in such folders: of multi-token prediction, of a vision tower. */
static bool is_extra(const struct spec *s, const char *name) {
    const struct family *f = s->family;
    if (f->has_delta && strncmp(name, "mtp.", 4) == 0) return true;
    if (f->outer_prefix && strncmp(name, "model.visual.", 13) == 0) return true;
    int64_t layer = 0;
    const char *at = strncmp(name, "model.layers.", 13) == 0 ? name + 13 : "";
    if (!f->mtp_key || f->has_delta || *at < '0' || *at > '9') return false;
    for (; *at >= '0' && *at <= '9' && layer < SPEC_LAYERS_MAX * 2; at++) layer = layer * 10 + *at - '0';
    return *at == '.' && layer >= s->layers && layer < s->layers + s->mtp_layers;
}

err_t st_read_extra(const struct st_reader *r, const struct spec *s, const struct tensor_info *t, int64_t from, int64_t n, float *out) {
    const struct tensor_info *scale = find_with(r, t->name, "_scale_inv");
    ENSURE(scale);
    return quant_read_fp8(r, t, scale, s->quant_rows, s->quant_cols, from, n, out);
}

/* ---- checking ---- */

static void shape_text(const int64_t *shape, int ndim, char out[200]) {
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < ndim; i++) n += (size_t)snprintf(out + n, 200 - n, "%s%" PRId64, i ? ", " : "", shape[i]);
}

static err_t check_shape(const struct st_reader *r, const struct tensor_info *t, int ndim, const int64_t *shape) {
    bool same = t->ndim == ndim;
    for (int i = 0; same && i < ndim; i++) same = t->shape[i] == shape[i];
    if (same) return OK;
    char has[200], wants[200];
    shape_text(t->shape, t->ndim, has);
    shape_text(shape, ndim, wants);
    return FAIL(ERR_FORMAT, "%s: tensor %s has shape [%s], but config.json asks for [%s]; they are of different models", st_path(r, t), t->name, has,
                wants);
}

/* The scales of an FP8 tensor. */
static err_t check_fp8(const struct st_reader *r, const struct spec *s, const struct tensor_info *t) {
    const struct tensor_info *scale = find_with(r, t->name, "_scale_inv");
    if (!s || s->quant != QUANT_FP8)
        return FAIL(ERR_FORMAT, "%s: tensor %s has dtype F8_E4M3, but config.json has no quantization_config with quant_method fp8; copy it again",
                    st_path(r, t), t->name);
    if (!scale)
        return FAIL(ERR_FORMAT, "%s: tensor %s has dtype F8_E4M3, but there is no %s_scale_inv; copy the folder again", st_path(r, t), t->name,
                    t->name);
    if (t->ndim < 2) return FAIL(ERR_FORMAT, "%s: tensor %s has dtype F8_E4M3 and %d dimensions; blocks need two", st_path(r, t), t->name, t->ndim);
    int64_t shape[8];
    memcpy(shape, t->shape, sizeof shape);
    shape[t->ndim - 2] = (shape[t->ndim - 2] + s->quant_rows - 1) / s->quant_rows;
    shape[t->ndim - 1] = (shape[t->ndim - 1] + s->quant_cols - 1) / s->quant_cols;
    TRY(check_shape(r, scale, t->ndim, shape));
    if (scale->dtype == DT_F32 || scale->dtype == DT_BF16) return OK;
    return FAIL(ERR_FORMAT, "%s: tensor %s has dtype %s; scales may be F32 or BF16", st_path(r, scale), scale->name, dtype_name(scale->dtype));
}

static err_t check_dtype(const struct st_reader *r, const struct spec *s, const struct tensor_info *t) {
    if (t->dtype == DT_F32 || t->dtype == DT_BF16 || t->dtype == DT_F16) return OK;
    if (t->dtype == DT_F8_E4M3) return check_fp8(r, s, t);
    return FAIL(ERR_FORMAT, "%s: tensor %s has dtype %s; weights may be F32, BF16 or F16", st_path(r, t), t->name, dtype_name(t->dtype));
}

static err_t missing(const struct st_reader *r, const char *name) {
    if (r->file_count > 1)
        return FAIL(ERR_FORMAT, "%s and the %d files beside it: tensor %s is missing; they are of another model than config.json", r->files[0].path,
                    r->file_count - 1, name);
    return FAIL(ERR_FORMAT, "%s: tensor %s is missing; the file is of another model than config.json", r->files[0].path, name);
}

static err_t check_packed(const struct st_reader *r, const struct spec *s, const struct file_tensor *t) {
    char name[CKPT_NAME_MAX];
    const struct tensor_info *blocks = find_with(r, t->name, "_blocks"), *scales = find_with(r, t->name, "_scales");
    if (blocks && blocks->dtype == DT_BF16 && blocks->ndim == 3)
        return FAIL(
            ERR_FORMAT,
            "%s: tensor %s is BF16 of three dimensions: transformers saved a model loaded from MXFP4 with plain weights under the names of packed "
            "ones, and reads random experts from it; load the original again, dequantised, and save that",
            st_path(r, blocks), blocks->name);
    (void)snprintf(name, sizeof name, "%s%s", t->name, blocks ? "_scales" : "_blocks");
    if (!blocks || !scales) return missing(r, name);
    if (!s || s->quant != QUANT_MXFP4)
        return FAIL(ERR_FORMAT, "%s: tensor %s is packed as MXFP4, but config.json has no quantization_config that says so; copy it again",
                    st_path(r, blocks), blocks->name);
    if (t->shape[2] % 32 != 0)
        return FAIL(ERR_FORMAT, "%s: tensor %s is packed in groups of 32, which do not divide the %" PRId64 " of config.json", st_path(r, blocks),
                    blocks->name, t->shape[2]);
    const int64_t shape[4] = {t->shape[0], t->shape[1], t->shape[2] / 32, 16};
    TRY(check_shape(r, blocks, 4, shape));
    TRY(check_shape(r, scales, 3, shape));
    if (blocks->dtype == DT_U8 && scales->dtype == DT_U8) return OK;
    return FAIL(ERR_FORMAT, "%s: tensor %s or its scales are not U8; the file is damaged, copy it again", st_path(r, blocks), blocks->name);
}

/* A model whose head is the embedding may carry the head as well, as long as it is the same. (transformers unties
 * them where they differ and warns: another model than config.json says, so here it is refused.) */
static err_t check_tied_head(const struct st_reader *r, const struct file_tensor *head, const struct names *names) {
    const struct file_tensor *embed = names_of_param(names, params_at(&names->params, PARAM_EMBED, -1, -1));
    const struct tensor_info *h = st_find(r, head->name), *e = st_find(r, embed->name);
    float a[2048], b[2048];
    ENSURE(h && e);
    for (int64_t from = 0; from < h->count; from += 2048) {
        int64_t n = i64_min(2048, h->count - from);
        TRY(st_read_f32(r, h, from, n, a));
        TRY(st_read_f32(r, e, from, n, b));
        if (memcmp(a, b, (size_t)n * sizeof *a) != 0)
            return FAIL(ERR_FORMAT, "%s: tensor %s differs from %s, but tie_word_embeddings in config.json says that they are one; set it to false",
                        st_path(r, h), h->name, e->name);
    }
    return OK;
}

/* A scale or block of a tensor that has been checked. */
static bool is_part(const struct st_reader *r, const struct names *names, const char *name) {
    static const char *const ends[] = {"_scale_inv", "_blocks", "_scales"};
    const size_t n = strlen(name);
    for (size_t i = 0; i < 3; i++) {
        const size_t m = strlen(ends[i]);
        char base[CKPT_NAME_MAX];
        if (n <= m || strcmp(name + n - m, ends[i]) != 0) continue;
        (void)snprintf(base, sizeof base, "%.*s", (int)(n - m), name);
        const struct file_tensor *t = names_find(names, base);
        const struct tensor_info *whole = st_find(r, base);
        return i == 0 ? whole && whole->dtype == DT_F8_E4M3 : t && t->packed;
    }
    return false;
}

err_t st_check_model(const struct st_reader *r, const struct spec *s, const struct names *names, struct st_extras *extras) {
    for (int64_t i = 0; i < names->count; i++) {
        const struct file_tensor *t = &names->list[i];
        if (t->packed) {
            TRY(check_packed(r, s, t));
            continue;
        }
        const struct tensor_info *found = st_find(r, t->name);
        if (!found && find_with(r, t->name, "_blocks")) return check_packed(r, s, t);
        if (!found) return missing(r, t->name);
        TRY(check_shape(r, found, t->ndim, t->shape));
        TRY(check_dtype(r, s, found));
    }
    if (names->style.head) TRY(check_tied_head(r, &names->list[names->count - 1], names));
    for (int64_t i = 0; i < r->count; i++) {
        const struct tensor_info *t = st_at(r, i);
        if (names_find(names, t->name) || is_ignored(t->name) || is_part(r, names, t->name)) continue;
        if (!s || !extras || !is_extra(s, t->name))
            return FAIL(ERR_FORMAT, "%s: surplus tensor %s; the file is of another model than config.json", st_path(r, t), t->name);
        if (t->dtype == DT_F8_E4M3) TRY(check_fp8(r, s, t));
        extras->list[extras->count++] = i;
    }
    return OK;
}

static bool has_tensor(void *ctx, const char *name) { return st_find(ctx, name) != NULL; }

err_t st_find_names(const struct st_reader *r, const struct spec *s, const struct params *p, struct names *out) {
    const struct names_style style = names_style_find(s, has_tensor, (void *)(uintptr_t)r);
    return names_build(s, p, &style, out);
}
