/* Which token files go with a model's tokenizer, by fingerprints that some files and some models lack. */
#include "train/train.h"

#include "test.h"

static char dir[512];

static const char *in_dir(const char *name) {
    static char path[4][600];
    static int turn;
    char *p = path[turn++ % 4];
    (void)snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void write_tokens(const char *name, uint64_t fingerprint) {
    struct tok_writer *w;
    const int32_t ids[4] = {1, 2, 3, 4};
    NEED(tok_write_open(in_dir(name), 10, fingerprint, &w));
    NEED(tok_write_doc(w, ids, NULL, 4));
    NEED(tok_write_commit(w));
}

/* tokens_check of lists (training, validation or NULL) against a model's folder and tokenizer=, either NULL. */
static err_t check(const char *model, const char *tokenizer, int how, const char *train, const char *valid) {
    struct loader *l[2] = {NULL, NULL};
    const struct data_opts o = {.train = train, .valid = valid, .seq = 4, .verify = true};
    NEED(loader_open(&o, DATA_TRAIN, 10, 1, &l[0]));
    if (valid) NEED(loader_open(&o, DATA_VALID, 10, 1, &l[1]));
    const struct model_src src = {.dir = model};
    err_t err = tokens_check(&src, tokenizer, how, (const struct loader *[]){l[0], l[1]}, 2);
    loader_close(l[0]);
    loader_close(l[1]);
    return err;
}

static void copy(const char *from, const char *to) {
    char *text;
    int64_t bytes;
    NEED(os_read_all(from, 1 << 24, &text, &bytes));
    NEED(os_write_all(to, text, bytes));
    free(text);
}

int main(void) {
    (void)snprintf(dir, sizeof dir, "%s", test_dir());
    static char with[600], without[600], alone[600];
    (void)snprintf(with, sizeof with, "%s/with", dir);
    (void)snprintf(without, sizeof without, "%s/without", dir);
    (void)snprintf(alone, sizeof alone, "%s/alone.json", dir);
    NEED(os_mkdirs(with));
    NEED(os_mkdirs(without));
    copy("tests/golden/tokenizers/gpt2/tokenizer.json", in_dir("with/tokenizer.json"));
    copy("tests/golden/tokenizers/qwen/tokenizer.json", alone);
    uint64_t own, other;
    NEED(tok_tokenizer_sum(with, &own));
    NEED(tok_tokenizer_sum(alone, &other));
    CASE(own != other && own != 0 && other != 0, "two texts, two fingerprints");
    write_tokens("own.tok", own);
    write_tokens("other.tok", other);
    write_tokens("unknown.tok", 0);
    char mixed[1300];
    (void)snprintf(mixed, sizeof mixed, "%s,%s", in_dir("unknown.tok"), in_dir("other.tok"));

    CASE_OK(check(with, NULL, DATA_TOKENIZER_SAME, in_dir("own.tok"), NULL));
    CASE_ERR(check(with, NULL, DATA_TOKENIZER_SAME, in_dir("other.tok"), NULL), ERR_USAGE, "other.tok was made by another tokenizer than");
    CASE_ERR(check(with, NULL, DATA_TOKENIZER_SAME, in_dir("own.tok"), in_dir("other.tok")), ERR_USAGE, "other.tok was made by another tokenizer");
    CASE_ERR(check(with, NULL, DATA_TOKENIZER_SAME, mixed, NULL), ERR_USAGE, "other.tok was made by another tokenizer");
    CASE_OK(check(with, NULL, DATA_TOKENIZER_ANY, mixed, NULL));
    CASE_OK(check(with, NULL, DATA_TOKENIZER_SAME, in_dir("unknown.tok"), NULL));
    CASE_OK(check(with, alone, DATA_TOKENIZER_SAME, in_dir("other.tok"), NULL));
    CASE_ERR(check(with, alone, DATA_TOKENIZER_SAME, in_dir("own.tok"), NULL), ERR_USAGE, "alone.json");
    CASE_OK(check(without, alone, DATA_TOKENIZER_SAME, in_dir("other.tok"), NULL));
    for (int i = 0; i < 2; i++) { /* no tokenizer to hold them to: the files agree, or they do not */
        const char *model = i ? NULL : without;
        CASE_OK(check(model, NULL, DATA_TOKENIZER_SAME, mixed, NULL));
        CASE_OK(check(model, NULL, DATA_TOKENIZER_SAME, in_dir("other.tok"), in_dir("other.tok")));
        CASE_ERR(check(model, NULL, DATA_TOKENIZER_SAME, in_dir("other.tok"), in_dir("own.tok")), ERR_USAGE,
                 "own.tok was made by another tokenizer than");
        CASE_OK(check(model, NULL, DATA_TOKENIZER_ANY, in_dir("other.tok"), in_dir("own.tok")));
    }
    NEED(os_write_all(in_dir("with/tokenizer.json"), "{}", 2));
    CASE_OK(check(with, NULL, DATA_TOKENIZER_SAME, in_dir("other.tok"), NULL)); /* it cannot be read: nobody knows */
    CASE_ERR(check(with, in_dir("nowhere"), DATA_TOKENIZER_SAME, in_dir("own.tok"), NULL), ERR_IO, "nowhere");
    return test_end();
}
