/* WHAT    What a run's time and memory went to, as tables and in a few lines; OUT/mop_report.json keeps it (docs/formats/report.md), and
 *         `mop report OUT` prints it. Local (rank 0). */
#ifndef MOP_TRAIN_REPORT_H
#define MOP_TRAIN_REPORT_H

#include "base/arena.h"
#include "base/log.h"
#include "train/timetable.h"

#include <jansson.h>

enum { REPORT_KERNELS = 256, REPORT_KERNEL_NAME = 32 };
#define REPORT_NAME "mop_report.json"

struct report_kernel {
    char room[TRACE_NAME], kernel[REPORT_KERNEL_NAME];
    struct trace_event sum;
};

struct report {
    int64_t from, to;      /* steps that were done when this process began, and now */
    int64_t steps, tokens; /* what the table counts */
    bool first_left_out;
    int64_t step_ns, comm_ns, aside_ns[ASIDE_COUNT], other_ns;
    int ranks, threads;
    char isa[24], dtype[8];
    int64_t layers, seq, heads, head_dim;
    double per_token, peak; /* operations: a token's; a second's of the matrix product at its best, not above 0 where that is not known */
    int64_t rss_bytes;      /* the most at the end of a step */
    struct report_kernel kernel[REPORT_KERNELS];
    int kernels;
    struct ledger ledger;
    json_t *json; /* of a report that was read: where the ledger's texts lie */
};

/* steps 0: there is nothing to tell yet. `peak`: measure it, once a run: 12 MiB for a moment and 0.2 s. */
void report_make(struct report *p, struct timetable *t, const struct run *r, int64_t from, int64_t to, int64_t rss_bytes, bool peak);
MUST err_t report_write(const struct report *p, const char *out);
/* ERR_IO where there is none. New: report_close. */
MUST err_t report_read(const char *out, struct report *p);
void report_close(struct report *p);

/* The tables, line by line; in a few lines. */
void report_print(const struct report *p, log_sink line);
void report_print_short(const struct report *p, log_sink line);

#endif
