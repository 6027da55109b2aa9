/* Statements of a template: its tags and what stands between them; and looking at its tokens. */
#include "data/jinja_int.h"

#include <stdio.h>
#include <string.h>

void jinja_where(const char *name, int line) { (void)err_prefix(ERR_FORMAT, "%s:%d", name, line); }

static const struct jtoken *ahead(const struct jparse *p, int n) {
    const struct jtoken *t = p->tok + p->at;
    for (; n > 0 && t->type != JT_EOF; n--) t++;
    return t;
}

bool jparse_is_op(const struct jparse *p, int n, const char *op) {
    const struct jtoken *t = ahead(p, n);
    return t->type == JT_OP && jstr_is(t->text, op);
}

bool jparse_is_name(const struct jparse *p, int n, const char *name) {
    const struct jtoken *t = ahead(p, n);
    return t->type == JT_NAME && jstr_is(t->text, name);
}

bool jparse_skip_op(struct jparse *p, const char *op) {
    const bool there = jparse_is_op(p, 0, op);
    p->at += there;
    return there;
}

bool jparse_skip_name(struct jparse *p, const char *name) {
    const bool there = jparse_is_name(p, 0, name);
    p->at += there;
    return there;
}

err_t jparse_unexpected_error(struct jparse *p, const char *wanted) {
    const struct jtoken *t = ahead(p, 0);
    switch (t->type) {
    case JT_NAME:
    case JT_OP: return JSYNTAX(p, t->line, "\"%.*s\" where %s should stand; correct the template", (int)t->text->bytes, t->text->p, wanted);
    case JT_STRING:
        return JSYNTAX(p, t->line, "the string \"%.*s\" where %s should stand; correct the template",
                       (int)(t->text->bytes < 60 ? t->text->bytes : 60), t->text->p, wanted);
    case JT_INT:
    case JT_FLOAT: return JSYNTAX(p, t->line, "a number where %s should stand; correct the template", wanted);
    case JT_EOF: return JSYNTAX(p, t->line, "the template ends where %s should stand; complete it", wanted);
    default: return JSYNTAX(p, t->line, "the tag ends where %s should stand; correct the template", wanted);
    }
}

err_t jparse_expect_op(struct jparse *p, const char *op) {
    char wanted[16];
    if (jparse_skip_op(p, op)) return OK;
    (void)snprintf(wanted, sizeof wanted, "\"%s\"", op);
    return JUNEXPECTED(p, wanted);
}

err_t jparse_expect_name(struct jparse *p, const struct jtoken **out) {
    const struct jtoken *t = ahead(p, 0);
    if (t->type != JT_NAME) return JUNEXPECTED(p, "a name");
    p->at++;
    if (out) *out = t;
    return OK;
}

const struct jtoken *jparse_token(const struct jparse *p) { return p->tok + p->at; }

err_t jparse_node(struct jparse *p, enum jkind kind, int line, struct jnode **out) {
    struct jnode *n;
    TRY(JNEW(p->mem, 1, &n));
    n->kind = kind;
    n->line = line;
    n->slot = -1;
    *out = n;
    return OK;
}

/* ---- statements ---- */

static err_t statements(struct jparse *p, const char *const *ends, struct jnode **out);

static const struct jtoken *now(const struct jparse *p) { return p->tok + p->at; }

static err_t expect(struct jparse *p, enum jtok type, const char *wanted) {
    if (now(p)->type != type) return JUNEXPECTED(p, wanted);
    p->at++;
    return OK;
}

/* The block of a tag, up to the tag of one of those names, in hand when it returns. */
static err_t block(struct jparse *p, const char *const *ends, struct jnode **out) {
    (void)jparse_skip_op(p, ":");
    TRY(expect(p, JT_BLOCK_END, "the tag's end"));
    const int line = now(p)->line;
    if (++p->depth > JPARSE_DEPTH) return JSYNTAX(p, line, "more than %d blocks in one another; mop's templates go no deeper", JPARSE_DEPTH);
    TRY(statements(p, ends, out));
    p->depth--;
    if (now(p)->type == JT_EOF) return JSYNTAX(p, line, "the block that begins here has no end; write {%% %s %%} behind it", ends[0]);
    return OK;
}

/* The same up to the one tag `end`, which is passed. */
static err_t block_to(struct jparse *p, const char *end, struct jnode **out) {
    TRY(block(p, (const char *const[]){end, NULL}, out));
    p->at++;
    return OK;
}

