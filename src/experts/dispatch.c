/* Rows to their experts and back (mop.md 3.3 to 3.5). A layer call has one plan for all its rows; the rows go in K chunks, tokens i, i + K, ... each.
 * On the wire a rank's rows for another lie by expert, then token, then slot; where they arrive they stay as they came, by source and
 * expert, and each such run is a group of the experts' products. Outputs return in the same places. */
#include "experts/experts_int.h"

#include "base/num.h"

#include <math.h>
#include <string.h>

/* ---- sizes ---- */

struct sizes {
    int64_t chunk, most; /* tokens of a chunk at most; K at most */
    int64_t out, in;     /* rows of a chunk that a rank sends, and that may come to it */
    int legs;            /* chunks on their way at once */
};

/* K grows with the tokens until it is chunks_max, so the largest chunk is one of the most tokens. */
static struct sizes sizes_of(const struct shape *h, const struct experts_opts *o) {
    const int64_t n = h->tokens_most;
    struct sizes z = {.chunk = n, .most = 1, .legs = 1};
    if (o->strategy == EXPERTS_PIPELINED) {
        z.most = chunk_count(n, o->chunk, o->chunks_max);
        z.chunk = i64_min(n, i64_max(o->chunk, i64_div_up(n, o->chunks_max)));
        z.legs = (int)i64_min(z.most, EXPERTS_LEGS);
    }
    z.out = z.chunk * h->spec->top_k;
    z.in = z.out * h->split.expert;
    return z;
}

err_t experts_dispatch_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out) {
    const struct spec *s = h->spec;
    const struct sizes z = sizes_of(h, o);
    const int64_t b = dtype_bytes(h->act), ep = h->split.expert, e = s->experts, k = s->top_k, row = s->hidden * b, i = s->expert_width;
    const int64_t layers = spec_moe_layers(s);
    TRY(ledger_predict(out, "experts", "counts", TIER_DEVICE, LIFE_RUN,
                       arena_bytes(8 * layers * ep * (e + 1)) + arena_bytes(8 * (e + 1)) + arena_bytes(8 * ep * e) +
                           arena_bytes(llep_plan_bytes((int)ep, s->experts)) + 2 * arena_bytes(8 * ep * z.most * e) + arena_bytes(32 * ep) +
                           2 * arena_bytes((int64_t)sizeof(void *) * ep * e) + 2 * arena_bytes((int64_t)sizeof(void *) * e)));
    int64_t leg = arena_bytes(4 * z.out) + arena_bytes(4 * z.chunk * k) + 2 * arena_bytes(32 * ep) + arena_bytes(8 * (ep * e + 1)) +
                  arena_bytes(z.out * row) + arena_bytes(z.in * row);
    if (h->backward) leg += 2 * arena_bytes(4 * z.out) + arena_bytes(z.out * row) + arena_bytes(z.in * row) + 2 * arena_bytes(4 * z.in);
    int64_t work = arena_bytes(2 * h->tokens * k) + arena_bytes(z.in * 2 * i * b) + arena_bytes(z.in * i * b);
    if (z.most > 1) work += arena_bytes(z.chunk * row) + arena_bytes(4 * z.chunk * k);
    if (h->backward) work += arena_bytes(z.in * row) + arena_bytes(z.in * i * b);
    TRY(ledger_predict(out, "experts", "dispatched rows", TIER_DEVICE, LIFE_SCRATCH, z.legs * leg + work));
    return experts_migrate_bytes(h, o, out);
}

