/* The plan of a layer call (mop.md 3.4, 6.4): which rank computes which rows of each expert, and how many of them lie in which chunk. In forward the
 * device counts, the host plans from all ranks' counts, the device places, and ranks tell each other how many rows come; in backward all of it is
 * kept, and only the device numbers its rows again. Owned: what is kept of each layer, by the first rank of a block where its ranks are threads,
 * else by each rank; far.call, of the layer in hand. */
#include "experts/experts_int.h"

#include "base/num.h"

#include <math.h>
#include <string.h>

/* ---- pieces ---- */

struct kept_piece {
    int number, expert, source, rank;
};

struct walk {
    const struct kept *k;
    int ranks, experts;
    int piece, expert, source, interval;
    int32_t row, source_end;
};

static struct walk walk_of(const struct experts *m, const struct kept *k) {
    return (struct walk){.k = k, .ranks = m->shape.split.expert, .experts = m->shape.spec->experts, .source_end = k->counts[0]};
}

/* The next piece, by expert and row; *rows of it. */
static bool next_piece(struct walk *w, struct kept_piece *p, int32_t *rows) {
    const struct kept *k = w->k;
    while (w->interval == k->first[w->expert + 1]) {
        if (++w->expert == w->experts) return false;
        w->source = 0;
        w->row = 0;
        w->source_end = k->counts[w->expert];
    }
    while (w->row == w->source_end) w->source_end += k->counts[(int64_t)++w->source * w->experts + w->expert];
    const struct kept_interval *v = &k->interval[w->interval];
    const int32_t end = w->source_end < v->to ? w->source_end : v->to;
    *p = (struct kept_piece){w->piece++, w->expert, w->source, v->rank};
    *rows = end - w->row;
    w->row = end;
    if (end == v->to) w->interval++;
    return true;
}

/* ---- the call of a plan ---- */

/* How many lists go to each rank, pieces come from each, and groups they are: counts at [rank + 1]. */
static void count_call(const struct experts *m, struct call *c) {
    const int ranks = m->shape.split.expert, me = m->mesh->expert.rank;
    struct walk w = walk_of(m, c->kept);
    struct kept_piece p, last = {.expert = -1};
    int32_t rows;
    memset(c->to, 0, sizeof *c->to * (size_t)(ranks + 1));                     /* host */
    memset(c->from, 0, sizeof *c->from * (size_t)(ranks + 1));                 /* host */
    memset(c->in.of_source, 0, sizeof *c->in.of_source * (size_t)(ranks + 1)); /* host */
    while (next_piece(&w, &p, &rows)) {
        if (p.source == me) c->to[p.rank + 1]++;
        if (p.rank != me) continue;
        c->from[p.source + 1]++;
        if (p.expert != last.expert || p.source != last.source) c->in.of_source[p.source + 1]++;
        last = p;
    }
    for (int r = 0; r < ranks; r++) {
        c->to[r + 1] += c->to[r];
        c->from[r + 1] += c->from[r];
        c->in.of_source[r + 1] += c->in.of_source[r];
    }
    c->lists = c->to[ranks];
    c->in.count = c->in.of_source[ranks];
    c->in.sources = ranks;
}

/* Lists in the order of ranks, pieces and groups that come in the order of sources; each keeps the order of experts and rows. */
static void open_call(struct experts *m, const struct kept *k) {
    struct call *c = &m->work->far->call;
    const int ranks = m->shape.split.expert, me = m->mesh->expert.rank;
    int *next_list = c->cursor, *next_in = next_list + ranks, *next_group = next_in + ranks, own = 0;
    c->kept = k;
    count_call(m, c);
    for (int r = 0; r < ranks; r++) {
        next_list[r] = c->to[r];
        next_in[r] = c->from[r];
        next_group[r] = c->in.of_source[r];
    }
    struct walk w = walk_of(m, k);
    struct kept_piece p, last = {.expert = -1};
    int32_t rows, done = 0;                                                       /* of the expert, of this rank's rows */
    memset(c->first, 0, sizeof *c->first * (size_t)(m->shape.spec->experts + 1)); /* host */
    for (int expert = -1; next_piece(&w, &p, &rows);) {
        if (p.expert != expert) done = 0;
        expert = p.expert;
        if (p.source == me) {
            c->first[expert + 1]++;
            c->until[own] = done += rows;
            c->place[own++] = next_list[p.rank];
            c->piece[next_list[p.rank]++] = p.number;
        }
        if (p.rank != me) continue;
        if (p.expert != last.expert || p.source != last.source) {
            c->in_first[next_group[p.source]] = next_in[p.source];
            c->in.expert[next_group[p.source]++] = p.expert;
        }
        c->in_piece[next_in[p.source]++] = p.number;
        last = p;
    }
    c->in_first[c->in.count] = c->from[ranks];
    for (int e = 0; e < m->shape.spec->experts; e++) c->first[e + 1] += c->first[e];
}

