#include "train/report.h"

#include "base/os.h"
#include "kernels/roofline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEAK_NS = 200000000 };

/* The peak does not change, and a second report must not take the time again. */
static void measure_peak(struct timetable *t, const struct run *r) {
    if (t->peak == 0 && roofline_matmul(&r->ex.kernels, r->device.pool, r->shape.act, PEAK_NS, &t->peak) != OK) {
        log_line(LOG_WARN, "the matrix product at its best is not measured: %s", err_message());
        err_clear();
        t->peak = -1;
    }
}

static void add_kernels(struct report *p, const struct trace *t) {
    for (int room = 0; room < t->rooms; room++)
        for (int k = 0; k < KERNEL_COUNT && p->kernels < REPORT_KERNELS; k++) {
            if (!t->event[room][k].count) continue;
            struct report_kernel *to = &p->kernel[p->kernels++];
            (void)snprintf(to->room, sizeof to->room, "%s", t->room[room]);
            (void)snprintf(to->kernel, sizeof to->kernel, "%s", kernel_names[k]);
            to->sum = t->event[room][k];
        }
}

void report_make(struct report *p, struct timetable *t, const struct run *r, int64_t from, int64_t to, int64_t rss_bytes, bool peak) {
    const struct spec *s = r->shape.spec;
    if (peak && t->steps) measure_peak(t, r);
    memset(p, 0, sizeof *p);
    p->from = from;
    p->to = to;
    p->steps = t->steps;
    p->tokens = t->tokens;
    p->first_left_out = t->dropped;
    p->step_ns = t->step_ns;
    p->comm_ns = t->comm_ns;
    p->other_ns = os_now_ns() - t->began_ns - t->all_step_ns;
    for (int i = 0; i < ASIDE_COUNT; i++) {
        p->aside_ns[i] = t->aside_ns[i];
        p->other_ns -= t->aside_ns[i];
    }
    p->ranks = r->shape.split.ranks;
    p->threads = pool_threads(r->device.pool);
    (void)snprintf(p->isa, sizeof p->isa, "%s", r->ex.kernels.isa);
    (void)snprintf(p->dtype, sizeof p->dtype, "%s", r->shape.act == DT_BF16 ? "bf16" : "fp32");
    p->layers = s->layers;
    p->seq = r->shape.seq;
    p->heads = s->heads;
    p->head_dim = s->head_dim;
    p->per_token = timetable_flops_per_token(s, r->shape.seq);
    p->peak = t->peak;
    p->rss_bytes = rss_bytes;
    add_kernels(p, &t->trace);
    p->ledger = r->ledger;
}

/* ---- tables ---- */

/* A room's rows lie together. */
struct room {
    int first, count;
    struct trace_event sum;
};

static int longer_room(const void *a, const void *b) {
    const struct room *x = a, *y = b;
    if (x->sum.ns != y->sum.ns) return x->sum.ns < y->sum.ns ? 1 : -1;
    return x->first - y->first;
}

static int find_rooms(const struct report *p, struct room rooms[TRACE_ROOMS]) {
    int n = 0;
    for (int i = 0; i < p->kernels; i++) {
        const struct trace_event *e = &p->kernel[i].sum;
        if (i == 0 || strcmp(p->kernel[i].room, p->kernel[i - 1].room) != 0) {
            if (n == TRACE_ROOMS) break;
            rooms[n++] = (struct room){.first = i};
        }
        struct room *r = &rooms[n - 1];
        r->count++;
        r->sum.count += e->count;
        r->sum.ns += e->ns;
        r->sum.cost.flops += e->cost.flops;
        r->sum.cost.bytes += e->cost.bytes;
    }
    qsort(rooms, (size_t)n, sizeof *rooms, longer_room);
    return n;
}

static int64_t kernel_ns(const struct report *p) {
    int64_t sum = 0;
    for (int i = 0; i < p->kernels; i++) sum += p->kernel[i].sum.ns;
    return sum;
}

static double share(const struct report *p, int64_t ns) { return 100.0 * (double)ns / (double)p->step_ns; }

static void print_row(const struct report *p, log_sink line, const struct trace_event *e, const char *indent, const char *name) {
    const double steps = (double)p->steps, ns = e->ns > 0 ? (double)e->ns : 1; /* operations a nanosecond are GFLOP/s */
    line(LOG_RUN, "  %6.2f %%  %10.3f  %9.1f  %9.1f  %8.2f  %s%s", share(p, e->ns), (double)e->ns / 1e6 / steps, (double)e->count / steps,
         e->cost.flops / ns, e->cost.bytes / ns, indent, name);
}

static int longer_kernel(const void *a, const void *b) {
    const struct report_kernel *x = *(const struct report_kernel *const *)a, *y = *(const struct report_kernel *const *)b;
    if (x->sum.ns != y->sum.ns) return x->sum.ns < y->sum.ns ? 1 : -1;
    return strcmp(x->kernel, y->kernel);
}

static void print_room(const struct report *p, log_sink line, const struct room *room) {
    const struct report_kernel *row[REPORT_KERNELS];
    for (int i = 0; i < room->count; i++) row[i] = &p->kernel[room->first + i];
    qsort(row, (size_t)room->count, sizeof row[0], longer_kernel);
    print_row(p, line, &room->sum, "", p->kernel[room->first].room);
    for (int i = 0; i < room->count; i++) print_row(p, line, &row[i]->sum, "  ", row[i]->kernel);
}

