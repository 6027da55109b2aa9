/* The oracle against what transformers computed in float64: logits, losses, every gradient, ten AdamW steps. The bounds are
 * those of the golden files, some five times the worst that transformers' own float32 is off over 16 such models (logits
 * 5.7e-7, losses and norm 2e-7, gradients 2.7e-6, a step's loss 3.3e-6, weights after ten steps 4.9e-6).
 * Other folders of the same format: build/tests/ref/test_golden DIR ...; MOP_TEST_VERBOSE=1 prints every error. */
#include "test.h"

#include "base/os.h"
#include "ckpt/ckpt.h"
#include "ref/ref.c" // NOLINT(bugprone-suspicious-include): the oracle is no part of the library

enum { CONFIG_MAX = 1 << 20 };
static const double BOUND_LOGITS = 3e-6, BOUND_LOSS = 2e-6, BOUND_GRAD = 1.5e-5, BOUND_STEP_LOSS = 1e-5, BOUND_AFTER = 3e-5;

/* All of a golden tensor as fp32, `count` elements or the test ends. Owned by the caller. */
static float *golden(const struct st_reader *r, const char *prefix, const char *name, int64_t count) {
    char full[CKPT_NAME_MAX];
    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct tensor_info *t = st_find(r, full);
    if (!CASE(t && t->count == count, "%s with %lld elements is in the golden file", full, (long long)count)) exit(test_end());
    float *out = calloc((size_t)count, sizeof *out);
    if (!out) exit(2);
    NEED(st_read_f32(r, t, 0, count, out));
    return out;
}

/* |got - want|_2 / |want|_2; where |want| vanishes, |got - want|_2 itself against 1e-9. Not-a-number fails either way. */
static void compare(const char *what, const char *name, const float *got, const float *want, int64_t count, double bound) {
    double diff = 0, norm_want = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)got[i] - (double)want[i];
        diff += d * d;
        norm_want += (double)want[i] * (double)want[i];
    }
    bool tiny = sqrt(norm_want) < 1e-12;
    double err = sqrt(tiny ? diff : diff / norm_want);
    CASE(err <= (tiny ? 1e-9 : bound), "%s %s: %s error %.3g, bound %.3g", what, name, tiny ? "absolute" : "relative", err, tiny ? 1e-9 : bound);
    if (getenv("MOP_TEST_VERBOSE")) (void)printf("%-8s %-50s %.3g\n", what, name, err);
}

/* Every trained tensor of the files, out of numbers in flat order. */
static void compare_tensors(const struct st_reader *gold, const char *prefix, const struct names *names, const float *flat, double bound) {
    for (int64_t i = 0; i < names->count; i++) {
        const struct file_tensor *t = &names->list[i];
        if (!t->trained) continue;
        float *want = golden(gold, prefix, t->name, t->count), *got = calloc((size_t)t->count, sizeof *got);
        if (!got) exit(2);
        names_gather(names, t, flat, got);
        compare(prefix, t->name, got, want, t->count, bound);
        free(got);
        free(want);
    }
}

static double number(const struct st_reader *r, const char *key) {
    const char *text = st_metadata(r, key);
    CASE(text != NULL, "metadata has %s", key);
    if (!text) exit(test_end());
    return strtod(text, NULL);
}

