/* A launch as a task: the list once more, as what a device needs to know of each operation. */
#include "kernels/exec.h"

struct launch {
    const char *what;
    err_t (*run)(const void *self, struct pool *pool, void *args);
    int64_t args_bytes;
    void (*touch)(const void *args, struct touch *t);
};

#define KERNEL_TASK(name, args)                                                           \
    static err_t name##_task(const void *self, struct pool *pool, void *a) {              \
        ((const struct kernels *)self)->name(pool, a);                                    \
        return OK;                                                                        \
    }                                                                                     \
    static void name##_task_touch(const void *a, struct touch *t) { name##_touch(a, t); } \
    _Static_assert(sizeof(struct args) <= (size_t)TASK_BYTES, "a task has room for the arguments");
KERNEL_LIST(KERNEL_TASK)

#define KERNEL_TASK_TABLES(name, args) \
    static void name##_task_tables(void *a, struct tables *t) { name##_tables(a, t); }
KERNEL_TABLES(KERNEL_TASK_TABLES)

static void (*const tables_of[KERNEL_COUNT])(void *args, struct tables *t) = {
#define KERNEL_LAUNCH_TABLES(name, args) [KERNEL_##name] = name##_task_tables,
    KERNEL_TABLES(KERNEL_LAUNCH_TABLES)
#undef KERNEL_LAUNCH_TABLES
};

static const struct launch launches[KERNEL_COUNT] = {
#define KERNEL_LAUNCH(name, args) [KERNEL_##name] = {#name, name##_task, (int64_t)sizeof(struct args), name##_task_touch},
    KERNEL_LIST(KERNEL_LAUNCH)
#undef KERNEL_LAUNCH
};

void kernel_launch(const struct exec *ex, const char *site, enum kernel_id op, const void *args, struct cost cost) {
    const struct launch *l = &launches[op];
    const struct task t = {.site = site,
                           .what = l->what,
                           .kind = op,
                           .cost = cost,
                           .run = l->run,
                           .self = &ex->kernels,
                           .touch = l->touch,
                           .tables = tables_of[op],
                           .args = args,
                           .args_bytes = l->args_bytes};
    ex->s->device->ops->launch(ex->s, &t);
}
