/* mop tokenizer-train: a tokenizer.json from the same texts that mop tokenize reads. */
#include "base/json.h"
#include "base/log.h"
#include "base/os.h"
#include "cli/cli.h"
#include "data/tokenizer_train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trainer_opts {
    const char *in, *out, *special;
    struct text_opts reading;
    int64_t vocab, log_level;
    int pattern;
};

const struct opt tokenizer_train_opt_list[] = {
    {.key = "in",
     .type = OPT_PATHS,
     .offset = offsetof(struct trainer_opts, in),
     .help = "text files, *.jsonl, folders of them, patterns, comma-separated; .gz and .zst too; -: standard input"},
    {.key = "out",
     .type = OPT_PATH,
     .offset = offsetof(struct trainer_opts, out),
     .help = "tokenizer.json to write; one of just that name gets a tokenizer_config.json beside it"},
    {.key = "vocab",
     .type = OPT_INT,
     .offset = offsetof(struct trainer_opts, vocab),
     .def = "8192",
     .lo = 256,
     .hi = 1 << 24,
     .help = "tokens, special ones included"},
    {.key = "pattern",
     .type = OPT_CHOICE,
     .offset = offsetof(struct trainer_opts, pattern),
     .def = "gpt2",
     .choices = "gpt2|qwen|llama3",
     .help = "how text is cut into words: as this family does"},
    {.key = "special",
     .type = OPT_TEXT,
     .offset = offsetof(struct trainer_opts, special),
     .def = "<|endoftext|>",
     .help = "special tokens, comma-separated (\\, is a comma)"},
    TEXT_OPT_ROWS(struct trainer_opts, reading),
    {.key = "log.level",
     .type = OPT_INT,
     .offset = offsetof(struct trainer_opts, log_level),
     .def = "3",
     .lo = 0,
     .hi = 5,
     .help = "0 errors, 1 warnings, 2 once per run, 3 progress"},
    {.key = NULL},
};

static const char *const CONFIG_KEYS[] = {"tokenizer_class", "clean_up_tokenization_spaces", "add_prefix_space", "eos_token"};

/* The texts of a corpus: each span is a text of its own, as it is when it is encoded. */
struct texts {
    struct corpus *corpus;
    struct corpus_doc doc;
    int64_t next; /* span */
};

static err_t next_text(void *ctx, const char **text, int64_t *bytes, bool *got) {
    struct texts *t = ctx;
    while (t->next == t->doc.count) {
        TRY(corpus_next(t->corpus, &t->doc, got));
        if (!*got) return OK;
        t->next = 0;
    }
    const struct corpus_span *s = &t->doc.spans[t->next++];
    *text = s->text;
    *bytes = s->bytes;
    *got = true;
    return OK;
}

/* The special tokens; none if the text is empty. */
static err_t split(const char *text, char ***names, int64_t *count) {
    if (!*text) return OK;
    TRY(opt_split(text, names, count));
    for (int64_t i = 0; i < *count; i++)
        if (!*(*names)[i]) return FAIL(ERR_USAGE, "an empty name in special=; separate the tokens by single commas");
    return OK;
}

/* A file beside the tokenizer. */
static err_t beside(const char *tokenizer, const char *name, char path[OS_PATH_MAX]) {
    const char *slash = strrchr(tokenizer, '/'), *base = slash ? slash + 1 : tokenizer;
    if (snprintf(path, OS_PATH_MAX, "%.*s%s", (int)(base - tokenizer), tokenizer, name) >= OS_PATH_MAX)
        return FAIL(ERR_USAGE, "the path %.60s... is too long; use a shorter one", tokenizer);
    return OK;
}

/* tokenizer_config.json goes beside a tokenizer.json: transformers' AutoTokenizer needs it to read the folder, and it says which token ends a
 * document (the first special one). A tokenizer of another name stands alone. */
static bool has_config(const char *tokenizer) {
    const char *slash = strrchr(tokenizer, '/');
    return strcmp(slash ? slash + 1 : tokenizer, "tokenizer.json") == 0;
}

static bool is_tokenizer(const char *begin, int64_t bytes) {
    return begin[0] == '{' && memmem(begin, (size_t)bytes, "\"version\"", 9) && memmem(begin, (size_t)bytes, "\"added_tokens\"", 14);
}

/* As write_config writes it: one that says more is somebody's work. */
static bool is_config(const char *begin, int64_t bytes) {
    json_error_t why;
    json_t *root = json_read(begin, bytes, 0, &why);
    size_t known = 0;
    for (size_t i = 0; i < sizeof CONFIG_KEYS / sizeof CONFIG_KEYS[0]; i++) known += json_object_get(root, CONFIG_KEYS[i]) != NULL;
    const bool is = json_is_object(root) && known == json_object_size(root);
    json_decref(root);
    return is;
}

/* Before the work: what lies where the files go may be replaced by them. */
static err_t check_out(const char *out) {
    char path[OS_PATH_MAX];
    TRY(beside(out, "config.json", path));
    if (os_exists(out) && os_exists(path))
        return FAIL(ERR_USAGE, "%s is the tokenizer of a model, whose config.json lies beside it; it is not replaced, choose another name", out);
    TRY(os_may_replace(out, is_tokenizer, "a tokenizer.json"));
    if (!has_config(out)) return OK;
    TRY(beside(out, "tokenizer_config.json", path));
    return os_may_replace(path, is_config, "one that mop tokenizer-train wrote");
}

static err_t write_config(const char *tokenizer, const char *eos) {
    if (!has_config(tokenizer)) return OK;
    char path[OS_PATH_MAX];
    TRY(beside(tokenizer, "tokenizer_config.json", path));
    json_t *root = json_pack("{s:s, s:b, s:b}", CONFIG_KEYS[0], "PreTrainedTokenizerFast", CONFIG_KEYS[1], 0, CONFIG_KEYS[2], 0);
    if (root && eos) (void)json_object_set_new(root, CONFIG_KEYS[3], json_string(eos));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return FAIL(ERR_NOMEM, "out of memory for %s", path);
    err_t err = os_write_all(path, text, (int64_t)strlen(text));
    free(text);
    return err;
}

static err_t run(const struct trainer_opts *o) {
    if (!o->in || !o->out) return FAIL(ERR_USAGE, "%s= is missing; see `mop help tokenizer-train`", o->in ? "out" : "in");
    TRY(check_out(o->out));
    char **names = NULL;
    struct tokenizer_train_args a = {.next = next_text, .vocab = o->vocab, .pattern = (enum tok_pattern)o->pattern, .path = o->out};
    struct texts texts = {0};
    err_t err = split(o->special, &names, &a.special_count);
    a.specials = (const char *const *)names;
    if (err == OK) {
        const struct corpus_how how = {o->reading, names ? names[0] : NULL};
        err = corpus_open(o->in, &how, &texts.corpus);
    }
    if (err == OK) {
        a.ctx = &texts;
        a.text_bytes = corpus_bytes_total(texts.corpus);
        err = tokenizer_train(&a);
        if (err == OK) err = write_config(o->out, names ? names[0] : NULL);
    }
    corpus_close(texts.corpus);
    os_free_list(names, a.special_count);
    return err;
}

err_t cmd_tokenizer_train(int argc, char **argv) {
    struct trainer_opts o = {0};
    const struct opt_table table = {"tokenizer-train", tokenizer_train_opt_list, &o};
    struct opt_set *set;
    TRY(opt_new(&table, 1, &set));
    err_t err = cli_options(argc, argv, set);
    if (err == OK) {
        log_set_level((int)o.log_level);
        err = run(&o);
    }
    opt_free(set);
    return err;
}