static void check_folder(const char *dir) {
    char path[OS_PATH_MAX], *text;
    int64_t bytes;
    struct spec s;
    struct params p;
    struct names names;
    struct st_reader *in, *gold;
    NEED(os_join(path, dir, "config.json"));
    NEED(os_read_all(path, CONFIG_MAX, &text, &bytes));
    NEED(spec_from_json(path, text, bytes, &s));
    free(text);
    NEED(params_build(&s, &p));
    NEED(st_open_folder(dir, &in));
    NEED(st_find_names(in, &s, &p, &names));
    NEED(st_check_model(in, &s, &names, NULL));
    NEED(os_join(path, dir, "golden.safetensors"));
    NEED(st_open_file(path, &gold));

    const struct tensor_info *ids_info = st_find(gold, "input_ids");
    if (!CASE(ids_info && ids_info->ndim == 2 && ids_info->dtype == DT_I64, "input_ids of %s", dir)) exit(test_end());
    int64_t rows = ids_info->shape[0], seq = ids_info->shape[1], n = rows * seq;
    int64_t *ids64 = calloc((size_t)n, sizeof *ids64);
    int32_t *ids = calloc((size_t)(4 * n), sizeof *ids), *targets = ids + n, *positions = ids + 2 * n, *doc_start = ids + 3 * n;
    float *w = calloc((size_t)p.elements, sizeof *w), *g = calloc((size_t)p.elements, sizeof *g), *m = calloc((size_t)p.elements, sizeof *m),
          *v = calloc((size_t)p.elements, sizeof *v), *logits = calloc((size_t)(n * s.vocab), sizeof *logits);
    if (!ids64 || !ids || !w || !g || !m || !v || !logits) exit(2);
    NEED(st_read(gold, ids_info, 0, n, ids64));
    for (int64_t t = 0; t < n; t++) {
        ids[t] = (int32_t)ids64[t];
        targets[t] = t % seq + 1 < seq ? (int32_t)ids64[t + 1] : REF_NO_TARGET;
        positions[t] = (int32_t)(t % seq);
    }
    for (int64_t i = 0; i < p.count; i++) {
        const struct param *t = &p.list[i];
        NEED(st_read_param(in, &s, &names, t, 0, t->count, w + t->offset));
    }
    struct ref_batch b = {.rows = rows, .seq = seq, .ids = ids, .targets = targets, .positions = positions, .doc_start = doc_start};
    struct ref_out out = {.logits = logits};
    struct ref_adamw a = {.lr = number(gold, "lr"),
                          .beta1 = number(gold, "beta1"),
                          .beta2 = number(gold, "beta2"),
                          .eps = number(gold, "eps"),
                          .weight_decay = number(gold, "weight_decay")};
    double clip = number(gold, "clip"), coef = number(gold, "router_aux_loss_coef"), per_target = 1 / (double)(rows * (seq - 1));
    int64_t steps = (int64_t)number(gold, "steps");
    float *losses = golden(gold, "", "losses", steps);

    for (a.step = 1; a.step <= steps; a.step++) {
        memset(g, 0, (size_t)p.elements * sizeof *g);
        NEED(ref_forward_backward(&s, &p, w, &b, per_target, coef, g, &out));
        double loss = out.loss_sum * per_target, total = loss + coef * out.aux, norm_now = ref_grad_norm(&p, g);
        CASE(fabs(total - (double)losses[a.step - 1]) <= BOUND_STEP_LOSS, "%s: loss of step %d is %.9g, golden %.9g", dir, (int)a.step, total,
             (double)losses[a.step - 1]);
        if (a.step == 1) {
            float *want = golden(gold, "", "logits", n * s.vocab);
            compare(dir, "logits", logits, want, n * s.vocab, BOUND_LOGITS);
            free(want);
            const struct {
                const char *name;
                double value;
            } scalar[] = {{"loss", loss}, {"aux_loss", out.aux}, {"total_loss", total}, {"grad_norm", norm_now}};
            for (int i = 0; i < 4; i++) {
                want = golden(gold, "", scalar[i].name, 1);
                float got = (float)scalar[i].value;
                compare(dir, scalar[i].name, &got, want, 1, BOUND_LOSS);
                free(want);
            }
            compare_tensors(gold, "grad/", &names, g, BOUND_GRAD);
        }
        ref_clip(&p, norm_now, clip, g);
        ref_adamw_step(&p, &a, g, w, m, v);
    }
    compare_tensors(gold, "after10/", &names, w, BOUND_AFTER);
    free(losses);
    free(ids64);
    free(ids);
    free(w);
    free(g);
    free(m);
    free(v);
    free(logits);
    st_close(gold);
    st_close(in);
    names_free(&names);
    params_free(&p);
}

/* Qwen3.5 as the Hub has it (text_config, a prefix, stacked experts, tensors of no use to a text model) has the weights of the plain folder. */
static void check_same_model(const char *dir, const char *other) {
    const char *const dirs[2] = {dir, other};
    float *w[2];
    int64_t elements = 0;
    for (int i = 0; i < 2; i++) {
        char path[OS_PATH_MAX], *text;
        int64_t bytes;
        struct spec s;
        struct params p;
        struct names names;
        struct st_reader *in;
        NEED(os_join(path, dirs[i], "config.json"));
        NEED(os_read_all(path, CONFIG_MAX, &text, &bytes));
        NEED(spec_from_json(path, text, bytes, &s));
        NEED(params_build(&s, &p));
        NEED(st_open_folder(dirs[i], &in));
        NEED(st_find_names(in, &s, &p, &names));
        struct st_extras extras = {.list = calloc((size_t)st_count(in) + 1, sizeof *extras.list)};
        w[i] = calloc((size_t)p.elements, sizeof **w);
        if (!w[i] || !extras.list) exit(2);
        NEED(st_check_model(in, &s, &names, &extras));
        for (int64_t t = 0; t < p.count; t++) NEED(st_read_param(in, &s, &names, &p.list[t], 0, p.list[t].count, w[i] + p.list[t].offset));
        CASE(i == 0 || p.elements == elements, "%s and %s have as many weights", dir, other);
        elements = p.elements;
        free(extras.list);
        free(text);
        st_close(in);
        names_free(&names);
        params_free(&p);
    }
    CASE(memcmp(w[0], w[1], (size_t)elements * sizeof **w) == 0, "%s and %s are one model", dir, other);
    free(w[0]);
    free(w[1]);
}

int main(int argc, char **argv) {
    static const char *const folders[] = {"olmoe",     "qwen3_moe",  "mixtral",    "gpt_oss",     "glm4_moe",      "deepseek_v3",
                                          "qwen2_moe", "minimax_m2", "qwen3_next", "qwen3_5_moe", "glm4_moe_lite", "deepseek_moonlight"};
    for (int i = 1; i < argc; i++) check_folder(argv[i]);
    for (size_t i = 0; argc == 1 && i < sizeof folders / sizeof *folders; i++) {
        char dir[OS_PATH_MAX];
        NEED(os_join(dir, "tests/golden", folders[i]));
        check_folder(dir);
    }
    check_same_model("tests/golden/qwen3_5_moe", "tests/golden/qwen3_5_moe_hub");
    return test_end();
}
