/* The template interpreter's own: Python's values, the tree of a template, what a rendering holds.
 *
 * lex -> parse, expr (the tree) -> scope (which variable lies where) -> exec, eval (walk the tree). Values never change once made, but for
 * namespaces, loops, cyclers and what is drawn out of an iterator; all memory is one rendering's and goes with it. */
#ifndef MOP_DATA_JINJA_INT_H
#define MOP_DATA_JINJA_INT_H

#include "data/jinja.h"

/* ---- memory: handed out zeroed, given back all at once ---- */
struct jmem_chunk;
struct jmem {
    const char *name; /* the template's, for the error */
    struct jmem_chunk *chunks;
    int64_t used, limit;
};
MUST err_t jmem_get(struct jmem *m, int64_t bytes, void **out);
void jmem_free(struct jmem *m);
#define JNEW(m, count, out) jmem_get((m), (int64_t)(count) * (int64_t)sizeof **(out), (void **)(out))

/* ---- values ---- */
enum jtype {
    J_MISSING, /* no value: a variable not set, an argument not given; no expression has it */
    J_UNDEFINED,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_BIG, /* a whole number beyond 64 bits */
    J_STR,
    J_LIST,
    J_TUPLE,
    J_DICT,
    J_RANGE,
    J_VIEW, /* of a dict: keys, values, items */
    J_ITER,
    J_NAMESPACE,
    J_MACRO,
    J_LOOP,
    J_METHOD,
    J_GLOBAL,
    J_CYCLER,
    J_JOINER
};

struct jval {
    enum jtype type;
    union {
        bool b;
        int64_t i;
        double f;
        const struct jbig *big;
        const struct jstr *s;
        const struct jlist *l; /* lists and tuples */
        const struct jdict *d;
        const struct jrange *r;
        const struct jview *view;
        struct jiter *it;
        struct jdict *ns;
        struct jmacro *macro;
        struct jloop *loop;
        const struct jmethod *method;
        int global; /* JG_* */
        struct jcycler *cycler;
        struct jjoiner *joiner;
        const struct jundef *undef; /* why, or NULL */
    } u;
};

struct jstr {
    const char *p; /* UTF-8, not ended by a NUL */
    int64_t bytes, chars;
    bool safe; /* markupsafe's Markup */
};
struct jbig { /* base 10^9, the lowest digit first */
    bool neg;
    int n;
    uint32_t *d;
};
struct jlist {
    struct jval *v;
    int64_t n, room;
    bool group; /* a pair of groupby, whose members have names */
};
struct jdict { /* in the order of insertion */
    struct jval *keys, *vals;
    uint64_t *hash;
    int64_t n, room;
};
struct jrange {
    int64_t start, step, n, stop;
};
enum { JVIEW_KEYS, JVIEW_VALUES, JVIEW_ITEMS };
struct jview {
    const struct jdict *d;
    int what;
};
struct jundef {
    const struct jstr *name; /* what was asked for */
    const struct jval *of;   /* of this; NULL: a variable */
    const char *hint;        /* in place of both, or NULL */
};
struct jcycler {
    const struct jlist *items;
    int64_t at;
};
struct jjoiner {
    struct jval sep;
    bool used;
};

struct jrun;
struct jiter {
    err_t (*next)(struct jrun *r, struct jiter *it, struct jval *out, bool *got);
    struct jval over;         /* what is walked, a container */
    struct jiter *from;       /* or drawn from */
    int64_t at, left;         /* for the kind's use */
    const void *fn;           /* a filter or test, */
    const struct jargs *args; /* its arguments, */
    struct jval attr, with;   /* an attribute's name or missing, a default or filling or missing */
    bool negate, done;
    err_t (*make)(struct jrun *r, struct jval v, const struct jval *args, struct jlist **out); /* all at once, when the first is asked for */
    struct jval arg[2];
    const struct jnode *node; /* a loop's test */
    struct jact *act;
};

enum { JG_RANGE = 1, JG_DICT, JG_FROMKEYS, JG_LIPSUM, JG_CYCLER, JG_JOINER, JG_NAMESPACE, JG_RAISE, JG_STRFTIME };

