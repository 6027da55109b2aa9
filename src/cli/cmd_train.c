#include "cli/cli.h"
#include "cli/watch.h"

struct train_call {
    const struct options *o;
    const struct opt_set *set;
    struct watch *watch;
};

static err_t train_rank(void *arg, int rank, struct comm *world) {
    const struct train_call *c = arg;
    const struct options *o = c->o;
    int64_t threads;
    if (rank > 0 && !comm_is_threads(world)) atomic_store(&c->watch->quiet, 1);
    TRY(cli_threads(o, world, &threads));
    const struct job job = {.model = &o->model,
                            .data = &o->data,
                            .train = &o->train,
                            .optim = &o->optim,
                            .rooms = {&o->dense, &o->attention, &o->experts, &o->vocab},
                            .mesh = &o->mesh,
                            .device = &o->device,
                            .stash = &o->stash,
                            .ckpt = &o->ckpt,
                            .out = o->cli.out,
                            .tokenizer = o->cli.tokenizer,
                            .options = c->set,
                            .threads = threads,
                            .stop = &c->watch->stop,
                            .report = &c->watch->report};
    return train_run(&job, world);
}

err_t cmd_train(int argc, char **argv) {
    struct options o;
    struct opt_set *set;
    TRY(cli_load(argc, argv, NULL, &o, &set));
    struct watch watch;
    err_t err = watch_begin(&watch);
    if (err == OK) {
        err = world_run((int)o.mesh.ranks, train_rank, &(struct train_call){&o, set, &watch});
        watch_end(&watch);
    }
    opt_free(set);
    return err;
}
