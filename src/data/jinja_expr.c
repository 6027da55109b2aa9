/* Expressions of a template's tags, by Jinja's grammar: what binds how, and where a tuple may stand without parentheses. */
#include "data/jinja_int.h"

#include <stdlib.h>
#include <string.h>

static int line(const struct jparse *p) { return p->tok[p->at].line; }

static err_t unary(struct jparse *p, bool with_filters, struct jnode **out);

/* What is inside of brackets, an operator's operand, a tag: one step deeper. */
static err_t deeper(struct jparse *p) {
    if (++p->depth > JPARSE_DEPTH)
        return JSYNTAX(p, line(p), "more than %d expressions or blocks in one another; mop's templates go no deeper", JPARSE_DEPTH);
    return OK;
}

static err_t binary(struct jparse *p, enum jkind kind, int op, struct jnode *a, struct jnode *b, int at, struct jnode **out) {
    struct jnode *n = NULL;
    TRY(jparse_node(p, kind, at, &n));
    n->op = op;
    n->a = a;
    n->b = b;
    *out = n;
    return OK;
}

static err_t named_const(struct jparse *p, const struct jtoken *t, struct jval v, struct jnode **out) {
    TRY(jparse_node(p, JN_CONST, t->line, out));
    (*out)->value = v;
    return OK;
}

static err_t name(struct jparse *p, bool namespaces, struct jnode **out) {
    const struct jtoken *t = jparse_token(p);
    p->at++;
    if (jstr_is(t->text, "true") || jstr_is(t->text, "True")) return named_const(p, t, jv_bool(true), out);
    if (jstr_is(t->text, "false") || jstr_is(t->text, "False")) return named_const(p, t, jv_bool(false), out);
    if (jstr_is(t->text, "none") || jstr_is(t->text, "None")) return named_const(p, t, jv_none(), out);
    if (jstr_is(t->text, "self"))
        return JSYNTAX(p, t->line, "\"self\" means a template's blocks, which mop's templates do not know; use another name");
    TRY(jparse_node(p, JN_NAME, t->line, out));
    (*out)->name = t->text;
    if (namespaces && jparse_skip_op(p, ".")) {
        const struct jtoken *attr = NULL;
        TRY(jparse_expect_name(p, &attr));
        (*out)->kind = JN_NSREF;
        (*out)->attr = attr->text;
    }
    return OK;
}

static err_t strings(struct jparse *p, struct jnode **out) {
    const struct jtoken *t = jparse_token(p);
    const struct jstr *s = t->text;
    for (p->at++; p->tok[p->at].type == JT_STRING; p->at++) {
        const struct jstr *more = p->tok[p->at].text;
        char *both;
        TRY(jmem_get(p->mem, s->bytes + more->bytes + 1, (void **)&both));
        memcpy(both, s->p, (size_t)s->bytes);
        memcpy(both + s->bytes, more->p, (size_t)more->bytes);
        TRY(jstr_new(p->mem, both, s->bytes + more->bytes, &s));
    }
    return named_const(p, t, jv_str(s), out);
}

/* `item, item]`, a comma at the end allowed; a dict's items are key, value in turn. */
static err_t items(struct jparse *p, const char *close, bool pairs, struct jnode *n) {
    struct jnode **to = &n->items;
    while (!jparse_is_op(p, 0, close)) {
        if (n->items) TRY(jparse_expect_op(p, ","));
        if (jparse_is_op(p, 0, close)) break;
        TRY(jparse_expression(p, true, to));
        to = jnode_tail(to);
        if (!pairs) continue;
        TRY(jparse_expect_op(p, ":"));
        TRY(jparse_expression(p, true, to));
        to = jnode_tail(to);
    }
    return jparse_expect_op(p, close);
}

