#include "optim/optim.h"

#include <math.h>

double schedule_lr(const struct schedule *s, int64_t step) {
    if (step < s->warmup) return s->lr * (double)(step + 1) / (double)s->warmup;
    int64_t from = s->warmup, length = s->steps - s->warmup; /* of the part that goes down */
    if (s->kind == SCHEDULE_CONSTANT) return s->lr;
    if (s->kind == SCHEDULE_WSD) {
        length = s->decay < length ? s->decay : length;
        from = s->steps - length;
        if (step < from) return s->lr;
        from--; /* the step before is the top of the line, so that each of the last steps is lower */
        length++;
    }
    /* the last step of the run has the floor */
    double share = length > 1 ? (double)(step - from) / (double)(length - 1) : 0;
    if (share > 1) share = 1;
    double down = s->kind == SCHEDULE_COSINE ? 0.5 * (1 + cos(3.14159265358979323846 * share)) : 1 - share;
    return s->lr * (s->floor + (1 - s->floor) * down);
}
