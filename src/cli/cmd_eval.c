#include "base/log.h"
#include "base/num.h"
#include "cli/cli.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum print_what { PRINT_TEXT, PRINT_JSON };
struct eval_opts {
    int print;
};
const struct opt eval_opt_list[] = {
    {.key = "print",
     .type = OPT_CHOICE,
     .offset = offsetof(struct eval_opts, print),
     .def = "text",
     .choices = "text|json",
     .help = "the result as text, or as one JSON object"},
    {.key = NULL},
};

enum { BATCH_TOKENS = 4096 }; /* enough for the matmuls' full speed */

struct eval {
    struct options o;
    struct eval_opts own;
    struct model_src src;
    struct tokenizer *tokenizer; /* or NULL */
    struct loader *loader;
    struct run run;
};

static err_t open_run(struct eval *e, int64_t rows, int64_t seq, int64_t positions) {
    int64_t threads;
    TRY(cli_threads(&e->o, NULL, &threads));
    const struct run_setup u = {.rows = rows,
                                .seq = seq,
                                .positions = positions,
                                .act = e->o.model.dtype == MODEL_BF16 ? DT_BF16 : DT_F32,
                                .threads = threads,
                                .device = &e->o.device,
                                .advice = "lower data.seq"};
    return run_open(&e->run, &e->src, &u);
}

static void put_real(json_t *o, const char *key, double x) { (void)json_object_set_new(o, key, isfinite(x) ? json_real(x) : json_null()); }
static void put_count(json_t *o, const char *key, int64_t n) { (void)json_object_set_new(o, key, json_integer(n)); }

/* One line; frees `o`. */
static err_t print_json(json_t *o) {
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(o);
    if (!text) return FAIL(ERR_NOMEM, "out of memory for the result's JSON; free some");
    (void)printf("%s\n", text);
    free(text);
    return OK;
}

/* ---- token files ---- */

/* Why bits per byte cannot be told, or NULL: a file's tokens have the bytes that the tokenizer which made them says. */
static void bytes_unknown(const struct eval *e, const char **why) {
    *why = e->tokenizer ? NULL : "no tokenizer that can be read; give tokenizer=FILE";
    for (int64_t i = 0; !*why && i < loader_files(e->loader); i++) {
        const uint64_t made_by = tok_fingerprint(loader_file(e->loader, i));
        if (made_by != 0 && made_by != tokenizer_fingerprint(e->tokenizer)) *why = "the tokens are another tokenizer's; give tokenizer=FILE";
    }
}

static err_t eval_tokens(struct eval *e) {
    const int64_t seq = e->o.data.seq;
    TRY(loader_open(&e->o.data, DATA_VALID, e->src.spec.vocab, 0, &e->loader));
    TRY(tokens_check(&e->src, e->o.cli.tokenizer, DATA_TOKENIZER_ANY, (const struct loader *[]){e->loader}, 1));
    TRY(open_run(e, i64_max(1, i64_min(BATCH_TOKENS / seq, loader_sequences(e->loader))), seq, seq));
    double loss;
    int64_t targets, bytes = 0;
    const char *why;
    TRY(eval_split(&e->run, e->loader, 0, &loss, &targets));
    if (!isfinite(loss))
        return FAIL(ERR_FAILED, "the loss over %lld targets is %g; check the model's weights with model.dtype=fp32", (long long)targets, loss);
    bytes_unknown(e, &why);
    if (!why) TRY(eval_target_bytes(&e->run, e->loader, e->tokenizer, &bytes));
    if (!why && bytes == 0) why = "the targets are no text";
    const double bits = bytes ? loss * (double)targets / log(2) / (double)bytes : NAN;
    if (e->own.print == PRINT_JSON) {
        json_t *o = json_object();
        put_real(o, "loss", loss);
        put_real(o, "perplexity", exp(loss));
        put_real(o, "bits_per_byte", bits);
        put_count(o, "targets", targets);
        if (why) log_line(LOG_WARN, "bits per byte are not known: %s", why);
        else put_count(o, "bytes", bytes);
        return print_json(o);
    }
    (void)printf("loss %.6f\nperplexity %.4f\n", loss, exp(loss));
    if (why) (void)printf("bits_per_byte unknown: %s\n", why);
    else (void)printf("bits_per_byte %.6f\nbytes %lld\n", bits, (long long)bytes);
    (void)printf("targets %lld\n", (long long)targets);
    return OK;
}

/* ---- multiple choice ---- */

static err_t eval_choices(struct eval *e) {
    if (!e->tokenizer) return FAIL(ERR_USAGE, "no tokenizer to read %.200s with; give tokenizer=FILE", e->o.data.valid);
    const int64_t tokens = i64_max(e->o.data.seq, BATCH_TOKENS);
    TRY(open_run(e, 1, tokens, tokens));
    struct score s;
    TRY(score_choices(&e->run, e->tokenizer, e->o.data.valid, e->o.data.seq, e->o.data.long_samples == DATA_LONG_TRUNCATE, &s));
    const double n = (double)s.questions;
    if (e->own.print == PRINT_TEXT) {
        (void)printf("accuracy %.4f, by likelihood per byte %.4f, of %lld questions\n", (double)s.right / n, (double)s.right_per_byte / n,
                     (long long)s.questions);
        return OK;
    }
    json_t *o = json_object();
    put_real(o, "accuracy", (double)s.right / n);
    put_real(o, "accuracy_per_byte", (double)s.right_per_byte / n);
    put_count(o, "questions", s.questions);
    return print_json(o);
}

static err_t evaluate(struct eval *e) {
    if (!e->o.data.valid) return FAIL(ERR_USAGE, "data.valid is not given; write data.valid=FILE.tok with the tokens to measure, or FILE.jsonl");
    TRY(model_src_open(&e->o.model, NULL, 0, &e->src));
    enum data_kind kind;
    TRY(data_kind(e->o.data.valid, &kind));
    if (kind == DATA_TEXT)
        return FAIL(ERR_USAGE, "data.valid=%.200s is text; give a token file (mop tokenize makes one), or JSON lines with questions",
                    e->o.data.valid);
    TRY(cli_tokenizer(&e->o, kind == DATA_JSONL, &e->tokenizer));
    return kind == DATA_JSONL ? eval_choices(e) : eval_tokens(e);
}

err_t cmd_eval(int argc, char **argv) {
    struct eval e = {0};
    struct opt_set *set;
    const struct opt_table own = {"eval", eval_opt_list, &e.own};
    TRY(cli_load(argc, argv, &own, &e.o, &set));
    err_t err = evaluate(&e);
    run_close(&e.run, err);
    loader_close(e.loader);
    tokenizer_close(e.tokenizer);
    model_src_close(&e.src);
    opt_free(set);
    return err;
}