struct jargs {
    struct jval *pos;
    int64_t n;
    const struct jstr **names; /* of the keywords */
    struct jval *kw;
    int64_t nkw;
};
/* A filter, or a type's method. Neither function: Python knows it and we do not. */
struct jfn {
    const char *name, *args; /* as jargs_bind's names */
    err_t (*fn)(struct jrun *r, struct jval v, const struct jval *args, struct jval *out);
    err_t (*raw)(struct jrun *r, struct jval v, const struct jargs *args, struct jval *out); /* takes its arguments as they are */
};
enum { JARGS_MAX = 8 };
struct jmethod {
    struct jval self;
    const struct jfn *fn;
};

static inline struct jval jv_undefined(void) { return (struct jval){.type = J_UNDEFINED}; }
static inline struct jval jv_none(void) { return (struct jval){.type = J_NONE}; }
static inline struct jval jv_missing(void) { return (struct jval){.type = J_MISSING}; }
static inline struct jval jv_bool(bool b) { return (struct jval){.type = J_BOOL, .u.b = b}; }
static inline struct jval jv_int(int64_t i) { return (struct jval){.type = J_INT, .u.i = i}; }
static inline struct jval jv_float(double f) { return (struct jval){.type = J_FLOAT, .u.f = f}; }
static inline struct jval jv_str(const struct jstr *s) { return (struct jval){.type = J_STR, .u.s = s}; }
static inline struct jval jv_list(const struct jlist *l) { return (struct jval){.type = J_LIST, .u.l = l}; }
static inline struct jval jv_tuple(const struct jlist *l) { return (struct jval){.type = J_TUPLE, .u.l = l}; }
static inline struct jval jv_dict(const struct jdict *d) { return (struct jval){.type = J_DICT, .u.d = d}; }
static inline bool jv_is_int(struct jval v) { return v.type == J_INT || v.type == J_BOOL; } /* Python's int, of 64 bits */
static inline bool jv_is_whole(struct jval v) { return jv_is_int(v) || v.type == J_BIG; }
static inline bool jv_is_number(struct jval v) { return jv_is_whole(v) || v.type == J_FLOAT; }
static inline int64_t jv_as_int(struct jval v) { return v.type == J_BOOL ? v.u.b : v.u.i; }
static inline bool jv_given(struct jval v) { return v.type != J_MISSING; }

/* ---- the tree ---- */
enum jkind { /* statements */
             JN_DATA,
             JN_PRINT,        /* items: expressions, data among them */
             JN_IF,           /* a: test; body; items: elifs, JN_IF each; other */
             JN_FOR,          /* a: target, b: iterated, c: test or NULL, d: the target again, for the test; body; other; flag: recursive */
             JN_SET,          /* a: target, b: value */
             JN_SETBLOCK,     /* a: target, b: filter or NULL; body */
             JN_WITH,         /* items: targets, values: values; body */
             JN_MACRO,        /* name; items: parameters, values: their defaults, of the last ones; body */
             JN_CALL_BLOCK,   /* a: the call, NULL: generation; items, values, body as a macro's */
             JN_FILTER_BLOCK, /* b: filter; body */
             JN_BREAK,
             JN_CONTINUE,
             JN_REFUSED, /* name: of a tag that always fails when it is reached; a: its expression */
             /* expressions */
             JN_CONST,
             JN_NAME,
             JN_NSREF, /* name.attr as a target: name, attr */
             JN_TUPLE,
             JN_LIST,
             JN_DICT, /* items: key, value, key, value */
             JN_COND, /* a if b else c */
             JN_OR,
             JN_AND,
             JN_NOT,
             JN_COMPARE, /* a; items: JN_OPERAND */
             JN_OPERAND, /* op; a */
             JN_BINARY,  /* op; a, b */
             JN_NEG,
             JN_POS,
             JN_CONCAT, /* items */
             JN_ATTR,   /* a, name */
             JN_ITEM,   /* a, b */
             JN_SLICE,  /* a, b, c: any NULL */
             JN_CALL,   /* a; items: arguments, JN_KEYWORD last; values: at most one JN_STAR and one JN_STARS */
             JN_FILTER, /* a or NULL: the block; name; as a call */
             JN_TEST,
             JN_KEYWORD, /* name, a */
             JN_STAR,    /* *a */
             JN_STARS    /* **a */
};
enum jop { JO_ADD, JO_SUB, JO_MUL, JO_DIV, JO_FLOORDIV, JO_MOD, JO_POW, JO_EQ, JO_NE, JO_LT, JO_LE, JO_GT, JO_GE, JO_IN, JO_NOT_IN };

