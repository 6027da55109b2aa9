/* The plan of a dispatch against a second implementation, written from mop.md 3.4 line by line and without a thought of speed, on
 * random counts; and the properties that it must have whatever the counts are. */
#include "base/rng.h"
#include "experts/llep_plan.h"
#include "test.h"

#include <math.h>

enum { RANKS_MAX = 8, EXPERTS_MAX = 24, INTERVALS_MAX = 512 };

struct naive {
    int count;
    struct llep_interval at[INTERVALS_MAX];
};

struct helper {
    int rank;
    int64_t eff;
};

static int by_eff(const void *a, const void *b) {
    const struct helper *x = a, *y = b;
    if (x->eff != y->eff) return x->eff < y->eff ? -1 : 1;
    return x->rank - y->rank;
}

static void naive_plan(int ranks, int experts, const struct llep_rule *u, const int64_t *l, struct naive *out) {
    const int q = experts / ranks;
    int64_t sum = 0, pend[RANKS_MAX] = {0}, asg[RANKS_MAX] = {0}, most = 0;
    out->count = 0;
    for (int e = 0; e < experts; e++) {
        sum += l[e];
        pend[e / q] += l[e];
    }
    for (int g = 0; g < ranks; g++) most = pend[g] > most ? pend[g] : most;
    if (sum == 0) return;
    const bool plain = (double)most * ranks < u->lambda * (double)sum;
    const int64_t mean = sum / ranks;
    int64_t cap = (int64_t)floor(u->alpha * (double)mean);
    if (cap < 1) cap = 1;
    bool done[EXPERTS_MAX] = {false};
    for (int round = 0; round < experts; round++) {
        int e = -1;
        for (int x = 0; x < experts; x++)
            if (!done[x] && l[x] > 0 && (e < 0 || l[x] > l[e])) e = x;
        if (e < 0) break;
        done[e] = true;
        const int g0 = e / q;
        if (plain) {
            out->at[out->count++] = (struct llep_interval){e, g0, 0, l[e]};
            continue;
        }
        pend[g0] -= l[e];
        const int64_t avail = cap - (asg[g0] + pend[g0]);
        int64_t from = 0;
        if (avail > 0) {
            from = avail >= l[e] ? l[e] : avail;
            out->at[out->count++] = (struct llep_interval){e, g0, 0, from};
            asg[g0] += from;
        }
        while (from < l[e]) {
            struct helper h[RANKS_MAX];
            int n = 0;
            const int64_t rest = l[e] - from;
            for (int g = 0; g < ranks; g++)
                if (g != g0) h[n++] = (struct helper){g, asg[g] + pend[g]};
            qsort(h, (size_t)n, sizeof h[0], by_eff);
            int rank = n ? h[0].rank : g0;
            int64_t ch = rest;
            for (int i = 0; i < n; i++) {
                const int64_t a = cap - h[i].eff, some = rest < a ? rest : a;
                if (a <= 0) continue;
                if ((double)some < u->min_rows && rest > some) continue;
                rank = h[i].rank;
                ch = some;
                break;
            }
            struct llep_interval *last = out->count ? &out->at[out->count - 1] : NULL;
            if (last && last->expert == e && last->rank == rank) last->to += ch;
            else out->at[out->count++] = (struct llep_interval){e, rank, from, from + ch};
            asg[rank] += ch;
            from += ch;
        }
    }
}

static int by_expert(const void *a, const void *b) {
    const struct llep_interval *x = a, *y = b;
    if (x->expert != y->expert) return x->expert - y->expert;
    return x->from < y->from ? -1 : 1;
}

static int64_t draw(uint64_t key, uint64_t i, int kind) {
    switch (kind) {
    case 0: return rng_below(key, 1, i, 50);
    case 1: return rng_below(key, 2, i, 4) ? 0 : rng_below(key, 1, i, 1000);
    case 2: return rng_below(key, 2, i, 12) == 0 ? 100000 : rng_below(key, 1, i, 20);
    case 3: return 7; /* ties everywhere */
    default: return (int64_t)exp(rng_unit(key, 1, i) * 12);
    }
}

