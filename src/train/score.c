/* Multiple choice by likelihood. Context and choice are tokenised as one text, as the model would read them; what is scored begins at the first
 * token in which any of a question's choices leaves the context, so that all its choices are continuations of the same tokens.
 * Choices lie side by side in a batch, each a document of its own. */
#include "base/num.h"
#include "train/train.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct choice {
    double log_p;  /* of its tokens, given what lies before them */
    int64_t bytes; /* of its text */
};
struct question {
    int64_t first, count, answer; /* its choices; answer counts from 0 among them */
};
struct span { /* a choice in the batch */
    int64_t row, rows, choice;
};

struct scorer {
    struct run *run;
    const struct tokenizer *tokenizer;
    struct tok_scratch *scratch;
    bool truncate;
    const char *where; /* of the record in hand */
    int64_t window;    /* rows of a batch */
    int64_t longest;   /* rows of a choice, up to window */
    struct choice *choices;
    struct question *questions;
    struct span *spans;
    float *losses; /* (window) */
    int64_t choice_count, choice_room, question_count, question_room, span_count, filled;
};

/* `list` with room for one more element. */
static err_t grow(void *list, int64_t count, int64_t *room, size_t bytes, void **out) {
    *out = list;
    if (count < *room) return OK;
    const int64_t wanted = 2 * *room + 256;
    void *more = realloc(list, bytes * (size_t)wanted);
    if (!more) return FAIL(ERR_NOMEM, "out of memory for %lld questions or choices; split the file", (long long)wanted);
    *room = wanted;
    *out = more;
    return OK;
}

/* The batch through the model; every choice in it gets its log-probability. */
static err_t flush(struct scorer *s) {
    struct run *r = s->run;
    if (s->filled == 0) return OK;
    run_set_tokens(r, s->filled);
    TRY(run_upload(r));
    TRY(step_forward(r));
    TRY(vocab_token_losses(&r->vocab, r->dense.last.h, r->batch.targets, s->losses));
    for (int64_t i = 0; i < s->span_count; i++) {
        const struct span *at = &s->spans[i];
        for (int64_t j = at->row; j < at->row + at->rows; j++) s->choices[at->choice].log_p -= (double)s->losses[j];
        if (!isfinite(s->choices[at->choice].log_p))
            return FAIL(ERR_FAILED, "the log-probability of choice %lld of the file is %g; check the model's weights with model.dtype=fp32",
                        (long long)at->choice, s->choices[at->choice].log_p);
    }
    s->span_count = s->filled = 0;
    return OK;
}

/* One choice into the batch: ids (count), of which those from `scored` on count. */
static err_t place(struct scorer *s, const struct tok_ids *ids, int64_t scored, int64_t choice) {
    struct batch *b = &s->run->host;
    int64_t rows = ids->count - 1, from = 0; /* the last one is only a target */
    if (rows > s->longest) {
        if (!s->truncate || ids->count - scored > s->longest)
            return FAIL(ERR_USAGE, "%s: context and choice are %lld tokens, more than data.seq=%lld allows; raise data.seq%s", s->where,
                        (long long)ids->count, (long long)s->longest,
                        s->truncate ? "" : " or set data.long=truncate, which cuts the context's begin off");
        from = rows - s->longest;
        rows = s->longest;
    }
    if (s->filled + rows > s->window) TRY(flush(s));
    for (int64_t i = 0; i < rows; i++) {
        const int64_t at = s->filled + i, token = from + i;
        b->ids[at] = ids->ids[token];
        b->targets[at] = token + 1 >= scored ? ids->ids[token + 1] : DATA_NO_TARGET;
        b->positions[at] = (int32_t)i;
        b->doc_start[at] = (int32_t)s->filled;
    }
    s->spans[s->span_count++] = (struct span){s->filled, rows, choice};
    s->filled += rows;
    return OK;
}

/* ---- records ---- */

