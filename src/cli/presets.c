/* Presets: names for sets of the rooms' options (mop.md 3.9). What a run file or the command line says goes before them. */
#include "cli/cli.h"

static const struct preset {
    const char *name, *origin;
    struct {
        const char *key, *value;
    } set[8]; /* ends with key NULL */
} presets[] = {
    {"mop",
     "preset mop",
     {{"dense.strategy", "zero3"}, {"attention.head_chunks", "4"}, {"experts.strategy", "pipelined"}, {"vocab.strategy", "ring"}, {NULL, NULL}}},
    {"fsdp",
     "preset fsdp",
     {{"dense.strategy", "zero3"}, {"attention.head_chunks", "1"}, {"experts.strategy", "ep"}, {"vocab.strategy", "dense_logits"}, {NULL, NULL}}},
};

err_t cli_apply_preset(struct opt_set *s, int which) {
    if (!opt_given(s, "preset")) return OK;
    const struct preset *p = &presets[which];
    for (int i = 0; p->set[i].key; i++)
        if (!opt_given(s, p->set[i].key)) TRY(opt_set_value(s, p->set[i].key, p->set[i].value, p->origin));
    return OK;
}
