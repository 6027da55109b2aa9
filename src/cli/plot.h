/* `mop plot`: a run's log.jsonl as numbers (plot_log.c), and these as a picture (plot_svg.c). Private to cli. Local. */
#ifndef MOP_CLI_PLOT_H
#define MOP_CLI_PLOT_H

#include "base/err.h"

#include <stdio.h>

struct plot_series {
    int64_t *step; /* rising */
    double *y;
    int64_t n;
};

struct plot_run {
    struct plot_series loss, valid, speed; /* valid: n may be 0 */
    struct plot_series balance, busiest;   /* 1.0 = perfect: over all layers; mean over busiest expert, of the worst layer. n 0: no experts */
    int64_t tokens, dead;                  /* in all; experts without a row in the last step */
};

/* A last line without its end is still being written and not read. Any other that is not as docs/formats/log.md has it is ERR_FORMAT
 * with its number. New: plot_free, also after an error. */
MUST err_t plot_load(const char *run, struct plot_run *out);
void plot_free(struct plot_run *r);

/* One <svg> element, of a size that does not grow with the run; `name` may be any bytes. */
void plot_svg(FILE *f, const struct plot_run *r, const char *name);
/* Text as XML has it: what is no text becomes a question mark. */
void plot_escape(FILE *f, const char *text);

#endif
