/* What the parallelisms give, measured on ranks that are threads of this process, each strategy beside its baseline in one run:
 *   mop bench dispatch    experts: ep, llep and pipelined, for the routing profiles of mop.md 4
 *   mop bench vocab       the head and its loss: dense_logits, dtp and ring
 *   mop bench attention   Ulysses with 1 and more head chunks
 *   mop bench step        the whole step: presets fsdp and mop, and the longest context that a budget holds
 * Ranks share the CPUs, so a time says how much work there is in all, not how long a cluster would wait for its network. */
#include "base/num.h"
#include "base/os.h"
#include "base/rng.h"
#include "cli/bench.h"
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(struct ranks_opts, name)
const struct opt ranks_opt_list[] = {
    {.key = "ranks", .type = OPT_INT, .offset = FIELD(ranks), .def = "4", .lo = 1, .hi = 64, .help = "W: ranks, as threads"},
    {.key = "tokens", .type = OPT_INT, .offset = FIELD(tokens), .def = "8192", .lo = 1, .hi = 1 << 22, .help = "N: tokens on each rank"},
    {.key = "hidden", .type = OPT_INT, .offset = FIELD(hidden), .def = "256", .lo = 64, .hi = 65536, .help = "H"},
    {.key = "width", .type = OPT_INT, .offset = FIELD(width), .def = "128", .lo = 1, .hi = 65536, .help = "I: width of an expert"},
    {.key = "experts", .type = OPT_INT, .offset = FIELD(experts), .def = "32", .lo = 1, .hi = 4096, .help = "E"},
    {.key = "top_k", .type = OPT_INT, .offset = FIELD(top_k), .def = "4", .lo = 1, .hi = 64, .help = "k"},
    {.key = "vocab", .type = OPT_INT, .offset = FIELD(vocab), .def = "32768", .lo = 2, .hi = 1 << 24, .help = "V"},
    {.key = "repeat", .type = OPT_INT, .offset = FIELD(repeat), .def = "3", .lo = 1, .hi = 1000, .help = "times; the shortest counts"},
    {.key = "budget", .type = OPT_FLOAT, .offset = FIELD(budget), .def = "1", .lo = 0.001, .hi = 1e6, .help = "GiB a rank, for the longest context"},
    {.key = NULL},
};
#undef FIELD

/* One way to do it. */
struct variant {
    const char *name;
    struct dense_opts dense;
    struct attention_opts attention;
    struct experts_opts experts;
    struct vocab_opts vocab;
};

static const struct variant fsdp = {.name = "fsdp",
                                    .dense = {DENSE_ZERO3},
                                    .attention = {1},
                                    .experts = {.strategy = EXPERTS_EP, .alpha = 1, .min_rows = 1024, .lambda = 1.3, .chunk = 4096, .chunks_max = 10},
                                    .vocab = {VOCAB_DENSE_LOGITS, TRAVEL_AUTO}};
static const struct variant mop = {
    .name = "mop",
    .dense = {DENSE_ZERO3},
    .attention = {4},
    .experts = {.strategy = EXPERTS_PIPELINED, .alpha = 1, .min_rows = 1024, .lambda = 1.3, .chunk = 4096, .chunks_max = 10},
    .vocab = {VOCAB_RING, TRAVEL_AUTO}};

struct bench {
    const struct ranks_opts *o;
    struct model_src src;
    struct run_setup setup; /* but world and rooms */
    struct mesh_opts mesh;
    const struct variant *how;
    err_t (*work)(struct bench *b, struct run *r); /* once, on every rank */
    int profile;
    /* results, of rank 0 or the largest of any rank */
    int64_t ns, bytes, tokens;
};