static bool one(uint64_t key, int ranks, int experts, const struct llep_rule *u, int kind, void *memory) {
    int64_t counts[RANKS_MAX * EXPERTS_MAX], send[RANKS_MAX * RANKS_MAX], load[RANKS_MAX] = {0};
    struct llep_plan p;
    struct naive n;
    for (int i = 0; i < ranks * experts; i++) counts[i] = draw(key, (uint64_t)i, kind);
    llep_plan_init(&p, ranks, experts, memory);
    llep_plan_make(&p, u, counts);
    naive_plan(ranks, experts, u, p.load, &n);
    qsort(n.at, (size_t)n.count, sizeof n.at[0], by_expert);
    bool fine = p.first[experts] == n.count && memcmp(p.interval, n.at, sizeof n.at[0] * (size_t)n.count) == 0;
    for (int e = 0; e < experts; e++) { /* every row once */
        int64_t next = 0;
        for (int64_t i = p.first[e]; i < p.first[e + 1]; i++) {
            fine = fine && p.interval[i].expert == e && p.interval[i].from == next && p.interval[i].to > next;
            next = p.interval[i].to;
            load[p.interval[i].rank] += p.interval[i].to - p.interval[i].from;
        }
        fine = fine && next == p.load[e];
    }
    llep_plan_send(&p, counts, send);
    for (int s = 0; s < ranks; s++) {
        int64_t out = 0, has = 0, arrive = 0;
        for (int g = 0; g < ranks; g++) {
            out += send[s * ranks + g];
            arrive += send[g * ranks + s];
        }
        for (int e = 0; e < experts; e++) has += counts[s * experts + e];
        fine = fine && out == has && arrive == load[s];
    }
    if (!p.plain && u->alpha == 1.0 && p.rows >= ranks && ranks > 1) /* the bound of 3.4 */
        for (int g = 0; g < ranks; g++) {
            const int64_t mean = p.rows / ranks;
            const double cap = fmax(1, (double)mean);
            fine = fine && (double)load[g] <= cap + (ranks - 2) * fmax(u->min_rows - 1, 0) + ranks - 1;
        }
    return fine;
}

int main(void) {
    static const int shapes[][2] = {{1, 1}, {1, 6}, {2, 4}, {3, 9}, {4, 8}, {8, 8}, {8, 24}};
    static const double alphas[] = {1.0, 1.1, 1.5, 2.0}, mins[] = {0, 1, 5, 1024}, lambdas[] = {0, 1.0, 1.3, 3.0};
    void *memory = malloc((size_t)llep_plan_bytes(RANKS_MAX, EXPERTS_MAX));
    if (!memory) return 2;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int a = 0; a < 4; a++)
            for (int m = 0; m < 4; m++)
                for (int kind = 0; kind < 5; kind++) {
                    int bad = 0;
                    for (uint64_t i = 0; i < 40; i++) {
                        const struct llep_rule u = {alphas[a], mins[m], lambdas[i % 4]};
                        bad += !one(i * 1000 + s * 100 + (uint64_t)kind, shapes[s][0], shapes[s][1], &u, kind, memory);
                    }
                    CASE(bad == 0, "E_p %d, E %d, alpha %g, m %g, kind %d: %d of 40 plans differ", shapes[s][0], shapes[s][1], alphas[a], mins[m],
                         kind, bad);
                }
    CASE(chunk_count(0, 4096, 10) == 1 && chunk_count(4096, 4096, 10) == 1 && chunk_count(4097, 4096, 10) == 2 &&
             chunk_count(1 << 20, 4096, 10) == 10,
         "the number of chunks");
    free(memory);
    return test_end();
}