static err_t primary(struct jparse *p, bool namespaces, struct jnode **out) {
    const struct jtoken *t = jparse_token(p);
    if (t->type == JT_NAME) return name(p, namespaces, out);
    if (t->type == JT_STRING) return strings(p, out);
    if (t->type == JT_INT || t->type == JT_FLOAT) {
        p->at++;
        return named_const(p, t, t->value, out);
    }
    if (jparse_skip_op(p, "(")) {
        TRY(jparse_tuple(p, true, NULL, true, out));
        return jparse_expect_op(p, ")");
    }
    const bool list = jparse_is_op(p, 0, "["), dict = jparse_is_op(p, 0, "{");
    if (!list && !dict) return JUNEXPECTED(p, "an expression");
    p->at++;
    TRY(jparse_node(p, list ? JN_LIST : JN_DICT, t->line, out));
    return items(p, list ? "]" : "}", dict, *out);
}

static err_t slice_part(struct jparse *p, struct jnode **out) {
    if (jparse_is_op(p, 0, ":") || jparse_is_op(p, 0, "]") || jparse_is_op(p, 0, ",")) return OK;
    return jparse_expression(p, true, out);
}

static err_t subscribed(struct jparse *p, struct jnode **out) {
    const int at = line(p);
    struct jnode *first = NULL, *n;
    TRY(slice_part(p, &first));
    if (first && !jparse_is_op(p, 0, ":")) {
        *out = first;
        return OK;
    }
    if (!jparse_skip_op(p, ":")) return JUNEXPECTED(p, "an expression");
    TRY(jparse_node(p, JN_SLICE, at, &n));
    n->a = first;
    TRY(slice_part(p, &n->b));
    if (jparse_skip_op(p, ":")) TRY(slice_part(p, &n->c));
    *out = n;
    return OK;
}

static err_t subscript(struct jparse *p, struct jnode *of, struct jnode **out) {
    const int at = line(p);
    struct jnode *n, *key = NULL, **to = &key;
    if (jparse_skip_op(p, ".")) {
        const struct jtoken *t = jparse_token(p);
        p->at++;
        if (t->type == JT_NAME) {
            TRY(binary(p, JN_ATTR, 0, of, NULL, at, &n));
            n->name = t->text;
            *out = n;
            return OK;
        }
        if (t->type != JT_INT) {
            p->at--;
            return JUNEXPECTED(p, "a name or number behind the dot");
        }
        TRY(named_const(p, t, t->value, &key));
        return binary(p, JN_ITEM, 0, of, key, at, out);
    }
    TRY(jparse_expect_op(p, "["));
    int count = 0;
    for (; !jparse_is_op(p, 0, "]"); count++) {
        if (key) TRY(jparse_expect_op(p, ","));
        TRY(subscribed(p, to));
        to = jnode_tail(to);
    }
    TRY(jparse_expect_op(p, "]"));
    if (count != 1) {
        TRY(jparse_node(p, JN_TUPLE, at, &n));
        n->items = key;
        key = n;
    }
    return binary(p, JN_ITEM, 0, of, key, at, out);
}

/* The arguments of a call behind `n`: to n->items, and *a and **a to n->values. */
static err_t arguments(struct jparse *p, struct jnode *n) {
    struct jnode **to = &n->items, **dyn = &n->values;
    bool keywords = false, star = false, stars = false;
    const int at = line(p);
    TRY(jparse_expect_op(p, "("));
    for (bool comma = false; !jparse_is_op(p, 0, ")"); comma = true) {
        if (comma) {
            TRY(jparse_expect_op(p, ","));
            if (jparse_is_op(p, 0, ")")) break;
        }
        struct jnode *arg = NULL, *value = NULL;
        if (jparse_is_op(p, 0, "*") || jparse_is_op(p, 0, "**")) {
            const bool two = jparse_is_op(p, 0, "**");
            if (stars || (star && !two)) return JSYNTAX(p, at, "a call's *list and **dict stand once each, last; put them in that order");
            p->at++;
            TRY(jparse_expression(p, true, &value));
            TRY(binary(p, two ? JN_STARS : JN_STAR, 0, value, NULL, at, dyn));
            dyn = jnode_tail(dyn);
            star = star || !two;
            stars = stars || two;
            continue;
        }
        if (jparse_token(p)->type == JT_NAME && jparse_is_op(p, 1, "=")) {
            const struct jtoken *key = jparse_token(p);
            if (stars) return JSYNTAX(p, at, "an argument %.*s= behind **; put it before", (int)key->text->bytes, key->text->p);
            for (struct jnode *k = n->items; k; k = k->next)
                if (k->kind == JN_KEYWORD && jstr_same(k->name, key->text))
                    return JSYNTAX(p, at, "the argument %.*s= is given twice; give it once", (int)key->text->bytes, key->text->p);
            p->at += 2;
            TRY(jparse_expression(p, true, &value));
            TRY(binary(p, JN_KEYWORD, 0, value, NULL, key->line, &arg));
            arg->name = key->text;
            keywords = true;
        } else {
            if (star || stars || keywords) return JSYNTAX(p, at, "an argument without a name stands behind one with a name; put it before");
            TRY(jparse_expression(p, true, &arg));
        }
        *to = arg;
        to = jnode_tail(to);
    }
    return jparse_expect_op(p, ")");
}

