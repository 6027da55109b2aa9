#include "ckpt/ckpt_int.h"

#include "base/num.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a Hugging Face folder holds besides config.json and weights, kept byte for byte: first what is the model's, then what is its tokenizer's. */
static const char *const kept[] = {
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
};
enum { KEPT = (int)(sizeof kept / sizeof kept[0]), KEPT_MODEL = 1 };
static const char kept_folder[] = "additional_chat_templates";

enum { SCRATCH = 1 << 16 };

struct folder {
    const char *dir;
    const struct ckpt_run *run;
    struct manifest_out manifest;
    const struct names *names;
    float *scratch; /* SCRATCH values on their way into the file's type and place */
    void *narrow;   /* as many, in the file's type */
};

/* Tensors of a set of files: where each one's values come from: the params that lie in a file tensor; one param's moments or masters; the
 * folder that was found. */
struct origin {
    const struct file_tensor *tensor;
    const struct param *param;
    enum ckpt_part part;
    const struct tensor_info *found;
};
struct set {
    struct st_out *list;
    struct origin *from;
    unsigned char (*sums)[SUM_BYTES];
    int64_t count;
    int64_t *shard; /* shard i is tensors [shard[i], shard[i + 1]) */
    int64_t shards;
};
struct feed { /* one shard of a set, as st_write_sized asks for it */
    struct folder *f;
    const struct set *set;
    int64_t first;
};

static err_t set_new(struct set *s, int64_t room) {
    memset(s, 0, sizeof *s);
    s->list = calloc((size_t)room + 1, sizeof *s->list);
    s->from = calloc((size_t)room + 1, sizeof *s->from);
    s->sums = calloc((size_t)room + 1, sizeof *s->sums);
    s->shard = calloc((size_t)room + 2, sizeof *s->shard);
    if (s->list && s->from && s->sums && s->shard) return OK;
    return FAIL(ERR_NOMEM, "no memory for a table of %" PRId64 " tensors to save; free some memory", room);
}

static void set_free(struct set *s) {
    free(s->list);
    free(s->from);
    free(s->sums);
    free(s->shard);
}

static err_t set_add(struct set *s, const char *prefix, const char *name, enum dtype dtype, int ndim, const int64_t *shape, struct origin from) {
    struct st_out *o = &s->list[s->count];
    int n = snprintf(o->name, sizeof o->name, "%s%s", prefix, name);
    ENSURE(n > 0 && n < (int)sizeof o->name);
    o->dtype = dtype;
    o->ndim = ndim;
    for (int i = 0; i < ndim; i++) o->shape[i] = shape[i];
    s->from[s->count++] = from;
    return OK;
}

static int64_t elements(const struct set *s, int64_t i) {
    int64_t n = 1;
    for (int k = 0; k < s->list[i].ndim; k++) n *= s->list[i].shape[k];
    return n;
}

static int64_t tensor_bytes(const struct set *s, int64_t i) { return elements(s, i) * dtype_bytes(s->list[i].dtype); }

/* As many tensors in each file as fit, in their order. */
static void set_cut(struct set *s, int64_t shard_bytes) {
    int64_t held = 0;
    s->shards = 1;
    for (int64_t i = 0; i < s->count; i++) {
        int64_t bytes = tensor_bytes(s, i);
        if (held > 0 && held + bytes > shard_bytes) {
            s->shard[s->shards++] = i;
            held = 0;
        }
        held += bytes;
    }
    s->shard[s->shards] = s->count;
}

/* A finite value that the file's type cannot hold would come back as an infinity. */
static err_t check_range(const struct st_out *o, int64_t at, const float *values, const uint16_t *narrow, int64_t n) {
    uint16_t inf = o->dtype == DT_F16 ? 0x7c00 : 0x7f80;
    for (int64_t i = 0; i < n; i++)
        if ((narrow[i] & inf) == inf && isfinite(values[i]))
            return FAIL(ERR_FAILED, "tensor %s: its value %g at element %" PRId64 " does not fit the dtype %s of its file; save it in a wider type",
                        o->name, (double)values[i], at + i, dtype_name(o->dtype));
    return OK;
}

