#include "base/log.h"
#include "base/num.h"
#include "base/os.h"
#include "cli/cli.h"
#include "cli/text_out.h"
#include "data/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum print_what { PRINT_TEXT, PRINT_IDS };
struct generate_opts {
    const char *prompt, *prompt_file, *ids, *stop;
    int64_t tokens, top_k, seed;
    double temperature, top_p, repetition_penalty;
    int print;
};

#define FIELD(name) offsetof(struct generate_opts, name)
const struct opt generate_opt_list[] = {
    {.key = "prompt", .type = OPT_TEXT, .offset = FIELD(prompt), .help = "text to continue"},
    {.key = "prompt_file",
     .type = OPT_PATH,
     .offset = FIELD(prompt_file),
     .help = "file with it; -: standard input; a line's end at its end is left out"},
    {.key = "ids", .type = OPT_TEXT, .offset = FIELD(ids), .help = "ids to continue instead of a prompt, as a JSON array"},
    {.key = "tokens", .type = OPT_INT, .offset = FIELD(tokens), .def = "128", .lo = 1, .hi = 1e6, .help = "tokens to make at most"},
    {.key = "temperature",
     .type = OPT_FLOAT,
     .offset = FIELD(temperature),
     .def = "0.8",
     .lo = 0,
     .hi = 100,
     .help = "logits are divided by it before sampling; 0 takes the most likely token"},
    {.key = "top_k",
     .type = OPT_INT,
     .offset = FIELD(top_k),
     .def = "0",
     .lo = 0,
     .hi = INT32_MAX,
     .help = "sample among this many most likely tokens; 0: among all"},
    {.key = "top_p",
     .type = OPT_FLOAT,
     .offset = FIELD(top_p),
     .def = "1",
     .lo = 0,
     .hi = 1,
     .help = "sample among the fewest most likely tokens that together have this probability"},
    {.key = "repetition_penalty",
     .type = OPT_FLOAT,
     .offset = FIELD(repetition_penalty),
     .def = "1",
     .lo = 1e-3,
     .hi = 1e3,
     .help = "logits of tokens that have been are divided by it where positive, multiplied with it where negative; 1 changes nothing"},
    {.key = "stop",
     .type = OPT_TEXT,
     .offset = FIELD(stop),
     .help = "strings, comma-separated (\\, is a comma), before which the new text ends, as it does at the end of a document; none: nothing ends it "
             "but tokens="},
    {.key = "seed", .type = OPT_INT, .offset = FIELD(seed), .def = "1", .lo = 0, .hi = 9e18, .help = "seed of the sampling"},
    {.key = "print",
     .type = OPT_CHOICE,
     .offset = FIELD(print),
     .def = "text",
     .choices = "text|ids",
     .help = "text as it comes, prompt first, or the new ids as one JSON array"},
    {.key = NULL},
};

struct sink {
    struct text_out *out; /* NULL: nobody looks at the text */
};

static err_t each(void *ctx, int32_t id, bool *more) {
    const struct sink *s = ctx;
    bool stopped = false;
    if (s->out) TRY(text_out_token(s->out, id, &stopped));
    *more = !stopped;
    return OK;
}

/* The ids of `ids=[5,9,2]`. */
static err_t ids_of_json(const char *text, int64_t vocab, struct tok_ids *out) {
    json_t *list = json_loads(text, 0, NULL);
    err_t err = OK;
    if (!json_is_array(list) || json_array_size(list) == 0) err = FAIL(ERR_USAGE, "ids=%.60s is not a JSON array of ids; write ids='[5,9,2]'", text);
    for (size_t i = 0; err == OK && i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= vocab)
            err = FAIL(ERR_USAGE, "ids: element %zu is not an id of the model; ids are whole numbers from 0 to %lld", i, (long long)vocab - 1);
    }
    if (err == OK) {
        out->count = out->room = (int64_t)json_array_size(list);
        out->ids = malloc(sizeof(int32_t) * (size_t)out->count);
        if (!out->ids) err = FAIL(ERR_NOMEM, "out of memory for %lld ids", (long long)out->count);
        for (int64_t i = 0; err == OK && i < out->count; i++) out->ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    }
    json_decref(list);
    return err;
}

static err_t ids_of_prompt(const struct tokenizer *t, const char *prompt, int64_t bytes, int64_t vocab, struct tok_ids *out) {
    struct tok_scratch *scratch;
    TRY(tok_scratch_new(t, &scratch));
    err_t err = tokenizer_encode(t, scratch, prompt, bytes, out);
    tok_scratch_free(scratch);
    TRY(err);
    if (out->count == 0) return FAIL(ERR_USAGE, "the prompt is empty; give at least one character");
    for (int64_t i = 0; i < out->count; i++)
        if (out->ids[i] >= vocab)
            return FAIL(ERR_FORMAT, "the tokenizer gives id %d, the model has only %lld; they do not belong together", out->ids[i], (long long)vocab);
    return OK;
}

err_t cli_tokenizer(const struct options *o, bool needed, struct tokenizer **out) {
    char path[OS_PATH_MAX];
    *out = NULL;
    if (o->cli.tokenizer) return tokenizer_try(o->cli.tokenizer, needed, out);
    TRY(os_join(path, o->model.init, "tokenizer.json"));
    return os_exists(path) ? tokenizer_try(path, needed, out) : OK;
}

