/* `mop plot`: a run's log.jsonl as numbers (plot_log.c), these as lines and axes (plot_scale.c), and those as a picture (plot_svg.c). Private to cli. Local. */
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

enum {
    PLOT_POINTS = 240, /* of a line at most: a longer run is drawn as the mean and the range of so many steps each */
    PLOT_LINES = 2     /* of a panel at most */
};
struct plot_point {
    double step, mean, low, high;
};
struct plot_line {
    const char *colour;
    char label[128];
    bool marked; /* each point has a mark that says its number */
    struct plot_point point[PLOT_POINTS];
    int points;
    int64_t each; /* steps to a point */
};
/* The points of a series that lies within the steps first..last. */
void plot_gather(struct plot_line *l, const struct plot_series *s, int64_t first, int64_t last);
/* Of all lines: the lowest, the highest, and what nine in ten points stay below. */
void plot_extent(const struct plot_line *lines, int count, double *low, double *high, double *most);
double plot_median(const struct plot_series *s);

struct plot_axis {
    double low, high, tick; /* in the data's unit */
    double from, to;        /* in the picture */
};
/* An axis that shows low..high, with some room where both are one; `ticks` or a few less. The caller sets from and to. */
struct plot_axis plot_axis_over(double low, double high, int ticks);
double plot_at(const struct plot_axis *a, double x);

/* One <svg> element, of a size that does not grow with the run; `name` may be any bytes. */
void plot_svg(FILE *f, const struct plot_run *r, const char *name);
/* Text as XML has it: what is no text becomes a question mark. */
void plot_escape(FILE *f, const char *text);

#endif
