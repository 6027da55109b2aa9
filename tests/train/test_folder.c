/* A Hugging Face folder given back by train.steps=0: a tied model with and without the head that some files store beside the
 * embedding, in each weight dtype. */
#include "../equiv/tiny.h"

#include "base/os.h"

struct stored {
    const struct model_src *src;
    enum dtype dtype;
};

/* Values of tensor i; the one behind the model's own is the head, which equals the embedding. */
static err_t value(void *ctx, int64_t i, int64_t from, int64_t n, void *out) {
    const struct stored *s = ctx;
    const struct params *p = &s->src->params;
    float *x = malloc(sizeof *x * (size_t)n);
    if (!x) return FAIL(ERR_NOMEM, "no memory for a test's tensor");
    params_init(&s->src->spec, i < p->count ? &p->list[i] : params_at(p, PARAM_EMBED, -1, -1), 5, from, n, x);
    dtype_convert(DT_F32, x, s->dtype, out, n);
    free(x);
    return OK;
}

static void write_folder(const char *dir, int which, const struct model_src *src, enum dtype dtype, bool head) {
    const struct params *p = &src->params;
    struct st_out *list = calloc((size_t)p->count + 1, sizeof *list);
    struct stored s = {src, dtype};
    unsigned char sum[16];
    char path[OS_PATH_MAX];
    if (!list) exit(2);
    for (int64_t i = 0; i <= p->count; i++) {
        const struct param *t = i < p->count ? &p->list[i] : params_at(p, PARAM_EMBED, -1, -1);
        (void)snprintf(list[i].name, sizeof list[i].name, "%s", i < p->count ? t->name : "lm_head.weight");
        list[i].dtype = dtype;
        list[i].ndim = t->ndim;
        memcpy(list[i].shape, t->shape, sizeof t->shape);
    }
    NEED(os_mkdirs(dir));
    NEED(os_join(path, dir, "config.json"));
    NEED(os_write_all(path, tiny_configs[which].json, (int64_t)strlen(tiny_configs[which].json)));
    NEED(os_join(path, dir, "model.safetensors"));
    NEED(st_write_file(path, list, p->count + head, NULL, value, &s, NULL, sum));
    free(list);
}

/* Every tensor of `a` in `b`, with its dtype and bytes, and none besides. */
static void same_tensors(const char *a, const char *b, const char *what) {
    struct st_reader *x, *y;
    NEED(st_open_folder(a, &x));
    NEED(st_open_folder(b, &y));
    CASE(st_count(x) == st_count(y), "%s: %lld tensors in, %lld out", what, (long long)st_count(x), (long long)st_count(y));
    for (int64_t i = 0; i < st_count(x); i++) {
        const struct tensor_info *s = st_at(x, i), *t = st_find(y, s->name);
        char *p = malloc((size_t)s->bytes + 1), *q = malloc((size_t)s->bytes + 1);
        bool same = t && t->dtype == s->dtype && t->bytes == s->bytes && p && q;
        if (same) same = st_read(x, s, 0, s->count, p) == OK && st_read(y, t, 0, s->count, q) == OK && memcmp(p, q, (size_t)s->bytes) == 0;
        CASE(same, "%s: %s comes back as it was", what, s->name);
        free(p);
        free(q);
    }
    st_close(x);
    st_close(y);
}

int main(void) {
    static const enum dtype dtypes[] = {DT_F32, DT_BF16, DT_F16};
    enum { TIED = 1 }; /* of tiny_configs */
    for (int i = 0; i < 6; i++) {
        const enum dtype dtype = dtypes[i % 3];
        const bool head = i >= 3;
        struct model_src made, found;
        char in[OS_PATH_MAX], out[OS_PATH_MAX], name[64];
        (void)snprintf(name, sizeof name, "%s-%s", dtype_name(dtype), head ? "head" : "bare");
        NEED(os_join(in, test_dir(), name));
        (void)snprintf(name, sizeof name, "%s-%s-out", dtype_name(dtype), head ? "head" : "bare");
        NEED(os_join(out, test_dir(), name));
        tiny_open(TIED, &made);
        CASE(made.spec.tied, "the model is tied");
        write_folder(in, TIED, &made, dtype, head);
        const struct model_opts o = {.init = in};
        NEED(model_src_open(&o, NULL, 0, &found));
        CASE_OK(state_save_found(&found, &(struct job){.out = out}));
        same_tensors(in, out, name);
        model_src_close(&found);
        model_src_close(&made);
    }
    CASE_OK(os_remove_tree(test_dir()));
    return test_end();
}
