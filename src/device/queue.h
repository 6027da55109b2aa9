/* What waits on a stream: tasks with their arguments in a ring, and awaits, first in first out. Shared by the back-ends. Local. */
#ifndef MOP_DEVICE_QUEUE_H
#define MOP_DEVICE_QUEUE_H

#include "device/device.h"

struct item {
    struct task t;      /* args in the ring */
    struct event await; /* is_await: of another stream */
    uint64_t ticket;    /* of the task on its stream, from 1; of an await that of the task before it */
    uint64_t order;     /* over all streams, from 1 */
    int64_t ring_to;    /* its end in the ring */
    bool is_await, begun;
};

struct queue {
    struct item *item; /* [cap] item i at i % cap */
    int cap;
    uint64_t first, next;  /* waiting: items [first, next) */
    uint64_t queued, done; /* tasks */
    unsigned char *ring;
    int64_t ring_cap, from, to; /* in use: [from, to), or [from, cap) and [0, to) */
};

/* New: queue_free. */
MUST err_t queue_new(struct queue *q, int cap, int64_t ring_bytes);
void queue_free(struct queue *q);
static inline bool queue_empty(const struct queue *q) { return q->first == q->next; }
static inline struct item *queue_at(const struct queue *q, uint64_t i) { return &q->item[i % (uint64_t)q->cap]; }
/* What the ring must have for t: its arguments and the host's tables. */
int64_t queue_bytes(const struct task *t);
/* false: no room now. */
bool queue_push(struct queue *q, const struct task *t, uint64_t order);
bool queue_push_await(struct queue *q, const struct event *e, const char *site, uint64_t order);
/* The first item is over. */
void queue_pop(struct queue *q);

#endif
