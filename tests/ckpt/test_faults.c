/* The disk refuses, or the process is killed, at every open, read, write, fsync, rename, mkdir and removal of a save: what was saved before
 * is still there, and nothing unfinished looks complete (ckpt I1, I2). */
#include "base/fault.h"
#include "ckpt/ckpt_int.h"
#include "tests/ckpt/model.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const enum fault kinds[] = {FAULT_OPEN, FAULT_READ, FAULT_WRITE, FAULT_FSYNC, FAULT_RENAME, FAULT_MKDIR, FAULT_REMOVE};
enum { KINDS = sizeof kinds / sizeof kinds[0], POINTS_MAX = 400 };

/* Every point with MOP_TORTURE=all, else a sample that grows thinner: each point costs dozens of fsyncs. */
static int next_point(int n) {
    const char *all = getenv("MOP_TORTURE");
    return all && strcmp(all, "all") == 0 ? n + 1 : n + 1 + n / 4;
}

static char from[OS_PATH_MAX]; /* a folder with a tokenizer to be copied */

static bool is_clean(const char *dir) {
    int64_t files, tensors;
    return verify_to(NULL, dir, &files, &tensors) == OK;
}

/* One save, of a checkpoint or of a model over another. */
struct scene {
    const char *name;
    bool model;
    int64_t step, keep, old_bytes, shard_bytes; /* how the old and the new are cut into files */
    struct model before, after;
    char out[OS_PATH_MAX];
};

static void scene_init(struct scene *s, const char *name, bool model, int64_t step, int64_t keep, int64_t old_bytes, int64_t shard_bytes) {
    memset(s, 0, sizeof *s);
    s->name = name;
    s->model = model;
    s->step = step;
    s->keep = keep;
    s->old_bytes = old_bytes;
    s->shard_bytes = shard_bytes;
    model_init(&s->before, 1, 1, 5);
    model_init(&s->after, 2, step, 5);
    s->before.run.copy_from = s->after.run.copy_from = from;
}

/* What stands before: a complete checkpoint of step 1, or a complete model. */
static void scene_set(struct scene *s) {
    (void)fresh(s->out, "scene");
    if (s->model) NEED(save_model(s->out, &s->before.run, s->old_bytes));
    else NEED(save_checkpoint(s->out, 1, 0, &s->before.run, s->old_bytes));
}

static err_t scene_save(struct scene *s) {
    if (s->model) return save_model(s->out, &s->after.run, s->shard_bytes);
    return save_checkpoint(s->out, s->step, s->keep, &s->after.run, s->shard_bytes);
}

/* Right after: the model is the old one, the new one, or not to be loaded; a checkpoint that looks complete is. */
static bool is_sound(struct scene *s) {
    char path[OS_PATH_MAX];
    struct st_reader *r;
    if (s->model) {
        if (same_weights(&s->before, s->out) || same_weights(&s->after, s->out)) return true;
        if (st_open_folder(s->out, &r) != OK) return strstr(err_message(), path_in(path, s->out, COMMIT_NAME)) != NULL;
        st_close(r);
        return false;
    }
    int64_t *steps, count;
    NEED(steps_list(s->out, &steps, &count));
    bool sound = true;
    for (int64_t i = 0; i < count; i++)
        sound = sound && (same_checkpoint(&s->after, s->out, steps[i]) || (steps[i] == 1 && same_checkpoint(&s->before, s->out, 1)));
    free(steps);
    return sound;
}

/* After the next start: all of it is complete, and what was there is still there or has been replaced. */
static bool is_recovered(struct scene *s) {
    int64_t step;
    if (ckpt_recover(s->out) != OK || ckpt_newest(s->out, &step) != OK || !is_clean(s->out)) return false;
    if (s->model) {
        return (same_weights(&s->before, s->out) || same_weights(&s->after, s->out)) && !os_exists(PATH(s->out, COMMIT_NAME)) &&
               !os_exists(PATH(s->out, "model.part"));
    }
    char **names;
    int64_t count, whole = 0;
    if (os_list(PATH(s->out, "ckpt"), &names, &count) != OK) return false;
    for (int64_t i = 0; i < count; i++) whole += step_of(names[i]) >= 0;
    os_free_list(names, count);
    return whole == count && ((step == 1 && same_checkpoint(&s->before, s->out, 1)) || same_checkpoint(&s->after, s->out, step));
}

