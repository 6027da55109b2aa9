/* A launch touches what its footprint says, of every set: the bytes to be overwritten are, all of them; what is outside is neither changed
 * nor does it change anything; and each range that is said to be read or added to is (device.md 1, C4). The launches are those of the
 * cases that mop doctor makes, over several shapes, and some with strides, aliases and things left out.
 * LENGTH: one spy, and the launches of every operation that it looks at. */
#include "kernel_test.h"
#include "kernels/check.h"

enum { BLOCK = 1 << 18, RANGES = 4096 };
enum { READ = 1, WRITE = 2, SOME = 4, ADD = 8, WORK = 16, TABLE_OF_HOST = 32 };

struct range {
    enum access how;
    int64_t at, bytes;
};

/* The launch in hand: its block of memory, what it says of each byte of it, and the memory before and after. */
struct spied {
    struct touch t;
    struct tables tables;
    const struct kernels *k;
    unsigned char *block;
    unsigned char says[BLOCK], before[BLOCK], after[BLOCK];
    struct range range[RANGES];
    int ranges;
    bool depends; /* which of the bytes in a range are used depends on numbers */
    const char *shape;
};
static struct spied spied;

static void say(const void *p, int64_t bytes, unsigned what) {
    const int64_t at = (const unsigned char *)p - spied.block;
    if (at < 0 || at + bytes > BLOCK) {
        CASE(false, "a range outside of the memory that the launch was given");
        return;
    }
    for (int64_t i = at; i < at + bytes; i++) spied.says[i] |= (unsigned char)what;
}

static void range(struct touch *t, enum access how, const void *p, int64_t bytes) {
    static const unsigned what[] = {[TOUCH_READ] = READ, [TOUCH_WRITE] = WRITE, [TOUCH_SOME] = SOME, [TOUCH_ADD] = ADD, [TOUCH_WORK] = WORK};
    (void)t;
    say(p, bytes, what[how]);
    if (spied.ranges < RANGES) spied.range[spied.ranges++] = (struct range){how, (const unsigned char *)p - spied.block, bytes};
}

static void take(struct tables *t, const void **p, int64_t bytes) {
    (void)t;
    if (*p) say(*p, bytes, TABLE_OF_HOST);
}

static void run(void (*launch)(const void *args), const void *args, unsigned flip_without) {
    for (int64_t i = 0; i < BLOCK; i++) spied.block[i] = flip_without && !(spied.says[i] & flip_without) ? ~spied.before[i] : spied.before[i];
    launch(args);
}

/* Nothing outside changes. */
static int64_t first_changed_outside(void) {
    for (int64_t i = 0; i < BLOCK; i++)
        if (!(spied.says[i] & (WRITE | SOME | ADD | WORK)) && spied.block[i] != spied.before[i]) return i;
    return -1;
}

/* With everything turned over that is not read: what is written is the same, so all of it has been overwritten. */
static int64_t first_that_differs(void) {
    for (int64_t i = 0; i < BLOCK; i++) {
        const unsigned says = spied.says[i];
        if (!(says & (WRITE | SOME | ADD)) || spied.block[i] == spied.after[i]) continue;
        const bool left = says & SOME && spied.after[i] == spied.before[i] && (unsigned char)~spied.block[i] == spied.before[i];
        if (!left) return i;
    }
    return -1;
}

static bool results_differ(void) {
    for (int64_t i = 0; i < BLOCK; i++)
        if (spied.says[i] & (WRITE | SOME | ADD) && spied.block[i] != spied.after[i]) return true;
    return false;
}

/* Other numbers of the same range in the place of the first or the last: does the result hang on it? Whole numbers are moved, so that
 * indices stay indices. True too where all of the range is one number. */
static bool is_read(const struct range *r, bool last, void (*launch)(const void *args), const void *args) {
    const int64_t unit = r->bytes % 8 == 0 ? 8 : r->bytes % 4 == 0 ? 4 : 2, at = r->at + (last ? r->bytes - unit : 0);
    int tried = 0;
    for (int64_t from = r->at; from + unit <= r->at + r->bytes && tried < 8; from += unit) {
        if (memcmp(spied.before + from, spied.before + at, (size_t)unit) == 0) continue;
        memcpy(spied.block, spied.before, BLOCK);
        memcpy(spied.block + at, spied.before + from, (size_t)unit);
        launch(args);
        if (results_differ()) return true;
        tried++;
    }
    return tried == 0;
}