static err_t dotted_name(struct jparse *p, const struct jstr **out) {
    const struct jtoken *t = NULL;
    TRY(jparse_expect_name(p, &t));
    *out = t->text;
    if (!jparse_is_op(p, 0, ".")) return OK;
    return JSYNTAX(p, t->line, "there is no filter or test with a dot in its name (%.*s.); correct it", (int)t->text->bytes, t->text->p);
}

err_t jparse_filters(struct jparse *p, struct jnode *of, bool first_is_name, struct jnode **out) {
    for (; first_is_name || jparse_is_op(p, 0, "|"); first_is_name = false) {
        if (!first_is_name) p->at++;
        struct jnode *n = NULL;
        TRY(binary(p, JN_FILTER, 0, of, NULL, line(p), &n));
        TRY(dotted_name(p, &n->name));
        if (jparse_is_op(p, 0, "(")) TRY(arguments(p, n));
        of = n;
    }
    *out = of;
    return OK;
}

static err_t postfix(struct jparse *p, struct jnode *n, struct jnode **out) {
    for (;;) {
        if (jparse_is_op(p, 0, ".") || jparse_is_op(p, 0, "[")) {
            TRY(subscript(p, n, &n));
        } else if (jparse_is_op(p, 0, "(")) {
            TRY(binary(p, JN_CALL, 0, n, NULL, line(p), &n));
            TRY(arguments(p, n));
        } else {
            *out = n;
            return OK;
        }
    }
}

/* Behind `is`. What follows the test's name and could begin a value is its argument. */
static err_t test(struct jparse *p, struct jnode *of, struct jnode **out) {
    struct jnode *n = NULL;
    const int at = line(p);
    p->at++;
    const bool negated = jparse_skip_name(p, "not");
    TRY(binary(p, JN_TEST, 0, of, NULL, at, &n));
    TRY(dotted_name(p, &n->name));
    const struct jtoken *t = jparse_token(p);
    if (jparse_is_op(p, 0, "(")) {
        TRY(arguments(p, n));
    } else if (t->type == JT_STRING || t->type == JT_INT || t->type == JT_FLOAT || jparse_is_op(p, 0, "[") || jparse_is_op(p, 0, "{") ||
               (t->type == JT_NAME && !jstr_is(t->text, "else") && !jstr_is(t->text, "or") && !jstr_is(t->text, "and"))) {
        if (jparse_is_name(p, 0, "is")) return JSYNTAX(p, t->line, "one \"is\" behind another; put the first test into parentheses");
        TRY(primary(p, false, &n->items));
        TRY(postfix(p, n->items, &n->items));
    }
    if (negated) TRY(binary(p, JN_NOT, 0, n, NULL, at, &n));
    *out = n;
    return OK;
}

