/* The exactness contracts of the specification, word for word: which strategies give the same bits on the same mesh. */
#include "ranks.h"

/* What differs between two layouts of a contract. */
enum part { ALL, ALL_BUT_EXPERTS, LOSS };

static bool same_bits(const struct model_src *src, const struct result *a, const struct result *b, enum part part) {
    const struct params *p = &src->params;
    bool same = a->loss[0] == b->loss[0];
    if (part == LOSS) return same;
    for (int64_t i = 0; i < p->count; i++) {
        const struct param *t = &p->list[i];
        const size_t bytes = sizeof(float) * (size_t)t->count;
        if (part == ALL_BUT_EXPERTS && t->unit == UNIT_EXPERTS) continue;
        same = same && memcmp(a->grad + t->offset, b->grad + t->offset, bytes) == 0;
        if (part == ALL) same = same && memcmp(a->after + t->offset, b->after + t->offset, bytes) == 0;
    }
    return same;
}

struct pair {
    const char *says;
    enum part part;
    struct layout a, b;
    bool keep_a, keep_b;
};

static void hold(const struct model_src *src, const char *model, enum dtype act, const struct pair *p) {
    struct result a, b;
    int64_t held[16];
    bool formula[16];
    const err_t ea = run_layout(src, &p->a, act, p->keep_a, held, formula, &a), eb = run_layout(src, &p->b, act, p->keep_b, held, formula, &b);
    CASE(ea == OK && eb == OK, "%s %s: %s: %s", model, dtype_name(act), p->says, err_message());
    CASE(ea == OK && eb == OK && same_bits(src, &a, &b, p->part), "%s %s, %d ranks, E_p %d: %s", model, dtype_name(act), p->a.ranks,
         (int)p->a.mesh.expert, p->says);
    free_result(&a);
    free_result(&b);
}

static const struct dense_opts zero3 = {DENSE_ZERO3}, replicate = {DENSE_REPLICATE};
static const struct attention_opts whole = {1}, chunked = {3};
static const struct vocab_opts ring = {VOCAB_RING, TRAVEL_AUTO};
/* Few rows a spill, so that experts do migrate; chunks of some tokens. */
static const struct experts_opts ep = {.strategy = EXPERTS_EP, .alpha = 1, .min_rows = 2, .lambda = 1, .chunk = 5, .chunks_max = 10},
                                 llep = {.strategy = EXPERTS_LLEP, .alpha = 1, .min_rows = 2, .lambda = 1, .chunk = 5, .chunks_max = 10},
                                 pipelined = {.strategy = EXPERTS_PIPELINED, .alpha = 1, .min_rows = 2, .lambda = 1, .chunk = 5, .chunks_max = 10},
                                 one_chunk = {.strategy = EXPERTS_PIPELINED, .alpha = 1, .min_rows = 2, .lambda = 1, .chunk = 4096, .chunks_max = 10},
                                 few_chunks = {.strategy = EXPERTS_PIPELINED, .alpha = 1, .min_rows = 2, .lambda = 1, .chunk = 1, .chunks_max = 3},
                                 gather = {.strategy = EXPERTS_GATHER};

static struct layout layout(const struct mesh_opts *mesh, int ranks, const struct dense_opts *d, const struct attention_opts *a,
                            const struct experts_opts *e) {
    return (struct layout){.ranks = ranks, .mesh = *mesh, .rooms = {d, a, e, &ring}};
}

static void contracts(int which, int ranks, const struct mesh_opts *mesh, enum dtype act) {
    struct model_src src;
    tiny_open(which, &src);
    const struct pair pairs[] = {
        {"pipelined with K = 1 is bitwise llep", ALL, layout(mesh, ranks, &zero3, &whole, &one_chunk), layout(mesh, ranks, &zero3, &whole, &llep), 0,
         0},
        {"pipelined differs from llep in the sums over rows of experts' gradients only", ALL_BUT_EXPERTS,
         layout(mesh, ranks, &zero3, &whole, &pipelined), layout(mesh, ranks, &zero3, &whole, &llep), 0, 0},
        {"so whatever K is", ALL_BUT_EXPERTS, layout(mesh, ranks, &zero3, &whole, &few_chunks), layout(mesh, ranks, &zero3, &whole, &llep), 0, 0},
        {"llep differs from ep in the sums over rows of experts' gradients only", ALL_BUT_EXPERTS, layout(mesh, ranks, &zero3, &whole, &llep),
         layout(mesh, ranks, &zero3, &whole, &ep), 0, 0},
        {"ep differs from gathered experts in the sums over rows of experts' gradients only", ALL_BUT_EXPERTS,
         layout(mesh, ranks, &zero3, &whole, &ep), layout(mesh, ranks, &zero3, &whole, &gather), 0, 0},
        {"dense weights gathered layer by layer or once are the same", ALL, layout(mesh, ranks, &zero3, &whole, &pipelined),
         layout(mesh, ranks, &replicate, &whole, &pipelined), 0, 0},
        {"head chunks leave no trace in the output", LOSS, layout(mesh, ranks, &zero3, &whole, &ep), layout(mesh, ranks, &zero3, &chunked, &ep), 0,
         0},
        {"kept or computed again", ALL, layout(mesh, ranks, &zero3, &chunked, &pipelined), layout(mesh, ranks, &zero3, &chunked, &pipelined), 0, 1},
        {"the same twice", ALL, layout(mesh, ranks, &zero3, &chunked, &pipelined), layout(mesh, ranks, &zero3, &chunked, &pipelined), 0, 0},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) hold(&src, tiny_configs[which].name, act, &pairs[i]);
    model_src_close(&src);
}

int main(void) {
    static const struct {
        int which, ranks;
        struct mesh_opts mesh;
    } tries[] = {{0, 5, {.seq = 1, .expert = 5, .vocab = 5}}, {1, 4, {.seq = 2, .expert = 2, .vocab = 4}},
                 {1, 6, {.seq = 2, .expert = 3, .vocab = 2}}, {1, 3, {.seq = 1, .expert = 3, .vocab = 1}},
                 {2, 4, {.seq = 4, .expert = 4, .vocab = 2}}, {2, 2, {.seq = 2, .expert = 1, .vocab = 1}}};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        contracts(tries[i].which, tries[i].ranks, &tries[i].mesh, DT_F32);
        contracts(tries[i].which, tries[i].ranks, &tries[i].mesh, DT_BF16);
    }
    return test_end();
}