/* A batch of one long document a sequence. */
static err_t fill_batch(struct run *r) {
    const struct shape *h = &r->shape;
    const int64_t place = h->split.rank % h->split.seq, whole = h->seq * h->split.seq;
    for (int64_t i = 0; i < h->tokens; i++) {
        r->host.ids[i] = (int32_t)rng_below(1, (uint64_t)h->split.rank, (uint64_t)i, h->spec->vocab);
        r->host.targets[i] = (int32_t)rng_below(2, (uint64_t)h->split.rank, (uint64_t)i, h->spec->vocab);
        r->host.positions[i] = (int32_t)(place * h->seq + i % h->seq);
        r->host.doc_start[i] = 0;
    }
    for (int64_t i = 0; h->split.seq > 1 && i < h->rows * whole; i++) r->host_start_all[i] = 0;
    return run_upload(r);
}

static void fill_numbers(enum dtype t, void *x, int64_t n, uint64_t seed) {
    for (int64_t i = 0; i < n; i++) {
        const float v = (float)rng_normal(3, seed, (uint64_t)i);
        dtype_convert(DT_F32, &v, t, (char *)x + i * dtype_bytes(t), 1);
    }
}

/* ---- what is measured ---- */

static err_t work_vocab(struct bench *b, struct run *r) {
    TRY(vocab_loss(&r->vocab, r->dense.last.h, r->batch.targets, 1.0f / (float)(b->o->tokens * b->o->ranks), r->dh));
    return device_sync(&r->device);
}

static err_t work_attention(struct bench *b, struct run *r) {
    (void)b;
    const struct attention_batch in = run_starts(r);
    TRY(unit_enter(&r->store, r->unit[0], -1, true));
    TRY(attention_forward(&r->attention, 0, 0, &in, r->dense.last.h, r->dx, false));
    TRY(attention_backward(&r->attention, 0, 0, &in, r->dense.last.h, r->dx, r->dh));
    TRY(unit_leave(&r->store, r->unit[0], true));
    return unit_settle(&r->store);
}

static err_t work_experts(struct bench *b, struct run *r) {
    (void)b;
    const struct moe_half half = {.start = r->batch.doc_start, .h = r->dense.last.h};
    experts_begin_micro(&r->experts);
    TRY(unit_enter(&r->store, r->unit[1], -1, true));
    TRY(experts_forward(&r->experts, &half, r->dx, false));
    TRY(experts_forward(&r->experts, &half, NULL, true));
    TRY(experts_backward(&r->experts, &half, r->dx, r->dh));
    TRY(unit_leave(&r->store, r->unit[1], true));
    return unit_settle(&r->store);
}

static err_t work_step(struct bench *b, struct run *r) {
    struct micro_out m;
    double norm;
    (void)b;
    experts_begin_step(&r->experts);
    TRY(step_micro(r, 1.0f / (float)(r->all_rows * r->all_seq), 0, &m));
    TRY(optim_norm(&r->optim, &norm));
    optim_update(&r->optim, 1e-4, 1, norm, 1.0);
    return OK;
}

/* The routing profiles of mop.md 4 with N tokens on each rank. */
static const struct {
    const char *name;
    double hot; /* share of hot tokens; below 0: balanced */
    int hot_experts;
} profiles[] = {{"balanced", -1, 0}, {"80/16", 0.80, 16}, {"95/16", 0.95, 16}, {"95/1", 0.95, 1}};
enum { PROFILES = sizeof profiles / sizeof profiles[0] };

static uint16_t profile_expert(const struct bench *b, int64_t token, int64_t slot) {
    const int64_t h = profiles[b->profile].hot_experts, e = b->o->experts;
    if (profiles[b->profile].hot < 0) return (uint16_t)((token + slot) % e);
    if (token < (int64_t)floor(profiles[b->profile].hot * (double)b->o->tokens)) return (uint16_t)(slot % h);
    return (uint16_t)(h + (token + slot) % (e - h));
}

/* ---- a variant on all ranks ---- */

/* Bytes of the ledger's lines of a room, or of one of its lines. */
static int64_t room_bytes(const struct run *r, const char *room, const char *what) {
    int64_t n = 0;
    for (int i = 0; i < r->ledger.lines; i++)
        if (strcmp(r->ledger.line[i].room, room) == 0 && (!what || strcmp(r->ledger.line[i].what, what) == 0)) n += r->ledger.line[i].held_bytes;
    return n;
}

/* What a dispatch has touched of the bytes that are reserved for whatever a router may do: rows that came, rows that went, and migrated experts,
 * with their intermediates and gradients. */