static err_t leg_layout(struct experts *m, const struct sizes *z, struct arena *a, struct experts_leg *l) {
    const struct shape *h = &m->shape;
    const int64_t row = h->spec->hidden * dtype_bytes(h->act), ep = h->split.expert;
    TRY(ARENA(a, "experts", "dispatched rows", z->out, &l->token));
    TRY(ARENA(a, "experts", "dispatched rows", z->chunk * h->spec->top_k, &l->pos));
    TRY(ARENA(a, "experts", "dispatched rows", 4 * ep, &l->bytes));
    TRY(ARENA(a, "experts", "dispatched rows", 4 * ep, &l->bytes_a));
    TRY(ARENA(a, "experts", "dispatched rows", ep * h->spec->experts + 1, &l->row_off));
    TRY(arena_push(a, "experts", "dispatched rows", z->out * row, &l->sent));
    TRY(arena_push(a, "experts", "dispatched rows", z->in * row, &l->x));
    if (!h->backward) return OK;
    TRY(ARENA(a, "experts", "dispatched rows", z->out, &l->sent_a));
    TRY(ARENA(a, "experts", "dispatched rows", z->out, &l->back_a));
    TRY(arena_push(a, "experts", "dispatched rows", z->out * row, &l->sent_g));
    TRY(arena_push(a, "experts", "dispatched rows", z->in * row, &l->g));
    TRY(ARENA(a, "experts", "dispatched rows", z->in, &l->a));
    return ARENA(a, "experts", "dispatched rows", z->in, &l->da);
}

err_t experts_dispatch_layout(struct experts *m, struct arenas *arenas) {
    const struct shape *h = &m->shape;
    const struct spec *s = h->spec;
    const struct sizes z = sizes_of(h, &m->opts);
    const int64_t b = dtype_bytes(h->act), ep = h->split.expert, e = s->experts, k = s->top_k, row = s->hidden * b, i = s->expert_width;
    struct experts_far *f = &m->far;
    struct arena *run = &arenas->run, *scratch = &arenas->scratch;
    void *plan;
    TRY(ARENA(run, "experts", "counts", m->layers * ep * (e + 1), &f->counts));
    TRY(ARENA(run, "experts", "counts", e + 1, &f->mine));
    TRY(ARENA(run, "experts", "counts", ep * e, &f->table));
    TRY(arena_push(run, "experts", "counts", llep_plan_bytes((int)ep, s->experts), &plan));
    if (plan) llep_plan_init(&f->plan, (int)ep, s->experts, plan);
    TRY(ARENA(run, "experts", "counts", ep * z.most * e, &f->to));
    TRY(ARENA(run, "experts", "counts", ep * z.most * e, &f->from));
    TRY(ARENA(run, "experts", "counts", 4 * ep, &f->bytes));
    TRY(ARENA(run, "experts", "counts", ep * e, &f->group_w));
    TRY(ARENA(run, "experts", "counts", ep * e, &f->next));
    TRY(ARENA(run, "experts", "counts", e, &f->row));
    TRY(ARENA(run, "experts", "counts", e, &f->interval));
    for (int n = 0; n < z.legs; n++) TRY(leg_layout(m, &z, scratch, &f->leg[n]));
    f->legs = z.legs;
    TRY(ARENA(scratch, "experts", "dispatched rows", h->tokens * k, &f->dest));
    TRY(arena_push(scratch, "experts", "dispatched rows", z.in * 2 * i * b, &f->gate_up));
    TRY(arena_push(scratch, "experts", "dispatched rows", z.in * i * b, &f->mid));
    if (z.most > 1) {
        TRY(arena_push(scratch, "experts", "dispatched rows", z.chunk * row, &f->part));
        TRY(ARENA(scratch, "experts", "dispatched rows", z.chunk * k, &f->part_w));
    }
    if (h->backward) {
        TRY(arena_push(scratch, "experts", "dispatched rows", z.in * row, &f->out));
        TRY(arena_push(scratch, "experts", "dispatched rows", z.in * i * b, &f->dmid));
    }
    return experts_migrate_layout(m, scratch);
}

/* ---- the plan of a layer call ---- */

static const uint16_t *ids_of(const struct experts *m, int moe) { return m->ids + (int64_t)moe * m->shape.tokens * m->shape.spec->top_k; }
static bool no_expert(uint16_t id) { return id == 0xffff; }

