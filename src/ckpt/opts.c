#include "base/opt.h"
#include "ckpt/ckpt.h"

const struct opt ckpt_opt_list[] = {
    {"ckpt.every", OPT_INT, offsetof(struct ckpt_opts, every), "500", NULL, 0, 1e12,
     "steps from one checkpoint to the next; 0: only when the run ends or is stopped"},
    {"ckpt.keep", OPT_INT, offsetof(struct ckpt_opts, keep), "2", NULL, 0, 1e6, "how many of the newest checkpoints stay; 0: all"},
    {NULL, OPT_BOOL, 0, NULL, NULL, 0, 0, NULL},
};