static err_t parse_set(struct jparse *p, struct jnode *n) {
    TRY(jparse_target(p, NULL, true, &n->a));
    if (jparse_skip_op(p, "=")) return jparse_tuple(p, true, NULL, false, &n->b);
    n->kind = JN_SETBLOCK;
    TRY(jparse_filters(p, NULL, false, &n->b));
    return block_to(p, "endset", &n->body);
}

static err_t parse_for(struct jparse *p, struct jnode *n) {
    const int64_t from = p->at;
    TRY(jparse_target(p, "in", false, &n->a));
    if (!jparse_skip_name(p, "in")) return JUNEXPECTED(p, "\"in\"");
    TRY(jparse_tuple(p, false, "recursive", false, &n->b));
    if (jparse_skip_name(p, "if")) {
        const int64_t here = p->at;
        p->at = from;
        TRY(jparse_target(p, "in", false, &n->d)); /* the test is a function of its own, with targets of its own */
        p->at = here;
        TRY(jparse_expression(p, true, &n->c));
    }
    n->flag = jparse_skip_name(p, "recursive");
    TRY(block(p, (const char *const[]){"endfor", "else", NULL}, &n->body));
    if (jparse_skip_name(p, "endfor")) return OK;
    p->at++;
    return block_to(p, "endfor", &n->other);
}

static err_t parse_if(struct jparse *p, struct jnode *n) {
    struct jnode *now_in = n, **elifs = &n->items;
    for (;;) {
        TRY(jparse_tuple(p, false, NULL, false, &now_in->a));
        TRY(block(p, (const char *const[]){"endif", "elif", "else", NULL}, &now_in->body));
        if (jparse_skip_name(p, "endif")) return OK;
        if (jparse_skip_name(p, "else")) return block_to(p, "endif", &n->other);
        p->at++;
        TRY(jparse_node(p, JN_IF, now(p)->line, elifs));
        now_in = *elifs;
        elifs = &now_in->next;
    }
}

static err_t parse_with(struct jparse *p, struct jnode *n) {
    struct jnode **target = &n->items, **value = &n->values;
    while (now(p)->type != JT_BLOCK_END) {
        if (n->items) TRY(jparse_expect_op(p, ","));
        TRY(jparse_target(p, NULL, false, target));
        TRY(jparse_expect_op(p, "="));
        TRY(jparse_expression(p, true, value));
        target = jnode_tail(target);
        value = jnode_tail(value);
    }
    return block_to(p, "endwith", &n->body);
}

/* `(a, b=1)` */
static err_t parameters(struct jparse *p, struct jnode *n) {
    struct jnode **to = &n->items, **value = &n->values;
    TRY(jparse_expect_op(p, "("));
    while (!jparse_is_op(p, 0, ")")) {
        const struct jtoken *t = NULL;
        if (n->items) TRY(jparse_expect_op(p, ","));
        TRY(jparse_expect_name(p, &t));
        TRY(jparse_node(p, JN_NAME, t->line, to));
        (*to)->name = t->text;
        for (const struct jnode *i = n->items; i && i != *to; i = i->next)
            if (jstr_same(i->name, t->text))
                return JSYNTAX(p, t->line, "two parameters are called %.*s; rename one", (int)t->text->bytes, t->text->p);
        if (jparse_skip_op(p, "=")) {
            TRY(jparse_expression(p, true, value));
            value = jnode_tail(value);
        } else if (n->values) {
            return JSYNTAX(p, t->line, "%.*s has no default and stands behind a parameter that has one; give it one", (int)t->text->bytes,
                           t->text->p);
        }
        to = jnode_tail(to);
    }
    return jparse_expect_op(p, ")");
}

static err_t parse_macro(struct jparse *p, struct jnode *n) {
    const struct jtoken *t = NULL;
    TRY(jparse_expect_name(p, &t));
    n->name = t->text;
    TRY(parameters(p, n));
    return block_to(p, "endmacro", &n->body);
}

static err_t parse_call(struct jparse *p, struct jnode *n) {
    if (jparse_is_op(p, 0, "(")) TRY(parameters(p, n));
    TRY(jparse_expression(p, true, &n->a));
    if (n->a->kind != JN_CALL) return JSYNTAX(p, n->line, "{%% call %%} has no call of a macro; write its name and its arguments in parentheses");
    return block_to(p, "endcall", &n->body);
}

static err_t parse_generation(struct jparse *p, struct jnode *n) {
    p->marks = true;
    return block_to(p, "endgeneration", &n->body);
}

