/* WHAT    Where the time of a run went: per room and kernel what the trace counted, the rest of the step, what lies beside the
 *         steps, and how far the whole is from what the machine can do.
 * MATH    MFU = tokens/s (6 N + 6 L S A) / P. N: parameters that a token is multiplied with (active ones less the looked-up
 *         embedding); L layers; S tokens of a sequence; A = heads x head_dim, attention causal (half of S, forward 4 and backward 8
 *         operations a pair and dimension); P: matrix product at its best, measured. Recomputation counts for nothing.
 * INVARIANTS
 *         I1 Only steps are traced: between end and begin rooms run uncounted (validation).
 *         I2 Nothing is allocated, and no result depends on being counted.
 *         I3 The first step touches memory for the first time; it is dropped once there is a second.
 * Local. */
#ifndef MOP_TRAIN_TIMETABLE_H
#define MOP_TRAIN_TIMETABLE_H

#include "train/train.h"

enum timetable_aside { ASIDE_VALIDATION, ASIDE_SAVING, ASIDE_COUNT };

struct timetable {
    struct trace trace;
    bool dropped;                    /* the first step */
    int64_t steps, step_ns, tokens;  /* that the trace counts */
    int64_t began_ns, step_began_ns; /* of the run, of the step in hand */
    int64_t comm_ns, comm_began_ns;  /* this rank's time in communication, in the steps counted; at the beginning of the step in hand */
    int64_t all_step_ns;             /* of all steps, the dropped one too */
    int64_t aside_ns[ASIDE_COUNT];
    double peak; /* operations a second of the matrix product; 0: not measured yet, -1: could not be */
};

void timetable_init(struct timetable *t);
/* Around each optimizer step. */
void timetable_begin_step(struct timetable *t, struct run *r);
void timetable_end_step(struct timetable *t, struct run *r, int64_t tokens);
/* What was done beside a step since `since_ns`. */
void timetable_aside(struct timetable *t, enum timetable_aside what, int64_t since_ns);
/* 6 N + 6 L S A. */
double timetable_flops_per_token(const struct spec *s, int64_t seq);

#endif