static int64_t dispatch_bytes(const struct run *r) {
    const struct experts_seen f = experts_seen(&r->experts);
    const struct spec *s = r->shape.spec;
    const int64_t b = dtype_bytes(r->shape.act), row = s->hidden * b, sent = i64_div_up(r->shape.tokens, f.chunks) * s->top_k;
    const int64_t legs = i64_min(f.chunks, f.legs);
    return legs * 2 * (f.rows + sent) * row + f.rows * (row + 4 * s->expert_width * b) + f.guests * 3 * s->hidden * s->expert_width * (b + 4);
}

static err_t most_of(struct comm *world, int64_t *x) {
    int64_t *all = malloc(sizeof *all * (size_t)world->size);
    if (!all) return FAIL(ERR_NOMEM, "out of memory for %d numbers", world->size);
    err_t err = COMM(world, all_gather, x, all, sizeof *x);
    for (int i = 0; err == OK && i < world->size; i++) *x = i64_max(*x, all[i]);
    free(all);
    return err;
}

static err_t measure(struct bench *b, struct run *r, struct comm *world) {
    int64_t best = INT64_MAX, all = 0;
    for (int64_t i = 0; i <= b->o->repeat; i++) { /* the first touches memory for the first time */
        TRY(COMM(world, all_reduce, &all, 1, DT_I64));
        const int64_t start = os_now_ns();
        TRY(b->work(b, r));
        TRY(COMM(world, all_reduce, &all, 1, DT_I64));
        if (i > 0) best = i64_min(best, os_now_ns() - start);
    }
    int64_t bytes = b->work == work_vocab       ? room_bytes(r, "vocab", NULL)
                    : b->work == work_attention ? room_bytes(r, "attention", "heads of whole sequences")
                    : b->work == work_experts   ? dispatch_bytes(r)
                                                : r->arenas.host.cap + r->arenas.run.cap + r->arenas.step.cap + r->arenas.scratch.cap;
    TRY(most_of(world, &bytes));
    if (world->rank == 0) {
        b->ns = best;
        b->bytes = bytes;
    }
    return OK;
}

static struct run_setup setup_of(const struct bench *b, struct comm *world) {
    struct run_setup u = b->setup;
    u.rooms = (struct room_opts){&b->how->dense, &b->how->attention, &b->how->experts, &b->how->vocab};
    u.world = world;
    u.mesh = &b->mesh;
    return u;
}

static err_t bench_rank(void *arg, int rank, struct comm *world) {
    struct bench *b = arg;
    const struct run_setup u = setup_of(b, world);
    struct run r;
    (void)rank;
    TRY(run_open(&r, &b->src, &u));
    const int64_t n = r.shape.tokens * r.shape.spec->hidden, k = r.shape.spec->top_k;
    uint16_t *given = NULL;
    err_t err = fill_batch(&r);
    if (err == OK && b->work != work_step) fill_numbers(r.shape.act, r.dense.last.h, n, (uint64_t)rank);
    if (err == OK && b->work == work_experts) {
        given = malloc(sizeof *given * (size_t)(r.shape.tokens * k + 1));
        if (!given) err = FAIL(ERR_NOMEM, "out of memory for the routing of %lld tokens", (long long)r.shape.tokens);
        for (int64_t i = 0; given && i < r.shape.tokens * k; i++) given[i] = profile_expert(b, i / k, i % k);
        r.experts.given = given;
    }
    if (err == OK) err = measure(b, &r, world);
    free(given);
    run_close(&r, err);
    return err;
}

static err_t run_variant(struct bench *b, const struct variant *how) {
    b->how = how;
    return local_world_run((int)b->o->ranks, bench_rank, b);
}

static double mib(int64_t bytes) { return (double)bytes / 1048576.0; }

/* A line: a variant beside the baseline, whose numbers are given. */
static void print_line(const struct bench *b, const char *what, const char *name, int64_t base_ns, int64_t base_bytes) {
    (void)printf("%-12s %-24s %9.1f ms %10.2f MiB   time %5.2f, bytes %+6.1f %%\n", what, name, (double)b->ns / 1e6, mib(b->bytes),
                 (double)b->ns / (double)base_ns, 100.0 * ((double)b->bytes / (double)base_bytes - 1));
}

