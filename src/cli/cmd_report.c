/* `mop report OUT`: what a run did, from its log, and where its time and memory went, from mop_report.json. */
#include "base/os.h"
#include "cli/cli.h"
#include "cli/plot.h"
#include "train/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(int level, const char *fmt, ...) {
    va_list ap;
    (void)level;
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)putchar('\n');
}

static int64_t lowest(const struct plot_series *s) {
    int64_t at = 0;
    for (int64_t i = 1; i < s->n; i++)
        if (s->y[i] < s->y[at]) at = i;
    return at;
}

static void print_log(const char *out, const struct plot_run *r) {
    const struct plot_series *loss = &r->loss, *valid = &r->valid;
    const int64_t last = loss->n - 1, low = lowest(loss);
    (void)printf("%s: %lld steps, %lld tokens, %.0f tokens/s in the median step\n", out, (long long)loss->step[last], (long long)r->tokens,
                 plot_median(&r->speed));
    (void)printf("loss: %.4f in step %lld, %.4f in step %lld, the lowest %.4f in step %lld\n", loss->y[0], (long long)loss->step[0], loss->y[last],
                 (long long)loss->step[last], loss->y[low], (long long)loss->step[low]);
    if (valid->n) {
        const int64_t best = lowest(valid), end = valid->n - 1;
        (void)printf("validation loss: %.4f in step %lld, the lowest %.4f in step %lld\n", valid->y[end], (long long)valid->step[end], valid->y[best],
                     (long long)valid->step[best]);
    }
    if (r->balance.n)
        (void)printf(
            "experts: balance %.3f (1 = perfect), the busiest has %.2f times the mean of its layer, %lld without a token, in the last step\n",
            r->balance.y[r->balance.n - 1], 1 / r->busiest.y[r->busiest.n - 1], (long long)r->dead);
}

static err_t print_tables(const char *out) {
    char path[OS_PATH_MAX];
    TRY(os_join(path, out, REPORT_NAME));
    if (!os_exists(path)) {
        (void)printf("no tables: %s is written with each checkpoint and at the end of a run\n", path);
        return OK;
    }
    struct report *p = malloc(sizeof *p);
    if (!p) return FAIL(ERR_NOMEM, "out of memory for the tables of %s", out);
    err_t err = report_read(out, p);
    if (err == OK) {
        if (p->from > 0)
            (void)printf("the tables are of the steps since %lld, where the run was gone on with, up to %lld\n", (long long)p->from,
                         (long long)p->to);
        else (void)printf("the tables are of the steps up to %lld\n", (long long)p->to);
        report_print(p, put);
        (void)printf("the process had at most %.2f GiB at the end of a step\n", (double)p->rss_bytes / 1073741824.0);
        report_close(p);
    }
    free(p);
    return err;
}

err_t cmd_report(int argc, char **argv) {
    struct plot_run r = {.tokens = 0};
    if (argc != 2 || !argv[1][0]) return FAIL(ERR_USAGE, "mop report takes one folder, that of a training run (its out=), not %d words", argc - 1);
    err_t err = plot_load(argv[1], &r);
    if (err == OK) print_log(argv[1], &r);
    plot_free(&r);
    return err == OK ? print_tables(argv[1]) : err;
}
