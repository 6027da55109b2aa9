/* mop tokenizer-train: a tokenizer.json from the same texts that mop tokenize reads. */
#include "base/os.h"
#include "cli/cli.h"
#include "data/tokenizer_train.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trainer_opts {
    const char *in, *out, *special, *document_end;
    int64_t vocab;
    int pattern, invalid_utf8, format;
};

const struct opt tokenizer_train_opt_list[] = {
    {"in", OPT_PATHS, offsetof(struct trainer_opts, in), NULL, NULL, 0, 0,
     "text files, *.jsonl, folders of them, patterns, comma-separated; .gz and .zst too; -: standard input"},
    {"out", OPT_PATH, offsetof(struct trainer_opts, out), NULL, NULL, 0, 0,
     "tokenizer.json to write; one of just that name gets a tokenizer_config.json beside it"},
    {"vocab", OPT_INT, offsetof(struct trainer_opts, vocab), "8192", NULL, 256, 1 << 24, "tokens, special ones included"},
    {"pattern", OPT_CHOICE, offsetof(struct trainer_opts, pattern), "gpt2", "gpt2|qwen|llama3", 0, 0,
     "how text is cut into words: as this family does"},
    {"special", OPT_TEXT, offsetof(struct trainer_opts, special), "<|endoftext|>", NULL, 0, 0, "special tokens, comma-separated (\\, is a comma)"},
    {"data.invalid_utf8", OPT_CHOICE, offsetof(struct trainer_opts, invalid_utf8), "error", "error|replace", 0, 0,
     "invalid UTF-8 is an error, or U+FFFD takes its place"},
    {"data.format", OPT_CHOICE, offsetof(struct trainer_opts, format), "auto", "auto|text|jsonl", 0, 0,
     "what the files are: by their names and first bytes, or as said"},
    {"data.document_end", OPT_TEXT, offsetof(struct trainer_opts, document_end), "token", NULL, 0, 0,
     "where a document of a text file ends: token (the first special token, written out), file, line (each is one), blank (an empty line), or "
     "line:TEXT (a line that is TEXT)"},
    {0},
};

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

/* tokenizer_config.json beside a tokenizer.json: transformers' AutoTokenizer needs it to read the folder, and it says which token ends a
 * document (the first special one). A tokenizer of another name stands alone. */
static err_t write_config(const char *tokenizer, const char *eos) {
    static const char name[] = "tokenizer.json";
    const char *slash = strrchr(tokenizer, '/'), *base = slash ? slash + 1 : tokenizer;
    if (strcmp(base, name) != 0) return OK;
    char path[OS_PATH_MAX];
    if (snprintf(path, sizeof path, "%.*stokenizer_config.json", (int)(base - tokenizer), tokenizer) >= (int)sizeof path)
        return FAIL(ERR_USAGE, "the path %.60s... is too long; use a shorter one", tokenizer);
    json_t *root =
        json_pack("{s:s, s:b, s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "clean_up_tokenization_spaces", 0, "add_prefix_space", 0);
    if (root && eos) (void)json_object_set_new(root, "eos_token", json_string(eos));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return FAIL(ERR_NOMEM, "out of memory for %s", path);
    err_t err = os_write_all(path, text, (int64_t)strlen(text));
    free(text);
    return err;
}

static err_t run(const struct trainer_opts *o) {
    if (!o->in || !o->out) return FAIL(ERR_USAGE, "%s= is missing; see `mop help tokenizer-train`", o->in ? "out" : "in");
    char **names = NULL;
    struct tokenizer_train_args a = {.next = next_text, .vocab = o->vocab, .pattern = (enum tok_pattern)o->pattern, .path = o->out};
    struct texts texts = {0};
    err_t err = split(o->special, &names, &a.special_count);
    a.specials = (const char *const *)names;
    if (err == OK) {
        const struct corpus_how how = {o->invalid_utf8, o->format, o->document_end, a.special_count ? names[0] : NULL};
        err = corpus_open(o->in, &how, &texts.corpus);
    }
    if (err == OK) {
        a.ctx = &texts;
        a.text_bytes = corpus_bytes_total(texts.corpus);
        err = tokenizer_train(&a);
        if (err == OK) err = write_config(o->out, a.special_count ? names[0] : NULL);
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
    if (err == OK) err = run(&o);
    opt_free(set);
    return err;
}