static err_t ids_of_file(const struct tokenizer *t, const char *path, int64_t vocab, struct tok_ids *out) {
    char *text;
    int64_t bytes;
    TRY(cli_read_prompt(path, &text, &bytes));
    err_t err = ids_of_prompt(t, text, bytes, vocab, out);
    free(text);
    return err;
}

/* What is to be continued, with room for the new ids. */
static err_t read_prompt(const struct generate_opts *g, const struct model_src *src, const struct tokenizer *t, struct tok_ids *ids) {
    if ((g->ids != NULL) + (g->prompt != NULL) + (g->prompt_file != NULL) > 1)
        return FAIL(ERR_USAGE, "more than one of prompt=, prompt_file= and ids= is given; give one of them");
    if (g->ids) TRY(ids_of_json(g->ids, src->spec.vocab, ids));
    else if (t && g->prompt_file) TRY(ids_of_file(t, g->prompt_file, src->spec.vocab, ids));
    else if (t && g->prompt) TRY(ids_of_prompt(t, g->prompt, (int64_t)strlen(g->prompt), src->spec.vocab, ids));
    else return FAIL(ERR_USAGE, "nothing to continue: give prompt=TEXT%s, or ids='[5,9,2]'", t ? "" : " with tokenizer=FILE");
    int32_t *more = realloc(ids->ids, sizeof(int32_t) * (size_t)(ids->count + g->tokens));
    if (!more) return FAIL(ERR_NOMEM, "out of memory for %lld ids; lower tokens=", (long long)(ids->count + g->tokens));
    ids->ids = more;
    return OK;
}

static err_t open_model(const struct options *o, const struct model_src *src, int64_t given, int64_t tokens, struct run *run) {
    const int64_t positions = given + tokens;
    int64_t threads;
    TRY(cli_threads(o, NULL, &threads));
    if (positions > src->spec.max_positions)
        log_line(LOG_WARN, "%lld tokens and %lld new ones are more than the %lld positions that the model was made for (max_position_embeddings)",
                 (long long)given, (long long)tokens, (long long)src->spec.max_positions);
    const struct run_setup u = {.rows = 1,
                                .seq = i64_min(given, GENERATE_WINDOW),
                                .positions = positions,
                                .act = o->model.dtype == MODEL_BF16 ? DT_BF16 : DT_F32,
                                .cache = true,
                                .device = &o->device,
                                .threads = threads,
                                .advice = "lower tokens= or shorten the prompt"};
    return run_open(run, src, &u);
}

static void print_ids(const int32_t *ids, int64_t count) {
    (void)printf("[");
    for (int64_t i = 0; i < count; i++) (void)printf("%s%d", i ? "," : "", ids[i]);
    (void)printf("]\n");
}

/* stop=none */
static bool is_endless(const struct generate_opts *g) { return g->stop && strcmp(g->stop, "none") == 0; }

static err_t make(const struct options *o, const struct generate_opts *g, const struct model_src *src, const struct tokenizer *t,
                  const struct end_ids *ends, struct run *run, struct tok_ids *ids, struct text_out *text_out) {
    const bool endless = is_endless(g), text = g->print == PRINT_TEXT, strings = g->stop && !endless;
    if (!t && text) return FAIL(ERR_USAGE, "no tokenizer to print text with; give tokenizer=FILE or print=ids");
    if (!t && strings) return FAIL(ERR_USAGE, "no tokenizer to look for stop strings with; give tokenizer=FILE or stop=none");
    TRY(read_prompt(g, src, t, ids));
    if (t) TRY(text_out_open(text_out, t, text, strings ? g->stop : NULL));
    const int64_t given = ids->count;
    TRY(open_model(o, src, given, g->tokens, run));
    if (t) TRY(text_out_prompt(text_out, ids->ids, given));
    struct sink sink = {t ? text_out : NULL};
    const struct generate_in in = {.ids = ids->ids,
                                   .count = given,
                                   .tokens = g->tokens,
                                   .how = {g->temperature, g->top_p, g->repetition_penalty, g->top_k, (uint64_t)g->seed},
                                   .ends = ends,
                                   .each = each,
                                   .ctx = &sink};
    int64_t made;
    TRY(generate(run, &in, &made));
    if (text) {
        TRY(text_out_flush(text_out));
        (void)printf("\n");
    } else print_ids(ids->ids + given, t ? text_out_whole(text_out) - given : made);
    return OK;
}

err_t cmd_generate(int argc, char **argv) {
    struct options o;
    struct generate_opts g;
    struct opt_set *set;
    struct model_src src = {0};
    struct run run = {0};
    struct tokenizer *t = NULL;
    struct tok_ids ids = {0};
    struct text_out text_out = {0};
    struct end_ids ends = {0};
    const struct opt_table own = {"generate", generate_opt_list, &g};
    TRY(cli_load(argc, argv, &own, &o, &set));
    err_t err = OK;
    TRY_OR(model_src_open(&o.model, NULL, 0, &src), done);
    TRY_OR(cli_tokenizer(&o, g.prompt || g.prompt_file || g.print == PRINT_TEXT || (g.stop && !is_endless(&g)), &t), done);
    if (!is_endless(&g)) TRY_OR(model_ends(&src, t, &ends), done);
    TRY_OR(make(&o, &g, &src, t, &ends, &run, &ids, &text_out), done);
done:
    free(ends.ids);
    free(ids.ids);
    text_out_close(&text_out);
    run_close(&run, err);
    tokenizer_close(t);
    model_src_close(&src);
    opt_free(set);
    return err;
}
