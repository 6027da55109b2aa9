#include "base/opt.h"
#include "ckpt/ckpt.h"

const struct opt ckpt_opt_list[] = {
    {.key = "ckpt.every",
     .type = OPT_INT,
     .offset = offsetof(struct ckpt_opts, every),
     .def = "500",
     .lo = 0,
     .hi = 1e12,
     .resume = OPT_FREE,
     .help = "steps from one checkpoint to the next; 0: only when the run ends or is stopped"},
    {.key = "ckpt.keep",
     .type = OPT_INT,
     .offset = offsetof(struct ckpt_opts, keep),
     .def = "2",
     .lo = 0,
     .hi = 1e6,
     .resume = OPT_FREE,
     .help = "how many of the newest checkpoints stay; 0: all"},
    {.key = NULL},
};
