#include "experts/llep_plan.h"

#include <math.h>
#include <string.h>

/* An expert has at most one interval on its owner, one on each helper that takes what it has room for, and one more for what is left. */
static int64_t interval_room(int ranks, int experts) { return (int64_t)experts * (ranks + 1); }

static int64_t align8(int64_t bytes) { return (bytes + 7) / 8 * 8; }

int64_t llep_plan_bytes(int ranks, int experts) {
    return 8 * ((int64_t)experts + (experts + 1) + 2 * (int64_t)ranks) + align8((int64_t)sizeof(int) * experts) +
           2 * align8((int64_t)sizeof(struct llep_interval) * interval_room(ranks, experts));
}

void llep_plan_init(struct llep_plan *p, int ranks, int experts, void *memory) {
    char *at = memory;
    const int64_t intervals = align8((int64_t)sizeof(struct llep_interval) * interval_room(ranks, experts));
    *p = (struct llep_plan){.ranks = ranks, .experts = experts, .owned = experts / ranks};
    p->load = (int64_t *)(void *)at;
    p->first = p->load + experts;
    p->assigned = p->first + experts + 1;
    p->pending = p->assigned + ranks;
    at = (char *)(p->pending + ranks);
    p->interval = (struct llep_interval *)(void *)at;
    p->scratch = (struct llep_interval *)(void *)(at + intervals);
    p->order = (int *)(void *)(at + 2 * intervals);
}

/* Whether expert a comes before b: more rows, at a tie the lower index. */
static bool before(const struct llep_plan *p, int a, int b) { return p->load[a] != p->load[b] ? p->load[a] > p->load[b] : a < b; }

/* Heap sort: no allocation, no bad case. The heap's root comes last in the order. */
static void sift(struct llep_plan *p, int root, int n) {
    for (int child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && before(p, p->order[child], p->order[child + 1])) child++;
        if (!before(p, p->order[root], p->order[child])) return;
        const int swap = p->order[root];
        p->order[root] = p->order[child];
        p->order[child] = swap;
    }
}

static void sort_experts(struct llep_plan *p) {
    const int n = p->experts;
    for (int e = 0; e < n; e++) p->order[e] = e;
    for (int i = n / 2 - 1; i >= 0; i--) sift(p, i, n);
    for (int i = n - 1; i > 0; i--) {
        const int swap = p->order[0];
        p->order[0] = p->order[i];
        p->order[i] = swap;
        sift(p, 0, i);
    }
}

static int64_t effective(const struct llep_plan *p, int rank) { return p->assigned[rank] + p->pending[rank]; }

/* An interval of the expert in hand; one that goes on where the rank's last one ended is the same interval. */
static void give(struct llep_plan *p, int64_t *count, int64_t start, int expert, int rank, int64_t from, int64_t to) {
    p->assigned[rank] += to - from;
    if (*count > start && p->scratch[*count - 1].rank == rank) p->scratch[*count - 1].to = to;
    else p->scratch[(*count)++] = (struct llep_interval){expert, rank, from, to};
}

/* The helper that takes part of `rest`: the least loaded (ties: lower rank) that has room for all of it or for enough. -1: none. */
static int pick(const struct llep_plan *p, int owner, int64_t cap, int64_t rest, double min_rows, int64_t *take) {
    int best = -1;
    for (int g = 0; g < p->ranks; g++) {
        const int64_t room = cap - effective(p, g), some = rest < room ? rest : room;
        if (g == owner || room <= 0 || ((double)some < min_rows && rest > some)) continue;
        if (best < 0 || effective(p, g) < effective(p, best)) {
            best = g;
            *take = some;
        }
    }
    return best;
}

static int least_loaded(const struct llep_plan *p, int owner) {
    int best = -1;
    for (int g = 0; g < p->ranks; g++)
        if (g != owner && (best < 0 || effective(p, g) < effective(p, best))) best = g;
    return best < 0 ? owner : best; /* no helper: the owner */
}