static err_t filters_and_tests(struct jparse *p, struct jnode *n, struct jnode **out) {
    for (;;) {
        if (jparse_is_op(p, 0, "|")) {
            TRY(jparse_filters(p, n, false, &n));
        } else if (jparse_is_name(p, 0, "is")) {
            TRY(test(p, n, &n));
        } else if (jparse_is_op(p, 0, "(")) {
            TRY(binary(p, JN_CALL, 0, n, NULL, line(p), &n));
            TRY(arguments(p, n));
        } else {
            *out = n;
            return OK;
        }
    }
}

static err_t unary(struct jparse *p, bool with_filters, struct jnode **out) { // NOLINT(misc-no-recursion): bounded by JPARSE_DEPTH
    struct jnode *n = NULL;
    const int at = line(p);
    TRY(deeper(p));
    const bool minus = jparse_is_op(p, 0, "-");
    if (minus || jparse_is_op(p, 0, "+")) {
        p->at++;
        TRY(unary(p, false, &n));
        TRY(binary(p, minus ? JN_NEG : JN_POS, 0, n, NULL, at, &n));
    } else {
        TRY(primary(p, false, &n));
    }
    TRY(postfix(p, n, &n));
    if (with_filters) TRY(filters_and_tests(p, n, &n));
    p->depth--;
    *out = n;
    return OK;
}

struct level {
    const char *op[4];
    enum jop code[4];
};
static const struct level POWER = {{"**"}, {JO_POW}}, TIMES = {{"*", "/", "//", "%"}, {JO_MUL, JO_DIV, JO_FLOORDIV, JO_MOD}},
                          PLUS = {{"+", "-"}, {JO_ADD, JO_SUB}};

/* Operators of one level, from left to right. */
static err_t level(struct jparse *p, const struct level *l, err_t (*below)(struct jparse *, struct jnode **), struct jnode **out) {
    struct jnode *left, *right;
    TRY(below(p, &left));
    for (int i = 0; i < 4 && l->op[i]; i++) {
        if (!jparse_is_op(p, 0, l->op[i])) continue;
        const int at = line(p);
        p->at++;
        TRY(below(p, &right));
        TRY(binary(p, JN_BINARY, l->code[i], left, right, at, &left));
        i = -1;
    }
    *out = left;
    return OK;
}

static err_t operand(struct jparse *p, struct jnode **out) { return unary(p, true, out); }
static err_t power(struct jparse *p, struct jnode **out) { return level(p, &POWER, operand, out); }
static err_t times(struct jparse *p, struct jnode **out) { return level(p, &TIMES, power, out); }

static err_t concat(struct jparse *p, struct jnode **out) {
    struct jnode *first, *n;
    TRY(times(p, &first));
    *out = first;
    if (!jparse_is_op(p, 0, "~")) return OK;
    TRY(jparse_node(p, JN_CONCAT, line(p), &n));
    n->items = first;
    for (struct jnode **to = &first->next; jparse_skip_op(p, "~"); to = jnode_tail(to)) TRY(times(p, to));
    *out = n;
    return OK;
}

static err_t plus(struct jparse *p, struct jnode **out) { return level(p, &PLUS, concat, out); }

static err_t compare(struct jparse *p, struct jnode **out) {
    static const struct level OPS[] = {{{"==", "!="}, {JO_EQ, JO_NE}}, {{"<", "<=", ">", ">="}, {JO_LT, JO_LE, JO_GT, JO_GE}}};
    struct jnode *left, *n = NULL, **to = NULL;
    TRY(plus(p, &left));
    for (;;) {
        const int at = line(p);
        int op = -1;
        for (int i = 0; i < 2; i++)
            for (int k = 0; k < 4 && OPS[i].op[k]; k++)
                if (jparse_is_op(p, 0, OPS[i].op[k])) op = (int)OPS[i].code[k];
        if (op >= 0) {
            p->at++;
        } else if (jparse_skip_name(p, "in")) {
            op = JO_IN;
        } else if (jparse_is_name(p, 0, "not") && jparse_is_name(p, 1, "in")) {
            p->at += 2;
            op = JO_NOT_IN;
        } else {
            break;
        }
        if (!n) {
            TRY(binary(p, JN_COMPARE, 0, left, NULL, at, &n));
            to = &n->items;
        }
        struct jnode *right;
        TRY(plus(p, &right));
        TRY(binary(p, JN_OPERAND, op, right, NULL, at, to));
        to = jnode_tail(to);
    }
    *out = n ? n : left;
    return OK;
}

