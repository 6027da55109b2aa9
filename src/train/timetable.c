#include "train/timetable.h"

#include "base/log.h"
#include "base/os.h"
#include "kernels/roofline.h"

#include <stdlib.h>
#include <string.h>

enum { PEAK_NS = 200000000 };

void timetable_init(struct timetable *t) { *t = (struct timetable){.began_ns = os_now_ns()}; }

void timetable_begin_step(struct timetable *t, struct run *r) {
    if (t->steps == 1 && !t->dropped) {
        t->trace = (struct trace){0};
        t->steps = t->step_ns = t->tokens = t->comm_ns = 0;
        t->dropped = true;
    }
    r->device.trace = &t->trace;
    t->step_began_ns = os_now_ns();
    t->comm_began_ns = mesh_ended_ns(&r->mesh);
}

void timetable_end_step(struct timetable *t, struct run *r, int64_t tokens) {
    const int64_t ns = os_now_ns() - t->step_began_ns;
    r->device.trace = NULL;
    t->steps++;
    t->tokens += tokens;
    t->comm_ns += mesh_ended_ns(&r->mesh) - t->comm_began_ns;
    t->step_ns += ns;
    t->all_step_ns += ns;
}

void timetable_aside(struct timetable *t, enum timetable_aside what, int64_t since_ns) { t->aside_ns[what] += os_now_ns() - since_ns; }

/* A line of the table: what, and where it counts. */
struct row {
    int index;
    struct trace_event sum;
};

static int longest_first(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->sum.ns != y->sum.ns) return x->sum.ns < y->sum.ns ? 1 : -1;
    return x->index - y->index;
}

static struct trace_event room_sum(const struct trace *t, int room) {
    struct trace_event s = {0};
    for (int k = 0; k < KERNEL_COUNT; k++) {
        const struct trace_event *e = &t->event[room][k];
        s.count += e->count;
        s.ns += e->ns;
        s.cost.flops += e->cost.flops;
        s.cost.bytes += e->cost.bytes;
    }
    return s;
}

static void print_row(const struct timetable *t, const struct trace_event *e, const char *indent, const char *name) {
    const double steps = (double)t->steps, ns = e->ns > 0 ? (double)e->ns : 1; /* operations a nanosecond are GFLOP/s */
    log_line(LOG_RUN, "  %6.2f %%  %10.3f  %9.1f  %9.1f  %8.2f  %s%s", 100.0 * (double)e->ns / (double)t->step_ns, (double)e->ns / 1e6 / steps,
             (double)e->count / steps, e->cost.flops / ns, e->cost.bytes / ns, indent, name);
}

static void print_room(const struct timetable *t, const struct row *room) {
    struct row row[KERNEL_COUNT];
    int n = 0;
    for (int k = 0; k < KERNEL_COUNT; k++)
        if (t->trace.event[room->index][k].count) row[n++] = (struct row){k, t->trace.event[room->index][k]};
    qsort(row, (size_t)n, sizeof row[0], longest_first);
    print_row(t, &room->sum, "", t->trace.room[room->index]);
    for (int i = 0; i < n; i++) print_row(t, &row[i].sum, "  ", kernel_names[row[i].index]);
}

double timetable_flops_per_token(const struct spec *s, int64_t seq) {
    const double looked_up = s->tied ? 0 : (double)s->vocab * (double)s->hidden;
    return 6 * ((double)spec_active_params(s) - looked_up) + 6.0 * s->layers * (double)seq * s->heads * s->head_dim;
}

/* Once a run: the peak does not change, and a second report must not take the time again. */
static double measured_peak(struct timetable *t, const struct run *r) {
    if (t->peak == 0 && roofline_matmul(&r->ex.kernels, r->device.pool, r->shape.act, PEAK_NS, &t->peak) != OK) {
        log_line(LOG_WARN, "the matrix product at its best is not measured: %s", err_message());
        err_clear();
        t->peak = -1;
    }
    return t->peak;
}