static err_t parse_filter(struct jparse *p, struct jnode *n) {
    TRY(jparse_filters(p, NULL, true, &n->b));
    return block_to(p, "endfilter", &n->body);
}

static err_t parse_print(struct jparse *p, struct jnode *n) {
    struct jnode **to = &n->items;
    while (now(p)->type != JT_BLOCK_END) {
        if (n->items) TRY(jparse_expect_op(p, ","));
        TRY(jparse_expression(p, true, to));
        to = jnode_tail(to);
    }
    return OK;
}

static err_t parse_nothing(struct jparse *p, struct jnode *n) {
    (void)p;
    (void)n;
    return OK;
}

/* Tags that load other templates: there are none, so reaching one is an error, as it is for transformers. */
static err_t parse_loading(struct jparse *p, struct jnode *n) {
    n->name = p->tok[p->at - 1].text;
    TRY(jparse_expression(p, true, &n->a));
    while (now(p)->type == JT_NAME || jparse_is_op(p, 0, ",")) p->at++;
    return OK;
}

static const struct tag {
    const char *name;
    enum jkind kind;
    err_t (*parse)(struct jparse *p, struct jnode *n);
} TAGS[] = {
    {"set", JN_SET, parse_set},
    {"if", JN_IF, parse_if},
    {"for", JN_FOR, parse_for},
    {"macro", JN_MACRO, parse_macro},
    {"generation", JN_CALL_BLOCK, parse_generation},
    {"break", JN_BREAK, parse_nothing},
    {"continue", JN_CONTINUE, parse_nothing},
    {"call", JN_CALL_BLOCK, parse_call},
    {"filter", JN_FILTER_BLOCK, parse_filter},
    {"with", JN_WITH, parse_with},
    {"print", JN_PRINT, parse_print},
    {"include", JN_REFUSED, parse_loading},
    {"import", JN_REFUSED, parse_loading},
    {"from", JN_REFUSED, parse_loading},
    {"extends", JN_REFUSED, parse_loading},
};

static err_t statement(struct jparse *p, struct jnode **out) {
    const struct jtoken *t = NULL;
    TRY(jparse_expect_name(p, &t));
    for (size_t i = 0; i < sizeof TAGS / sizeof *TAGS; i++) {
        if (!jstr_is(t->text, TAGS[i].name)) continue;
        TRY(jparse_node(p, TAGS[i].kind, t->line, out));
        TRY(TAGS[i].parse(p, *out));
        return expect(p, JT_BLOCK_END, "the tag's end");
    }
    if (t->text->bytes > 3 && memcmp(t->text->p, "end", 3) == 0)
        return JSYNTAX(p, t->line, "{%% %.*s %%} ends nothing that is open here; check the tags before it", (int)t->text->bytes, t->text->p);
    return JSYNTAX(p, t->line, "the tag {%% %.*s %%} is not known; mop's templates have set, if, for, macro, call, filter, with, generation",
                   (int)t->text->bytes, t->text->p);
}

static bool at_end(const struct jparse *p, const char *const *ends) {
    for (; ends && *ends; ends++)
        if (jparse_is_name(p, 0, *ends)) return true;
    return false;
}

/* Text and values that follow one another are one JN_PRINT. */
static err_t printed(struct jparse *p, struct jnode **out) {
    TRY(jparse_node(p, JN_PRINT, now(p)->line, out));
    for (struct jnode **to = &(*out)->items; now(p)->type == JT_DATA || now(p)->type == JT_VAR_BEGIN; to = jnode_tail(to)) {
        if (now(p)->type == JT_DATA) {
            TRY(jparse_node(p, JN_DATA, now(p)->line, to));
            (*to)->name = now(p)->text;
            p->at++;
            continue;
        }
        p->at++;
        TRY(jparse_tuple(p, true, NULL, false, to));
        TRY(expect(p, JT_VAR_END, "the tag's end"));
    }
    return OK;
}

static err_t statements(struct jparse *p, const char *const *ends, struct jnode **out) { // NOLINT(misc-no-recursion): bounded by JPARSE_DEPTH
    while (now(p)->type != JT_EOF) {
        if (now(p)->type == JT_BLOCK_BEGIN) {
            p->at++;
            if (at_end(p, ends)) return OK;
            TRY(statement(p, out));
        } else {
            TRY(printed(p, out));
        }
        out = jnode_tail(out);
    }
    return OK;
}

err_t jparse_template(struct jparse *p, struct jnode **body) { return statements(p, NULL, body); }
