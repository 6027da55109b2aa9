#include "comm/share.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What a rank tells the others. */
struct told {
    double need;
    uint64_t id[LIMITS_MAX];
    int count;
};

static bool meets(const struct told *t, uint64_t id) {
    for (int i = 0; i < t->count; i++)
        if (t->id[i] == id) return true;
    return false;
}

static err_t tell(struct comm *world, double need, const struct limits *l, struct told **all) {
    struct told mine = {.need = need, .count = l->count};
    for (int i = 0; i < l->count; i++) mine.id[i] = l->list[i].id;
    *all = malloc(sizeof **all * (size_t)world->size);
    if (!*all) return FAIL(ERR_NOMEM, "out of memory for what %d ranks need; free some", world->size);
    return COMM(world, all_gather, &mine, *all, sizeof mine);
}

/* Ranks that meet a limit, and what they need of it. */
static int sharers(const struct comm *world, const struct told *all, uint64_t id, double *need) {
    int n = 0;
    *need = 0;
    for (int r = 0; r < world->size; r++)
        if (meets(&all[r], id)) {
            *need += all[r].need;
            n++;
        }
    return n;
}

err_t share_memory(struct comm *world, int64_t bytes, struct share *out) {
    struct limits l;
    struct told *all;
    limits_memory(&l);
    err_t err = tell(world, (double)bytes, &l, &all);
    for (int i = 0; err == OK && i < l.count; i++) {
        double need;
        const int ranks = sharers(world, all, l.list[i].id, &need);
        if (i == 0) *out = (struct share){.host_need = need, .host_ranks = ranks};
        else if (need * out->have <= out->need * l.list[i].have) continue;
        out->need = need;
        out->have = l.list[i].have;
        out->ranks = ranks;
        (void)snprintf(out->name, sizeof out->name, "%s", l.list[i].name);
    }
    free(all);
    return err;
}

const char *share_show(const struct share *s, char out[SHARE_TEXT]) {
    char ranks[48] = "";
    if (s->ranks > 1) (void)snprintf(ranks, sizeof ranks, ", shared by %d ranks", s->ranks);
    (void)snprintf(out, SHARE_TEXT, "%.2f GiB available (%s%s)", s->have / 1073741824.0, s->name, ranks);
    return out;
}

/* ---- CPUs ---- */

struct told_cpus {
    uint64_t machine, cpus[LIMIT_CPUS / 64];
};

static bool has(const struct told_cpus *t, int cpu) { return t->cpus[cpu / 64] >> (cpu % 64) & 1; }

/* Each CPU is shared by the ranks of its machine that may run on it. */
static double own_cpus(const struct comm *world, const struct told_cpus *all, int *ranks) {
    const struct told_cpus *mine = &all[world->rank];
    double sum = 0;
    *ranks = 1;
    for (int c = 0; c < LIMIT_CPUS; c++) {
        int n = 0;
        if (!has(mine, c)) continue;
        for (int r = 0; r < world->size; r++) n += all[r].machine == mine->machine && has(&all[r], c);
        sum += 1.0 / n;
        if (n > *ranks) *ranks = n;
    }
    return sum;
}

static err_t share_affinity(struct comm *world, const struct limits *l, const uint64_t cpus[LIMIT_CPUS / 64], struct share_cpus *out) {
    struct told_cpus mine = {.machine = l->list[0].id}, *all = malloc(sizeof *all * (size_t)world->size);
    if (!all) return FAIL(ERR_NOMEM, "out of memory for the CPUs of %d ranks; free some", world->size);
    memcpy(mine.cpus, cpus, sizeof mine.cpus);
    err_t err = COMM(world, all_gather, &mine, all, sizeof mine);
    if (err == OK) out->threads = (int)floor(own_cpus(world, all, &out->ranks) + 1e-6); /* sums of thirds */
    free(all);
    return err;
}

err_t share_cpus(struct comm *world, struct share_cpus *out) {
    struct limits l;
    uint64_t cpus[LIMIT_CPUS / 64];
    struct told *all;
    limits_cpus(&l, cpus);
    *out = (struct share_cpus){.threads = 1, .ranks = 1};
    (void)snprintf(out->by, sizeof out->by, "%s", l.list[0].name);
    TRY(share_affinity(world, &l, cpus, out));
    err_t err = tell(world, 0, &l, &all);
    for (int i = 1; err == OK && i < l.count; i++) {
        double unused;
        const int ranks = sharers(world, all, l.list[i].id, &unused), n = (int)(ceil(l.list[i].have) / ranks);
        if (n >= out->threads) continue;
        *out = (struct share_cpus){.threads = n, .ranks = ranks, .least = true};
        (void)snprintf(out->by, sizeof out->by, "%s", l.list[i].name);
    }
    if (out->threads < 1) out->threads = 1;
    free(all);
    return err;
}
