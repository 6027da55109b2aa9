/* The mesh: who is with whom on each axis, refused degrees, and all communicators in use at once. */
#include "comm/mesh.h"
#include "comm/ops_check.h"
#include "test.h"

#include <unistd.h>

struct shape {
    int w;
    struct mesh_opts o;
};

/* Do exactly the ranks first, first + stride, ... (count) share c? */
static err_t same_ranks(struct comm *c, int world_rank, int first, int stride, int count) {
    int all[16];
    TRY(COMM(c, all_gather, &world_rank, all, sizeof world_rank));
    if (c->size != count) return FAIL(ERR_FAILED, "%s of rank %d has %d ranks, not %d", c->name, world_rank, c->size, count);
    for (int i = 0; i < count; i++)
        if (all[i] != first + i * stride)
            return FAIL(ERR_FAILED, "%s of rank %d: place %d is rank %d, not %d", c->name, world_rank, i, all[i], first + i * stride);
    return OK;
}

static err_t members(void *arg, int rank, struct comm *world) {
    const struct shape *s = arg;
    struct mesh m;
    int d = (int)s->o.seq, e = (int)s->o.expert, p = (int)s->o.vocab, w = s->w;
    TRY(mesh_open(&m, world, &s->o, 64L * e, NULL));
    TRY(same_ranks(&m.dense, rank, 0, 1, w));
    TRY(same_ranks(&m.dense_gather, rank, 0, 1, w));
    TRY(same_ranks(&m.dense_scatter, rank, 0, 1, w));
    TRY(same_ranks(&m.seq, rank, rank / d * d, 1, d));
    TRY(same_ranks(&m.expert, rank, rank / e * e, 1, e));
    TRY(same_ranks(&m.expert_dispatch, rank, rank / e * e, 1, e));
    TRY(same_ranks(&m.expert_combine, rank, rank / e * e, 1, e));
    TRY(same_ranks(&m.expert_migrate, rank, rank / e * e, 1, e));
    TRY(same_ranks(&m.expert_shard, rank, rank % e, e, w / e));
    TRY(same_ranks(&m.expert_shard_scatter, rank, rank % e, e, w / e));
    TRY(same_ranks(&m.vocab, rank, rank / p * p, 1, p));
    TRY(same_ranks(&m.vocab_shard, rank, rank % p, p, w / p));
    mesh_close(&m);
    return OK;
}

static void test_degrees(void) {
    struct mesh_opts o = {.seq = 1};
    int d, e, p;
    static const struct {
        int64_t experts;
        int w, e;
    } largest[] = {{8, 1, 1}, {8, 4, 4}, {8, 6, 2}, {8, 8, 8}, {9, 6, 3}, {8, 7, 1}, {8, 12, 4}, {0, 4, 1}};
    for (size_t i = 0; i < sizeof largest / sizeof *largest; i++) {
        CASE_OK(mesh_degrees(&o, largest[i].w, largest[i].experts, &d, &e, &p));
        CASE(d == 1 && e == largest[i].e && p == largest[i].w, "%d ranks, %d experts: %d %d %d", largest[i].w, (int)largest[i].experts, d, e, p);
    }
    o.seq = 4;
    CASE_ERR(mesh_degrees(&o, 6, 8, &d, &e, &p), ERR_USAGE, "mesh.seq=4 does not divide ranks=6; set it to one of 1, 2, 3, 6");
    o = (struct mesh_opts){.seq = 1, .vocab = 5};
    CASE_ERR(mesh_degrees(&o, 8, 8, &d, &e, &p), ERR_USAGE, "mesh.vocab=5 does not divide ranks=8; set it to one of 1, 2, 4, 8");
    o = (struct mesh_opts){.seq = 1, .expert = 4};
    CASE_ERR(mesh_degrees(&o, 8, 6, &d, &e, &p), ERR_USAGE, "mesh.expert=4 does not divide ranks=8 or the model's 6 experts; set it to one of 1, 2");
    o = (struct mesh_opts){.seq = 16};
    CASE_ERR(mesh_degrees(&o, 8, 6, &d, &e, &p), ERR_USAGE, "mesh.seq=16");
}

static err_t refused(void *arg, int rank, struct comm *world) {
    const struct mesh_opts o = {.seq = 3};
    struct mesh m;
    (void)arg;
    (void)rank;
    err_t err = mesh_open(&m, world, &o, 8, NULL);
    mesh_close(&m);
    return err;
}

static void test_options(void) {
    struct mesh_opts o;
    struct opt_table table = {"mesh", mesh_opt_list, &o};
    struct opt_set *set;
    NEED(opt_new(&table, 1, &set));
    CASE(o.ranks == 0 && o.seq == 1 && o.expert == 0 && o.vocab == 0 && !o.check, "defaults");
    CASE_OK(opt_assign(set, "mesh.expert=4"));
    CASE_OK(opt_assign(set, "ranks=8"));
    CASE_OK(opt_assign(set, "comm.check=1"));
    CASE(o.ranks == 8 && o.expert == 4 && o.check, "values");
    CASE_ERR(opt_assign(set, "mesh.seq=0"), ERR_USAGE, "mesh.seq");
    CASE_ERR(opt_assign(set, "mesh.export=2"), ERR_USAGE, "mesh.expert");
    opt_free(set);
}

int main(void) {
    alarm(120);
    static const int sizes[] = {1, 2, 3, 4, 6, 8};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int w = sizes[i];
        for (int d = 1; d <= w; d++) {
            struct shape s = {w, {.seq = d, .expert = w / d, .vocab = d > 1 ? w : 1}};
            if (w % d == 0) CASE_OK(local_world_run(w, members, &s));
        }
    }
    struct shape s = {8, {.seq = 2, .expert = 4, .vocab = 8}};
    CASE_OK(local_world_run(8, members, &s));
    CASE_OK(local_world_run(8, at_once, &s.o));
    s.o.check = true;
    CASE_OK(local_world_run(8, members, &s));
    CASE_OK(local_world_run(8, at_once, &s.o));
    struct mesh self;
    CASE_OK(mesh_self_open(&self, NULL));
    CASE_OK(same_ranks(&self.expert_migrate, 5, 5, 1, 1));
    CASE_ERR(local_world_run(4, refused, NULL), ERR_USAGE, "mesh.seq=3 does not divide ranks=4; set it to one of 1, 2, 4");
    test_degrees();
    test_options();
    return test_end();
}
