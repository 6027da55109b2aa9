#include "train/outdir.h"

#include "base/log.h"
#include "base/os.h"
#include "train/logfile.h"

#include <stdlib.h>
#include <time.h>

/* Without train.resume=auto nothing may be there but what a run without a checkpoint leaves; with it no model of somebody's. */
static err_t check_found(const struct job *j, const struct out_found *f) {
    if (f->model == OUT_ANOTHER)
        return FAIL(ERR_USAGE, "out=%s holds a model that no run of mop wrote (there is no manifest.json); it is not replaced, choose another out",
                    j->out);
    if (j->train->resume == RESUME_AUTO || (f->step < 0 && f->model == OUT_NO_MODEL)) return OK;
    return FAIL(ERR_USAGE, "out=%s already holds %s; go on with train.resume=auto or choose another out", j->out,
                f->model == OUT_OURS ? "a finished model" : "a run with checkpoints");
}

/* Rank 0's part. */
static err_t prepare(struct outdir *d, const struct job *j) {
    struct out_found found;
    TRY(out_lock_take(j->out, j->train->resume == RESUME_AUTO, &d->lock));
    TRY(ckpt_recover(j->out));
    TRY(ckpt_look(j->out, &found));
    TRY(check_found(j, &found));
    d->step = found.step;
    d->model = found.model == OUT_OURS;
    TRY(record_open(j->out, &d->record));
    TRY(logfile_last(j->out, &d->done));
    if (d->record.step >= 0) d->done = d->record.step;
    else if (d->step >= 0) d->done = d->step;
    return OK;
}

/* What rank 0 tells. */
struct told {
    int64_t step, done, model;
    uint64_t mark; /* of its folder, 0: none */
};

/* Other hosts may see a change of a folder late. */
static err_t see_the_same(const struct job *j, const struct told *t, int rank) {
    enum { TRIES = 20, PAUSE_NS = 500000000 };
    for (int i = 0; i < TRIES; i++) {
        int64_t step = -1;
        if (i) (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        if (t->mark && out_lock_mark(j->out) != t->mark) continue;
        TRY(ckpt_newest(j->out, &step));
        if (step == t->step) return OK;
    }
    return FAIL(ERR_USAGE, "ranks 0 and %d see different folders at out=%s; put it on a file system that all hosts share", rank, j->out);
}

static err_t tell(struct outdir *d, const struct job *j, struct comm *world) {
    struct told mine = {d->step, d->done, d->model, d->lock.fd >= 0 ? out_lock_mark(j->out) : 0};
    struct told *all = malloc(sizeof *all * (size_t)world->size);
    if (!all) return FAIL(ERR_NOMEM, "out of memory for what %d ranks say", world->size);
    err_t err = COMM(world, all_gather, &mine, all, sizeof mine);
    if (err == OK && world->rank > 0) {
        d->step = all[0].step;
        d->done = all[0].done;
        d->model = all[0].model != 0;
        if (!comm_is_threads(world)) err = see_the_same(j, &all[0], world->rank);
    }
    free(all);
    return err;
}

err_t outdir_open(struct outdir *d, const struct job *job, struct comm *world) {
    *d = (struct outdir){.step = -1, .lock.fd = -1};
    if (world->rank == 0) TRY(prepare(d, job));
    return world->size > 1 ? tell(d, job, world) : OK;
}

/* With other bytes than its manifest says somebody has put his own model there. */
static err_t check_replaced(const struct outdir *d, const struct job *job) {
    if (!d->lock.out) return OK; /* rank 0 looks */
    err_t err = ckpt_check_model(job->out);
    return err == OK ? OK : err_prefix(err, "out=%s: this run would replace the model there; move it away, or choose another out", job->out);
}

err_t outdir_decide(struct outdir *d, const struct job *job) {
    const int64_t steps = job->train->steps;
    d->finished = d->model && (steps == 0 || d->done >= steps);
    if (d->finished) {
        if (d->lock.out) TRY(record_check_finished(&d->record, job));
        log_line(LOG_RUN, "%s is finished (%lld steps); nothing to do", job->out, (long long)d->done);
        return OK;
    }
    if (d->model && d->step < 0)
        return FAIL(ERR_USAGE,
                    "out=%s holds a finished model%s and no checkpoint to go on from for train.steps=%lld; choose another out (with model.init=%s it "
                    "begins with this model)",
                    job->out, d->done > 0 ? "" : ", of how many steps is not known,", (long long)steps, job->out);
    if (d->step > steps)
        return FAIL(ERR_USAGE, "out=%s holds a run of %lld steps already, more than train.steps=%lld; set train.steps to %lld or more", job->out,
                    (long long)d->step, (long long)steps, (long long)d->step);
    return d->model ? check_replaced(d, job) : OK;
}

void outdir_close(struct outdir *d) {
    record_close(&d->record);
    out_lock_drop(&d->lock);
}
