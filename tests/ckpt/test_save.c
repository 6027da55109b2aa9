/* Writing: what is saved comes back, in any cut into files; a model takes another's place whole. */
#include "ckpt/ckpt_int.h"
#include "tests/ckpt/model.h"

#include <inttypes.h>
#include <math.h>

static bool is_clean(const char *dir, int64_t *files) {
    int64_t tensors;
    return verify_to(NULL, dir, files, &tensors) == OK;
}

static bool same_bytes(const char *a, const char *b) {
    char *x, *y;
    int64_t n, m;
    if (os_read_all(a, 1 << 24, &x, &n) != OK) return false;
    if (os_read_all(b, 1 << 24, &y, &m) != OK) {
        free(x);
        return false;
    }
    bool same = n == m && memcmp(x, y, (size_t)n) == 0;
    free(x);
    free(y);
    return same;
}

struct bytes_of {
    const unsigned char *data[4];
    int each[4];
};
static err_t bytes_read(void *ctx, int64_t i, int64_t from, int64_t n, void *out) {
    const struct bytes_of *b = ctx;
    memcpy(out, b->data[i] + from * b->each[i], (size_t)n * (size_t)b->each[i]);
    return OK;
}

/* The file itself: names that need quoting, wider types first, sums as the library computes them. */
static void test_file(void) {
    char path[OS_PATH_MAX], *whole;
    int64_t bytes;
    unsigned char data[64], sums[4][16], file_sum[16], want[16];
    for (int i = 0; i < 64; i++) data[i] = (unsigned char)(i * 5);
    struct st_out list[4] = {{.name = "u8", .dtype = DT_U8, .ndim = 1, .shape = {3}},
                             {.name = "b\"\\\t\xc3\xa9", .dtype = DT_BF16, .ndim = 2, .shape = {2, 2}},
                             {.name = "wide", .dtype = DT_I64, .ndim = 0},
                             {.name = "empty", .dtype = DT_F32, .ndim = 2, .shape = {0, 7}}};
    struct bytes_of b = {{data, data + 8, data + 16, data}, {1, 2, 8, 4}};
    const char *const metadata[] = {"k\n", "v\x01", "format", "pt", NULL};
    (void)path_in(path, test_dir(), "file.safetensors");
    /* a tab in a name is written as it is asked for, and refused when it is read */
    NEED(st_write_file(path, list, 4, metadata, bytes_read, &b, sums, file_sum));
    struct st_reader *r;
    CASE_ERR(st_open_file(path, &r), ERR_FORMAT, "control character 9");
    list[1].name[3] = '/';
    NEED(st_write_file(path, list, 4, metadata, bytes_read, &b, sums, file_sum));
    NEED(os_read_all(path, 1 << 20, &whole, &bytes));
    sum_of(whole, bytes, want);
    CASE(memcmp(want, file_sum, 16) == 0, "the file's sum is that of its bytes");
    sum_of(data + 8, 8, want);
    CASE(memcmp(want, sums[1], 16) == 0, "a tensor's sum is that of its bytes");
    sum_of("", 0, want);
    CASE(memcmp(want, sums[3], 16) == 0, "an empty tensor has the sum of nothing");
    CASE((unsigned char)whole[0] % 8 == 0 && whole[1] == 1, "the header is padded to 8 bytes");
    free(whole);
    NEED(st_open_file(path, &r));
    CASE(st_count(r) == 4, "all tensors come back");
    const struct tensor_info *wide = st_find(r, "wide"), *two = st_find(r, "b\"\\/\xc3\xa9");
    CASE(wide && two && wide->offset % 8 == 0 && two->offset % 2 == 0 && wide->offset < two->offset, "wider types first");
    unsigned char back[8];
    NEED(st_read(r, two, 0, 4, back));
    CASE(memcmp(back, data + 8, 8) == 0, "bytes as given");
    CASE(strcmp(st_metadata(r, "k\n"), "v\x01") == 0, "metadata comes back");
    st_close(r);
    NEED(st_write_file(path, list, 0, NULL, bytes_read, &b, NULL, file_sum));
    NEED(st_open_file(path, &r));
    CASE(st_count(r) == 0, "a file without tensors");
    st_close(r);
    char hex[SUM_HEX];
    sum_of("", 0, want);
    sum_hex(want, hex);
    CASE(strcmp(hex, "99aa06d3014798d86001c324468d497f") == 0, "XXH3-128 of nothing is the published %s", hex);
}

