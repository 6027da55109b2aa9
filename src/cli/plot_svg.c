/* The picture of a run: panels of loss, throughput and expert balance above each other, over the same steps. */
#include "cli/plot.h"
#include "data/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 960,
    LEFT = 78, /* of the panels' frames */
    RIGHT = 924
};

/* Told apart by people who see few colours too: blue, vermilion, green, purple, by their lightness as well. */
#define BLUE "#0b62a8"
#define RED "#d55e00"
#define GREEN "#1b8a6b"
#define PURPLE "#7b3fa0"
#define PINK "#d46fa5"
#define GREY "#667085"

void plot_escape(FILE *f, const char *text) {
    for (int64_t left = (int64_t)strlen(text); left > 0;) {
        const int n = utf8_step(text, left);
        const unsigned char c = (unsigned char)*text;
        if (c == '&') (void)fputs("&amp;", f);
        else if (c == '<') (void)fputs("&lt;", f);
        else if (c == '>') (void)fputs("&gt;", f);
        else if (c == '"') (void)fputs("&quot;", f);
        else if (n < 0 || c < 0x20 || c == 0x7f || (n == 3 && c == 0xef && (unsigned char)text[1] == 0xbf)) (void)fputc('?', f);
        else (void)fwrite(text, 1, (size_t)n, f);
        text += abs(n);
        left -= abs(n);
    }
}

/* "1,234,567" */
static const char *whole(int64_t x, char room[32]) {
    char digits[24];
    const int n = snprintf(digits, sizeof digits, "%" PRId64, x);
    char *to = room;
    for (int i = 0; i < n; i++) {
        *to++ = digits[i];
        if ((n - i) % 3 == 1 && i + 1 < n && digits[i] != '-') *to++ = ',';
    }
    *to = 0;
    return room;
}

/* "950", "1.64M": three digits are enough to get an idea */
static void print_amount(FILE *f, int64_t x) {
    char room[32];
    if (x < 10000) (void)fputs(whole(x, room), f);
    else if (x < 999500) (void)fprintf(f, "%.3gk", (double)x / 1e3);
    else if (x < 999500000) (void)fprintf(f, "%.3gM", (double)x / 1e6);
    else (void)fprintf(f, "%.4gG", (double)x / 1e9);
}

/* ---- panels ---- */

static void print_tick(FILE *f, const struct plot_axis *a, double x) {
    char room[32];
    if (fabs(x) < a->tick / 2) x = 0;
    if (fabs(x) >= 1e9 || (x != 0 && a->tick < 1e-6)) (void)fprintf(f, "%.6g", x);
    else if (a->tick >= 1) (void)fputs(whole(llround(x), room), f);
    else (void)fprintf(f, "%.*f", (int)ceil(-log10(a->tick) - 1e-9), x);
}

struct panel {
    const char *title, *unit;
    struct plot_line line[PLOT_LINES];
    int lines;
    struct plot_axis x, y;
};

static void draw_frame(FILE *f, const struct panel *p, bool last) {
    const double top = p->y.to, bottom = p->y.from;
    (void)fprintf(f, "<text x=\"%d\" y=\"%.0f\" class=\"h\">%s<tspan class=\"u\" dx=\"8\">%s</tspan></text>\n", LEFT, top - 14, p->title, p->unit);
    /* one text that ends at the right edge: no width has to be guessed, whatever the font */
    (void)fprintf(f, "<text x=\"%d\" y=\"%.0f\" class=\"l\">", RIGHT, top - 14);
    for (int k = 0; k < p->lines; k++) {
        const struct plot_line *l = &p->line[k];
        (void)fprintf(f, "<tspan class=\"k\" fill=\"%s\" dx=\"%d\">%s</tspan><tspan dx=\"5\">%s</tspan>", l->colour, k ? 22 : 0,
                      l->marked ? "\xE2\x97\x8F" : "\xE2\x80\x94", l->label);
    }
    (void)fputs("</text>\n", f);
    for (double k = ceil(p->y.low / p->y.tick - 1e-9); k * p->y.tick <= p->y.high + p->y.tick * 1e-6; k++) {
        const double y = plot_at(&p->y, k * p->y.tick);
        (void)fprintf(f, "<path d=\"M%d %.1fH%d\" class=\"g\"/><text x=\"%d\" y=\"%.1f\" class=\"e\">", LEFT, y, RIGHT, LEFT - 8, y + 4);
        print_tick(f, &p->y, k * p->y.tick);
        (void)fputs("</text>\n", f);
    }
    for (double k = ceil(p->x.low / p->x.tick - 1e-9); k * p->x.tick <= p->x.high + p->x.tick * 1e-6; k++) {
        const double v = plot_at(&p->x, k * p->x.tick);
        (void)fprintf(f, "<path d=\"M%.1f %.1fv5\" class=\"a\"/><text x=\"%.1f\" y=\"%.0f\" class=\"m\">", v, bottom, v, bottom + 19);
        print_tick(f, &p->x, k * p->x.tick);
        (void)fputs("</text>\n", f);
    }
    (void)fprintf(f, "<path d=\"M%d %.1fH%d\" class=\"a\"/>\n", LEFT, bottom, RIGHT);
    if (last) (void)fprintf(f, "<text x=\"%d\" y=\"%.0f\" class=\"m\">step</text>\n", (LEFT + RIGHT) / 2, bottom + 38);
    (void)fprintf(f, "<clipPath id=\"c%.0f\"><rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/></clipPath>\n", top, LEFT - 5, top - 5,
                  RIGHT - LEFT + 10, bottom - top + 10);
}