/* What happens to a scope's variables when it is entered. */
enum jload { JL_PARAM, JL_RESOLVE, JL_ALIAS, JL_UNDEFINED };
struct jscope {
    int n;
    struct jscope_var {
        const struct jstr *name;
        enum jload how;
        int slot, hops, from; /* of the function in hand; JL_ALIAS: `from` of the function `hops` further out */
    } * var;
};
/* Parameters that a macro has without being asked. */
enum { JM_CALLER = 1, JM_KWARGS = 2, JM_VARARGS = 4 };

struct jnode {
    enum jkind kind;
    int line, op;
    const struct jstr *name, *attr;
    struct jval value;
    struct jnode *a, *b, *c, *d;
    struct jnode *items, *values, *body, *other, *next;
    bool flag, soft;                                     /* soft: inside an if, where an unknown filter is an error only when it is reached */
    int slot, hops;                                      /* of a name; a loop's or macro's own variable (slot -1: none) */
    int slots;                                           /* of the function that begins here: macro, call block, recursive loop */
    int test_slots;                                      /* of a loop's test, a function of its own */
    int special, caller_slot, kwargs_slot, varargs_slot; /* JM_* */
    struct jscope scope, other_scope, test_scope;
    const void *fn; /* the filter or test */
};

/* Where the next node of a list goes. */
static inline struct jnode **jnode_tail(struct jnode **to) { return *to ? &(*to)->next : to; }

struct jinja {
    const char *name;
    struct jmem mem;
    struct jnode *body;
    struct jscope scope;
    int slots;
    bool marks, in_function_marks; /* generation tags; some inside a macro */
};

/* ---- tokens ---- */
enum jtok {
    JT_DATA,
    JT_BLOCK_BEGIN,
    JT_BLOCK_END,
    JT_VAR_BEGIN,
    JT_VAR_END,
    JT_NAME,
    JT_STRING,
    JT_INT,
    JT_FLOAT,
    JT_OP, /* its characters are in `text` */
    JT_EOF
};
struct jtoken {
    enum jtok type;
    int line;
    const struct jstr *text; /* data, names, strings, operators */
    struct jval value;       /* numbers */
};
struct jlex {
    const char *name;
    struct jmem *mem;
    struct jtoken *tok; /* a JT_EOF at the end */
    int64_t n, room;
};
MUST err_t jlex_all(struct jlex *l, const char *text, int64_t bytes);

/* ---- parsing ---- */
struct jparse {
    const char *name;
    struct jmem *mem;
    const struct jtoken *tok;
    int64_t at;
    int depth;
    bool marks;
};
enum { JPARSE_DEPTH = 200 };
#define JSYNTAX(p, at_line, ...) ((void)err_set(ERR_FORMAT, __func__, __VA_ARGS__), jinja_where((p)->name, (at_line)), ERR_FORMAT)
void jinja_where(const char *name, int line); /* puts "name:line" before the message */
MUST err_t jparse_template(struct jparse *p, struct jnode **body);
MUST err_t jparse_node(struct jparse *p, enum jkind kind, int line, struct jnode **out);
MUST err_t jparse_expression(struct jparse *p, bool condexpr, struct jnode **out);
/* Ends before %}, }} and ), and, where `until` is not NULL, before that name. */
MUST err_t jparse_tuple(struct jparse *p, bool condexpr, const char *until, bool parentheses, struct jnode **out);
MUST err_t jparse_target(struct jparse *p, const char *until, bool namespaces, struct jnode **out);
MUST err_t jparse_filters(struct jparse *p, struct jnode *of, bool first_is_name, struct jnode **out);
const struct jtoken *jparse_token(const struct jparse *p); /* in hand */
bool jparse_is_op(const struct jparse *p, int ahead, const char *op);
bool jparse_is_name(const struct jparse *p, int ahead, const char *name);
bool jparse_skip_op(struct jparse *p, const char *op);
bool jparse_skip_name(struct jparse *p, const char *name);
MUST err_t jparse_expect_op(struct jparse *p, const char *op);
MUST err_t jparse_expect_name(struct jparse *p, const struct jtoken **out);
err_t jparse_unexpected_error(struct jparse *p, const char *wanted); /* always */
#define JUNEXPECTED(p, wanted) ((void)jparse_unexpected_error((p), (wanted)), ERR_FORMAT)