static err_t negation(struct jparse *p, struct jnode **out) { // NOLINT(misc-no-recursion): bounded by JPARSE_DEPTH
    const int at = line(p);
    if (!jparse_skip_name(p, "not")) return compare(p, out);
    struct jnode *n = NULL;
    TRY(deeper(p));
    TRY(negation(p, &n));
    p->depth--;
    return binary(p, JN_NOT, 0, n, NULL, at, out);
}

static err_t logic(struct jparse *p, bool any, struct jnode **out) {
    struct jnode *left, *right;
    TRY(any ? logic(p, false, &left) : negation(p, &left));
    for (int at = line(p); jparse_skip_name(p, any ? "or" : "and"); at = line(p)) {
        TRY(any ? logic(p, false, &right) : negation(p, &right));
        TRY(binary(p, any ? JN_OR : JN_AND, 0, left, right, at, &left));
    }
    *out = left;
    return OK;
}

static err_t condition(struct jparse *p, struct jnode **out) { // NOLINT(misc-no-recursion): bounded by JPARSE_DEPTH
    const int at = line(p);
    struct jnode *first, *n = NULL;
    TRY(deeper(p));
    TRY(logic(p, true, &first));
    while (jparse_skip_name(p, "if")) {
        TRY(binary(p, JN_COND, 0, first, NULL, at, &n));
        TRY(logic(p, true, &n->b));
        if (jparse_skip_name(p, "else")) TRY(condition(p, &n->c));
        first = n;
    }
    p->depth--;
    *out = first;
    return OK;
}

err_t jparse_expression(struct jparse *p, bool condexpr, struct jnode **out) { return condexpr ? condition(p, out) : logic(p, true, out); }

static bool tuple_ends(const struct jparse *p, const char *until) {
    const enum jtok t = p->tok[p->at].type;
    return t == JT_VAR_END || t == JT_BLOCK_END || jparse_is_op(p, 0, ")") || (until && jparse_is_name(p, 0, until));
}

/* One expression, or with a comma behind it a tuple. targets: only what can be assigned to is parsed. */
static err_t tuple(struct jparse *p, bool condexpr, const char *until, bool parentheses, bool targets, bool namespaces, struct jnode **out) {
    const int at = line(p);
    struct jnode *first = NULL, **to = &first, *n;
    bool comma = false;
    while (!tuple_ends(p, until)) {
        TRY(targets ? primary(p, namespaces, to) : jparse_expression(p, condexpr, to));
        to = jnode_tail(to);
        if (!jparse_skip_op(p, ",")) break;
        comma = true;
    }
    if (!comma && first) {
        *out = first;
        return OK;
    }
    if (!comma && !parentheses) return JUNEXPECTED(p, "an expression");
    TRY(jparse_node(p, JN_TUPLE, at, &n));
    n->items = first;
    *out = n;
    return OK;
}

err_t jparse_tuple(struct jparse *p, bool condexpr, const char *until, bool parentheses, struct jnode **out) {
    return tuple(p, condexpr, until, parentheses, false, false, out);
}

static bool can_assign(const struct jnode *n) { // NOLINT(misc-no-recursion): as deep as the parser went
    if (n->kind == JN_NAME || n->kind == JN_NSREF) return true;
    if (n->kind != JN_TUPLE) return false;
    for (const struct jnode *i = n->items; i; i = i->next)
        if (!can_assign(i)) return false;
    return true;
}

err_t jparse_target(struct jparse *p, const char *until, bool namespaces, struct jnode **out) {
    TRY(tuple(p, true, until, false, true, namespaces, out));
    if (!can_assign(*out)) return JSYNTAX(p, (*out)->line, "a value stands where a variable should; only names, and tuples of them, can be set");
    return OK;
}
