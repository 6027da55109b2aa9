/* Verification: every flipped, missing or surplus byte of every file is found, and named. */
#include "ckpt/ckpt_int.h"
#include "tests/ckpt/model.h"

/* What verify prints, into `said`, and returns. */
enum { SAID = 1 << 16 };
static err_t look(const char *dir, char said[SAID]) {
    int64_t files, tensors;
    FILE *to = fmemopen(said, SAID, "w");
    if (!to) exit(2);
    err_t err = verify_to(to, dir, &files, &tensors);
    if (fclose(to) != 0) exit(2);
    return err;
}

/* It is found, in this file, with this word. */
static bool found(const char *dir, const char *path, const char *word) {
    char said[SAID] = "";
    err_t err = look(dir, said);
    return err == ERR_FAILED && strstr(said, path) && (!word || strstr(said, word));
}

/* A folder's files, those of one folder inside it included. */
struct list {
    char path[64][OS_PATH_MAX];
    int count;
};
static void list_files(const char *dir, struct list *l) {
    char **names;
    int64_t n;
    NEED(os_list(dir, &names, &n));
    for (int64_t i = 0; i < n; i++) {
        const char *path = PATH(dir, names[i]);
        if (os_is_dir(path)) list_files(path, l);
        else if (l->count < 64) (void)snprintf(l->path[l->count++], OS_PATH_MAX, "%s", path);
    }
    os_free_list(names, n);
}

/* Overwrite in place: verify must not depend on times or inodes. */
static void write_plain(const char *path, const char *data, int64_t bytes) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, (size_t)bytes, f) != (size_t)bytes || fclose(f) != 0) exit(2);
}

/* One byte of a file, in place. */
static void write_byte(const char *path, int64_t at, char byte) {
    FILE *f = fopen(path, "r+b");
    if (!f || fseek(f, at, SEEK_SET) != 0 || fputc(byte, f) == EOF || fclose(f) != 0) exit(2);
}

static void test_every_byte(const char *out, const struct list *l) {
    for (int i = 0; i < l->count; i++) {
        const char *path = l->path[i];
        char *data;
        int64_t bytes, missed = 0;
        NEED(os_read_all(path, 1 << 20, &data, &bytes));
        for (int64_t b = 0; b < bytes; b++) {
            write_byte(path, b, (char)(data[b] ^ (1 << b % 8)));
            missed += !found(out, path, NULL);
            write_byte(path, b, data[b]);
        }
        CASE(missed == 0, "%s: %d of %d flipped bytes are missed", path, (int)missed, (int)bytes);
        char *longer = malloc((size_t)bytes + 1);
        if (!longer) exit(2);
        for (int64_t b = 0; b < bytes; b += 1 + bytes / 40) { /* a byte taken out, a byte put in */
            memcpy(longer, data, (size_t)b);
            memcpy(longer + b, data + b + 1, (size_t)(bytes - b - 1));
            write_plain(path, longer, bytes - 1);
            missed += !found(out, path, NULL);
            longer[b] = 'x';
            memcpy(longer + b + 1, data + b, (size_t)(bytes - b));
            write_plain(path, longer, bytes + 1);
            missed += !found(out, path, NULL);
        }
        CASE(missed == 0, "%s: %d missing or surplus bytes are missed", path, (int)missed);
        memcpy(longer, data, (size_t)bytes);
        static const char more[] = {0, ' ', '\n', '}'};
        for (int k = 0; k < 4; k++) {
            longer[bytes] = more[k];
            write_plain(path, longer, bytes + 1);
            CASE(found(out, path, NULL), "%s: byte %d behind its end", path, more[k]);
        }
        write_plain(path, data, 0);
        CASE(found(out, path, NULL), "%s: empty", path);
        NEED(os_remove_tree(path));
        CASE(found(out, path, "missing"), "%s: gone", path);
        write_plain(path, data, bytes);
        free(longer);
        free(data);
    }
    char said[SAID] = "";
    CASE_OK(look(out, said));
    CASE(!*said, "as it was, it says nothing");
}

