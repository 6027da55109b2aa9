#include "cli/bench.h"
#include "cli/cli.h"

#include <string.h>

static const struct {
    const char *name;
    err_t (*run)(int argc, char **argv);
} benches[] = {
    {"dispatch", bench_dispatch}, {"kernels", bench_kernels}, {"vocab", bench_vocab}, {"attention", bench_attention}, {"step", bench_step}};
enum { BENCHES = sizeof benches / sizeof benches[0] };

err_t cmd_bench(int argc, char **argv) {
    const char *names[BENCHES];
    for (int i = 0; i < BENCHES; i++) {
        names[i] = benches[i].name;
        if (argc > 1 && strcmp(argv[1], names[i]) == 0) return benches[i].run(argc - 1, argv + 1);
    }
    if (argc < 2) return FAIL(ERR_USAGE, "nothing to measure; `mop help bench` lists what can be");
    const char *nearest = opt_nearest(argv[1], names, BENCHES);
    return FAIL(ERR_USAGE, "there is no bench %.60s%s%s; `mop help bench` lists them", argv[1], nearest ? "; did you mean " : "",
                nearest ? nearest : "");
}
