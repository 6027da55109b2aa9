/* One expert of each owner at a time: the j-th of every owner goes to all who take rows of it, straight from where it lies, and its gradients come
 * back to be added in rank order. Rounds in which no owner's expert moves are left out; all ranks know from the plan which. Owned: the guests'
 * weights and gradients, from migrate_out to the end of the layer call (backward: to migrate_home). */
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
    struct far unused, *f = m->work && m->work->far ? m->work->far : &unused;
    if (m->opts.strategy == EXPERTS_EP) return OK;
    TRY(arena_push(a, "experts", "migrated experts", guests * each * dtype_bytes(h->act), &f->guest_w));
    if (h->backward) TRY(ARENA(a, "experts", "migrated experts", guests * each, &f->guest_g));
    if (h->backward) TRY(ARENA(a, "experts", "migrated experts", h->split.expert * each, &f->landed));
    return OK;
}

/* Which rounds there are, and whose experts this rank takes. */
static void find_moves(struct experts *m) {
    struct far *f = m->work->far;
    const struct kept *k = f->call.kept;
    const int owned = experts_owned(&m->shape), me = m->mesh->expert.rank, experts = m->shape.spec->experts;
    memset(f->moves, 0, (size_t)owned);   /* host */
    memset(f->guest, 0, (size_t)experts); /* host */
    for (int e = 0; e < experts; e++)
        for (int32_t i = k->first[e]; i < k->first[e + 1]; i++) {
            const int rank = k->interval[i].rank;
            if (rank == e / owned) continue;
            f->moves[e % owned] = 1;
            if (rank == me) f->guest[e] = 1;
        }
}

/* `bytes` at to[rank] for each rank that takes this rank's j-th expert. */
static void takers(const struct experts *m, int j, int64_t bytes, int64_t *to) {
    const struct kept *k = m->work->far->call.kept;
    const int me = m->mesh->expert.rank, e = me * experts_owned(&m->shape) + j;
    memset(to, 0, sizeof *to * (size_t)m->shape.split.expert); /* host */
    for (int32_t i = k->first[e]; i < k->first[e + 1]; i++)
        if (k->interval[i].rank != me) to[k->interval[i].rank] = bytes;
}

err_t experts_migrate_out(struct experts *m, bool backward, struct event *arrived) {
    struct far *f = m->work->far;
    struct stream *s = m->ex->s;
    const int ranks = m->shape.split.expert, me = m->mesh->expert.rank, owned = experts_owned(&m->shape);
    const int64_t each = expert_elements(m->shape.spec), bytes = each * dtype_bytes(m->shape.act);
    int64_t *send = f->bytes, *send_at = send + ranks, *recv = send_at + ranks, *recv_at = recv + ranks, guests = 0;
    if (f->call.kept->plain) return OK;
    find_moves(m);
    for (int j = 0; j < owned; j++) {
        if (!f->moves[j]) continue;
        takers(m, j, bytes, send);
        for (int r = 0; r < ranks; r++) {
            const int e = r * owned + j;
            send_at[r] = 0;
            recv[r] = f->guest[e] ? bytes : 0;
            recv_at[r] = guests * bytes;
            if (recv[r]) experts_point(m, e, (char *)f->guest_w + recv_at[r], backward ? f->guest_g + guests * each : NULL);
            guests += recv[r] > 0;
        }
        const struct comm_call call = comm_call_all_to_allv(m->work->w_in[me * owned + j], send, send_at, f->guest_w, recv, recv_at);
        TRY(COMM_QUEUE(s, &m->mesh->expert_migrate, call, arrived));
    }
    if (backward && guests) STREAM_FILL(s, f->guest_g, 0, 4 * guests * each);
    f->guests_high = guests > f->guests_high ? guests : f->guests_high;
    return OK;
}

/* Its own sum first, then the helpers' by rank. */
static void add_landed(struct experts *m, int j, const int64_t *recv) {
    const int64_t each = expert_elements(m->shape.spec);
    float *own = m->work->g_in[m->mesh->expert.rank * experts_owned(&m->shape) + j];
    for (int r = 0; r < m->shape.split.expert; r++)
        if (recv[r])
            RUN(m->ex, accumulate, accumulate_args, .rows = 1, .width = each, .from_type = DT_F32, .from = m->work->far->landed + r * each,
                .from_stride = each, .to_acc = own, .to_stride = each);
}

err_t experts_migrate_home(struct experts *m) {
    struct far *f = m->work->far;
    const int ranks = m->shape.split.expert, owned = experts_owned(&m->shape);
    const int64_t each = expert_elements(m->shape.spec), bytes = 4 * each;
    int64_t *send = f->bytes, *send_at = send + ranks, *recv = send_at + ranks, *recv_at = recv + ranks, guests = 0;
    if (f->call.kept->plain) return OK;
    for (int j = 0; j < owned; j++) {
        if (!f->moves[j]) continue;
        takers(m, j, bytes, recv);
        for (int r = 0; r < ranks; r++) {
            send[r] = f->guest[r * owned + j] ? bytes : 0;
            send_at[r] = guests * bytes;
            guests += send[r] > 0;
            recv_at[r] = r * bytes;
        }
        TRY(COMM_ON(m->ex->s, &m->mesh->expert_migrate, comm_call_all_to_allv(f->guest_g, send, send_at, f->landed, recv, recv_at)));
        add_landed(m, j, recv);
    }
    return OK;
}