/* Values into the type of the file, `out` having room for n of them. */
static err_t narrow(const struct st_out *t, int64_t at, const float *values, int64_t n, void *out) {
    dtype_convert(DT_F32, values, t->dtype, out, n);
    return t->dtype == DT_F32 ? OK : check_range(t, at, values, out, n);
}

/* Elements [from, to) of a file tensor are wanted; run has some of a param's, `values` in the file's type. */
static void place_run(const struct name_run *r, const void *values, int64_t each, int64_t from, int64_t to, char *out) {
    const int64_t below = from - r->file_at, first = below <= 0 ? 0 : (below + r->stride - 1) / r->stride;
    const int64_t above = to - r->file_at, end = above <= 0 ? 0 : i64_min(r->m, (above + r->stride - 1) / r->stride);
    if (first >= end) return;
    if (r->stride == 1) {
        memcpy(out + (r->file_at + first - from) * each, (const char *)values + first * each, (size_t)((end - first) * each));
    } else if (each == 4) {
        for (int64_t i = first; i < end; i++) ((float *)(void *)out)[r->file_at + i * r->stride - from] = ((const float *)values)[i];
    } else {
        for (int64_t i = first; i < end; i++) ((uint16_t *)(void *)out)[r->file_at + i * r->stride - from] = ((const uint16_t *)values)[i];
    }
}

static bool touches(const struct name_box *b, int64_t from_param, int64_t to_param, int64_t from, int64_t to) {
    for (struct name_run r = names_run(b, from_param); names_next(b, to_param, &r);)
        if (r.file_at < to && r.file_at + (r.m - 1) * r.stride >= from) return true;
    return false;
}

/* A param is read in the order of its elements, as much at a time as the scratch holds, and each value is put where the file has it. Where
 * a box is turned or interleaved it is read again for each part of the file tensor. */
static err_t feed_box(const struct feed *feed, const struct st_out *t, const struct name_box *b, int64_t from, int64_t to, char *out) {
    const struct ckpt_run *run = feed->f->run;
    const struct param *p = &run->params->list[b->param];
    const int64_t each = dtype_bytes(t->dtype);
    int64_t first = b->at, end = b->at + b->count;
    if (b->n[0] == 1 && b->n[1] == 1 && b->stride[2] == 1) { /* the same elements in the same order */
        first += i64_max(0, from - b->file_at);
        end = i64_min(end, b->at + to - b->file_at);
    }
    for (int64_t at = first; at < end; at += SCRATCH) {
        const int64_t m = i64_min(SCRATCH, end - at);
        if (!touches(b, at, at + m, from, to)) continue;
        TRY(run->read(run->ctx, CKPT_WEIGHT, p, at, m, feed->f->scratch));
        TRY(narrow(t, at, feed->f->scratch, m, feed->f->narrow));
        for (struct name_run r = names_run(b, at); names_next(b, at + m, &r);)
            place_run(&r, (const char *)feed->f->narrow + (r.at - at) * each, each, from, to, out);
    }
    return OK;
}

static err_t feed_found(const struct feed *feed, const struct origin *o, const struct st_out *t, int64_t from, int64_t n, char *out) {
    const struct ckpt_run *run = feed->f->run;
    if (o->found->dtype == t->dtype) return st_read(run->found, o->found, from, n, out);
    for (int64_t at = 0; at < n; at += SCRATCH) {
        const int64_t m = i64_min(SCRATCH, n - at);
        TRY(st_read_extra(run->found, run->spec, o->found, from + at, m, feed->f->scratch));
        TRY(narrow(t, from + at, feed->f->scratch, m, out + at * dtype_bytes(t->dtype)));
    }
    return OK;
}

static err_t feed_read(void *ctx, int64_t i, int64_t from, int64_t n, void *out) {
    const struct feed *feed = ctx;
    const struct ckpt_run *run = feed->f->run;
    const struct origin *o = &feed->set->from[feed->first + i];
    const struct st_out *t = &feed->set->list[feed->first + i];
    if (o->found) return feed_found(feed, o, t, from, n, out);
    if (o->param) return run->read(run->ctx, o->part, o->param, from, n, out); /* fp32 */
    for (int64_t k = o->tensor->box; k < o->tensor->box + o->tensor->boxes; k++) TRY(feed_box(feed, t, &feed->f->names->box[k], from, from + n, out));
    return OK;
}