static int32_t rows_of(const struct kept *k, int32_t piece, int64_t chunk) { return k->rows[piece * k->chunks + chunk]; }

void plan_chunk(struct experts *m, int64_t chunk, struct leg *l) {
    const struct call *c = &m->work->far->call;
    const struct kept *k = c->kept;
    const int ranks = m->shape.split.expert;
    const int64_t row = m->shape.spec->hidden * dtype_bytes(m->shape.act), tokens = m->shape.tokens;
    int64_t out = 0, in = 0, *sends = l->bytes, *send_at = sends + ranks, *recvs = send_at + ranks, *recv_at = recvs + ranks, *off = l->in.off;
    for (int r = 0; r < ranks; r++) {
        send_at[r] = out * row;
        recv_at[r] = in * row;
        for (int i = c->to[r]; i < c->to[r + 1]; i++) {
            l->chunk.base[i] = (int32_t)out;
            out += rows_of(k, c->piece[i], chunk);
        }
        for (int g = c->in.of_source[r]; g < c->in.of_source[r + 1]; g++) {
            off[g] = in;
            for (int i = c->in_first[g]; i < c->in_first[g + 1]; i++) in += rows_of(k, c->in_piece[i], chunk);
        }
        sends[r] = out * row - send_at[r];
        recvs[r] = in * row - recv_at[r];
    }
    off[c->in.count] = in;
    for (int i = 0; i < 4 * ranks; i++) l->bytes_a[i] = l->bytes[i] / row * 4;
    l->chunk.first = chunk;
    l->chunk.step = k->chunks;
    l->chunk.tokens = tokens > chunk ? i64_div_up(tokens - chunk, k->chunks) : 0;
    l->chunk.rows = out;
    l->in = c->in;
    l->in.off = off;
    l->in.rows = in;
    m->work->far->rows_high = i64_max(m->work->far->rows_high, in);
}

/* ---- the device's part. Queued. ---- */

static void count_rows(struct experts *m, int moe) {
    const struct experts_work *w = m->work;
    if (m->shape.tokens > 0)
        RUN(m->ex, dispatch_count, dispatch_count_args, .tokens = m->shape.tokens, .span = m->shape.tokens, .experts = m->shape.spec->experts,
            .k = m->shape.spec->top_k, .ids = ids_of(m, moe), .number = w->number, .count = w->count, .work = w->count_work);
}

static void place_rows(struct experts *m, int moe) {
    const struct experts_work *w = m->work;
    const struct call *c = &w->far->call;
    if (m->shape.tokens > 0)
        RUN(m->ex, dispatch_place, dispatch_place_args, .tokens = m->shape.tokens, .chunks = c->kept->chunks, .experts = m->shape.spec->experts,
            .k = m->shape.spec->top_k, .lists = c->lists, .ids = ids_of(m, moe), .first = c->first, .until = c->until, .place = c->place,
            .number = w->number, .list = w->list, .count = w->count, .work = w->count_work);
}

/* ---- forward ---- */

