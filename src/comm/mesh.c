#include "comm/mesh.h"

#include "base/num.h"

#include <stdio.h>

const struct opt mesh_opt_list[] = {
    {.key = "ranks",
     .type = OPT_INT,
     .offset = offsetof(struct mesh_opts, ranks),
     .def = "0",
     .lo = 0,
     .hi = 4096,
     .resume = OPT_ROUNDS,
     .help = "ranks to run as threads of this process; 0: one, or what mpirun or srun started"},
    {.key = "mesh.seq",
     .type = OPT_INT,
     .offset = offsetof(struct mesh_opts, seq),
     .def = "1",
     .lo = 1,
     .hi = 4096,
     .resume = OPT_ROUNDS,
     .help = "D: ranks that share a sequence in attention; divides ranks"},
    {.key = "mesh.expert",
     .type = OPT_INT,
     .offset = offsetof(struct mesh_opts, expert),
     .def = "0",
     .lo = 0,
     .hi = 4096,
     .resume = OPT_ROUNDS,
     .help = "E_p: ranks that experts are spread over; divides ranks and the experts; 0: the largest that does"},
    {.key = "mesh.vocab",
     .type = OPT_INT,
     .offset = offsetof(struct mesh_opts, vocab),
     .def = "0",
     .lo = 0,
     .hi = 4096,
     .resume = OPT_ROUNDS,
     .help = "P: ranks that columns of the vocabulary are spread over; divides ranks; 0: ranks"},
    {.key = "comm.check",
     .type = OPT_BOOL,
     .offset = offsetof(struct mesh_opts, check),
     .def = "0",
     .resume = OPT_FREE,
     .help = "compare operation, bytes and place over the ranks before each collective; slow, for debugging"},
    {.key = NULL},
};

static bool divides(int64_t d, int ranks, int64_t experts) { return ranks % d == 0 && experts % d == 0; }

/* value divides ranks, and experts if it is not 0 */
static err_t check_degree(const char *key, int64_t value, int ranks, int64_t experts) {
    if (value >= 1 && divides(value, ranks, experts)) return OK;
    char fits[512], model[64] = "";
    size_t n = 0;
    for (int d = 1; d <= ranks && n + 16 < sizeof fits; d++)
        if (divides(d, ranks, experts)) n += (size_t)snprintf(fits + n, sizeof fits - n, "%s%d", n ? ", " : "", d);
    if (experts > 0) (void)snprintf(model, sizeof model, " or the model's %lld experts", (long long)experts);
    return FAIL(ERR_USAGE, "%s=%lld does not divide ranks=%d%s; set it to one of %s", key, (long long)value, ranks, model, fits);
}

err_t mesh_degrees(const struct mesh_opts *o, int ranks, int64_t experts, int *seq, int *expert, int *vocab) {
    int64_t e = o->expert, p = o->vocab ? o->vocab : ranks;
    if (e == 0)
        for (e = experts ? ranks : 1; !divides(e, ranks, experts);) e--;
    TRY(check_degree("mesh.seq", o->seq, ranks, 0));
    TRY(check_degree("mesh.expert", e, ranks, experts));
    TRY(check_degree("mesh.vocab", p, ranks, 0));
    *seq = (int)o->seq;
    *expert = (int)e;
    *vocab = (int)p;
    return OK;
}

/* Split, and put the check before it if asked for. */
static err_t open_one(struct comm *world, int colour, const char *name, bool check, struct comm *out) {
    struct comm c;
    TRY(world->ops->split(world, colour, world->rank, name, &c));
    if (!check) {
        *out = c;
        return OK;
    }
    err_t err = comm_check_open(&c, out);
    if (err == OK) return OK;
    c.ops->close(&c);
    return err_frame(err, __func__);
}

enum { AXES = 13 };

/* All communicators in the order they are opened in. */
static void mesh_list(struct mesh *m, struct comm *all[AXES]) {
    struct comm *const list[AXES] = {
        &m->control,        &m->dense,          &m->dense_gather, &m->dense_scatter,        &m->seq,   &m->expert,      &m->expert_dispatch,
        &m->expert_combine, &m->expert_migrate, &m->expert_shard, &m->expert_shard_scatter, &m->vocab, &m->vocab_shard,
    };
    for (int i = 0; i < AXES; i++) all[i] = list[i];
}

struct axis {
    const char *name;
    int colour;
};

static err_t open_streams(struct mesh *m, struct comm *const all[AXES], struct device *d) {
    for (int i = 0; d && i < AXES; i++) {
        TRY(device_stream(d, all[i]->name, comm_ring_bytes(all[i]->size), &m->stream[i]));
        all[i]->stream = &m->stream[i];
    }
    return OK;
}

err_t mesh_open(struct mesh *m, struct comm *world, const struct mesh_opts *o, int64_t experts, struct device *device) {
    int d = 1, e = 1, p = 1, r = world->rank;
    *m = (struct mesh){0};
    TRY(mesh_degrees(o, world->size, experts, &d, &e, &p));
    const struct axis axes[AXES] = {
        {"control", 0},
        {"dense", 0},
        {"dense gather", 0},
        {"dense reduce-scatter", 0},
        {"seq", r / d},
        {"expert counts", r / e},
        {"dispatch", r / e},
        {"combine", r / e},
        {"migration", r / e},
        {"expert_shard gather", r % e},
        {"expert_shard reduce-scatter", r % e},
        {"vocab", r / p},
        {"vocab_shard", r % p},
    };
    struct comm *all[AXES];
    mesh_list(m, all);
    for (int i = 0; i < AXES; i++) TRY(open_one(world, axes[i].colour, axes[i].name, o->check, all[i]));
    return open_streams(m, all, device);
}

void mesh_close(struct mesh *m) {
    struct comm *all[AXES];
    mesh_list(m, all);
    for (int i = AXES - 1; i >= 0; i--) {
        if (all[i]->ops) all[i]->ops->close(all[i]);
        all[i]->ops = NULL;
    }
}

err_t mesh_self_open(struct mesh *out, struct device *d) {
    struct comm *all[AXES];
    *out = (struct mesh){0};
    mesh_list(out, all);
    for (int i = 0; i < AXES; i++) comm_self_init(all[i]);
    return open_streams(out, all, d);
}

int64_t mesh_ended_ns(struct mesh *m) {
    struct comm *all[AXES];
    int64_t ns = 0;
    mesh_list(m, all);
    for (int i = 0; i < AXES; i++) ns += all[i]->ended_ns;
    return ns;
}