/* Rows of every source for every expert, and the largest N of the block, by one all-gather; kept for backward. */
static err_t gather_counts(struct experts *m, int moe) {
    const int e = m->shape.spec->experts;
    const int64_t pairs = m->shape.tokens * m->shape.spec->top_k;
    const uint16_t *ids = ids_of(m, moe);
    int64_t *mine = m->far.mine;
    memset(mine, 0, sizeof *mine * (size_t)e);
    for (int64_t i = 0; i < pairs; i++)
        if (!no_expert(ids[i])) mine[ids[i]]++;
    mine[e] = m->shape.tokens;
    return COMM(&m->mesh->expert, all_gather, mine, m->far.counts + (int64_t)moe * m->shape.split.expert * (e + 1), (int64_t)sizeof *mine * (e + 1));
}

/* The same on every rank: the plan, K. */
static void make_plan(struct experts *m, int moe) {
    const int e = m->shape.spec->experts, ep = m->shape.split.expert;
    const int64_t *all = m->far.counts + (int64_t)moe * ep * (e + 1);
    const struct llep_rule rule = {m->opts.alpha, m->opts.min_rows, m->opts.strategy == EXPERTS_EP ? INFINITY : m->opts.lambda};
    int64_t most = 0;
    for (int s = 0; s < ep; s++) {
        memcpy(m->far.table + (int64_t)s * e, all + (int64_t)s * (e + 1), sizeof *all * (size_t)e);
        most = i64_max(most, all[(int64_t)s * (e + 1) + e]);
    }
    llep_plan_make(&m->far.plan, &rule, m->far.table);
    m->far.chunks = m->opts.strategy == EXPERTS_PIPELINED ? chunk_count(most, m->opts.chunk, m->opts.chunks_max) : 1;
}

/* Where each of this rank's rows goes: its number in its expert's list says which interval it lies in. */
static void find_places(struct experts *m, int moe) {
    const int e = m->shape.spec->experts, k = m->shape.spec->top_k, me = m->mesh->expert.rank;
    const struct llep_plan *p = &m->far.plan;
    const uint16_t *ids = ids_of(m, moe);
    for (int x = 0; x < e; x++) {
        m->far.row[x] = 0;
        for (int s = 0; s < me; s++) m->far.row[x] += m->far.table[(int64_t)s * e + x];
        m->far.interval[x] = p->first[x];
    }
    memset(m->far.to, 0, sizeof *m->far.to * (size_t)(p->ranks * m->far.chunks * e));
    for (int64_t i = 0; i < m->shape.tokens * k; i++) {
        const int x = ids[i];
        if (no_expert(ids[i])) continue;
        while (m->far.row[x] >= p->interval[m->far.interval[x]].to) m->far.interval[x]++;
        m->far.row[x]++;
        const int to = p->interval[m->far.interval[x]].rank;
        m->far.dest[i] = (uint16_t)to;
        m->far.to[(to * m->far.chunks + i / k % m->far.chunks) * e + x]++;
    }
}

/* Each rank learns how many rows of each expert come to it from each other, chunk by chunk. */
static err_t exchange_counts(struct experts *m) {
    const int ep = m->shape.split.expert;
    const int64_t each = m->far.chunks * m->shape.spec->experts * (int64_t)sizeof(int64_t);
    int64_t *bytes = m->far.bytes, *at = bytes + ep;
    for (int r = 0; r < ep; r++) {
        bytes[r] = each;
        at[r] = r * each;
    }
    return COMM(&m->mesh->expert, all_to_allv, m->far.to, bytes, at, m->far.from, bytes, at);
}

static err_t plan_call(struct experts *m, int moe) {
    make_plan(m, moe);
    find_places(m, moe);
    return exchange_counts(m);
}

/* ---- a chunk ---- */

static int64_t chunk_tokens(const struct experts *m, int64_t chunk) {
    return m->shape.tokens > chunk ? i64_div_up(m->shape.tokens - chunk, m->far.chunks) : 0;
}