static err_t check_record(const struct scorer *s, const json_t *o, const json_t **context, const json_t **choices, int64_t *answer) {
    *context = json_object_get(o, "context");
    *choices = json_object_get(o, "choices");
    const json_t *a = json_object_get(o, "answer");
    if (!json_is_string(*context)) return FAIL(ERR_FORMAT, "%s: \"context\" is missing or no string; give the text before the choices", s->where);
    if (!json_is_array(*choices) || json_array_size(*choices) < 2)
        return FAIL(ERR_FORMAT, "%s: \"choices\" is missing or no array of two strings or more; give the continuations", s->where);
    for (size_t i = 0; i < json_array_size(*choices); i++)
        if (json_string_length(json_array_get(*choices, i)) == 0) /* 0 too where it is no string */
            return FAIL(ERR_FORMAT, "%s: choice %zu is empty or no string; give the continuation as text", s->where, i);
    *answer = json_is_integer(a) ? json_integer_value(a) : -1;
    if (*answer < 0 || *answer >= (int64_t)json_array_size(*choices))
        return FAIL(ERR_FORMAT, "%s: \"answer\" is no whole number from 0 to %zu; give the index of the right choice", s->where,
                    json_array_size(*choices) - 1);
    return OK;
}

/* Ids of context and choice as one text (choice NULL: none). */
static err_t encode(struct scorer *s, const json_t *context, const json_t *choice, struct tok_ids *out) {
    const size_t head = json_string_length(context), tail = choice ? json_string_length(choice) : 0;
    char *text = malloc(head + tail + 1);
    if (!text) return FAIL(ERR_NOMEM, "out of memory for the %zu bytes of a choice at %s; split the record", head + tail, s->where);
    memcpy(text, json_string_value(context), head);
    if (choice) memcpy(text + head, json_string_value(choice), tail);
    out->count = 0;
    err_t err = tokenizer_encode(s->tokenizer, s->scratch, text, (int64_t)(head + tail), out);
    free(text);
    TRY(err);
    for (int64_t i = 0; i < out->count; i++)
        if (out->ids[i] >= s->run->shape.spec->vocab)
            return FAIL(ERR_FORMAT, "%s: the tokenizer gives id %d, the model has only %lld; they do not belong together", s->where, (int)out->ids[i],
                        (long long)s->run->shape.spec->vocab);
    return OK;
}

/* A text without a context begins where a document ended. */
static err_t begin_document(struct scorer *s, struct tok_ids *ids) {
    const int32_t eos = tokenizer_eos(s->tokenizer);
    if (eos < 0 || eos >= s->run->shape.spec->vocab)
        return FAIL(ERR_FORMAT,
                    "%s: the choices share no token of the context, and the tokenizer has no end-of-document token to begin with; give a "
                    "longer context",
                    s->where);
    int32_t *more = realloc(ids->ids, sizeof(int32_t) * (size_t)(ids->count + 1));
    if (!more) return FAIL(ERR_NOMEM, "out of memory for %lld ids at %s; split the record", (long long)ids->count + 1, s->where);
    memmove(more + 1, more, sizeof(int32_t) * (size_t)ids->count);
    more[0] = eos;
    ids->ids = more;
    ids->room = ++ids->count;
    return OK;
}

static int64_t shared(const struct tok_ids *a, const struct tok_ids *b) {
    int64_t n = 0;
    while (n < a->count && n < b->count && a->ids[n] == b->ids[n]) n++;
    return n;
}