static void test_round_trip(void) {
    char dir[OS_PATH_MAX];
    struct model m;
    struct st_reader *r;
    int64_t files;
    static const enum dtype types[] = {DT_F32, DT_BF16, DT_F16};
    for (int t = 0; t < 3; t++) {
        model_init(&m, 3 + t, 1, 5);
        for (int i = 0; i < MODEL_TENSORS; i++) m.file_dtype[i] = types[t];
        NEED(ckpt_save_model(fresh(dir, "round"), &m.run));
        CASE(same_weights(&m, dir), "%s comes back", dtype_name(types[t]));
        CASE(is_clean(dir, &files) && files == 3, "%s: config, weights and manifest are vouched for", dtype_name(types[t]));
    }
    /* larger than the buffer that it streams through, in each type */
    model_init(&m, 9, 1, CKPT_BUFFER / 8 + 77);
    NEED(ckpt_save_model(fresh(dir, "round"), &m.run));
    CASE(same_weights(&m, dir) && is_clean(dir, &files), "tensors larger than the buffer");
    NEED(st_open_folder(dir, &r));
    CASE(strcmp(st_metadata(r, "format"), "pt") == 0, "metadata format is pt");
    st_close(r);
}

static err_t read_big(void *ctx, enum ckpt_part part, const struct param *p, int64_t from, int64_t n, float *out) {
    (void)part;
    for (int64_t i = 0; i < n; i++) out[i] = from + i == 2 && p->kind == PARAM_HEAD ? *(float *)ctx : 1.0F;
    return OK;
}

static void test_range(void) {
    char dir[OS_PATH_MAX];
    struct model m;
    float value;
    static const struct {
        float value;
        bool fits;
    } f16[] = {{65504, true}, {65519.9F, true}, {65520, false}, {-65520, false}, {1e30F, false}, {INFINITY, true}, {1e-30F, true}};
    model_init(&m, 1, 1, 5);
    m.run.read = read_big;
    m.run.ctx = &value;
    for (size_t i = 0; i < sizeof f16 / sizeof f16[0]; i++) {
        value = f16[i].value;
        if (f16[i].fits) CASE_OK(ckpt_save_model(fresh(dir, "range"), &m.run));
        else CASE_ERR(ckpt_save_model(fresh(dir, "range"), &m.run), ERR_FAILED, "tensor lm_head.weight: its value");
        CASE(f16[i].fits == os_exists(PATH(dir, "model.safetensors")) && !os_exists(PATH(dir, "model.part")), "%g leaves all or nothing",
             (double)value);
    }
    m.file_dtype[3] = DT_BF16;
    value = 3.4e38F;
    CASE_ERR(ckpt_save_model(fresh(dir, "range"), &m.run), ERR_FAILED, "does not fit the dtype BF16");
}

/* The tensors cut into files in every way from one file each to one for all. */
static void test_shards(void) {
    char dir[OS_PATH_MAX];
    struct model m;
    int64_t files;
    model_init(&m, 4, 1, 5); /* 80, 24, 6 and 40 bytes */
    static const struct {
        int64_t bytes;
        int shards;
    } cut[] = {{1, 4}, {30, 3}, {79, 2}, {80, 2}, {104, 2}, {110, 2}, {149, 2}, {150, 1}};
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        NEED(save_model(fresh(dir, "shards"), &m.run, cut[i].bytes));
        char last[64];
        (void)snprintf(last, sizeof last, "model-%05d-of-%05d.safetensors", cut[i].shards, cut[i].shards);
        CASE(os_exists(PATH(dir, cut[i].shards > 1 ? last : "model.safetensors")), "%d bytes make %d files", (int)cut[i].bytes, cut[i].shards);
        CASE(os_exists(PATH(dir, WEIGHTS_INDEX)) == (cut[i].shards > 1), "an index where there are shards");
        CASE(same_weights(&m, dir) && is_clean(dir, &files) && files == cut[i].shards + (cut[i].shards > 1) + 2, "%d shards come back",
             cut[i].shards);
    }
    /* from any to any, in place: nothing of the old stays */
    for (size_t i = 0; i < 2 * sizeof cut / sizeof cut[0]; i++) {
        size_t j = i * 5 % (sizeof cut / sizeof cut[0]);
        model_init(&m, (int)i, 1, 5);
        put_file(PATH(dir, "model.bin"), "mine", 4);
        NEED(save_model(dir, &m.run, cut[j].bytes));
        char **names;
        int64_t count;
        NEED(os_list(dir, &names, &count));
        os_free_list(names, count);
        CASE(same_weights(&m, dir) && is_clean(dir, &files) && count == files + 1, "save %d into %d shards in place", (int)i, cut[j].shards);
    }
    CASE(has_text(PATH(dir, "model.bin"), "mine"), "other files are left alone");
    put_file(PATH(dir, "model-00007-of-00009.safetensors"), "x", 1);
    CASE(!is_clean(dir, &files), "weights that nobody vouches for are found");
}