static bool is_saved(struct scene *s) {
    if (s->model) return same_weights(&s->after, s->out) && is_clean(s->out);
    return same_checkpoint(&s->after, s->out, s->step) && is_clean(s->out) &&
           (s->keep != 1 || s->step == 1 || !os_exists(PATH(s->out, "ckpt/step-00000001")));
}

static void test_faults(struct scene *s) {
    for (int k = 0; k < KINDS; k++) {
        int n = 1;
        for (; n < POINTS_MAX; n = next_point(n)) {
            scene_set(s);
            fault_arm(kinds[k], n);
            err_t err = scene_save(s);
            bool hit = fault_count(kinds[k]) >= n;
            fault_arm(kinds[k], 0);
            if (!hit) {
                CASE(err == OK && is_saved(s), "%s: saved when nothing fails", s->name);
                break;
            }
            CASE(err == ERR_IO && *err_message(), "%s: %s %d fails the save: %d %s", s->name, fault_name(kinds[k]), n, (int)err, err_message());
            CASE(is_sound(s), "%s: %s %d leaves nothing half-done", s->name, fault_name(kinds[k]), n);
            CASE(is_recovered(s), "%s: %s %d: the next start finds it whole", s->name, fault_name(kinds[k]), n);
            CASE(scene_save(s) == OK && is_saved(s), "%s: %s %d: the next save succeeds", s->name, fault_name(kinds[k]), n);
        }
        CASE(n > 1 && n < POINTS_MAX, "%s: %s has points, and fewer than %d", s->name, fault_name(kinds[k]), n);
    }
}

/* In a child with a fault armed; true if it was killed there. */
static bool killed(struct scene *s, const char *fault, bool restart) {
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (fault_arm_text(fault) != OK) _exit(2);
        err_t err = restart ? ckpt_recover(s->out) : scene_save(s);
        _exit(err == OK ? 0 : 1);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) exit(2);
    CASE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0, "%s: %s: the child's status is %d", s->name, fault, status);
    return WIFSIGNALED(status);
}

static void test_kills(struct scene *s) {
    for (int k = 0; k < KINDS; k++) {
        if (kinds[k] == FAULT_OPEN || kinds[k] == FAULT_READ) continue; /* nothing changes on the disk there */
        for (int n = 1; n < POINTS_MAX; n = next_point(n)) {
            char fault[40];
            (void)snprintf(fault, sizeof fault, "kill-%s:%d", fault_name(kinds[k]), n);
            scene_set(s);
            if (!killed(s, fault, false)) {
                CASE(is_saved(s), "%s: saved when nobody kills it", s->name);
                break;
            }
            CASE(is_sound(s), "%s: %s leaves nothing half-done", s->name, fault);
            /* and killed again and again while it recovers, each time one step further */
            int again = 0;
            while (again < POINTS_MAX && killed(s, "kill-fsync:1", true)) again++;
            CASE(again < POINTS_MAX && is_recovered(s), "%s: %s: the next start finds it whole", s->name, fault);
        }
    }
}

int main(void) {
    enum { SHARDS = 100 };
    const int64_t one = CKPT_SHARD_BYTES;
    static struct scene s;
    (void)fresh(from, "from");
    put_file(PATH(from, "tokenizer.json"), "{}", 2);
    scene_init(&s, "checkpoint in place of the one before", false, 2, 1, one, SHARDS);
    test_faults(&s);
    test_kills(&s);
    scene_init(&s, "checkpoint of the same step", false, 1, 2, one, one);
    test_faults(&s);
    test_kills(&s);
    scene_init(&s, "model over another", true, 0, 0, one, one);
    test_faults(&s);
    test_kills(&s);
    scene_init(&s, "shards over a file", true, 0, 0, one, SHARDS);
    test_faults(&s);
    test_kills(&s);
    scene_init(&s, "a file over shards", true, 0, 0, SHARDS, one);
    test_kills(&s);
    scene_init(&s, "shards over shards", true, 0, 0, SHARDS, SHARDS);
    test_kills(&s);
    CASE_OK(os_remove_tree(test_dir()));
    return test_end();
}