/* Variants in turn, the first being the baseline. */
static err_t compare(struct bench *b, const char *what, const struct variant *list, int count) {
    int64_t ns = 0, bytes = 0;
    for (int i = 0; i < count; i++) {
        TRY(run_variant(b, &list[i]));
        if (i == 0) {
            ns = b->ns;
            bytes = b->bytes;
        }
        print_line(b, what, list[i].name, ns, bytes);
    }
    return OK;
}

/* ---- the benches ---- */

static err_t open_model(struct bench *b, int64_t layers, int64_t width, int64_t vocab) {
    const struct ranks_opts *o = b->o;
    const int64_t heads = 16;
    const struct model_opts m = {.init = "random",
                                 .dtype = MODEL_BF16,
                                 .family = "qwen3_moe",
                                 .layers = layers,
                                 .hidden = o->hidden,
                                 .vocab = vocab,
                                 .heads = heads,
                                 .kv_heads = heads / 2,
                                 .head_dim = o->hidden / heads,
                                 .expert_width = width,
                                 .experts = o->experts,
                                 .top_k = o->top_k,
                                 .max_positions = 1 << 22,
                                 .rope_theta = 1e4};
    return model_src_open(&m, NULL, 1, &b->src);
}

static const struct optim_opts adamw = {0.9, 0.95, 1e-8, 0.1};

static err_t bench_dispatch_run(struct bench *b) {
    struct variant list[] = {fsdp, fsdp, mop};
    list[0].name = "ep";
    list[1].name = "llep";
    list[1].experts.strategy = EXPERTS_LLEP;
    list[2].name = "pipelined, K 10";
    list[2].experts.chunk = i64_div_up(b->o->tokens, 10);
    TRY(open_model(b, 1, b->o->width, 64));
    b->work = work_experts;
    (void)printf("dispatch: forward and backward of one MoE layer, bytes of rows and migrated experts on the fullest rank\n");
    for (b->profile = 0; b->profile < PROFILES; b->profile++) TRY(compare(b, profiles[b->profile].name, list, 3));
    return OK;
}

static err_t bench_vocab_run(struct bench *b) {
    struct variant list[] = {fsdp, mop, mop, mop};
    list[0].name = "dense_logits";
    list[1].name = "dtp";
    list[1].vocab.strategy = VOCAB_DTP;
    list[2].name = "ring, weights travel";
    list[2].vocab.travel = TRAVEL_WEIGHTS;
    list[3].name = "ring, activations travel";
    list[3].vocab.travel = TRAVEL_ACTIVATIONS;
    TRY(open_model(b, 1, b->o->width, b->o->vocab));
    b->work = work_vocab;
    (void)printf("vocabulary: loss and gradients, bytes beyond X, dX and the rank's own shard of W and dW\n");
    return compare(b, "vocab", list, 4);
}

static err_t bench_attention_run(struct bench *b) {
    static const int64_t chunks[] = {1, 2, 4};
    static const char *const names[] = {"1 head chunk", "2 head chunks", "4 head chunks"};
    struct variant list[3];
    for (int i = 0; i < 3; i++) {
        list[i] = mop;
        list[i].name = names[i];
        list[i].attention.head_chunks = chunks[i];
    }
    TRY(open_model(b, 1, b->o->width, 64));
    b->work = work_attention;
    b->mesh.seq = b->o->ranks;
    b->setup.rows = 1;
    b->setup.seq = b->setup.positions = b->o->tokens * b->o->ranks;
    (void)printf(
        "attention: forward and backward of one layer, one document of %lld tokens over %lld ranks; bytes of heads in the head-sharded layout\n",
        (long long)b->setup.seq, (long long)b->o->ranks);
    return compare(b, "attention", list, 3);
}

/* The longest sequence whose run holds at most the budget on rank 0, the fullest one. */
struct context {
    struct bench *b;
    int64_t longest;
};