static void draw_line(FILE *f, const struct panel *p, const struct plot_line *l) {
    if (l->each > 1 && !l->marked) {
        (void)fprintf(f, "<path fill=\"%s\" fill-opacity=\"0.2\" d=\"", l->colour);
        for (int i = 0; i < l->points; i++)
            (void)fprintf(f, "%c%.1f %.1f", i ? 'L' : 'M', plot_at(&p->x, l->point[i].step), plot_at(&p->y, l->point[i].high));
        for (int i = l->points - 1; i >= 0; i--) (void)fprintf(f, "L%.1f %.1f", plot_at(&p->x, l->point[i].step), plot_at(&p->y, l->point[i].low));
        (void)fputs("Z\"/>\n", f);
    }
    (void)fprintf(f, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" stroke-linejoin=\"round\" d=\"", l->colour);
    for (int i = 0; i < l->points; i++)
        (void)fprintf(f, "%c%.1f %.1f", i ? 'L' : 'M', plot_at(&p->x, l->point[i].step), plot_at(&p->y, l->point[i].mean));
    (void)fputs("\"/>\n", f);
    if (!l->marked && l->points > 1) return;
    for (int i = 0; i < l->points; i++) {
        (void)fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"%s\" stroke=\"#fff\"><title>step %.0f: %.5g</title></circle>\n",
                      plot_at(&p->x, l->point[i].step), plot_at(&p->y, l->point[i].mean), l->points > 60 ? "2.5" : "4", l->colour, l->point[i].step,
                      l->point[i].mean);
    }
}

static void draw_panel(FILE *f, struct panel *p, const struct plot_axis *x, double *top, double height, bool last) {
    p->x = *x;
    p->y.to = *top + 36;
    p->y.from = p->y.to + height;
    draw_frame(f, p, last);
    (void)fprintf(f, "<g clip-path=\"url(#c%.0f)\">\n", p->y.to);
    for (int k = 0; k < p->lines; k++) draw_line(f, p, &p->line[k]);
    (void)fputs("</g>\n", f);
    *top = p->y.from + 30;
}

/* ---- what each shows ---- */

/* A loss that begins far above where it stays would press the rest of the run into a flat line: then the beginning runs out at the top. */
static void loss_panel(struct panel *p, const struct plot_run *r, int64_t first, int64_t last) {
    p->title = "Loss";
    p->unit = "nats per token";
    p->lines = 1 + (r->valid.n > 0);
    plot_gather(&p->line[0], &r->loss, first, last);
    double low, high, most;
    if (r->valid.n) {
        struct plot_line *v = &p->line[1];
        v->colour = RED;
        v->marked = true;
        plot_gather(v, &r->valid, first, last);
        const char *merged = v->points < r->valid.n ? ", means of neighbours" : "";
        (void)snprintf(v->label, sizeof v->label, "validation%s, last %.4f", merged, r->valid.y[r->valid.n - 1]);
    }
    plot_extent(p->line, p->lines, &low, &high, &most);
    if (most > low && high - low > 6 * (most - low)) high = low + 3 * (most - low);
    p->y = plot_axis_over(low - 0.04 * (high - low), high + 0.04 * (high - low), 6);
    int64_t above = 0;
    for (int64_t i = 0; i < r->loss.n; i++) above += r->loss.y[i] > p->y.high;
    struct plot_line *t = &p->line[0];
    int n = snprintf(t->label, sizeof t->label, "training");
    t->colour = BLUE;
    if (t->each > 1) n += snprintf(t->label + n, sizeof t->label - (size_t)n, ", mean and range of %lld steps each", (long long)t->each);
    if (above) (void)snprintf(t->label + n, sizeof t->label - (size_t)n, "; %lld step%s higher", (long long)above, above == 1 ? "" : "s");
}