MUST err_t jscope_resolve(struct jinja *t);

/* ---- a rendering ---- */
struct jbuf {
    char *p;
    int64_t n, room, chars;
    bool safe; /* it becomes markup */
};
struct jact { /* a function's call: the template's, a macro's, a recursive loop's */
    struct jact *up;
    struct jval *slots;
};
struct jloop {
    struct jiter *it;
    struct jval over; /* whose length is the loop's, if it has one */
    int64_t index0, length, depth0;
    struct jval ahead, now, before, changed;
    bool peeked, ended;
    const struct jnode *node; /* of a recursive loop, else NULL */
    struct jact *act;
};
struct jmacro {
    const struct jnode *node;
    struct jact *up;
    const struct jstr *name; /* NULL: a call block's */
};
struct jrun {
    const struct jinja *t;
    struct jmem mem;
    int64_t steps, depth;
    int line;
    struct jdict *vars;
    struct jbuf out; /* the template's own text; what it held when a block was asked for is where transformers counts a span from */
    struct jinja_span *spans;
    int64_t span_count, span_room;
    const char *now;
};

#define JFAIL(r, ...) ((void)err_set(ERR_FORMAT, __func__, __VA_ARGS__), jinja_where((r)->t->name, (r)->line), ERR_FORMAT)
MUST err_t jrun_step(struct jrun *r, int64_t steps); /* counts work */

enum jflow { JF_ON, JF_BREAK, JF_CONTINUE };
MUST err_t jexec(struct jrun *r, struct jact *a, const struct jnode *body, struct jbuf *out, enum jflow *flow);
MUST err_t jeval(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out);
MUST err_t jexec_assign(struct jrun *r, struct jact *a, const struct jnode *target, struct jval v);
void jscope_enter(struct jrun *r, struct jact *a, const struct jscope *s);
MUST err_t jmacro_call(struct jrun *r, struct jmacro *m, const struct jargs *args, struct jval *out);
MUST err_t jloop_again(struct jrun *r, struct jloop *l, struct jval over, struct jval *out); /* loop(...) */
/* Apply a filter node, or call node, whose value or block is `v`; caller: of a call block, or missing. */
MUST err_t jeval_filter(struct jrun *r, struct jact *a, const struct jnode *n, struct jval v, struct jval *out);
MUST err_t jeval_call(struct jrun *r, struct jact *a, const struct jnode *n, struct jval caller, struct jval *out);
MUST err_t jcall(struct jrun *r, struct jval fn, const struct jargs *args, struct jval *out);
MUST err_t jglobal_call(struct jrun *r, int which, const struct jargs *args, struct jval *out);
int jglobal_find(const struct jstr *name); /* 0: none */