/* Rows out: by destination, expert, token, slot. Rows in: by source, expert. */
static void plan_chunk(struct experts *m, int moe, int64_t chunk, struct experts_leg *l) {
    const int e = m->shape.spec->experts, k = m->shape.spec->top_k, ep = m->shape.split.expert;
    const int64_t row = m->shape.spec->hidden * dtype_bytes(m->shape.act);
    const uint16_t *ids = ids_of(m, moe);
    int64_t out = 0, in = 0, *sends = l->bytes, *send_at = sends + ep, *recvs = send_at + ep, *recv_at = recvs + ep;
    l->chunk = chunk;
    l->tokens = chunk_tokens(m, chunk);
    for (int r = 0; r < ep; r++) {
        const int64_t *to = m->far.to + (r * m->far.chunks + chunk) * e, *from = m->far.from + (r * m->far.chunks + chunk) * e;
        send_at[r] = out * row;
        recv_at[r] = in * row;
        for (int x = 0; x < e; x++) {
            m->far.next[(int64_t)r * e + x] = out;
            l->row_off[(int64_t)r * e + x] = in;
            out += to[x];
            in += from[x];
        }
        sends[r] = out * row - send_at[r];
        recvs[r] = in * row - recv_at[r];
    }
    l->row_off[(int64_t)ep * e] = in;
    l->out_rows = out;
    l->in_rows = in;
    m->far.rows_high = i64_max(m->far.rows_high, in);
    for (int64_t j = 0; j < l->tokens; j++)
        for (int s = 0; s < k; s++) {
            const int64_t t = chunk + j * m->far.chunks, i = t * k + s;
            l->pos[j * k + s] = -1;
            if (no_expert(ids[i])) continue;
            const int64_t at = m->far.next[(int64_t)m->far.dest[i] * e + ids[i]]++;
            l->token[at] = (int32_t)t;
            l->pos[j * k + s] = (int32_t)at;
        }
    for (int r = 0; r < 4 * ep; r++) l->bytes_a[r] = l->bytes[r] / row * 4;
}

static void pack(struct experts *m, const struct experts_leg *l, const void *x, void *to) {
    RUN(m->ex, rows_gather, rows_gather_args, .act = m->shape.act, .rows = l->out_rows, .width = m->shape.spec->hidden, .x_rows = m->shape.tokens,
        .token = l->token, .x = x, .y = to);
}

static struct comm_call there(const struct experts *m, const int64_t *b, const void *send, void *recv) {
    const int ep = m->shape.split.expert;
    return comm_call_all_to_allv(send, b, b + ep, recv, b + 2 * ep, b + 3 * ep);
}
static struct comm_call home(const struct experts *m, const int64_t *b, const void *send, void *recv) {
    const int ep = m->shape.split.expert;
    return comm_call_all_to_allv(send, b + 2 * ep, b + 3 * ep, recv, b, b + ep);
}

/* A chunk's rows set out: x, and in backward dy and the routing weights. */
static err_t send_chunk(struct experts *m, int moe, int64_t chunk, const void *h, const void *dy, const float *weights) {
    struct experts_leg *l = &m->far.leg[chunk % m->far.legs];
    const int k = m->shape.spec->top_k;
    plan_chunk(m, moe, chunk, l);
    pack(m, l, h, l->sent);
    TRY(COMM_BEGIN(&m->mesh->expert_dispatch, there(m, l->bytes, l->sent, l->x), &l->rx));
    if (!dy) return OK;
    pack(m, l, dy, l->sent_g);
    for (int64_t j = 0; j < l->tokens * k; j++)
        if (l->pos[j] >= 0) l->sent_a[l->pos[j]] = weights[(chunk + j / k * m->far.chunks) * k + j % k];
    TRY(COMM_BEGIN(&m->mesh->expert_dispatch, there(m, l->bytes, l->sent_g, l->g), &l->rg));
    return COMM_BEGIN(&m->mesh->expert_dispatch, there(m, l->bytes_a, l->sent_a, l->a), &l->ra);
}

/* ---- the experts' work on what has come ---- */