/* Rows of every rank for every expert, and every rank's tokens. */
static err_t gather_counts(struct experts *m) {
    struct far *f = m->work->far;
    const int e = m->shape.spec->experts;
    if (m->shape.tokens > 0) TRY(STREAM_FETCH(m->ex->s, m->work->fetched, m->work->count, 4 * (int64_t)e));
    for (int x = 0; x < e; x++) f->mine[x] = m->shape.tokens > 0 ? m->work->fetched[x] : 0;
    f->mine[e] = m->shape.tokens;
    return COMM(&m->mesh->expert, all_gather, f->mine, f->all, (int64_t)sizeof *f->mine * (e + 1));
}

/* The same on every rank: the plan, K. */
static void make_plan(struct experts *m, struct kept *k) {
    struct far *f = m->work->far;
    const int e = m->shape.spec->experts, ranks = m->shape.split.expert;
    const struct llep_rule rule = {m->opts.alpha, m->opts.min_rows, m->opts.strategy == EXPERTS_EP ? INFINITY : m->opts.lambda};
    int64_t most = 0;
    for (int s = 0; s < ranks; s++) {
        const int64_t *all = f->all + (int64_t)s * (e + 1);
        for (int x = 0; x < e; x++) {
            f->table[(int64_t)s * e + x] = all[x];
            k->counts[(int64_t)s * e + x] = (int32_t)all[x];
        }
        most = i64_max(most, all[e]);
    }
    llep_plan_make(&f->plan, &rule, f->table);
    k->plain = f->plan.plain;
    k->chunks = m->opts.strategy == EXPERTS_PIPELINED ? chunk_count(most, m->opts.chunk, m->opts.chunks_max) : 1;
    for (int x = 0; x <= e; x++) k->first[x] = (int32_t)f->plan.first[x];
    for (int32_t i = 0; i < k->first[e]; i++) k->interval[i] = (struct kept_interval){f->plan.interval[i].rank, (int32_t)f->plan.interval[i].to};
}

/* Rows of each chunk: this rank's own come from its device, those that come to it from the ranks they are of. */
static err_t exchange_rows(struct experts *m, struct kept *k) {
    const struct experts_work *w = m->work;
    struct far *f = w->far;
    const struct call *c = &f->call;
    const int ranks = m->shape.split.expert;
    if (c->lists > 0) TRY(STREAM_FETCH(m->ex->s, w->fetched, w->count, 4 * k->chunks * c->lists));
    for (int64_t chunk = 0; chunk < k->chunks; chunk++)
        for (int i = 0; i < c->lists; i++)
            f->out_rows[i * k->chunks + chunk] = k->rows[c->piece[i] * k->chunks + chunk] = w->fetched[chunk * c->lists + i];
    if (m->shape.threads) { /* they read each other's: all have written, once all have come here */
        f->mine[0] = 0;
        return COMM(&m->mesh->expert, all_gather, f->mine, f->all, 8);
    }
    int64_t *out = f->bytes, *out_at = out + ranks, *in = out_at + ranks, *in_at = in + ranks;
    for (int r = 0; r < ranks; r++) {
        out_at[r] = 4 * k->chunks * c->to[r];
        out[r] = 4 * k->chunks * c->to[r + 1] - out_at[r];
        in_at[r] = 4 * k->chunks * c->from[r];
        in[r] = 4 * k->chunks * c->from[r + 1] - in_at[r];
    }
    TRY(COMM(&m->mesh->expert, all_to_allv, f->out_rows, out, out_at, f->in_rows, in, in_at));
    for (int i = 0; i < c->from[ranks]; i++)
        memcpy(k->rows + c->in_piece[i] * k->chunks, f->in_rows + i * k->chunks, 4 * (size_t)k->chunks); /* host */
    return OK;
}

err_t plan_forward(struct experts *m, int moe) {
    struct far *f = m->work->far;
    struct kept *k = f->keeper ? kept_of(m, moe) : &f->now;
    count_rows(m, moe);
    TRY(gather_counts(m));
    if (!f->keeper) k->rows = kept_of(m, moe)->rows; /* the block's, where all write their own */
    make_plan(m, k);
    open_call(m, k);
    place_rows(m, moe);
    return exchange_rows(m, k);
}

void plan_again(struct experts *m, int moe) {
    open_call(m, kept_of(m, moe));
    count_rows(m, moe);
    place_rows(m, moe);
}