static err_t add_question(struct scorer *s, const json_t *record, struct tok_ids *head, struct tok_ids *ids) {
    const json_t *context, *list;
    int64_t answer;
    TRY(check_record(s, record, &context, &list, &answer));
    const int64_t count = (int64_t)json_array_size(list);
    void *more;
    TRY(grow(s->questions, s->question_count, &s->question_room, sizeof *s->questions, &more));
    s->questions = more;
    s->questions[s->question_count++] = (struct question){s->choice_count, count, answer};
    TRY(encode(s, context, NULL, head));
    int64_t common = head->count;
    for (int64_t i = 0; i < count; i++) {
        TRY(encode(s, context, json_array_get(list, (size_t)i), ids));
        common = i64_min(common, shared(head, ids));
    }
    for (int64_t i = 0; i < count; i++) {
        const json_t *choice = json_array_get(list, (size_t)i);
        TRY(encode(s, context, choice, ids));
        if (ids->count == common)
            return FAIL(ERR_FORMAT, "%s: choice %lld adds no token to the context; choices must differ from it", s->where, (long long)i);
        if (common == 0) TRY(begin_document(s, ids));
        TRY(grow(s->choices, s->choice_count, &s->choice_room, sizeof *s->choices, &more));
        s->choices = more;
        s->choices[s->choice_count] = (struct choice){0, (int64_t)json_string_length(choice)};
        TRY(place(s, ids, i64_max(common, 1), s->choice_count++));
    }
    return OK;
}

static err_t read_file(struct scorer *s, const char *path) {
    struct jsonl *j;
    TRY(jsonl_open(path, CORPUS_UTF8_STRICT, &j));
    struct tok_ids head = {0}, ids = {0};
    const json_t *record;
    bool got = true;
    err_t err = OK;
    while (err == OK && got) {
        err = jsonl_next(j, &record, &got);
        s->where = jsonl_where(j);
        if (err == OK && got) err = add_question(s, record, &head, &ids);
    }
    free(head.ids);
    free(ids.ids);
    jsonl_close(j);
    return err;
}

/* The likeliest choice of a question, the first at a tie. */
static int64_t best_choice(const struct scorer *s, const struct question *q, bool per_byte) {
    int64_t best = 0;
    double most = 0;
    for (int64_t i = 0; i < q->count; i++) {
        const struct choice *c = &s->choices[q->first + i];
        const double p = per_byte ? c->log_p / (double)c->bytes : c->log_p;
        if (i == 0 || p > most) {
            best = i;
            most = p;
        }
    }
    return best;
}

err_t score_choices(struct run *r, const struct tokenizer *t, const char *paths, int64_t longest, bool truncate, struct score *out) {
    struct scorer s = {.run = r, .tokenizer = t, .truncate = truncate, .where = "", .window = r->shape.tokens, .longest = longest};
    ENSURE(longest >= 1 && longest <= s.window);
    err_t err = OK;
    char **files = NULL;
    int64_t file_count = 0;
    s.spans = malloc(sizeof *s.spans * (size_t)s.window);
    s.losses = malloc(sizeof *s.losses * (size_t)s.window);
    if (!s.spans || !s.losses) {
        err = FAIL(ERR_NOMEM, "out of memory for a batch of %lld tokens; lower data.seq", (long long)s.window);
        goto done;
    }
    TRY_OR(tok_scratch_new(t, &s.scratch), done);
    TRY_OR(data_list(paths, DATA_JSONL, &files, &file_count), done);
    for (int64_t i = 0; i < file_count; i++) TRY_OR(read_file(&s, files[i]), done);
    TRY_OR(flush(&s), done);
    *out = (struct score){.questions = s.question_count};
    for (int64_t i = 0; i < s.question_count; i++) {
        out->right += best_choice(&s, &s.questions[i], false) == s.questions[i].answer;
        out->right_per_byte += best_choice(&s, &s.questions[i], true) == s.questions[i].answer;
    }
    if (s.question_count == 0) err = FAIL(ERR_FORMAT, "%s holds no question; give {\"context\", \"choices\", \"answer\"}, one a line", paths);
done:
    run_set_tokens(r, s.window);
    tok_scratch_free(s.scratch);
    free(s.choices);
    free(s.questions);
    free(s.spans);
    free(s.losses);
    os_free_list(files, file_count);
    return err;
}