static void grouped(struct experts *m, const struct experts_leg *l, enum matmul_kind kind, const void *a, int64_t k, const void *const *w,
                    int64_t ldb, void *y, int64_t n) {
    const enum dtype act = m->shape.act;
    const int e = m->shape.spec->experts, ep = m->shape.split.expert;
    if (l->in_rows == 0) return;
    for (int i = 0; i < ep * e; i++) m->far.group_w[i] = w[i % e];
    RUN(m->ex, matmul, matmul_args, .kind = kind, .groups = ep * e, .row_off = l->row_off, .n = n, .k = k, .a = a, .lda = k, .bs = m->far.group_w,
        .ldb = ldb, .c = y, .ldc = n, .a_dtype = act, .b_dtype = act, .c_dtype = act);
}

/* dW_e += dy^T x over the rows of each source in turn: several runs of an expert add into one matrix. */
static void grouped_gradient(struct experts *m, const struct experts_leg *l, const void *dy, int64_t rows_out, const void *x, int64_t cols,
                             float *const *g) {
    const enum dtype act = m->shape.act;
    const int e = m->shape.spec->experts;
    for (int s = 0; s < m->shape.split.expert; s++) {
        const int64_t *off = l->row_off + (int64_t)s * e;
        if (off[e] == off[0]) continue;
        RUN(m->ex, matmul, matmul_args, .kind = MATMUL_TN, .groups = e, .row_off = off, .m = rows_out, .n = cols, .a = dy, .lda = rows_out, .b = x,
            .ldb = cols, .cs = (void *const *)g, .ldc = cols, .a_dtype = act, .b_dtype = act, .c_dtype = DT_F32, .accumulate = true);
    }
}

/* x to the experts' outputs, which may take x's place. */
static void compute(struct experts *m, const struct experts_leg *l, void *out) {
    const int64_t hidden = m->shape.spec->hidden, i = m->shape.spec->expert_width;
    grouped(m, l, MATMUL_NT, l->x, hidden, m->w_in, hidden, m->far.gate_up, 2 * i);
    RUN(m->ex, swiglu_forward, swiglu_args, .act = m->shape.act, .rows = l->in_rows, .width = i, .gate_up = m->far.gate_up, .h = m->far.mid);
    grouped(m, l, MATMUL_NT, m->far.mid, i, m->w_out, i, out, hidden);
}

/* dx into l->g, da into l->da; weights' gradients added. The same kernels on the same rows as on one rank. */
static void compute_backward(struct experts *m, struct experts_leg *l) {
    const int64_t hidden = m->shape.spec->hidden, i = m->shape.spec->expert_width;
    const enum dtype act = m->shape.act;
    compute(m, l, m->far.out);
    /* a row is a token with one slot */
    RUN(m->ex, rows_combine_backward, rows_combine_backward_args, .act = act, .tokens = l->in_rows, .width = hidden, .x_rows = l->in_rows, .k = 1,
        .w = l->a, .x = m->far.out, .dy = l->g, .dx = m->far.out, .dw = l->da);
    grouped_gradient(m, l, m->far.out, hidden, m->far.mid, i, m->g_out);
    grouped(m, l, MATMUL_NN, m->far.out, hidden, m->w_out, i, m->far.dmid, i);
    RUN(m->ex, swiglu_backward, swiglu_args, .act = act, .rows = l->in_rows, .width = i, .gate_up = m->far.gate_up, .dh = m->far.dmid,
        .dgate_up = m->far.gate_up);
    grouped_gradient(m, l, m->far.gate_up, 2 * i, l->x, hidden, m->g_in);
    grouped(m, l, MATMUL_NN, m->far.gate_up, 2 * i, m->w_in, hidden, l->g, hidden);
}

/* ---- tokens again ---- */

static char *token_at(const struct experts *m, const void *x, int64_t t) {
    return (char *)(uintptr_t)x + t * m->shape.spec->hidden * dtype_bytes(m->shape.act);
}