static err_t put_text(struct folder *f, const char *name, const char *text, int64_t bytes) {
    char path[OS_PATH_MAX];
    unsigned char sum[SUM_BYTES];
    TRY(os_join(path, f->dir, name));
    TRY(os_write_all(path, text, bytes));
    sum_of(text, bytes, sum);
    manifest_add(&f->manifest, name, bytes, sum, NULL, 0, NULL);
    return OK;
}

/* The file at `from`, byte for byte. */
static err_t put_copy(struct folder *f, const char *name, const char *from) {
    char path[OS_PATH_MAX];
    int fd;
    int64_t bytes;
    TRY(os_join(path, f->dir, name));
    TRY(os_open_raw(from, &fd, &bytes));
    struct os_writer w = {0};
    XXH3_state_t state;
    unsigned char sum[SUM_BYTES];
    err_t err;
    TRY_OR(os_write_open(&w, path), done);
    sum_init(&state);
    for (int64_t at = 0; at < bytes; at += SCRATCH) {
        int64_t n = i64_min(SCRATCH, bytes - at);
        TRY_OR(os_read_at(fd, from, f->scratch, n, at), done);
        sum_add(&state, f->scratch, n);
        TRY_OR(os_write(&w, f->scratch, n), done);
    }
    TRY_OR(os_write_commit(&w), done);
    sum_end(&state, sum);
    manifest_add(&f->manifest, name, bytes, sum, NULL, 0, NULL);
done:
    os_write_abort(&w);
    os_close(fd);
    return err;
}

static err_t put_templates(struct folder *f, const char *from) {
    char path[OS_PATH_MAX], name[OS_PATH_MAX];
    char **names;
    int64_t count;
    TRY(os_join(path, f->dir, kept_folder));
    TRY(os_mkdirs(path));
    TRY(os_list(from, &names, &count));
    err_t err = OK;
    for (int64_t i = 0; i < count && err == OK; i++) {
        size_t n = strlen(names[i]);
        if (n < 7 || strcmp(names[i] + n - 6, ".jinja") != 0) continue;
        err = os_join(path, from, names[i]);
        if (err == OK) err = os_join(name, kept_folder, names[i]);
        if (err == OK) err = put_copy(f, name, path);
    }
    os_free_list(names, count);
    return err;
}

/* The kept files from number `first` on up to `end` that a folder has, without its tokenizer.json where another one goes there. */
static err_t put_from(struct folder *f, const char *dir, size_t first, size_t end) {
    char from[OS_PATH_MAX];
    for (size_t i = first; i < end; i++) {
        TRY(os_join(from, dir, kept[i]));
        if (f->run->tokenizer && strcmp(kept[i], "tokenizer.json") == 0) continue;
        if (os_exists(from)) TRY(put_copy(f, kept[i], from));
    }
    if (end < KEPT) return OK;
    TRY(os_join(from, dir, kept_folder));
    return os_is_dir(from) ? put_templates(f, from) : OK;
}

static err_t put_kept(struct folder *f) {
    const struct ckpt_run *run = f->run;
    if (run->copy_from) TRY(put_from(f, run->copy_from, 0, run->tokenizer ? KEPT_MODEL : KEPT));
    if (!run->tokenizer) return OK;
    TRY(put_copy(f, "tokenizer.json", run->tokenizer));
    return run->tokenizer_from ? put_from(f, run->tokenizer_from, KEPT_MODEL, KEPT) : OK;
}

static void shard_name(char name[64], const char *stem, int64_t i, int64_t n) {
    (void)snprintf(name, 64, "%s-%05" PRId64 "-of-%05" PRId64 ".safetensors", stem, i + 1, n);
}