static bool is_changed(const struct range *r) {
    return spied.after[r->at] != spied.before[r->at] || memcmp(spied.after + r->at, spied.before + r->at, (size_t)r->bytes) != 0;
}

static void check(const char *name, void (*launch)(const void *args), const void *args) {
    const char *isa = spied.k->isa;
    int64_t at;
    memcpy(spied.before, spied.block, BLOCK);
    run(launch, args, 0);
    memcpy(spied.after, spied.block, BLOCK);
    at = first_changed_outside();
    CASE(at < 0, "%s, %s, %s: changes byte %lld, which is not in its footprint", isa, name, spied.shape, (long long)at);
    run(launch, args, READ | ADD | TABLE_OF_HOST);
    at = first_that_differs();
    CASE(at < 0, "%s, %s, %s: byte %lld of its results hangs on what it is not said to read, or is not overwritten", isa, name, spied.shape,
         (long long)at);
    for (int i = 0; i < spied.ranges && !spied.depends; i++) {
        const struct range *r = &spied.range[i];
        if (r->how == TOUCH_READ && (spied.says[r->at] & (WRITE | ADD)) == 0)
            for (int last = 0; last < 2; last++)
                CASE(is_read(r, last, launch, args), "%s, %s, %s: the %s number of %lld bytes at %lld is not read", isa, name, spied.shape,
                     last ? "last" : "first", (long long)r->bytes, (long long)r->at);
        if (r->how == TOUCH_ADD)
            CASE(is_changed(r), "%s, %s, %s: %lld bytes at %lld are not added to", isa, name, spied.shape, (long long)r->bytes, (long long)r->at);
    }
    memcpy(spied.block, spied.after, BLOCK);
}

static void begin(void) {
    memset(spied.says, 0, sizeof spied.says);
    spied.ranges = 0;
    spied.t.range = range;
    spied.tables.take = take;
}