/* A byte flipped inside a tensor names it. */
static void test_names(const char *out, const struct list *l) {
    int named = 0, tensors = 0;
    for (int i = 0; i < l->count; i++) {
        struct st_reader *r;
        if (!strstr(l->path[i], ".safetensors") || strstr(l->path[i], ".index.json")) continue;
        NEED(st_open_file(l->path[i], &r));
        for (int64_t t = 0; t < st_count(r); t++) {
            const struct tensor_info *info = st_at(r, t);
            char word[400];
            unsigned char last[8];
            int64_t at = info->offset + info->bytes - 1;
            (void)snprintf(word, sizeof word, "tensor %s: its bytes", info->name);
            NEED(st_read(r, info, info->count - 1, 1, last));
            char byte = (char)last[dtype_bytes(info->dtype) - 1];
            write_byte(l->path[i], at, (char)(byte ^ 0x10));
            named += found(out, l->path[i], word);
            tensors++;
            write_byte(l->path[i], at, byte);
        }
        st_close(r);
    }
    CASE(named == tensors && tensors > 20, "%d of %d damaged tensors are named", named, tensors);
}

static void swap_files(const char *a, const char *b) {
    char *x, *y;
    int64_t n, m;
    NEED(os_read_all(a, 1 << 20, &x, &n));
    NEED(os_read_all(b, 1 << 20, &y, &m));
    write_plain(a, y, m);
    write_plain(b, x, n);
    free(x);
    free(y);
}

static void test_surplus(const char *out) {
    char step[OS_PATH_MAX], said[SAID];
    int64_t files, tensors;
    NEED(step_path(out, 4, step));
    put_file(PATH(step, "notes.txt"), "x", 1);
    CASE(found(out, "notes.txt: surplus", NULL), "a surplus file in a checkpoint");
    NEED(os_remove_tree(PATH(step, "notes.txt")));
    NEED(os_mkdirs(PATH(step, "folder")));
    CASE(found(out, "folder: surplus", NULL), "a surplus folder in a checkpoint");
    NEED(os_remove_tree(PATH(step, "folder")));
    put_file(PATH(step, "additional_chat_templates/b.jinja"), "x", 1);
    CASE(found(out, "additional_chat_templates/b.jinja: surplus", NULL), "a surplus file in a folder of a checkpoint");
    NEED(os_remove_tree(PATH(step, "additional_chat_templates/b.jinja")));
    put_file(PATH(out, "notes.txt"), "x", 1);
    put_file(PATH(out, "log.jsonl"), "x", 1);
    NEED(os_mkdirs(PATH(out, "ckpt/step-00000009.part")));
    CASE_OK(look(out, said));
    put_file(PATH(out, "model.safetensors"), "x", 1);
    CASE(found(out, "model.safetensors: surplus", NULL), "weights beside the vouched ones");
    NEED(os_remove_tree(PATH(out, "model.safetensors")));
    swap_files(PATH(out, "model-00001-of-00002.safetensors"), PATH(out, "model-00002-of-00002.safetensors"));
    CASE(found(out, "model-00001-of-00002.safetensors", "surplus tensor") && found(out, "model-00002-of-00002.safetensors", "is missing"),
         "swapped shards");
    swap_files(PATH(out, "model-00001-of-00002.safetensors"), PATH(out, "model-00002-of-00002.safetensors"));
    CASE_OK(verify_to(NULL, out, &files, &tensors));
    CASE(files == 7 + 7 + 7 && tensors == 4 + 2 * (4 + 11 + 2), "%d files, %d tensors", (int)files, (int)tensors);
    CASE_OK(verify_to(NULL, step, &files, &tensors));
    CASE(files == 7 && tensors == 17, "a checkpoint by itself: %d files, %d tensors", (int)files, (int)tensors);

    struct ckpt_in in;
    char *data, path[OS_PATH_MAX];
    int64_t bytes;
    NEED(os_read_all(path_in(path, step, "optim-00001-of-00001.safetensors"), 1 << 20, &data, &bytes));
    data[bytes - 1] ^= 1;
    write_plain(path, data, bytes);
    CASE_ERR(ckpt_open(out, 4, &in), ERR_FORMAT, "is damaged (1 problems)");
    CASE(strstr(err_message(), "lm_head.weight"), "resuming from it is refused: %s", err_message());
    free(data);
}

static void test_nothing(void) {
    char dir[OS_PATH_MAX];
    int64_t files, tensors;
    (void)fresh(dir, "nothing");
    CASE_ERR(verify_to(NULL, dir, &files, &tensors), ERR_FORMAT, "nothing to verify");
    CASE_ERR(verify_to(NULL, PATH(dir, "none"), &files, &tensors), ERR_IO, "none does not exist");
    put_file(PATH(dir, "model.safetensors"), "x", 1);
    CASE_ERR(verify_to(NULL, dir, &files, &tensors), ERR_FORMAT, "nothing to verify");
    NEED(os_mkdirs(PATH(dir, "ckpt/step-00000001")));
    CASE(found(dir, "step-00000001/manifest.json is missing", "nothing/manifest.json is missing"), "manifests that are not there");
}