/* `single`: the name where one file holds it all, or NULL. */
static err_t put_set(struct folder *f, struct set *s, const char *stem, const char *single) {
    static const char *const metadata[] = {"format", "pt", NULL};
    for (int64_t i = 0; i < s->shards; i++) {
        int64_t first = s->shard[i], count = s->shard[i + 1] - first, bytes;
        struct feed feed = {f, s, first};
        char name[64], path[OS_PATH_MAX];
        unsigned char sum[SUM_BYTES];
        if (single && s->shards == 1) (void)snprintf(name, sizeof name, "%s", single);
        else shard_name(name, stem, i, s->shards);
        TRY(os_join(path, f->dir, name));
        TRY(st_write_sized(path, s->list + first, count, metadata, feed_read, &feed, s->sums + first, sum, &bytes));
        manifest_add(&f->manifest, name, bytes, sum, s->list + first, count, s->sums + first);
    }
    return OK;
}

/* model.safetensors.index.json: which shard has which tensor, by name. */
static int by_list_name(const void *a, const void *b, void *list) {
    const struct st_out *l = list;
    return strcmp(l[*(const int64_t *)a].name, l[*(const int64_t *)b].name);
}

static err_t put_index(struct folder *f, const struct set *s) {
    struct text t = {0};
    int64_t total = 0, all = 0, *order = malloc(sizeof *order * (size_t)(s->count + 1));
    if (!order) return FAIL(ERR_NOMEM, "no memory for the names of %" PRId64 " tensors; free some memory", s->count);
    for (int64_t i = 0; i < s->count; i++) {
        order[i] = i;
        total += tensor_bytes(s, i);
        all += elements(s, i);
    }
    qsort_r(order, (size_t)s->count, sizeof *order, by_list_name, s->list);
    text_add(&t, "{\n  \"metadata\": {\n    \"total_parameters\": %" PRId64 ",\n    \"total_size\": %" PRId64 "\n  },\n  \"weight_map\": {", all,
             total);
    for (int64_t i = 0; i < s->count; i++) {
        char name[64];
        int64_t which = order[i], lo = 0, hi = s->shards;
        while (hi - lo > 1) { /* the shard whose tensors begin at or before `which` */
            int64_t mid = lo + (hi - lo) / 2;
            if (s->shard[mid] <= which) lo = mid;
            else hi = mid;
        }
        shard_name(name, "model", lo, s->shards);
        text_add(&t, "%s\n    ", i ? "," : "");
        text_quote(&t, s->list[which].name);
        text_add(&t, ": \"%s\"", name);
    }
    text_add(&t, "\n  }\n}\n");
    free(order);
    err_t err = text_check(&t);
    if (err == OK) err = put_text(f, WEIGHTS_INDEX, t.s, t.bytes);
    text_free(&t);
    return err;
}

/* The tensor of the folder found that is just what is to be written, or NULL. */
static const struct tensor_info *same_as_found(const struct ckpt_run *run, const struct file_tensor *t, enum dtype dtype) {
    const struct tensor_info *found = run->as_found && run->found ? st_find(run->found, t->name) : NULL;
    bool same = found && found->dtype == dtype && found->ndim == t->ndim;
    for (int i = 0; same && i < t->ndim; i++) same = found->shape[i] == t->shape[i];
    return same ? found : NULL;
}

static err_t put_weights(struct folder *f, int64_t shard_bytes) {
    const struct ckpt_run *run = f->run;
    const int64_t extras = run->extras ? run->extras->count : 0;
    struct set s;
    err_t err;
    TRY_OR(set_new(&s, f->names->count + extras), done);
    for (int64_t i = 0; i < f->names->count; i++) {
        const struct file_tensor *t = &f->names->list[i];
        const struct origin from = {.tensor = t, .found = same_as_found(run, t, run->file_dtype[i])};
        TRY_OR(set_add(&s, "", t->name, run->file_dtype[i], t->ndim, t->shape, from), done);
    }
    for (int64_t i = 0; i < extras; i++) {
        const struct tensor_info *t = st_at(run->found, run->extras->list[i]);
        const enum dtype dtype = t->dtype == DT_F8_E4M3 ? run->unpacked : t->dtype;
        TRY_OR(set_add(&s, "", t->name, dtype, t->ndim, t->shape, (struct origin){.found = t}), done);
    }
    set_cut(&s, shard_bytes);
    TRY_OR(put_set(f, &s, "model", WEIGHTS_NAME), done);
    if (s.shards > 1) TRY_OR(put_index(f, &s), done);
done:
    set_free(&s);
    return err;
}

