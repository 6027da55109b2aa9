/* A launch as a task: the list once more, as what a device needs to know of each operation. */
#include "kernels/exec.h"

struct launch {
    const char *what;
    err_t (*run)(const void *self, struct pool *pool, void *args);
    int64_t args_bytes;
};

#define KERNEL_TASK(name, args)                                              \
    static err_t name##_task(const void *self, struct pool *pool, void *a) { \
        ((const struct kernels *)self)->name(pool, a);                       \
        return OK;                                                           \
    }                                                                        \
    _Static_assert(sizeof(struct args) <= (size_t)TASK_BYTES, "a task has room for the arguments");
KERNEL_LIST(KERNEL_TASK)

static const struct launch launches[KERNEL_COUNT] = {
#define KERNEL_LAUNCH(name, args) [KERNEL_##name] = {#name, name##_task, (int64_t)sizeof(struct args)},
    KERNEL_LIST(KERNEL_LAUNCH)
#undef KERNEL_LAUNCH
};

void kernel_launch(const struct exec *ex, const char *site, enum kernel_id op, const void *args, struct cost cost) {
    const struct launch *l = &launches[op];
    const struct task t = {
        .site = site, .what = l->what, .kind = op, .cost = cost, .run = l->run, .self = &ex->kernels, .args = args, .args_bytes = l->args_bytes};
    ex->s->device->ops->launch(ex->s, &t);
}