static void place(struct llep_plan *p, int e, int64_t cap, double min_rows, int64_t *count) {
    const int owner = llep_owner(p, e);
    const int64_t start = *count, rows = p->load[e];
    p->pending[owner] -= rows;
    const int64_t room = cap - effective(p, owner);
    int64_t done = room >= rows ? rows : room > 0 ? room : 0;
    if (done > 0) give(p, count, start, e, owner, 0, done);
    while (done < rows) {
        int64_t take = rows - done;
        int g = pick(p, owner, cap, rows - done, min_rows, &take);
        if (g < 0) g = least_loaded(p, owner);
        give(p, count, start, e, g, done, done + take);
        done += take;
    }
}

void llep_plan_make(struct llep_plan *p, const struct llep_rule *rule, const int64_t *counts) {
    memset(p->load, 0, sizeof *p->load * (size_t)p->experts);         /* host */
    memset(p->assigned, 0, sizeof *p->assigned * (size_t)p->ranks);   /* host */
    memset(p->pending, 0, sizeof *p->pending * (size_t)p->ranks);     /* host */
    memset(p->first, 0, sizeof *p->first * (size_t)(p->experts + 1)); /* host */
    for (int s = 0; s < p->ranks; s++)
        for (int e = 0; e < p->experts; e++) p->load[e] += counts[(int64_t)s * p->experts + e];
    p->rows = 0;
    int64_t most = 0;
    for (int e = 0; e < p->experts; e++) {
        p->rows += p->load[e];
        p->pending[llep_owner(p, e)] += p->load[e];
    }
    for (int g = 0; g < p->ranks; g++) most = p->pending[g] > most ? p->pending[g] : most;
    p->plain = p->rows == 0 || (double)most * p->ranks < rule->lambda * (double)p->rows;
    int64_t count = 0;
    if (p->plain) {
        for (int e = 0; e < p->experts; e++) {
            p->first[e] = count;
            if (p->load[e]) p->interval[count++] = (struct llep_interval){e, llep_owner(p, e), 0, p->load[e]};
        }
        p->first[p->experts] = count;
        return;
    }
    const int64_t mean = p->rows / p->ranks; /* whole rows: 3.4 says div */
    const double even = floor(rule->alpha * (double)mean);
    const int64_t cap = even < 1 ? 1 : even >= 0x1p62 ? INT64_C(1) << 62 : (int64_t)even;
    sort_experts(p);
    for (int i = 0; i < p->experts && p->load[p->order[i]] > 0; i++) place(p, p->order[i], cap, rule->min_rows, &count);
    /* from the order of placing to the order of experts: a counting sort that keeps each expert's order */
    for (int64_t i = 0; i < count; i++) p->first[p->scratch[i].expert + 1]++;
    for (int e = 0; e < p->experts; e++) p->first[e + 1] += p->first[e];
    for (int64_t i = 0, next = 0; i < count; i++) {
        const int e = p->scratch[i].expert;
        next = i > 0 && p->scratch[i - 1].expert == e ? next + 1 : p->first[e]; /* an expert's intervals were placed together */
        p->interval[next] = p->scratch[i];
    }
}

void llep_plan_send(const struct llep_plan *p, const int64_t *counts, int64_t *send) {
    memset(send, 0, sizeof *send * (size_t)p->ranks * (size_t)p->ranks); /* host */
    for (int e = 0; e < p->experts; e++) {
        int64_t begin = 0; /* of source rank s in e's global list */
        for (int s = 0; s < p->ranks; s++) {
            const int64_t end = begin + counts[(int64_t)s * p->experts + e];
            for (int64_t i = p->first[e]; i < p->first[e + 1]; i++) {
                const struct llep_interval *v = &p->interval[i];
                const int64_t a = v->from > begin ? v->from : begin, b = v->to < end ? v->to : end;
                if (a < b) send[(int64_t)s * p->ranks + v->rank] += b - a;
            }
            begin = end;
        }
    }
}

int64_t chunk_count(int64_t tokens, int64_t chunk, int64_t chunks_max) {
    int64_t k = (tokens + chunk - 1) / chunk;
    if (k > chunks_max) k = chunks_max;
    return k < 1 ? 1 : k;
}