static err_t put_optim(struct folder *f, int64_t shard_bytes) {
    static const char *const prefix[] = {[CKPT_WEIGHT] = "master.", [CKPT_EXP_AVG] = "exp_avg.", [CKPT_EXP_AVG_SQ] = "exp_avg_sq."};
    const struct params *p = f->run->params;
    struct set s;
    err_t err;
    TRY_OR(set_new(&s, 3 * p->count), done);
    for (int64_t i = 0; i < p->count; i++)
        for (int part = CKPT_WEIGHT; part <= CKPT_EXP_AVG_SQ; part++) {
            const struct param *t = &p->list[i];
            const struct origin from = {.param = t, .part = (enum ckpt_part)part};
            if (part == CKPT_WEIGHT && f->run->file_dtype[names_of_param(f->names, t) - f->names->list] == DT_F32) continue;
            TRY_OR(set_add(&s, prefix[part], t->name, DT_F32, t->ndim, t->shape, from), done);
        }
    set_cut(&s, shard_bytes);
    err = put_set(f, &s, "optim", NULL);
done:
    set_free(&s);
    return err;
}

static err_t state_read(void *ctx, int64_t i, int64_t from, int64_t n, void *out) {
    const struct ckpt_run *run = ctx;
    size_t each = (size_t)dtype_bytes(run->state[i].dtype);
    memcpy(out, (const char *)run->state_data[i] + (size_t)from * each, (size_t)n * each);
    return OK;
}

static err_t put_state(struct folder *f) {
    const struct ckpt_run *run = f->run;
    char path[OS_PATH_MAX];
    unsigned char sum[SUM_BYTES];
    int64_t bytes;
    TRY(os_join(path, f->dir, "run.safetensors"));
    unsigned char(*sums)[SUM_BYTES] = calloc((size_t)run->state_count + 1, sizeof *sums);
    if (!sums) return FAIL(ERR_NOMEM, "no memory for %" PRId64 " checksums of the run's state; free some memory", run->state_count);
    err_t err = st_write_sized(path, run->state, run->state_count, run->state_metadata, state_read, (void *)run, sums, sum, &bytes);
    if (err == OK) manifest_add(&f->manifest, "run.safetensors", bytes, sum, run->state, run->state_count, sums);
    free(sums);
    return err;
}

err_t folder_write(const char *dir, enum manifest_kind kind, const struct ckpt_run *run, int64_t shard_bytes) {
    struct names plain = {0};
    struct folder f = {
        .dir = dir, .run = run, .names = run->names, .scratch = malloc(SCRATCH * sizeof(float)), .narrow = malloc(SCRATCH * sizeof(float))};
    err_t err = f.scratch && f.narrow ? OK : FAIL(ERR_NOMEM, "no memory to save %s; free some memory", dir);
    manifest_begin(&f.manifest, kind);
    if (err == OK && !run->names) {
        err = names_plain(run->params, NULL, &plain);
        f.names = &plain;
    }
    if (err != OK) goto done;
    TRY_OR(put_text(&f, "config.json", run->config_json, (int64_t)strlen(run->config_json)), done);
    if (run->record) TRY_OR(put_text(&f, CKPT_RECORD, run->record, (int64_t)strlen(run->record)), done);
    TRY_OR(put_kept(&f), done);
    TRY_OR(put_weights(&f, shard_bytes), done);
    if (kind == MANIFEST_CHECKPOINT) {
        TRY_OR(put_optim(&f, shard_bytes), done);
        TRY_OR(put_state(&f), done);
    }
    err = manifest_write(&f.manifest, dir);
done:
    manifest_drop(&f.manifest);
    names_free(&plain);
    free(f.scratch);
    free(f.narrow);
    return err;
}