static void print_rest(const struct report *p, log_sink line, int64_t ns, const char *what) {
    line(LOG_RUN, "  %6.2f %%  %10.3f                                   %s", share(p, ns), (double)ns / 1e6 / (double)p->steps, what);
}

static double tokens_per_s(const struct report *p) { return (double)p->tokens / ((double)p->step_ns / 1e9); }

static void print_work(const struct report *p, log_sink line) {
    const double work = tokens_per_s(p) * p->per_token, pairs = (double)p->layers * (double)p->seq * (double)(p->heads * p->head_dim);
    struct trace_event matmul = {0};
    for (int i = 0; i < p->kernels; i++) {
        if (strcmp(p->kernel[i].kernel, kernel_names[KERNEL_matmul]) != 0) continue;
        matmul.ns += p->kernel[i].sum.ns;
        matmul.cost.flops += p->kernel[i].sum.cost.flops;
    }
    line(LOG_RUN, "model work: %.1f GFLOP/s = %.0f tokens/s x %.4g operations a token", work / 1e9, tokens_per_s(p), p->per_token);
    line(LOG_RUN,
         "  = 6 N + 6 L S A, N %.3fM active parameters less the embedding, which is looked up; L %lld layers; S %lld tokens a sequence; A %lld heads "
         "x %lld",
         (p->per_token / 6 - pairs) / 1e6, (long long)p->layers, (long long)p->seq, (long long)p->heads, (long long)p->head_dim);
    if (p->peak <= 0) return;
    line(LOG_RUN, "MFU: %.1f %% of %.1f GFLOP/s, the best of %s matrix products of 1024^3, %d threads, %s, measured in this run for 0.2 s",
         100 * work / p->peak, p->peak / 1e9, p->dtype, p->threads, p->isa);
    if (matmul.ns)
        line(LOG_RUN, "matrix products: %.1f %% of the step at %.1f GFLOP/s, %.1f %% of that", share(p, matmul.ns),
             matmul.cost.flops / (double)matmul.ns, 100 * matmul.cost.flops / (double)matmul.ns * 1e9 / p->peak);
}

static void print_time(const struct report *p, log_sink line) {
    line(LOG_RUN, "time: %lld steps of %.1f ms, %.0f tokens/s%s", (long long)p->steps, (double)p->step_ns / 1e6 / (double)p->steps, tokens_per_s(p),
         p->first_left_out ? "; the first step, which touches memory for the first time, is left out" : "");
}

static void print_aside(const struct report *p, log_sink line) {
    line(LOG_RUN, "beside the steps: validation %.2f s, checkpoints and the model %.2f s, all else %.2f s",
         (double)p->aside_ns[ASIDE_VALIDATION] / 1e9, (double)p->aside_ns[ASIDE_SAVING] / 1e9, (double)p->other_ns / 1e9);
}

void report_print(const struct report *p, log_sink line) {
    struct room rooms[TRACE_ROOMS];
    int64_t rest = p->step_ns - kernel_ns(p);
    if (p->steps == 0) {
        line(LOG_RUN, "time: no step yet");
        return;
    }
    const int n = find_rooms(p, rooms);
    print_time(p, line);
    line(LOG_RUN, "     share     ms/step  calls/step   GFLOP/s      GB/s  room and kernel");
    for (int i = 0; i < n; i++) print_room(p, line, &rooms[i]);
    if (p->ranks > 1) {
        print_rest(p, line, p->comm_ns, "communication: waiting for other ranks, copies and sums over ranks");
        rest -= p->comm_ns;
    }
    print_rest(p, line, rest, "outside kernels: loading batches, clearing, copies");
    print_aside(p, line);
    print_work(p, line);
    ledger_print(&p->ledger, LOG_RUN, line);
}

void report_print_short(const struct report *p, log_sink line) {
    struct room rooms[TRACE_ROOMS];
    char text[512] = "";
    int64_t rest = p->step_ns - kernel_ns(p) - (p->ranks > 1 ? p->comm_ns : 0);
    size_t at = 0;
    int wrong = 0;
    if (p->steps == 0) return;
    const int n = find_rooms(p, rooms);
    for (int i = 0; i < n && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s %.1f %%, ", p->kernel[rooms[i].first].room, share(p, rooms[i].sum.ns));
    if (p->ranks > 1 && at < sizeof text) (void)snprintf(text + at, sizeof text - at, "communication %.1f %%, ", share(p, p->comm_ns));
    print_time(p, line);
    line(LOG_RUN, "  of it %soutside kernels %.1f %%", text, share(p, rest));
    print_aside(p, line);
    const double work = tokens_per_s(p) * p->per_token;
    if (p->peak > 0) line(LOG_RUN, "model work: %.1f GFLOP/s, MFU %.1f %% of %.1f GFLOP/s", work / 1e9, 100 * work / p->peak, p->peak / 1e9);
    for (int i = 0; i < p->ledger.lines; i++)
        wrong += p->ledger.line[i].held_bytes && p->ledger.line[i].held_bytes != p->ledger.line[i].predicted_bytes;
    if (wrong)
        line(LOG_RUN, "memory: NOT as predicted in %d lines of the ledger; the process had at most %.2f GiB", wrong,
             (double)p->rss_bytes / 1073741824.0);
    else line(LOG_RUN, "memory: held as predicted; the process had at most %.2f GiB", (double)p->rss_bytes / 1073741824.0);
}
