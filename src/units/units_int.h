/* What the files of this room share. Local. */
#ifndef MOP_UNITS_UNITS_INT_H
#define MOP_UNITS_UNITS_INT_H

#include "units/store.h"

/* Is it one of those that are gathered layer by layer: attention, dense part of the feed-forward, final norm? */
static inline bool unit_is_dense(const struct unit *u) { return u->kind == UNIT_ATTENTION || u->kind == UNIT_FFN || u->kind == UNIT_FINAL_NORM; }
/* Elements of a dense unit when whole, padding included; 0: another kind. */
int64_t unit_whole_elements(const struct spec *s, const struct split *how, const struct unit *u);
/* Queue: what rests of the unit += sum. */
void unit_add_to_rest(struct store *s, int unit, const float *sum);

/* zero3.c, runs.c: the strategies of enter and leave. */
MUST err_t dense_unit_bytes(const struct spec *s, const struct params *p, const struct split *how, enum dtype act, bool train, int dense,
                            struct ledger *out);
MUST err_t dense_unit_layout(struct store *s, bool train, struct arenas *m);
MUST err_t dense_unit_enter(struct store *s, int unit, int next, bool backward);
MUST err_t dense_unit_leave(struct store *s, int unit, bool backward);
MUST err_t run_unit_enter(struct store *s, int unit, bool backward);
MUST err_t run_unit_leave(struct store *s, int unit, bool backward);

#endif