static err_t context_rank(void *arg, int rank, struct comm *world) {
    struct context *c = arg;
    struct run_setup u = setup_of(c->b, world);
    const double budget = c->b->o->budget * 1073741824.0;
    int64_t lo = 0, hi = INT64_C(1) << 21, bytes;
    u.rows = 1;
    while (rank == 0 && hi - lo > 64) {
        const int64_t mid = (lo + hi) / 2;
        u.seq = u.positions = mid;
        TRY(run_bytes(&c->b->src, &u, &bytes));
        if ((double)bytes <= budget) lo = mid;
        else hi = mid;
    }
    if (rank == 0) c->longest = lo;
    return OK;
}

static err_t bench_step_run(struct bench *b) {
    const struct variant *list[] = {&fsdp, &mop};
    int64_t ns = 0, bytes = 0, longest[2];
    TRY(open_model(b, 4, b->o->width, b->o->vocab));
    b->work = work_step;
    b->mesh.seq = b->o->ranks;
    b->setup.rows = 1;
    b->setup.seq = b->setup.positions = b->o->tokens;
    (void)printf("step: 4 layers, %.1fM parameters, one sequence of %lld tokens over %lld ranks, recomputation; bytes of the fullest rank\n",
                 (double)b->src.params.elements / 1e6, (long long)b->setup.seq, (long long)b->o->ranks);
    for (int i = 0; i < 2; i++) {
        TRY(run_variant(b, list[i]));
        if (i == 0) {
            ns = b->ns;
            bytes = b->bytes;
        }
        print_line(b, "step", list[i]->name, ns, bytes);
        (void)printf("%-12s %-24s %9.0f tokens/s\n", "step", list[i]->name, (double)b->setup.seq * 1e9 / (double)b->ns);
    }
    for (int i = 0; i < 2; i++) {
        struct context c = {b, 0};
        b->how = list[i];
        TRY(local_world_run((int)b->o->ranks, context_rank, &c));
        longest[i] = c.longest;
        (void)printf("%-12s %-24s %9lld tokens of context in %.3g GiB a rank\n", "context", list[i]->name, (long long)c.longest, b->o->budget);
    }
    (void)printf("ratio context %.2f\n", (double)longest[1] / (double)i64_max(1, longest[0]));
    return OK;
}

err_t bench_ranks(const char *name, const struct ranks_opts *o) {
    static const struct {
        const char *name;
        err_t (*run)(struct bench *b);
    } benches[] = {{"dispatch", bench_dispatch_run}, {"vocab", bench_vocab_run}, {"attention", bench_attention_run}, {"step", bench_step_run}};
    struct bench b = {.o = o, .mesh = {.seq = 1}};
    b.setup =
        (struct run_setup){.rows = o->ranks, .seq = o->tokens, .positions = o->tokens, .act = DT_BF16, .train = true, .threads = 1, .optim = &adamw};
    (void)printf("W %lld, N %lld, H %lld, I %lld, E %lld, k %lld, V %lld; bf16, ranks are threads; the shortest of %lld\n", (long long)o->ranks,
                 (long long)o->tokens, (long long)o->hidden, (long long)o->width, (long long)o->experts, (long long)o->top_k, (long long)o->vocab,
                 (long long)o->repeat);
    err_t err = OK;
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        if (strcmp(name, benches[i].name) == 0) err = benches[i].run(&b);
    model_src_close(&b.src);
    return err;
}

static err_t read_and_run(int argc, char **argv) {
    struct ranks_opts own;
    struct opt_set *set;
    const struct opt_table table = {"bench", ranks_opt_list, &own};
    TRY(opt_new(&table, 1, &set));
    err_t err = cli_options(argc, argv, set);
    if (err == OK) err = bench_ranks(argv[0], &own);
    opt_free(set);
    return err;
}

err_t bench_vocab(int argc, char **argv) { return read_and_run(argc, argv); }
err_t bench_attention(int argc, char **argv) { return read_and_run(argc, argv); }
err_t bench_step(int argc, char **argv) { return read_and_run(argc, argv); }
