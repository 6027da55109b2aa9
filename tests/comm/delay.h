/* A communicator whose data moves as late as it may: what was begun starts to move in its end. begin and end leave marks in a
 * list of events that the test shares with its "kernels", so that orders can be asserted. Entered by all ranks alike: what a
 * rank ends, all end in the same order. */
#ifndef MOP_TESTS_COMM_DELAY_H
#define MOP_TESTS_COMM_DELAY_H

#include "comm/comm_int.h"

#include <stdio.h>
#include <string.h>

enum { EVENTS = 64, EVENT_TEXT = 40 };

/* One rank's. */
struct events {
    int count;
    char text[EVENTS][EVENT_TEXT];
};

struct delay {
    struct comm *inner;
    struct events *events;
};

static inline void event_add(struct events *e, const char *what, const char *name) {
    if (e->count < EVENTS) (void)snprintf(e->text[e->count++], EVENT_TEXT, "%s %s", what, name);
}

/* Place of an event, or -1. */
static inline int event_find(const struct events *e, const char *text) {
    for (int i = 0; i < e->count; i++)
        if (strcmp(e->text[i], text) == 0) return i;
    return -1;
}

static inline err_t delay_begin(struct comm *c, struct comm_request *r) {
    (void)r;
    event_add(((struct delay *)c->group)->events, "begin", c->name);
    return OK;
}

static inline err_t delay_end(struct comm *c, struct comm_request *r) {
    struct delay *d = c->group;
    event_add(d->events, "move", c->name);
    r->comm = d->inner;
    TRY(d->inner->ops->begin(d->inner, r));
    return d->inner->ops->end(d->inner, r);
}

static inline err_t delay_test(struct comm *c, struct comm_request *r, bool *done) {
    *done = true;
    return delay_end(c, r);
}

static inline err_t delay_idle(struct comm *c, struct comm_request *r) {
    (void)c;
    (void)r;
    return OK;
}

static inline err_t delay_split(struct comm *c, int colour, int key, const char *name, struct comm *out) {
    struct delay *d = c->group;
    return d->inner->ops->split(d->inner, colour, key, name, out);
}

static inline void delay_close(struct comm *c) { (void)c; }

static inline void delay_abort(struct comm *c, const char *message) {
    struct delay *d = c->group;
    d->inner->ops->abort(d->inner, message);
}

static const struct comm_ops delay_ops = {
    .name = "delay",
    COMM_BLOCKING,
    .begin = delay_begin,
    .end = delay_end,
    .test = delay_test,
    .idle = delay_idle,
    .split = delay_split,
    .close = delay_close,
    .abort = delay_abort,
};

/* All is borrowed. */
static inline void delay_init(struct delay *d, struct comm *inner, struct events *events, const char *name, struct comm *out) {
    *d = (struct delay){inner, events};
    *out = (struct comm){.ops = &delay_ops, .rank = inner->rank, .size = inner->size, .name = name, .group = d, .stream = inner->stream};
}

#endif