static void print_mfu(struct timetable *t, const struct run *r) {
    const struct spec *s = r->shape.spec;
    const double seconds = (double)t->step_ns / 1e9, per_token = timetable_flops_per_token(s, r->shape.seq);
    const double pairs = (double)s->layers * (double)r->shape.seq * s->heads * s->head_dim;
    const double tokens_per_s = (double)t->tokens / seconds, work = tokens_per_s * per_token, peak = measured_peak(t, r);
    struct trace_event matmul = {0};
    for (int i = 0; i < t->trace.rooms; i++) {
        matmul.ns += t->trace.event[i][KERNEL_matmul].ns;
        matmul.cost.flops += t->trace.event[i][KERNEL_matmul].cost.flops;
    }
    log_line(LOG_RUN, "model work: %.1f GFLOP/s = %.0f tokens/s x %.4g operations a token", work / 1e9, tokens_per_s, per_token);
    log_line(
        LOG_RUN,
        "  = 6 N + 6 L S A, N %.3fM active parameters less the embedding, which is looked up; L %d layers; S %lld tokens a sequence; A %d heads x %d",
        (per_token / 6 - pairs) / 1e6, s->layers, (long long)r->shape.seq, s->heads, s->head_dim);
    if (peak <= 0) return;
    log_line(LOG_RUN, "MFU: %.1f %% of %.1f GFLOP/s, the best of %s matrix products of 1024^3, %d threads, %s, measured in this run for 0.2 s",
             100 * work / peak, peak / 1e9, r->shape.act == DT_BF16 ? "bf16" : "fp32", pool_threads(r->device.pool), r->ex.kernels.isa);
    if (matmul.ns)
        log_line(LOG_RUN, "matrix products: %.1f %% of the step at %.1f GFLOP/s, %.1f %% of that", 100.0 * (double)matmul.ns / (double)t->step_ns,
                 matmul.cost.flops / (double)matmul.ns, 100 * matmul.cost.flops / (double)matmul.ns * 1e9 / peak);
}

static void print_rest(const struct timetable *t, int64_t ns, const char *what) {
    log_line(LOG_RUN, "  %6.2f %%  %10.3f                                   %s", 100.0 * (double)ns / (double)t->step_ns,
             (double)ns / 1e6 / (double)t->steps, what);
}

void timetable_print(struct timetable *t, const struct run *r) {
    if (log_level() < LOG_RUN) return;
    if (t->steps == 0) {
        log_line(LOG_RUN, "time: no step yet");
        return;
    }
    const int64_t now = os_now_ns();
    struct row row[TRACE_ROOMS];
    struct trace_event rest = {.ns = t->step_ns};
    for (int i = 0; i < t->trace.rooms; i++) {
        row[i] = (struct row){i, room_sum(&t->trace, i)};
        rest.ns -= row[i].sum.ns;
    }
    qsort(row, (size_t)t->trace.rooms, sizeof row[0], longest_first);
    log_line(LOG_RUN, "time: %lld steps of %.1f ms, %.0f tokens/s%s", (long long)t->steps, (double)t->step_ns / 1e6 / (double)t->steps,
             (double)t->tokens / ((double)t->step_ns / 1e9),
             t->dropped ? "; the first step, which touches memory for the first time, is left out" : "");
    log_line(LOG_RUN, "     share     ms/step  calls/step   GFLOP/s      GB/s  room and kernel");
    for (int i = 0; i < t->trace.rooms; i++) print_room(t, &row[i]);
    if (r->shape.split.ranks > 1) {
        print_rest(t, t->comm_ns, "communication: waiting for other ranks, copies and sums over ranks");
        rest.ns -= t->comm_ns;
    }
    print_rest(t, rest.ns, "outside kernels: loading batches, clearing, copies");
    int64_t other = now - t->began_ns - t->all_step_ns;
    for (int i = 0; i < ASIDE_COUNT; i++) other -= t->aside_ns[i];
    log_line(LOG_RUN, "beside the steps: validation %.2f s, checkpoints and the model %.2f s, all else %.2f s",
             (double)t->aside_ns[ASIDE_VALIDATION] / 1e9, (double)t->aside_ns[ASIDE_SAVING] / 1e9, (double)other / 1e9);
    print_mfu(t, r);
    ledger_print(&r->ledger, LOG_RUN);
}