/* ---- values (jinja_value.c) ---- */
MUST err_t jstr_new(struct jmem *m, const char *p, int64_t bytes, const struct jstr **out); /* valid UTF-8; borrows p */
MUST err_t jstr_copy(struct jmem *m, const char *p, int64_t bytes, const struct jstr **out);
MUST err_t jv_text(struct jrun *r, const char *text, struct jval *out); /* a string of the program's own */
bool jstr_is(const struct jstr *s, const char *text);
bool jstr_same(const struct jstr *a, const struct jstr *b);
const char *jstr_find_last(const char *p, int64_t n, const struct jstr *sub);
int64_t jstr_byte(const struct jstr *s, int64_t chars); /* where the character of that number begins */
MUST err_t jstr_part(struct jrun *r, const struct jstr *s, int64_t from_byte, int64_t to_byte, struct jval *out);
MUST err_t jbuf_put(struct jrun *r, struct jbuf *b, const char *p, int64_t bytes, int64_t chars);
MUST err_t jbuf_str(struct jrun *r, struct jbuf *b, const struct jstr *s);
MUST err_t jbuf_text(struct jrun *r, struct jbuf *b, const char *ascii);
MUST err_t jbuf_char(struct jrun *r, struct jbuf *b, int32_t c, int64_t times);
MUST err_t jbuf_value(struct jrun *r, const struct jbuf *b, struct jval *out);
MUST err_t jlist_new(struct jrun *r, int64_t n, struct jlist **out);
MUST err_t jlist_add(struct jrun *r, struct jlist *l, struct jval v);
MUST err_t jpair(struct jrun *r, struct jval a, struct jval b, struct jval *out); /* a tuple */
MUST err_t jdict_new(struct jrun *r, int64_t room, struct jdict **out);
MUST err_t jdict_put(struct jrun *r, struct jdict *d, struct jval key, struct jval v);      /* a key that cannot be one is an error */
MUST err_t jdict_add(struct jrun *r, struct jdict *d, struct jval key, struct jval v);      /* a string that is not there yet */
MUST err_t jdict_find(struct jrun *r, const struct jdict *d, struct jval key, int64_t *at); /* -1: not there */
int64_t jdict_str(const struct jdict *d, const struct jstr *key);
int64_t jdict_text(const struct jdict *d, const char *key);
MUST err_t jv_hash(struct jrun *r, struct jval v, uint64_t *hash); /* an error where Python has none */
MUST err_t jv_equal(struct jrun *r, struct jval a, struct jval b, bool *equal);
MUST err_t jv_less(struct jrun *r, struct jval a, struct jval b, enum jop op, bool *less); /* <, <=, >, >= */
MUST err_t jv_truth(struct jrun *r, struct jval v, bool *truth);
MUST err_t jv_length(struct jrun *r, struct jval v, int64_t *n);
bool jv_has_length(struct jval v);
MUST err_t jv_contains(struct jrun *r, struct jval in, struct jval v, bool *found);
err_t jundefined_error(struct jrun *r, struct jval v); /* of using an undefined value, always */
#define JUNDEFINED(r, v) ((void)jundefined_error((r), (v)), ERR_FORMAT)
MUST err_t jv_undefined_of(struct jrun *r, struct jval of, struct jval name, struct jval *out);
MUST err_t jv_undefined_why(struct jrun *r, const char *hint, struct jval *out);
const char *jv_type(struct jval v); /* Python's name of the type */
MUST err_t jv_slice_bounds(struct jrun *r, int64_t n, const struct jval part[3], int64_t *start, int64_t *step, int64_t *count);
MUST err_t jv_slice(struct jrun *r, struct jval v, const struct jval part[3], struct jval *out);

/* ---- whole numbers of any size, up to Python's own limit of digits in a text (jinja_big.c) ---- */
enum { JBIG_DIGITS = 4300 };
MUST err_t jbig_of_text(struct jmem *m, const char *text, struct jval *out); /* "-123": an int or J_BIG; ERR_FORMAT if it is too long */
MUST err_t jbig_of_float(struct jrun *r, double f, struct jval *out);        /* finite, cut to a whole number */
MUST err_t jbig_text(struct jrun *r, struct jval v, const struct jstr **out);
MUST err_t jbig_digits(struct jrun *r, struct jval v, int base, bool upper, const struct jstr **out); /* of a whole number, without its sign */
MUST err_t jbig_binary(struct jrun *r, enum jop op, struct jval a, struct jval b,
                       struct jval *out);                                          /* of whole numbers, either of them big or the result */
MUST err_t jbig_compare(struct jrun *r, struct jval a, struct jval b, int *order); /* of whole numbers */
MUST err_t jv_to_float(struct jrun *r, struct jval number, double *f);

/* ---- text of values (jinja_print.c) ---- */
MUST err_t jprint(struct jrun *r, struct jbuf *b, struct jval v); /* str(v) */
MUST err_t jrepr(struct jrun *r, struct jbuf *b, struct jval v);
MUST err_t jv_to_str(struct jrun *r, struct jval v, const struct jstr **out); /* str(v); what is markup stays markup */
MUST err_t jv_plain(struct jrun *r, struct jval v, struct jval *out);         /* str(v), no markup */
enum { JFLOAT_TEXT = 400 };
void jfloat_text(double f, char out[JFLOAT_TEXT]);                                        /* repr(f) */
MUST err_t jjson(struct jrun *r, const struct jargs *a, struct jval v, struct jval *out); /* the filter tojson */
MUST err_t jescape(struct jrun *r, struct jval v, struct jval *out);                      /* markupsafe.escape */

/* ---- iteration (jinja_iter.c) ---- */
MUST err_t jiter_new(struct jrun *r, err_t (*next)(struct jrun *, struct jiter *, struct jval *, bool *), struct jiter **out);
MUST err_t jiter_open(struct jrun *r, struct jval v, struct jiter **out); /* iter(v) */
bool jv_iterable(struct jval v);
MUST err_t jiter_next(struct jrun *r, struct jiter *it, struct jval *out, bool *got);
MUST err_t jiter_list(struct jrun *r, struct jval v, struct jlist **out);              /* list(v) */
MUST err_t jiter_reversed(struct jrun *r, struct jval v, bool *can, struct jval *out); /* reversed(v) */