static void test_kept(void) {
    char from[OS_PATH_MAX], dir[OS_PATH_MAX], dir2[OS_PATH_MAX], templates[OS_PATH_MAX];
    struct model m;
    int64_t files;
    static const char *const names[] = {
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",  "vocab.json",
        "merges.txt",     "tokenizer.model",       "chat_template.jinja",     "chat_template.json", "generation_config.json"};
    enum { NAMES = sizeof names / sizeof names[0] };
    (void)fresh(from, "from");
    (void)fresh(dir, "kept");
    (void)fresh(dir2, "kept2");
    char *big = malloc(300001); /* more than one step of the copy */
    if (!big) exit(2);
    for (int i = 0; i < 300001; i++) big[i] = (char)(i * 31 >> 3);
    for (int i = 0; i < NAMES; i++) put_file(PATH(from, names[i]), big, i == 0 ? 300001 : i);
    NEED(os_mkdirs(path_in(templates, from, "additional_chat_templates")));
    put_file(PATH(templates, "rag.jinja"), "{{x}}", 5);
    put_file(PATH(templates, "readme"), "no", 2);
    put_file(PATH(from, "pytorch_model.bin"), "no", 2);
    put_file(PATH(from, "model.safetensors"), "no", 2);
    model_init(&m, 1, 1, 5);
    m.run.copy_from = from;
    NEED(ckpt_save_model(dir, &m.run));
    for (int i = 0; i < NAMES; i++) CASE(same_bytes(PATH(from, names[i]), PATH(dir, names[i])), "%s is kept", names[i]);
    CASE(has_text(PATH(dir, "additional_chat_templates/rag.jinja"), "{{x}}"), "additional templates are kept");
    CASE(!os_exists(PATH(dir, "additional_chat_templates/readme")) && !os_exists(PATH(dir, "pytorch_model.bin")), "nothing else is");
    CASE(is_clean(dir, &files) && files == NAMES + 4, "all of it is vouched for");
    put_file(PATH(dir, "vocab.json"), "x", 1);
    CASE(!is_clean(dir, &files), "a kept file is watched");
    m.run.copy_from = dir;
    NEED(ckpt_save_model(dir, &m.run));
    CASE(has_text(PATH(dir, "vocab.json"), "x") && is_clean(dir, &files) && files == NAMES + 4, "a folder may be its own source");
    m.run.tokenizer = PATH(from, "merges.txt");
    NEED(ckpt_save_model(dir2, &m.run));
    CASE(same_bytes(PATH(dir2, "tokenizer.json"), m.run.tokenizer), "a tokenizer that was given goes before the folder's");
    CASE(same_bytes(PATH(dir2, "generation_config.json"), PATH(dir, "generation_config.json")) && !os_exists(PATH(dir2, "vocab.json")) &&
             !os_exists(PATH(dir2, "additional_chat_templates")),
         "which keeps what is the model's, and nothing of its tokenizer");
    char other[512];
    NEED(os_mkdirs(path_in(other, from, "other")));
    put_file(PATH(other, "special_tokens_map.json"), "{}", 2);
    put_file(PATH(other, "tokenizer.json"), "no", 2);
    put_file(PATH(other, "generation_config.json"), "no", 2);
    m.run.tokenizer_from = other;
    NEED(ckpt_save_model(fresh(dir2, "kept2"), &m.run));
    CASE(same_bytes(PATH(dir2, "tokenizer.json"), m.run.tokenizer) && has_text(PATH(dir2, "special_tokens_map.json"), "{}") &&
             same_bytes(PATH(dir2, "generation_config.json"), PATH(dir, "generation_config.json")),
         "what lies beside it goes along");
    m.run.tokenizer_from = NULL;
    m.run.copy_from = NULL;
    NEED(ckpt_save_model(fresh(dir2, "kept2"), &m.run));
    CASE(same_bytes(PATH(dir2, "tokenizer.json"), m.run.tokenizer), "and where there is no folder to copy from");
    m.run.tokenizer = PATH(from, "nowhere.json");
    CASE_ERR(ckpt_save_model(dir2, &m.run), ERR_IO, "nowhere.json");
    CASE(is_clean(dir2, &files), "a failed save leaves the model that was there");
    free(big);
}

