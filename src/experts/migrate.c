/* One expert of each owner at a time: the j-th of every owner goes to all who take rows of it, straight from where it lies, and its gradients come
 * back to be added in rank order. Rounds in which no owner's expert moves are left out; all ranks know from the plan which. */
#include "experts/experts_int.h"

#include <string.h>

err_t experts_migrate_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out) {
    const int64_t each = expert_elements(h->spec), guests = h->spec->experts - experts_owned(h);
    if (!experts_travel(h, o) || o->strategy == EXPERTS_EP) return OK;
    return ledger_predict(out, "experts", "migrated experts", TIER_DEVICE, LIFE_SCRATCH,
                          arena_bytes(guests * each * dtype_bytes(h->act)) +
                              (h->backward ? arena_bytes(4 * guests * each) + arena_bytes(4 * h->split.expert * each) : 0));
}

err_t experts_migrate_layout(struct experts *m, struct arena *a) {
    const struct shape *h = &m->shape;
    const int64_t each = expert_elements(h->spec), guests = h->spec->experts - experts_owned(h);
    if (m->opts.strategy == EXPERTS_EP) return OK;
    TRY(arena_push(a, "experts", "migrated experts", guests * each * dtype_bytes(h->act), &m->far.guest));
    if (h->backward) TRY(ARENA(a, "experts", "migrated experts", guests * each, &m->far.dguest));
    if (h->backward) TRY(ARENA(a, "experts", "migrated experts", h->split.expert * each, &m->far.landed));
    return OK;
}

static bool takes(const struct llep_plan *p, int expert, int rank) {
    if (llep_owner(p, expert) == rank) return false;
    for (int64_t i = p->first[expert]; i < p->first[expert + 1]; i++)
        if (p->interval[i].rank == rank) return true;
    return false;
}

/* Does any owner's j-th expert move? */
static bool moves(const struct llep_plan *p, int j) {
    for (int o = 0; o < p->ranks; o++)
        for (int g = 0; g < p->ranks; g++)
            if (takes(p, o * p->owned + j, g)) return true;
    return false;
}

err_t experts_migrate_out(struct experts *m, bool backward) {
    const struct llep_plan *p = &m->far.plan;
    const int ranks = p->ranks, me = m->mesh->expert.rank;
    const int64_t each = expert_elements(m->shape.spec), bytes = each * dtype_bytes(m->shape.act);
    int64_t *send = m->far.bytes, *send_at = send + ranks, *recv = send_at + ranks, *recv_at = recv + ranks, guests = 0;
    if (p->plain) return OK;
    for (int j = 0; j < p->owned; j++) {
        if (!moves(p, j)) continue;
        for (int r = 0; r < ranks; r++) {
            const int e = r * p->owned + j;
            send[r] = takes(p, me * p->owned + j, r) ? bytes : 0;
            send_at[r] = 0;
            recv[r] = takes(p, e, me) ? bytes : 0;
            recv_at[r] = guests * bytes;
            if (!recv[r]) continue;
            float *g = backward ? m->far.dguest + guests * each : NULL;
            if (g) memset(g, 0, sizeof *g * (size_t)each);
            experts_point(m, e, (char *)m->far.guest + recv_at[r], g);
            guests++;
        }
        TRY(COMM(&m->mesh->expert_migrate, all_to_allv, m->w_in[me * p->owned + j], send, send_at, m->far.guest, recv, recv_at));
    }
    m->far.guests_high = guests > m->far.guests_high ? guests : m->far.guests_high;
    return OK;
}

err_t experts_migrate_home(struct experts *m) {
    const struct llep_plan *p = &m->far.plan;
    const int ranks = p->ranks, me = m->mesh->expert.rank;
    const int64_t each = expert_elements(m->shape.spec), bytes = 4 * each;
    int64_t *send = m->far.bytes, *send_at = send + ranks, *recv = send_at + ranks, *recv_at = recv + ranks, guests = 0;
    if (p->plain) return OK;
    for (int j = 0; j < p->owned; j++) {
        if (!moves(p, j)) continue;
        for (int r = 0; r < ranks; r++) {
            send[r] = takes(p, r * p->owned + j, me) ? bytes : 0;
            send_at[r] = guests * bytes;
            guests += send[r] > 0;
            recv[r] = takes(p, me * p->owned + j, r) ? bytes : 0;
            recv_at[r] = r * bytes;
        }
        TRY(COMM(&m->mesh->expert_migrate, all_to_allv, m->far.dguest, send, send_at, m->far.landed, recv, recv_at));
        float *own = m->g_in[me * p->owned + j];
        for (int r = 0; r < ranks; r++) /* its own sum first, then the helpers' by rank */
            for (int64_t i = 0; recv[r] && i < each; i++) own[i] += m->far.landed[r * each + i];
    }
    return OK;
}