/* The order that a stable sort by `keys` gives, as indices. */
MUST err_t jsort(struct jrun *r, const struct jval *keys, int64_t n, bool reverse, int64_t **order);

/* ---- operators (jinja_ops.c), attributes and items (jinja_attr.c), formats (jinja_format.c) ---- */
MUST err_t jbinary(struct jrun *r, enum jop op, struct jval a, struct jval b, struct jval *out);
MUST err_t jnegate(struct jrun *r, struct jval v, bool minus, struct jval *out);
MUST err_t jattr(struct jrun *r, struct jval v, const struct jstr *name, struct jval *out);
MUST err_t jitem(struct jrun *r, struct jval v, struct jval key, struct jval *out);
MUST err_t jattr_only(struct jrun *r, struct jval v, const struct jstr *name, struct jval *out, bool *got); /* getattr(v, name), safe or not */
MUST err_t jformat_percent(struct jrun *r, const struct jstr *format, struct jval args, struct jval *out);
MUST err_t jformat_braces(struct jrun *r, const struct jstr *format, const struct jargs *args, struct jval *out);

/* Arguments by a list of names: "sep maxsplit?" (? may be missing, left J_MISSING), "/" before those that cannot be named. */
MUST err_t jargs_bind(struct jrun *r, const char *what, const struct jargs *a, const char *names, struct jval *out);
MUST err_t jarg_int(struct jrun *r, const char *what, struct jval v, int64_t otherwise, int64_t *out);
MUST err_t jarg_str(struct jrun *r, const char *what, struct jval v, const struct jstr **out);

/* ---- filters, tests, methods ---- */
extern const struct jfn jfilters_general[], jfilters_text[], jfilters_seq[], jmethods_str[], jmethods_find[]; /* each ends with name NULL */
const struct jfn *jmethod_find(const struct jstr *name);                                                      /* of a string */
const struct jfn *jfilter_find(const struct jstr *name);
MUST err_t jfn_apply(struct jrun *r, const struct jfn *f, struct jval v, const struct jargs *a, struct jval *out);
struct jtest {
    const char *name, *args;
    err_t (*fn)(struct jrun *r, struct jval v, const struct jval *args, bool *out);
};
const struct jtest *jtest_find(const struct jstr *name);
MUST err_t jtest_apply(struct jrun *r, const struct jtest *t, struct jval v, const struct jargs *a, bool *out);
MUST err_t jget_path(struct jrun *r, struct jval v, struct jval path, struct jval otherwise, struct jval *out); /* Jinja's attribute="a.b.0" */
MUST err_t jlower_if_str(struct jrun *r, struct jval v, struct jval *out);

/* ---- loops (jinja_loop.c) ---- */
MUST err_t jloop_next(struct jrun *r, struct jloop *l, bool *got); /* to l->now */
MUST err_t jloop_length(struct jrun *r, struct jloop *l, int64_t *n);
MUST err_t jloop_attr(struct jrun *r, struct jloop *l, const struct jstr *name, struct jval *out, bool *got);
extern const struct jfn jloop_methods[];

/* ---- characters (jinja_unicode.c), by Python's str ---- */
int32_t ju_get(const char *p, int *bytes); /* of valid UTF-8 */
int ju_put(char *to, int32_t c);           /* at most 4 bytes */
bool ju_space(int32_t c);
bool ju_line_break(int32_t c);
bool ju_printable(int32_t c);
bool ju_alpha(int32_t c);
bool ju_decimal(int32_t c);
bool ju_digit(int32_t c);
bool ju_numeric(int32_t c);
bool ju_alnum(int32_t c);
bool ju_lower(int32_t c); /* the property Lowercase */
bool ju_upper(int32_t c);
bool ju_title(int32_t c);
enum ju_case { JU_LOWER, JU_UPPER, JU_TITLE, JU_FOLD, JU_SWAP, JU_CAPITALIZE, JU_EACH_WORD };
MUST err_t jstr_case(struct jrun *r, const struct jstr *s, enum ju_case how, struct jval *out);

#endif