/* Sum each token's slots out of the rows that have come back; weights NULL: all 1. */
static void combine(struct experts *m, const struct experts_leg *l, const float *weights, void *y) {
    const int64_t k = m->shape.spec->top_k, row = m->shape.spec->hidden * dtype_bytes(m->shape.act);
    const bool apart = m->far.chunks > 1; /* its tokens do not lie one behind the other */
    for (int64_t j = 0; weights && apart && j < l->tokens; j++)
        memcpy(m->far.part_w + j * k, weights + (l->chunk + j * m->far.chunks) * k, sizeof *weights * (size_t)k);
    RUN(m->ex, rows_combine, rows_combine_args, .act = m->shape.act, .tokens = l->tokens, .width = m->shape.spec->hidden, .x_rows = l->out_rows,
        .k = (int)k, .pos = l->pos,
        .w = !weights ? NULL
             : apart  ? m->far.part_w
                      : weights,
        .x = l->sent, .y = apart ? m->far.part : y);
    for (int64_t j = 0; apart && j < l->tokens; j++)
        memcpy(token_at(m, y, l->chunk + j * m->far.chunks), (const char *)m->far.part + j * row, (size_t)row);
}

/* A chunk's outputs have come home. */
static err_t land(struct experts *m, struct experts_leg *l, const float *weights, void *y) {
    TRY(comm_end(&l->ry));
    combine(m, l, weights, y);
    return OK;
}

err_t experts_dispatch_forward(struct experts *m, int moe, const float *weights, const void *h, void *y) {
    TRY(gather_counts(m, moe));
    TRY(plan_call(m, moe));
    TRY(send_chunk(m, moe, 0, h, NULL, NULL));
    TRY(experts_migrate_out(m, false)); /* while rows are on their way */
    struct experts_leg *before = NULL;  /* whose outputs are on their way home */
    for (int64_t c = 0; c < m->far.chunks; c++) {
        struct experts_leg *l = &m->far.leg[c % m->far.legs];
        TRY(comm_end(&l->rx));
        if (c + 1 < m->far.chunks) TRY(send_chunk(m, moe, c + 1, h, NULL, NULL));
        compute(m, l, l->x);
        TRY(COMM_BEGIN(&m->mesh->expert_combine, home(m, l->bytes, l->x, l->sent), &l->ry));
        if (before) TRY(land(m, before, weights, y));
        before = l;
    }
    ENSURE(before != NULL); /* K is 1 at least */
    return land(m, before, weights, y);
}

/* A chunk's gradients have come home. */
static err_t land_backward(struct experts *m, struct experts_leg *l, void *dh) {
    const int64_t k = m->shape.spec->top_k;
    TRY(comm_end(&l->ry));
    TRY(comm_end(&l->ra));
    combine(m, l, NULL, dh);
    for (int64_t j = 0; j < l->tokens * k; j++)
        m->dweights[(l->chunk + j / k * m->far.chunks) * k + j % k] = l->pos[j] >= 0 ? l->back_a[l->pos[j]] : 0;
    return OK;
}

err_t experts_dispatch_backward(struct experts *m, int moe, const float *weights, const void *h, const void *dy, void *dh) {
    TRY(plan_call(m, moe));
    TRY(send_chunk(m, moe, 0, h, dy, weights));
    TRY(experts_migrate_out(m, true));
    struct experts_leg *before = NULL;
    for (int64_t c = 0; c < m->far.chunks; c++) {
        struct experts_leg *l = &m->far.leg[c % m->far.legs];
        TRY(comm_end(&l->rx));
        TRY(comm_end(&l->rg));
        TRY(comm_end(&l->ra));
        if (c + 1 < m->far.chunks) TRY(send_chunk(m, moe, c + 1, h, dy, weights));
        compute_backward(m, l);
        TRY(COMM_BEGIN(&m->mesh->expert_combine, home(m, l->bytes, l->g, l->sent), &l->ry));
        TRY(COMM_BEGIN(&m->mesh->expert_combine, home(m, l->bytes_a, l->da, l->back_a), &l->ra));
        if (before) TRY(land_backward(m, before, dh));
        before = l;
    }
    ENSURE(before != NULL);
    TRY(land_backward(m, before, dh));
    return experts_migrate_home(m);
}
