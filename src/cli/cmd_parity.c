#include "base/os.h"
#include "cli/cli.h"
#include "train/parity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parity_opts {
    const char *dump, *isa;
};

#define FIELD(name) offsetof(struct parity_opts, name)
const struct opt parity_opt_list[] = {
    {.key = "dump", .type = OPT_PATH, .offset = FIELD(dump), .help = "write our side as a golden file of this name"},
    {.key = "isa",
     .type = OPT_TEXT,
     .offset = FIELD(isa),
     .help = "kernels to use: reference, portable, avx2, avx512, avx512_bf16, amx; the best there are by default"},
    {.key = NULL},
};

static bool is_dump(const char *begin, int64_t bytes) { return memmem(begin, (size_t)bytes, "\"made_by\":\"mop\"", 15) != NULL; }

/* Nothing is written into the golden folder, or a dump could take the place of what it is to be held against. */
static err_t check_dump(const char *dump, const char *dir) {
    char folder[OS_PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s", dump) >= (int)sizeof folder)
        return FAIL(ERR_USAGE, "the path dump=%.60s... is too long; use a shorter one", dump);
    char *slash = strrchr(folder, '/');
    if (slash) slash[1] = 0;
    bool same;
    TRY(os_same_file(slash ? folder : ".", dir, &same));
    if (same) return FAIL(ERR_USAGE, "dump=%s lies in the folder that is compared, which stays as it is; write it elsewhere", dump);
    return os_may_replace(dump, is_dump, "a file that dump= wrote");
}

struct call {
    const struct options *o;
    const struct parity_opts *own;
};

struct sides {
    struct model_src src;
    struct golden golden;
    struct numbers ours;
};

static err_t measure(const struct call *c, struct comm *world, struct sides *s) {
    const struct options *o = c->o;
    int64_t threads;
    TRY(cli_threads(o, world, &threads));
    TRY(model_src_open(&o->model, NULL, 0, &s->src));
    TRY(golden_open(o->model.init, &s->src, &s->golden));
    const struct run_setup how = {.keep = o->stash.strategy == STASH_KEEP,
                                  .threads = threads,
                                  .device = &o->device,
                                  .isa = c->own->isa,
                                  .rooms = {&o->dense, &o->attention, &o->experts, &o->vocab},
                                  .world = world,
                                  .mesh = &o->mesh};
    return numbers_measure(&s->golden, &s->src, o->model.dtype, &how, &s->ours);
}

/* Rank 0 has the numbers of all. */
static err_t compare(const struct call *c, struct sides *s) {
    if (c->own->dump) TRY(numbers_dump(&s->golden, &s->src, &s->ours, c->own->dump));
    int64_t excess;
    TRY(numbers_compare(&s->golden, &s->src, &s->ours, c->o->model.dtype, &excess));
    if (excess)
        return FAIL(ERR_FAILED, "%lld numbers of %s are over their bound; the lines with EXCESS say which", (long long)excess, c->o->model.init);
    return OK;
}

static err_t parity_rank(void *arg, int rank, struct comm *world) {
    struct sides s = {0};
    err_t err = measure(arg, world, &s);
    if (err == OK && rank == 0) err = compare(arg, &s);
    numbers_free(&s.ours);
    golden_close(&s.golden);
    model_src_close(&s.src);
    return err;
}

/* `mop parity DIR key=value ...`: DIR is model.init. */
err_t cmd_parity(int argc, char **argv) {
    struct options o;
    struct parity_opts own;
    struct opt_set *set;
    const struct opt_table table = {"parity", parity_opt_list, &own};
    const bool named = argc > 1 && (!strchr(argv[1], '=') || os_is_dir(argv[1]));
    const char *dir = named ? argv[1] : NULL;
    if (named) argv[1] = argv[0];
    TRY(cli_load(argc - named, argv + named, &table, &o, &set));
    if (dir) o.model.init = dir;
    err_t err = o.model.init ? OK : FAIL(ERR_USAGE, "no folder; write mop parity DIR");
    if (err == OK && own.dump) err = check_dump(own.dump, o.model.init);
    if (err == OK) err = world_run((int)o.mesh.ranks, parity_rank, &(struct call){&o, &own});
    opt_free(set);
    return err;
}