static void test_checkpoints(void) {
    char out[OS_PATH_MAX], path[OS_PATH_MAX];
    struct model m, wide;
    struct ckpt_in in;
    int64_t step, files, *steps, count;
    (void)fresh(out, "run");
    CASE_OK(ckpt_newest(PATH(out, "not there"), &step));
    CASE(step == -1, "no folder, no checkpoint");
    CASE_OK(ckpt_newest(out, &step));
    CASE(step == -1, "an empty folder has none");
    for (int64_t s = 1; s <= 5; s++) {
        model_init(&m, (int)s, s * 10, 5);
        NEED(save_checkpoint(out, s * 10, s == 5 ? 2 : 0, &m.run, s % 2 ? CKPT_SHARD_BYTES : 100));
        NEED(ckpt_newest(out, &step));
        CASE(step == s * 10 && same_checkpoint(&m, out, step), "checkpoint of step %d", (int)(s * 10));
    }
    NEED(steps_list(out, &steps, &count));
    CASE(count == 2 && steps[0] == 40 && steps[1] == 50, "the newest two stay");
    free(steps);
    CASE(is_clean(out, &files), "both are as written");
    model_init(&m, 77, 50, 5);
    NEED(ckpt_save(out, 50, 2, &m.run));
    CASE(same_checkpoint(&m, out, 50) && is_clean(out, &files), "a checkpoint of the same step is replaced");
    model_init(&m, 78, 7, 5);
    NEED(ckpt_save(out, 7, 1, &m.run));
    CASE(same_checkpoint(&m, out, 7), "the one just saved stays, whatever its step");
    model_init(&m, 1, 60, 5);
    for (int i = 0; i < MODEL_TENSORS; i++) m.file_dtype[i] = DT_F32;
    NEED(ckpt_save(out, 60, 1, &m.run));
    CASE(same_checkpoint(&m, out, 60), "fp32 weights are their own masters");
    NEED(ckpt_open(out, 60, &in));
    CASE(!st_find(in.optim, "master.model.norm.weight") && st_find(in.optim, "exp_avg.model.norm.weight"), "and are not saved twice");
    model_init(&wide, 1, 60, 6);
    float v[24];
    CASE_ERR(ckpt_read(&in, CKPT_EXP_AVG, &wide.list[0], 0, 24, v), ERR_FORMAT, "tensor exp_avg.model.embed_tokens.weight is not F32 of 24 elements");
    (void)snprintf(wide.list[0].name, sizeof wide.list[0].name, "other");
    CASE_ERR(ckpt_read(&in, CKPT_EXP_AVG_SQ, &wide.list[0], 0, 24, v), ERR_FORMAT, "tensor exp_avg_sq.other is missing");
    CASE_ERR(ckpt_read(&in, CKPT_WEIGHT, &wide.list[0], 0, 24, v), ERR_FORMAT, "tensor master.other is missing");
    ckpt_close(&in);

    /* what a killed process may leave */
    char ckpt[OS_PATH_MAX];
    (void)path_in(ckpt, out, "ckpt");
    NEED(os_mkdirs(PATH(ckpt, "step-00000070.part")));
    NEED(os_mkdirs(PATH(ckpt, "step-00000060.old")));
    NEED(os_mkdirs(PATH(ckpt, "step-00000080.part")));
    put_file(PATH(ckpt, "step-00000080.part/manifest.json"), "x", 1);
    NEED(os_mkdirs(PATH(ckpt, "notes")));
    NEED(os_mkdirs(PATH(ckpt, "step-70")));
    NEED(ckpt_recover(out));
    NEED(ckpt_newest(out, &step));
    CASE(step == 60 && !os_exists(PATH(ckpt, "step-00000070.part")) && !os_exists(PATH(ckpt, "step-00000080.part")), "unfinished ones are removed");
    CASE(!os_exists(PATH(ckpt, "step-00000060.old")), "one that was replaced too");
    CASE(os_exists(PATH(ckpt, "notes")) && os_exists(PATH(ckpt, "step-70")), "what is not ours stays");
    NEED(os_rename(PATH(ckpt, "step-00000060"), PATH(ckpt, "step-00000060.old")));
    NEED(ckpt_recover(out));
    NEED(ckpt_newest(out, &step));
    CASE(step == 60 && same_checkpoint(&m, out, 60), "one whose replacement did not come is back");

    CASE(step_of("step-00000000") == 0 && step_of("step-123456789") == 123456789, "names of steps");
    CASE(step_of("step-0000001") == -1 && step_of("step-000000001") == -1 && step_of("step-") == -1 && step_of("step-0000000x") == -1, "other names");
    CASE(step_of("step-99999999999999999999") == -1 && step_of("step-+0000001") == -1, "and stranger ones");
    CASE_ERR(ckpt_open(out, 61, &in), ERR_IO, "step-00000061 is not there");
    NEED(step_path(out, 60, path));
    NEED(os_remove_tree(PATH(path, "manifest.json")));
    CASE_ERR(ckpt_open(out, 60, &in), ERR_FORMAT, "manifest.json is missing");
}

int main(void) {
    test_file();
    test_round_trip();
    test_range();
    test_shards();
    test_kept();
    test_checkpoints();
    CASE_OK(os_remove_tree(test_dir()));
    return test_end();
}
