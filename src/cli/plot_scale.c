/* A run's numbers as the points of lines and the ranges of axes. */
#include "base/num.h"
#include "cli/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void plot_gather(struct plot_line *l, const struct plot_series *s, int64_t first, int64_t last) {
    l->each = i64_div_up(last - first + 1, PLOT_POINTS);
    l->points = 0;
    int64_t bin = -1, n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if ((s->step[i] - first) / l->each != bin) {
            bin = (s->step[i] - first) / l->each;
            l->point[l->points++] = (struct plot_point){0, 0, s->y[i], s->y[i]};
            n = 0;
        }
        struct plot_point *p = &l->point[l->points - 1];
        n++; /* running means: sums would lose digits in a long run */
        p->step += ((double)s->step[i] - p->step) / (double)n;
        p->mean += (s->y[i] - p->mean) / (double)n;
        p->low = fmin(p->low, s->y[i]);
        p->high = fmax(p->high, s->y[i]);
    }
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void plot_extent(const struct plot_line *lines, int count, double *low, double *high, double *most) {
    double all[PLOT_LINES * PLOT_POINTS];
    int n = 0;
    *low = INFINITY;
    for (int k = 0; k < count; k++)
        for (int i = 0; i < lines[k].points; i++) {
            const struct plot_point *p = &lines[k].point[i];
            *low = fmin(*low, lines[k].marked ? p->mean : p->low);
            all[n++] = lines[k].marked ? p->mean : p->high;
        }
    qsort(all, (size_t)n, sizeof *all, by_value);
    *high = all[n - 1];
    *most = all[(n - 1) * 9 / 10];
}

double plot_median(const struct plot_series *s) {
    double *all = malloc(sizeof *all * (size_t)s->n), m;
    if (!all) return s->y[s->n / 2]; /* near enough to say how fast a run is */
    memcpy(all, s->y, sizeof *all * (size_t)s->n);
    qsort(all, (size_t)s->n, sizeof *all, by_value);
    m = all[s->n / 2];
    free(all);
    return m;
}

double plot_at(const struct plot_axis *a, double x) { return a->from + (x - a->low) / (a->high - a->low) * (a->to - a->from); }

/* 1, 2 or 5 times a power of ten, so that about `count` ticks come. */
static double nice(double span, int count) {
    const double raw = span / count, unit = pow(10, floor(log10(raw)));
    return raw <= unit ? unit : raw <= 2 * unit ? 2 * unit : raw <= 5 * unit ? 5 * unit : 10 * unit;
}

struct plot_axis plot_axis_over(double low, double high, int ticks) {
    const double least = fmax(1e-3, 1e-6 * fmax(fabs(low), fabs(high)));
    if (high - low < least) {
        low -= least / 2;
        high += least / 2;
    }
    return (struct plot_axis){.low = low, .high = high, .tick = nice(high - low, ticks)};
}