/* Each slot of a table of kernels that looks on as it is called. */
#define SPY(name, args)                                                           \
    static void launch_##name(const void *a) { spied.k->name(NULL, a); }          \
    static void spy_##name(struct pool *pool, const struct args *a) {             \
        (void)pool;                                                               \
        begin();                                                                  \
        name##_touch(a, &spied.t);                                                \
        if (host_tables[KERNEL_##name]) host_tables[KERNEL_##name](a, sizeof *a); \
        check(#name, launch_##name, a);                                           \
    }

#define HOST_TABLES(name, args)                            \
    static void name##_host(const void *a, size_t bytes) { \
        struct args copy;                                  \
        memcpy(&copy, a, bytes);                           \
        name##_tables(&copy, &spied.tables);               \
    }
KERNEL_TABLES(HOST_TABLES)

static void (*const host_tables[KERNEL_COUNT])(const void *args, size_t bytes) = {
#define HOST_TABLES_OF(name, args) [KERNEL_##name] = name##_host,
    KERNEL_TABLES(HOST_TABLES_OF)
#undef HOST_TABLES_OF
};

KERNEL_LIST(SPY)

static void spies(struct kernels *out) {
    *out = (struct kernels){
#define SPY_OF(name, args) .name = spy_##name,
        KERNEL_LIST(SPY_OF)
#undef SPY_OF
            .isa = "spies",
    };
}

/* Rows that are looked up, numbers that lie within a limit, of which the sign counts alone or whose part has no column: not all that may be
 * touched is. */
static bool depends(int op, const struct case_shape *s) {
    switch (op) {
    case KERNEL_attention_forward:
    case KERNEL_attention_backward: return s->window > 0; /* which may hide where a document starts */
    case KERNEL_rows_gather:
    case KERNEL_rows_combine:
    case KERNEL_rows_combine_backward:
    case KERNEL_rows_put:
    case KERNEL_rows_sum:
    case KERNEL_rows_accumulate:
    case KERNEL_embed_forward:
    case KERNEL_embed_backward:
    case KERNEL_rope:
    case KERNEL_route_forward:
    case KERNEL_fold_join:
    case KERNEL_balance_bias:
    case KERNEL_loss_sum:
    case KERNEL_token_losses:
    case KERNEL_clamp_forward:
    case KERNEL_clamp_backward: return true;
    default: return false;
    }
}

static void all_cases(const struct kernels *k, const struct case_shape *s, const char *shape) {
    struct kernels look;
    struct case_run unused;
    spies(&look);
    spied.k = k;
    spied.shape = shape;
    for (int op = 0; op < KERNEL_COUNT; op++)
        for (int t = 0; t < 2; t++) {
            memset(spied.block, 0, BLOCK);
            spied.depends = depends(op, s);
            NEED(case_launch((enum kernel_id)op, &look, NULL, t ? DT_BF16 : DT_F32, s, spied.block, BLOCK, 0, &unused));
        }
}

/* ---- launches that the cases do not make: strides, aliases, things left out ---- */

static int64_t taken;

/* n numbers in the block, all different in their sign, size or place. */
static void *numbers_of(enum dtype t, int64_t n) {
    void *p = spied.block + taken;
    for (int64_t i = 0; i < n; i++) {
        const double x = rng_normal(5, (uint64_t)taken, (uint64_t)i);
        if (t == DT_I32) ((int32_t *)p)[i] = (int32_t)i;
        else if (t == DT_U16) ((uint16_t *)p)[i] = (uint16_t)i;
        else if (t == DT_F64) ((double *)p)[i] = x;
        else if (t == DT_I64) ((int64_t *)p)[i] = i;
        else put(t, p, i, x);
    }
    taken += i64_round_up(n * dtype_bytes(t) + 24, 64);
    if (taken > BLOCK) exit(3);
    return p;
}

static void fresh(void) {
    taken = 0;
    for (int64_t i = 0; i < BLOCK; i++) spied.block[i] = (unsigned char)(37 * i + 11);
}

#define TRY_OUT(may_depend, name, args, ...)       \
    do {                                           \
        const struct args launch_ = {__VA_ARGS__}; \
        spied.depends = may_depend;                \
        spy_##name(NULL, &launch_);                \
    } while (0)

static void strided(enum dtype t) {
    spied.shape = "strided";
    fresh();
    TRY_OUT(false, copy_rows, copy_rows_args, .rows = 5, .bytes = 13, .from = numbers_of(t, 60), .from_stride = 17, .to = numbers_of(t, 60),
            .to_stride = 19);
    fresh();
    TRY_OUT(false, convert, convert_args, .rows = 3, .width = 19, .from_type = t, .from = numbers_of(t, 70), .from_stride = 23, .to_type = DT_BF16,
            .to = numbers_of(DT_BF16, 70), .to_stride = 21);
    fresh();
    TRY_OUT(false, accumulate, accumulate_args, .rows = 3, .width = 19, .from_type = t, .from = numbers_of(t, 70), .from_stride = 23,
            .to_acc = numbers_of(DT_F32, 70), .to_stride = 21);
    fresh();
    TRY_OUT(false, norm_forward, norm_args, .act = t, .rows = 3, .heads = 2, .width = 11, .x = numbers_of(t, 90), .x_stride = 30,
            .w = numbers_of(t, 11), .eps = 1e-6, .y = numbers_of(t, 90), .y_stride = 26);
    fresh();
    void *dy = numbers_of(t, 90);
    TRY_OUT(false, norm_backward, norm_backward_args, .act = t, .rows = 3, .heads = 2, .width = 11, .x = numbers_of(t, 90), .x_stride = 30,
            .w = numbers_of(t, 11), .rstd = numbers_of(DT_F32, 6), .dy = dy, .dy_stride = 30, .dx = dy, .dx_stride = 30,
            .dw_acc = numbers_of(DT_F32, 11));
    fresh();
    TRY_OUT(true, rope, rope_args, .act = t, .rows = 4, .heads = 2, .dim = 6, .x = numbers_of(t, 80), .x_stride = 20,
            .positions = numbers_of(DT_I32, 4), .places = 5, .cos = numbers_of(DT_F32, 15), .sin = numbers_of(DT_F32, 15), .backward = true);
    fresh();
    TRY_OUT(false, bias_forward, bias_args, .act = t, .rows = 3, .width = 9, .stride = 14, .x = numbers_of(t, 50), .bias = numbers_of(t, 9));
    fresh();
    TRY_OUT(false, bias_backward, bias_args, .act = t, .rows = 3, .width = 9, .stride = 14, .x = numbers_of(t, 50), .db_acc = numbers_of(DT_F32, 9));
    fresh();
    TRY_OUT(true, clamp_backward, clamp_args, .act = t, .rows = 3, .width = 9, .stride = 14, .x = numbers_of(t, 50), .x_stride = 12,
            .y = numbers_of(t, 50), .limit = 0.5f);
    fresh();
    TRY_OUT(true, fold_forward, fold_args, .rows = 3, .cols = 9, .ld = 13, .y = numbers_of(DT_F32, 40), .col0 = 2, .targets = numbers_of(DT_I32, 3),
            .m = numbers_of(DT_F32, 3), .z = numbers_of(DT_F32, 3), .yt = numbers_of(DT_F32, 3));
    fresh();
    const struct fold_args f = {.rows = 3,
                                .cols = 9,
                                .ld = 13,
                                .y = numbers_of(DT_F32, 40),
                                .targets = numbers_of(DT_I32, 3),
                                .m = numbers_of(DT_F32, 3),
                                .z = numbers_of(DT_F32, 3)};
    TRY_OUT(false, fold_backward, fold_backward_args, .fwd = f, .scale = 0.5f, .act = t, .dy = numbers_of(t, 40), .dy_ld = 11);
}

/* What only some families have. */
static void families(enum dtype t) {
    spied.shape = "gated";
    fresh();
    TRY_OUT(false, norm_forward, norm_args, .act = t, .rows = 3, .heads = 2, .width = 11, .x = numbers_of(t, 90), .x_stride = 30,
            .w = numbers_of(t, 11), .eps = 1e-6, .gate = numbers_of(t, 90), .gate_stride = 28, .y = numbers_of(t, 90), .y_stride = 26);
    for (int in_place = 0; in_place < 2; in_place++) {
        fresh();
        void *gate = numbers_of(t, 90);
        TRY_OUT(false, norm_backward, norm_backward_args, .act = t, .rows = 3, .heads = 2, .width = 11, .x = numbers_of(t, 90), .x_stride = 30,
                .w = numbers_of(t, 11), .rstd = numbers_of(DT_F32, 6), .gate = gate, .gate_stride = 28, .dgate = in_place ? gate : numbers_of(t, 90),
                .dy = numbers_of(t, 90), .dy_stride = 30, .dx = numbers_of(t, 90), .dx_stride = 30, .dw_acc = numbers_of(DT_F32, 11));
    }
    for (int one = 0; one < 2; one++) {
        const int64_t gates = one ? 3 : 13;
        fresh();
        const struct gate_args g = {.act = t,
                                    .rows = 4,
                                    .width = 11,
                                    .one = one,
                                    .x = numbers_of(t, 60),
                                    .x_stride = 14,
                                    .gate = numbers_of(t, 60),
                                    .gate_stride = gates,
                                    .y = numbers_of(t, 60),
                                    .y_stride = 15};
        spy_gate_forward(NULL, &g);
        TRY_OUT(false, gate_backward, gate_backward_args, .fwd = g, .dy = numbers_of(t, 60), .dx = numbers_of(t, 60), .dgate = numbers_of(t, 60));
        fresh();
        struct gate_backward_args b = {
            .fwd = {.act = t, .rows = 4, .width = 11, .one = one, .x = numbers_of(t, 44), .x_stride = 11, .gate_stride = gates, .y_stride = 11},
            .dy = numbers_of(t, 44),
            .dgate = numbers_of(t, 60)};
        b.dx = (void *)(uintptr_t)b.dy;
        b.fwd.gate = b.dgate;
        spied.depends = false;
        spy_gate_backward(NULL, &b);
    }
    spied.shape = "groups of rows";
    fresh();
    static const int64_t offs[] = {2, 2, 5, 6};
    int64_t *off = numbers_of(DT_I64, 4);
    const void **biases = numbers_of(DT_I64, 3);
    float **dbs = numbers_of(DT_I64, 3);
    memcpy(off, offs, sizeof offs);
    for (int g = 0; g < 3; g++) {
        biases[g] = numbers_of(t, 9);
        dbs[g] = numbers_of(DT_F32, 9);
    }
    void *rows = numbers_of(t, 90);
    TRY_OUT(false, bias_forward, bias_args, .act = t, .width = 9, .stride = 14, .x = rows, .groups = 3, .row_off = off, .biases = biases);
    TRY_OUT(false, bias_backward, bias_args, .act = t, .width = 9, .stride = 14, .x = rows, .groups = 3, .row_off = off, .dbs_acc = dbs);
    spied.shape = "part of each head";
    fresh();
    const struct heads_args h = {.act = t,
                                 .rows = 3,
                                 .heads = 2,
                                 .own_dim = 5,
                                 .shared_dim = 3,
                                 .own = numbers_of(t, 40),
                                 .own_stride = 12,
                                 .shared = numbers_of(t, 20),
                                 .shared_stride = 4,
                                 .y = numbers_of(t, 60),
                                 .y_stride = 18};
    spied.depends = false;
    spy_heads_forward(NULL, &h);
    spy_heads_backward(NULL, &h);
    for (int i = 0; i < 4; i++) {
        fresh();
        TRY_OUT(true, rope, rope_args, .act = t, .rows = 4, .heads = 2, .dim = 6, .head_stride = 9, .x = numbers_of(t, 80), .x_stride = 20,
                .positions = numbers_of(DT_I32, 4), .places = 5, .cos = numbers_of(DT_F32, 15), .sin = numbers_of(DT_F32, 15), .interleaved = i & 1,
                .backward = i & 2);
    }
}

static void products(enum dtype t) {
    static const enum matmul_kind kinds[] = {MATMUL_NT, MATMUL_NN, MATMUL_TN};
    for (int kind = 0; kind < 3; kind++)
        for (int add = 0; add < 2; add++)
            for (int groups = 0; groups < 2; groups++) {
                const bool tn = kinds[kind] == MATMUL_TN;
                fresh();
                spied.shape = groups ? "strided groups from a row on" : "strided";
                int64_t *off = numbers_of(DT_I64, 4);
                const void *b = numbers_of(t, 400);
                void *c = numbers_of(DT_F32, 600), *others = numbers_of(DT_F32, 600);
                const void **bs = numbers_of(DT_I64, 3);
                void **cs = numbers_of(DT_I64, 3);
                static const int64_t offs[] = {2, 2, 5, 9};
                memcpy(off, offs, sizeof offs);
                for (int g = 0; g < 3; g++) {
                    bs[g] = g == 2 ? numbers_of(t, 400) : b;
                    cs[g] = g == 0 ? numbers_of(DT_F32, 600) : g == 1 ? c : others;
                }
                TRY_OUT(false, matmul, matmul_args, .kind = kinds[kind], .groups = groups ? 3 : 1, .row_off = groups ? off : NULL, .rows = 7, .m = 11,
                        .n = 13, .k = 17, .a = numbers_of(t, 300), .lda = 19, .b = b, .bs = groups && !tn ? bs : NULL, .ldb = 21, .c = c,
                        .cs = groups && tn ? cs : NULL, .ldc = 16, .a_dtype = t, .b_dtype = t, .c_dtype = DT_F32, .accumulate = add);
            }
}

/* Two documents and padding behind; the last queries alone. */
static void attention(enum dtype t) {
    enum { TOKENS = 9, DIM = 8, FIRST = 6 };
    for (int i = 0; i < 4; i++) {
        const bool last = i & 1, windowed = i & 2; /* with a window also sinks, and values of another width */
        static const int32_t starts[TOKENS] = {0, 0, 0, 0, 4, 4, 4, 4, -1};
        const int64_t first = last ? FIRST : 0, queries = TOKENS - first;
        spied.shape = last ? "attention of the last queries" : windowed ? "attention with a window, sinks and padding" : "attention with padding";
        fresh();
        int32_t *start = numbers_of(DT_I32, TOKENS);
        memcpy(start, starts + first, (size_t)queries * sizeof *start);
        const struct attention_args a = {.act = t,
                                         .tokens = TOKENS,
                                         .first = first,
                                         .heads = 4,
                                         .kv_heads = 2,
                                         .head_dim = DIM,
                                         .value_dim = windowed ? DIM - 1 : 0,
                                         .group = 2,
                                         .scale = 0.3f,
                                         .window = windowed ? 2 : 0,
                                         .sinks = windowed ? numbers_of(t, 4) : NULL,
                                         .q = numbers_of(t, 340),
                                         .k = numbers_of(t, 200),
                                         .v = numbers_of(t, 200),
                                         .q_stride = 36,
                                         .k_stride = 18,
                                         .v_stride = 20,
                                         .start = start,
                                         .o = numbers_of(t, 380),
                                         .o_stride = 40,
                                         .lse = numbers_of(DT_F32, 4 * TOKENS),
                                         .pairs = attention_pairs(start, first, TOKENS, windowed ? 2 : 0)};
        spied.depends = true;
        spy_attention_forward(NULL, &a);
        if (last) continue;
        TRY_OUT(true, attention_backward, attention_backward_args, .fwd = a, .dout = numbers_of(t, 380), .delta = numbers_of(DT_F32, 4 * TOKENS),
                .dq = numbers_of(t, 340), .dk = numbers_of(t, 200), .dv = numbers_of(t, 200), .dsinks_acc = numbers_of(DT_F32, 4));
    }
}

/* First rows for which lists 2, 3, 8, 9, ... with those numbers give rows 0, 1, 2, ... */
static const int32_t *bases(void) {
    int32_t *base = numbers_of(DT_I32, 22);
    for (int i = 0; i < 22; i++) base[i] = (i - 2) / 6 * 2 + i % 2 - i;
    return base;
}

static void left_out(enum dtype t) {
    spied.shape = "things left out";
    fresh();
    void *x = numbers_of(t, 80);
    TRY_OUT(false, swiglu_backward, swiglu_args, .act = t, .rows = 4, .width = 9, .gate_up = x, .dh = numbers_of(t, 40), .dgate_up = x);
    fresh();
    x = numbers_of(t, 50);
    TRY_OUT(false, add, add_args, .act = t, .count = 49, .a = x, .b = numbers_of(t, 49), .y = x);
    fresh();
    TRY_OUT(false, adamw, adamw_args, .count = 21, .p = numbers_of(DT_F32, 21), .m = numbers_of(DT_F32, 21), .v = numbers_of(DT_I64, 21),
            .g = numbers_of(DT_F32, 21), .lr = 0.01, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .decay = 0.1, .c1 = 1, .c2 = 1, .scale = 0.5f);
    fresh();
    TRY_OUT(true, rows_put, rows_put_args, .rows = 5, .bytes = 10, .x_rows = 9, .y_rows = 9, .x = numbers_of(t, 90), .y = numbers_of(t, 90));
    fresh();
    TRY_OUT(true, rows_put, rows_put_args, .rows = 5, .bytes = 10, .from = numbers_of(DT_I32, 5), .x_rows = 9, .y_rows = 9, .x = numbers_of(t, 90),
            .y = numbers_of(t, 90));
    fresh();
    TRY_OUT(true, rows_accumulate, rows_accumulate_args, .rows = 5, .width = 7, .y_rows = 9, .x = numbers_of(DT_F32, 70),
            .y_acc = numbers_of(DT_F32, 70));
    fresh();
    x = numbers_of(t, 60);
    TRY_OUT(false, rows_combine_backward, rows_combine_backward_args, .act = t, .tokens = 3, .width = 9, .x_rows = 6, .k = 2,
            .w = numbers_of(DT_F32, 6), .x = x, .dy = numbers_of(t, 30), .dx = x, .dw = numbers_of(DT_F32, 6));
    fresh();
    int32_t *start = numbers_of(DT_I32, 6);
    start[2] = -1;
    TRY_OUT(true, embed_backward, embed_args, .act = t, .tokens = 6, .width = 5, .vocab = 9, .ids = numbers_of(DT_I32, 6), .dy = numbers_of(t, 30),
            .start = start, .skip = 4, .dw_acc = numbers_of(DT_F32, 45));
    fresh();
    TRY_OUT(true, rows_combine, rows_combine_args, .act = t, .tokens = 3, .width = 9, .x_rows = 6, .apart = 2, .k = 2, .pos = numbers_of(DT_I32, 6),
            .w = numbers_of(DT_F32, 12), .x = numbers_of(t, 60), .y = numbers_of(t, 60));
    for (int home = 0; home < 2; home++) {
        fresh();
        TRY_OUT(false, dispatch_weights, dispatch_weights_args, .first = 1, .step = 3, .count = 4, .rows = 8, .k = 2, .home = home,
                .pos = numbers_of(DT_I32, 8), .weights = numbers_of(DT_F32, 30), .of_rows = numbers_of(DT_F32, 8));
    }
    fresh();
    TRY_OUT(false, dispatch_rows, dispatch_rows_args, .tokens = 11, .first = 1, .step = 3, .count = 4, .rows = 8, .k = 2, .lists = 22,
            .list = numbers_of(DT_I32, 22), .number = numbers_of(DT_I32, 22), .base = bases(), .token = numbers_of(DT_I32, 8),
            .pos = numbers_of(DT_I32, 8));
    for (int i = 0; i < 6; i++) {
        const bool given = i & 1;
        fresh();
        start = numbers_of(DT_I32, 6);
        start[2] = -1;
        uint16_t *ids = numbers_of(DT_U16, 12);
        for (int j = 0; j < 12; j++) ids[j] = j / 2 == 2 ? 0xffff : (uint16_t)(j % 5);
        const struct route_args r = {.act = t,
                                     .score = (enum route_score)(i / 2),
                                     .tokens = 6,
                                     .experts = 5,
                                     .k = 2,
                                     .logits = numbers_of(t, 30),
                                     .start = start,
                                     .bias = numbers_of(DT_F32, 5),
                                     .renormalise = true,
                                     .ids_given = given,
                                     .ids = ids,
                                     .weights = numbers_of(DT_F32, 12),
                                     .prob_sum = numbers_of(DT_F64, 5),
                                     .count = numbers_of(DT_I64, 5),
                                     .softmax_count = numbers_of(DT_I64, 5)};
        spied.depends = true;
        spy_route_forward(NULL, &r);
        TRY_OUT(true, route_backward, route_backward_args, .fwd = r, .dweights = numbers_of(DT_F32, 12), .aux = i == 3 ? numbers_of(DT_F32, 5) : NULL,
                .dlogits = numbers_of(t, 30));
    }
}

int main(void) {
    static const struct case_shape small = {.tokens = 3,
                                            .seq = 3,
                                            .hidden = 8,
                                            .heads = 2,
                                            .kv_heads = 1,
                                            .head_dim = 4,
                                            .experts = 3,
                                            .top_k = 2,
                                            .width = 4,
                                            .vocab = 17,
                                            .vocab_rows = 3,
                                            .weights = 33};
    static const struct case_shape uneven = {.tokens = 7,
                                             .seq = 4,
                                             .hidden = 33,
                                             .heads = 4,
                                             .kv_heads = 2,
                                             .head_dim = 10,
                                             .experts = 6,
                                             .top_k = 3,
                                             .width = 17,
                                             .vocab = 70,
                                             .vocab_rows = 5,
                                             .weights = 131};
    struct kernels sets[SETS_MAX + 1];
    const int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    spied.block = aligned_alloc(64, BLOCK);
    if (!spied.block) return 3;
    for (int i = 0; i <= n; i++) {
        all_cases(&sets[i], &small, "small");
        all_cases(&sets[i], &uneven, "uneven");
        all_cases(&sets[i], &case_awkward, "awkward");
        for (int t = 0; t < 2; t++) {
            strided(t ? DT_BF16 : DT_F32);
            families(t ? DT_BF16 : DT_F32);
            products(t ? DT_BF16 : DT_F32);
            attention(t ? DT_BF16 : DT_F32);
            left_out(t ? DT_BF16 : DT_F32);
        }
    }
    free(spied.block);
    return test_end();
}
