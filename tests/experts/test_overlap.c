/* Pipelined dispatch: while chunk i is computed, chunk i + 1 is on its way there and chunk i - 1 on its way home, though data moves as late as it may. */
#include "../comm/delay.h"
#include "../equiv/tiny.h"

enum { CHUNKS = 4 };

static _Thread_local struct events *events_here;
static _Thread_local void (*swiglu_below)(struct pool *pool, const struct swiglu_args *a);

/* Stands for the chunk's products: it runs once in each. */
static void watched_swiglu(struct pool *pool, const struct swiglu_args *a) {
    event_add(events_here, "compute", "chunk");
    swiglu_below(pool, a);
}

static const struct optim_opts adamw = {0.9, 0.95, 1e-6, 0.1};
static const struct experts_opts pipelined = {
    .strategy = EXPERTS_PIPELINED, .alpha = 1, .min_rows = 2, .lambda = 1, .chunk = 3, .chunks_max = CHUNKS};

static err_t forward_once(struct run *r, struct events *e) {
    struct comm dispatch = r->mesh.expert_dispatch, combine = r->mesh.expert_combine;
    struct delay there, home;
    delay_init(&there, &dispatch, e, "dispatch", &r->mesh.expert_dispatch);
    delay_init(&home, &combine, e, "combine", &r->mesh.expert_combine);
    events_here = e;
    swiglu_below = r->ex.kernels.swiglu_forward;
    r->ex.kernels.swiglu_forward = watched_swiglu;
    err_t err = unit_enter(&r->store, r->unit[1], -1, false);
    if (err == OK) err = half_forward(r, 1, false);
    if (err == OK) err = unit_leave(&r->store, r->unit[1], false);
    r->ex.kernels.swiglu_forward = swiglu_below;
    r->mesh.expert_dispatch = dispatch;
    r->mesh.expert_combine = combine;
    return err;
}

static err_t hold_order(const struct events *e) {
    static const char *const want[] = {
        "begin dispatch", "move dispatch",  "begin dispatch", "compute chunk", "begin combine", /* chunk 0, 1 sets out */
        "move dispatch",  "begin dispatch", "compute chunk",  "begin combine", "move combine",  /* 1; 0 comes home */
        "move dispatch",  "begin dispatch", "compute chunk",  "begin combine", "move combine",  /* 2; 1 */
        "move dispatch",  "compute chunk",  "begin combine",  "move combine",  "move combine",  /* 3; 2, 3 */
    };
    for (int i = 0; i < (int)(sizeof want / sizeof *want); i++)
        if (i >= e->count || strcmp(e->text[i], want[i]) != 0)
            return FAIL(ERR_FAILED, "event %d is \"%s\", not \"%s\"", i, i < e->count ? e->text[i] : "none", want[i]);
    return OK;
}

static err_t rank_main(void *arg, int rank, struct comm *world) {
    const struct model_src *src = arg;
    const struct mesh_opts mesh = {.seq = 1, .expert = 2};
    const struct run_setup u = {.rows = 2,
                                .seq = 12,
                                .positions = 12,
                                .act = DT_F32,
                                .train = true,
                                .threads = 1,
                                .optim = &adamw,
                                .rooms = {.experts = &pipelined},
                                .world = world,
                                .mesh = &mesh};
    int32_t mem[4 * 24] = {0};
    const struct batch all = {mem, mem + 24, mem + 48, mem + 72};
    struct run r;
    struct events *e = calloc(1, sizeof *e);
    (void)rank;
    ENSURE(e != NULL);
    TRY(run_open(&r, src, &u));
    tiny_batch(&u, src->spec.vocab, 1, &all);
    run_cut(&r, &all);
    err_t err = run_upload(&r);
    if (err == OK) err = forward_once(&r, e);
    if (err == OK) err = hold_order(e);
    run_close(&r, err);
    free(e);
    return err;
}

int main(void) {
    struct model_src src;
    tiny_open(2, &src);
    err_t err = local_world_run(2, rank_main, &src);
    CASE(err == OK, "%s", err_message());
    model_src_close(&src);
    return test_end();
}