static void speed_panel(struct panel *p, const struct plot_run *r, int64_t first, int64_t last) {
    struct plot_line *l = &p->line[0];
    double low, high, most;
    char room[32];
    p->title = "Throughput";
    p->unit = "tokens per second";
    p->lines = 1;
    l->colour = GREEN;
    plot_gather(l, &r->speed, first, last);
    plot_extent(l, 1, &low, &high, &most);
    p->y = plot_axis_over(fmin(0, low), 1.06 * high, 4);
    const double m = plot_median(&r->speed);
    if (m < 100) (void)snprintf(l->label, sizeof l->label, "training, median %.1f", m);
    else (void)snprintf(l->label, sizeof l->label, "training, median %s", whole(llround(m), room));
}

static void balance_panel(struct panel *p, const struct plot_run *r, int64_t first, int64_t last) {
    double low, high, most;
    p->title = "Expert balance";
    p->unit = "1 = perfect";
    p->lines = 0;
    if (r->balance.n) {
        struct plot_line *l = &p->line[p->lines++];
        l->colour = PURPLE;
        plot_gather(l, &r->balance, first, last);
        (void)snprintf(l->label, sizeof l->label, "effective experts / experts, all layers");
    }
    if (r->busiest.n) {
        struct plot_line *l = &p->line[p->lines++];
        l->colour = PINK;
        plot_gather(l, &r->busiest, first, last);
        (void)snprintf(l->label, sizeof l->label, "mean / busiest expert, worst layer");
    }
    plot_extent(p->line, p->lines, &low, &high, &most);
    low = fmin(low, 0.9);
    high = fmax(high, 1);
    p->y = plot_axis_over(low - 0.06 * (high - low), high, 4);
}

static void draw_head(FILE *f, const struct plot_run *r, const char *name) {
    const struct plot_series *l = &r->loss;
    char room[32];
    (void)fprintf(f, "<text x=\"%d\" y=\"38\" class=\"t\">", LEFT);
    plot_escape(f, name);
    (void)fprintf(f, "</text>\n<text x=\"%d\" y=\"62\" class=\"s\">", LEFT);
    (void)fprintf(f, "%s %s, ", whole(l->n, room), l->n == 1 ? "step" : "steps");
    print_amount(f, r->tokens);
    (void)fprintf(f, " tokens; training loss %.4g", l->y[0]);
    if (l->n > 1) (void)fprintf(f, " to %.4g", l->y[l->n - 1]);
    if (r->valid.n) (void)fprintf(f, ", validation loss %.4g", r->valid.y[r->valid.n - 1]);
    if (r->balance.n || r->busiest.n) (void)fprintf(f, "; %s %s idle in the last step", whole(r->dead, room), r->dead == 1 ? "expert" : "experts");
    (void)fputs("</text>\n", f);
}

void plot_svg(FILE *f, const struct plot_run *r, const char *name) {
    static const char style[] = "text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1d2939 } "
                                "text.t { font-size: 22px; font-weight: 600 } text.s { font-size: 13.5px; fill: " GREY " } "
                                "text.h { font-size: 14px; font-weight: 600 } .u { font-weight: 400; fill: " GREY " } "
                                "text.l { text-anchor: end } .k { font-weight: 700; font-size: 15px } "
                                "text.e { text-anchor: end; fill: " GREY " } text.m { text-anchor: middle; fill: " GREY " } "
                                ".g { stroke: #e4e7ec } .a { stroke: #98a2b3 }";
    const int64_t first = r->loss.step[0], last = r->loss.step[r->loss.n - 1];
    const bool experts = r->balance.n || r->busiest.n;
    const double height = experts ? 864 : 658;
    struct plot_axis x = plot_axis_over(first < 10 ? 0 : (double)first, (double)last, 8);
    x.tick = fmax(x.tick, 1);
    x.low = first < 10 ? 0 : (double)first; /* the run from edge to edge, ticks where they fall */
    x.high = fmax((double)last, x.low + 1);
    x.from = LEFT;
    x.to = RIGHT;
    double top = 78;
    struct panel p = {.title = NULL};
    (void)fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\" role=\"img\">\n<title>", WIDTH,
                  height, WIDTH, height);
    plot_escape(f, name);
    (void)fprintf(f, "</title>\n<style>%s</style>\n<rect width=\"%d\" height=\"%.0f\" fill=\"#fff\"/>\n", style, WIDTH, height);
    draw_head(f, r, name);
    loss_panel(&p, r, first, last);
    draw_panel(f, &p, &x, &top, 300, false);
    p = (struct panel){.title = NULL};
    speed_panel(&p, r, first, last);
    draw_panel(f, &p, &x, &top, 130, !experts);
    p = (struct panel){.title = NULL};
    if (experts) {
        balance_panel(&p, r, first, last);
        draw_panel(f, &p, &x, &top, 142, true);
    }
    (void)fputs("</svg>\n", f);
}
