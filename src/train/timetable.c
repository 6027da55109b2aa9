#include "train/timetable.h"

#include "base/os.h"

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

double timetable_flops_per_token(const struct spec *s, int64_t seq) {
    const double looked_up = s->tied ? 0 : (double)s->vocab * (double)s->hidden;
    return 6 * ((double)spec_active_params(s) - looked_up) + 6.0 * s->layers * (double)seq * s->heads * s->head_dim;
}
