#include "base/log.h"
#include "cli/cli.h"
#include "comm/share.h"

#include <stdio.h>
#include <unistd.h>

const struct opt cli_opt_list[] = {
    {.key = "out",
     .type = OPT_PATH,
     .offset = offsetof(struct cli_opts, out),
     .resume = OPT_FREE,
     .help = "folder that a run writes: the model as a Hugging Face folder, log.jsonl, checkpoints in ckpt/"},
    {.key = "tokenizer",
     .type = OPT_PATH,
     .offset = offsetof(struct cli_opts, tokenizer),
     .resume = OPT_FREE,
     .help = "tokenizer.json, or a folder that holds one"},
    {.key = "threads",
     .type = OPT_INT,
     .offset = offsetof(struct cli_opts, threads),
     .def = "0",
     .lo = 0,
     .hi = 1024,
     .resume = OPT_FREE,
     .help =
         "threads that compute; 0: one per CPU, as far as control groups, OMP_NUM_THREADS, SLURM_CPUS_PER_TASK and other ranks on the machine leave "
         "them; results do not depend on it"},
    {.key = "log.level",
     .type = OPT_INT,
     .offset = offsetof(struct cli_opts, log_level),
     .def = "3",
     .lo = 0,
     .hi = 5,
     .resume = OPT_FREE,
     .help = "0 errors, 1 warnings, 2 once per run, 3 once per step, 4 per layer, 5 per kernel"},
    {.key = "preset",
     .type = OPT_CHOICE,
     .offset = offsetof(struct cli_opts, preset),
     .def = "mop",
     .choices = "mop|fsdp",
     .resume = OPT_FREE,
     .help =
         "how the ranks of a run share its work: mop, every component its own parallelism; fsdp, the baseline: experts on their owners, the whole "
         "vocabulary on every rank. Sets options that are not given otherwise; mop config prints them"},
    {.key = NULL},
};

int cli_tables(struct opt_table out[OPT_TABLES], struct options *values) {
    const struct opt_table tables[] = {
        {"run", cli_opt_list, &values->cli},
        {"model", model_opt_list, &values->model},
        {"data", data_opt_list, &values->data},
        {"train", train_opt_list, &values->train},
        {"optim", optim_opt_list, &values->optim},
        {"mesh", mesh_opt_list, &values->mesh},
        {"device", device_opt_list, &values->device},
        {"dense", dense_opt_list, &values->dense},
        {"attention", attention_opt_list, &values->attention},
        {"experts", experts_opt_list, &values->experts},
        {"vocab", vocab_opt_list, &values->vocab},
        {"stash", stash_opt_list, &values->stash},
        {"ckpt", ckpt_opt_list, &values->ckpt},
    };
    int count = (int)(sizeof tables / sizeof tables[0]);
    for (int i = 0; i < count; i++) out[i] = tables[i];
    return count;
}

err_t cli_threads(const struct options *o, struct comm *world, int64_t *threads) {
    struct comm self;
    struct share_cpus c;
    comm_self_init(&self);
    *threads = o->cli.threads;
    if (*threads) return OK;
    TRY(share_cpus(world ? world : &self, &c));
    *threads = c.threads;
    const long all = sysconf(_SC_NPROCESSORS_ONLN);
    if (c.threads >= all) return OK;
    char ranks[48] = "";
    if (c.ranks > 1) (void)snprintf(ranks, sizeof ranks, ", shared by %d ranks", c.ranks);
    log_line(LOG_RUN, "threads: %d%s, of %ld CPUs that the machine has (%s%s)", c.threads, c.ranks > 1 ? " a rank" : "", all, c.by, ranks);
    return OK;
}

err_t cli_load(int argc, char **argv, const struct opt_table *extra, struct options *values, struct opt_set **set) {
    struct opt_table tables[OPT_TABLES];
    struct opt_set *s;
    int count = cli_tables(tables, values);
    if (extra) tables[count++] = *extra;
    TRY(opt_new(tables, count, &s));
    err_t err = cli_options(argc, argv, s);
    if (err == OK) err = cli_apply_preset(s, values->cli.preset);
    if (err != OK) {
        opt_free(s);
        return err_frame(err, __func__);
    }
    log_set_level((int)values->cli.log_level);
    *set = s;
    return OK;
}