/* Manifests whose own sum is right and which are wrong. */
static void test_manifest(void) {
    static const struct {
        const char *body, *part;
    } wrong[] = {
        {"", "not JSON"},
        {"{", "its format"},
        {"[", "not JSON"},
        {"{\"format\": 1,", "its format"},
        {"{\"format\": \"mop manifest 2\",", "is \"mop manifest 2\", not"},
        {"{\"format\": \"mop manifest 1\",", "lacks its kind or its files"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"x\",\"files\": {},", "lacks its kind or its files"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": [],", "lacks its kind or its files"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a\": 1},", "file a lacks its size or checksum"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a\": {\"bytes\": -1}},", "file a lacks"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a\": {\"bytes\": 1, \"xxh3\": \"0\"}},", "file a lacks"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"../a\": {}},", "leads out of the folder"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"/a\": {}},", "leads out of the folder"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"\": {}},", "leads out of the folder"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a/\": {}},", "leads out of the folder"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a/./b\": {}},", "leads out of the folder"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a//b\": {}},", "leads out of the folder"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a/..\": {}},", "leads out of the folder"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a\": {}, \"a\": {}},", "duplicate object key"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a\": {\"bytes\": 1, \"xxh3\": \"99aa06d3014798d86001c324468d497f\", "
         "\"tensors\": []}},",
         "\"tensors\" is not an object"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a\": {\"bytes\": 1, \"xxh3\": \"99aa06d3014798d86001c324468d497f\", "
         "\"tensors\": {\"t\": {\"dtype\": \"F32\", \"shape\": [1.5], \"xxh3\": \"99aa06d3014798d86001c324468d497f\"}}}},",
         "tensor t lacks"},
        {"{\"format\": \"mop manifest 1\",\"kind\": \"model\",\"files\": {\"a\": {\"bytes\": 1, \"xxh3\": \"99aa06d3014798d86001c324468d497f\", "
         "\"tensors\": {\"t\": 7}}},",
         "tensor t lacks"},
    };
    struct manifest m;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        unsigned char sum[SUM_BYTES];
        char hex[SUM_HEX], text[1024];
        sum_of(wrong[i].body, (int64_t)strlen(wrong[i].body), sum);
        sum_hex(sum, hex);
        int n = snprintf(text, sizeof text, "%s\"sum\": \"%s\"}\n", wrong[i].body, hex);
        CASE_ERR(manifest_parse("m", text, n, &m), ERR_FORMAT, wrong[i].part);
        text[n - 1] = ' ';
        CASE_ERR(manifest_parse("m", text, n, &m), ERR_FORMAT, "the checksum in its last line");
    }
    CASE_ERR(manifest_parse("m", "", 0, &m), ERR_FORMAT, "the checksum in its last line");
    CASE_ERR(manifest_parse("m", "{}", 2, &m), ERR_FORMAT, "the checksum in its last line");
}

int main(void) {
    static struct list all;
    char out[OS_PATH_MAX], from[OS_PATH_MAX];
    struct model m;
    (void)fresh(out, "out");
    (void)fresh(from, "from");
    NEED(os_mkdirs(PATH(from, "additional_chat_templates")));
    put_file(PATH(from, "additional_chat_templates/a.jinja"), "{{a}}", 5);
    put_file(PATH(from, "vocab.json"), "{\"a\": 1}", 8);
    model_init(&m, 1, 3, 2);
    m.run.copy_from = from;
    NEED(ckpt_save(out, 3, 0, &m.run));
    NEED(ckpt_save(out, 4, 0, &m.run));
    NEED(save_model(out, &m.run, 70));
    list_files(out, &all);
    test_names(out, &all);
    /* one checkpoint's files and the model's: the other checkpoint has the same */
    struct list *some = calloc(1, sizeof *some);
    if (!some) return 2;
    for (int i = 0; i < all.count; i++)
        if (!strstr(all.path[i], "step-00000003")) memcpy(some->path[some->count++], all.path[i], OS_PATH_MAX);
    test_every_byte(out, some);
    free(some);
    test_surplus(out);
    test_nothing();
    test_manifest();
    CASE_OK(os_remove_tree(test_dir()));
    return test_end();
}
