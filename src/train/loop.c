#include "base/log.h"
#include "base/num.h"
#include "base/os.h"
#include "comm/share.h"
#include "data/tokenizer.h"
#include "train/logfile.h"
#include "train/outdir.h"
#include "train/record.h"
#include "train/report.h"
#include "train/tensorboard.h"
#include "train/textdata.h"
#include "train/timetable.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A training run between its parts: what train_run opens and closes. */
struct loop {
    const struct job *given, *job; /* job: own_job, as given but for the steps that train.epochs comes to and the tokens of text */
    struct job own_job;
    struct train_opts train_opts;
    struct data_opts data_opts; /* with token files in the place of text */
    struct textdata textdata;
    struct comm *world;
    struct outdir out;
    struct model_src src;
    struct loader *train, *valid;
    struct run run;
    struct logfile log;
    struct tensorboard tensorboard;
    struct timetable times;
    struct train_state state;
    struct schedule schedule;
    struct record from; /* of the run that is gone on with */
    int64_t saved_step; /* of the newest checkpoint, -1 none */
    int64_t begun_ns, begun_step, shown_ns;
    int64_t rss_bytes; /* the most so far */
    double loss, valid_loss, best_loss;
    int64_t best_step;    /* of best_loss, the lowest validation loss since begun_step; 0: none */
    struct report report; /* room for one */
};

static err_t check_job(const struct job *j) {
    const struct train_opts *t = j->train;
    if (!j->out) return FAIL(ERR_USAGE, "out is not given; write out=FOLDER, where the trained model goes");
    if (t->micro_batch && t->batch % t->micro_batch)
        return FAIL(ERR_USAGE, "train.micro_batch=%lld does not divide train.batch=%lld; choose a divisor", (long long)t->micro_batch,
                    (long long)t->batch);
    const bool trains = t->steps > 0 || t->epochs > 0;
    if (t->steps > 0 && t->epochs > 0)
        return FAIL(ERR_USAGE, "train.steps=%lld and train.epochs=%g are two lengths of one run; give one of them", (long long)t->steps, t->epochs);
    if (trains && !j->data->train)
        return FAIL(ERR_USAGE, "data.train is not given; write data.train=FILE.tok (mop tokenize makes one from text), or train.steps=0");
    if (!trains && j->data->train)
        return FAIL(ERR_USAGE, "data.train is given, but neither train.steps nor train.epochs says how long to train; give one of them, or leave "
                               "data.train out to carry the model as it is from folder to folder");
    if (j->rooms.experts->balance_rate > 0 && t->aux_coef > 0)
        return FAIL(ERR_USAGE, "experts.balance_rate=%g and train.aux_coef=%g are two ways to balance; choose one", j->rooms.experts->balance_rate,
                    t->aux_coef);
    bool same = false;
    if (j->model->init) TRY(os_same_file(j->model->init, j->out, &same));
    if (same)
        return FAIL(ERR_USAGE, "out=%s is the folder that model.init reads; choose another out, so that the model found stays as it is", j->out);
    return OK;
}

/* The vocabulary of a model that starts from keys: the tokenizer's, else that of the token files. */
static err_t find_hint(const struct job *j, struct vocab_hint *hint) {
    *hint = (struct vocab_hint){0, -1};
    if (!j->model->init || strcmp(j->model->init, "random") != 0 || j->model->config || j->model->vocab) return OK;
    struct tokenizer *t = NULL;
    if (j->tokenizer) TRY(tokenizer_try(j->tokenizer, !j->data->train, &t));
    if (t) {
        *hint = (struct vocab_hint){tokenizer_vocab(t), tokenizer_eos(t)};
        tokenizer_close(t);
    } else if (j->data->train) {
        char **files;
        int64_t count;
        struct tok_file *f;
        TRY(data_list(j->data->train, DATA_TOKENS, &files, &count));
        err_t err = tok_open(files[0], false, &f);
        os_free_list(files, count);
        TRY(err);
        hint->vocab = tok_vocab(f);
        tok_close(f);
    }
    return OK;
}

/* One epoch is every sequence once. The batch that ends the last of them is full: what is missing comes from another epoch. */
static void find_steps(struct loop *p) {
    struct train_opts *t = &p->train_opts;
    if (t->steps > 0) return;
    const double n = (double)loader_sequences(p->train), all = t->epochs * n, steps = ceil(all / (double)t->batch * (1 - 1e-12));
    t->steps = steps > 1 ? (int64_t)steps : 1;
    const int64_t over = t->steps * t->batch - (int64_t)ceil(all * (1 - 1e-12));
    log_line(LOG_RUN, "train.epochs=%g: %lld sequences, %g times, in batches of %lld are %lld steps%s", t->epochs,
             (long long)loader_sequences(p->train), t->epochs, (long long)t->batch, (long long)t->steps,
             over ? "; the last batch takes what it lacks from another epoch" : "");
}

static err_t open_data(struct loop *p) {
    const struct job *j = p->job;
    const int64_t vocab = p->src.spec.vocab;
    const uint64_t seed = (uint64_t)j->train->seed;
    TRY(loader_open(j->data, DATA_TRAIN, vocab, seed, &p->train));
    if (j->data->valid || j->data->valid_fraction > 0) TRY(loader_open(j->data, DATA_VALID, vocab, seed, &p->valid));
    TRY(tokens_check(&p->src, j->tokenizer, j->data->tokenizer, (const struct loader *[]){p->train, p->valid}, 2));
    find_steps(p);
    log_line(LOG_RUN, "data: %lld tokens, %lld sequences of %lld an epoch; this run reads %.2f epochs", (long long)loader_tokens(p->train),
             (long long)loader_sequences(p->train), (long long)j->data->seq,
             (double)j->train->steps * (double)j->train->batch / (double)loader_sequences(p->train));
    return OK;
}

/* Whether backward finds what it needs or computes it again: the same bits, so memory may decide. */
static err_t choose_keep(struct loop *p, struct run_setup *u) {
    const struct stash_opts *s = p->job->stash;
    u->keep = s->strategy != STASH_RECOMPUTE;
    if (s->strategy != STASH_AUTO) return OK;
    int64_t bytes;
    TRY(run_bytes(&p->src, u, &bytes));
    struct share memory;
    TRY(share_memory(p->world, bytes, &memory));
    /* of a budget that was given: what the machine's ranks hold together; else of each limit that they meet a quarter stays free */
    const double needed = s->budget > 0 ? memory.host_need : memory.need, may = s->budget > 0 ? s->budget * 1073741824.0 : 0.75 * memory.have;
    const int ranks = s->budget > 0 ? memory.host_ranks : memory.ranks;
    int64_t over = needed > may; /* on any machine */
    TRY(COMM(p->world, all_reduce, &over, 1, DT_I64));
    u->keep = over == 0;
    char here[64] = "";
    if (ranks > 1) (void)snprintf(here, sizeof here, " on the %d ranks that share it", ranks);
    log_line(LOG_RUN,
             u->keep ? "what backward needs again is kept: the run holds %.2f GiB%s, of %.2f GiB that it may (stash.budget)"
                     : "what backward needs again is computed again: kept, the run would hold %.2f GiB%s, more than the %.2f GiB that it may "
                       "(stash.budget)",
             needed / 1073741824.0, here, may / 1073741824.0);
    return OK;
}

static err_t open_run(struct loop *p) {
    const struct job *j = p->job;
    const struct spec *s = &p->src.spec;
    if (j->data->seq > s->max_positions)
        log_line(LOG_WARN, "data.seq=%lld is more than the model's max_position_embeddings=%lld", (long long)j->data->seq,
                 (long long)s->max_positions);
    struct run_setup u = {.rows = j->train->micro_batch ? j->train->micro_batch : j->train->batch,
                          .seq = j->data->seq,
                          .positions = j->data->seq,
                          .act = j->model->dtype == MODEL_BF16 ? DT_BF16 : DT_F32,
                          .train = true,
                          .threads = j->threads,
                          .device = j->device,
                          .optim = j->optim,
                          .rooms = j->rooms,
                          .world = p->world,
                          .mesh = j->mesh};
    const int64_t blocks = p->world->size / j->mesh->seq;
    if (p->world->size % j->mesh->seq == 0 && u.rows < blocks)
        log_line(LOG_WARN,
                 "a micro-batch of %lld sequences leaves %lld of %lld groups of mesh.seq=%lld ranks without any; raise train.micro_batch or mesh.seq",
                 (long long)u.rows, (long long)(blocks - u.rows), (long long)blocks, (long long)j->mesh->seq);
    TRY(choose_keep(p, &u));
    TRY(run_open(&p->run, &p->src, &u));
    const struct arenas *m = &p->run.arenas;
    log_line(LOG_RUN, "model: %.2fM parameters, %.2fM active a token, %d layers, %d experts, top %d; %s, %s kernels, %d threads",
             (double)spec_params(s) / 1e6, (double)spec_active_params(s) / 1e6, s->layers, s->experts, s->top_k,
             j->model->dtype == MODEL_BF16 ? "bf16 with fp32 masters" : "fp32", p->run.ex.kernels.isa, pool_threads(p->run.device.pool));
    log_line(LOG_RUN, "memory: %.1f MiB for the run (weights, gradients, moments), %.1f MiB a step, %.1f MiB scratch, %.1f MiB of tables",
             (double)m->run.cap / 1048576.0, (double)m->step.cap / 1048576.0, (double)m->scratch.cap / 1048576.0, (double)m->host.cap / 1048576.0);
    ledger_print(&p->run.ledger, LOG_LAYER, log_line);
    return OK;
}

static void make_report(struct loop *p, struct report *to, bool peak) {
    report_make(to, &p->times, &p->run, p->begun_step, p->state.step, p->rss_bytes, peak);
}

/* What a step leaves to be seen, on rank 0. */
static err_t show(struct loop *p, const struct step_line *s, bool last) {
    TRY(logfile_step(&p->log, s));
    TRY(tensorboard_step(&p->tensorboard, s));
    p->rss_bytes = i64_max(p->rss_bytes, s->rss_bytes);
    p->loss = s->out.loss;
    if (p->job->report && atomic_exchange(p->job->report, 0)) {
        make_report(p, &p->report, true);
        report_print(&p->report, log_line);
    }
    const int64_t now = os_now_ns();
    if (!last && now - p->shown_ns < 1000000000) return OK;
    p->shown_ns = now;
    const int64_t steps = p->job->train->steps, done = s->step - p->begun_step;
    const int64_t left = (int64_t)((double)(now - p->begun_ns) / 1e9 / (double)done * (double)(steps - s->step));
    log_progress("step %lld/%lld  loss %.4f  lr %.2e  |g| %.3f  %.0f tokens/s  ETA %lld:%02lld:%02lld  %.2f GiB", (long long)s->step,
                 (long long)steps, s->out.loss, s->lr, s->out.grad_norm, s->tokens_per_s, (long long)(left / 3600), (long long)(left / 60 % 60),
                 (long long)(left % 60), (double)s->rss_bytes / 1073741824.0);
    return OK;
}

/* Whether any rank has been asked to stop: a signal may reach one before the others. */
static err_t asked_to_stop(struct loop *p, bool *stop) {
    int64_t asked = p->job->stop && atomic_load(p->job->stop);
    TRY(COMM(p->world, all_reduce, &asked, 1, DT_I64));
    *stop = asked != 0;
    return OK;
}

static err_t save_ckpt(struct loop *p) {
    if (p->saved_step == p->state.step) return OK;
    const int64_t start = os_now_ns();
    TRY(state_save(&p->run, p->job, &p->state, false));
    if (run_is_first(&p->run)) { /* what a run that is killed leaves to be reported */
        make_report(p, &p->report, false);
        TRY(report_write(&p->report, p->job->out));
    }
    timetable_aside(&p->times, ASIDE_SAVING, start);
    p->saved_step = p->state.step;
    log_line(LOG_STEP, "saved a checkpoint of step %lld in %s/ckpt", (long long)p->state.step, p->job->out);
    return OK;
}

static err_t validate(struct loop *p, struct step_line *s) {
    const int64_t start = os_now_ns();
    int64_t targets;
    TRY(eval_split(&p->run, p->valid, p->job->train->valid_sequences, &s->valid_loss, &targets));
    timetable_aside(&p->times, ASIDE_VALIDATION, start);
    s->validated = true;
    p->valid_loss = s->valid_loss;
    if (p->best_step == 0 || s->valid_loss < p->best_loss) {
        p->best_loss = s->valid_loss;
        p->best_step = s->step;
    }
    log_line(LOG_STEP, "step %lld: validation loss %.4f over %lld targets", (long long)s->step, s->valid_loss, (long long)targets);
    return OK;
}

/* One step and all that is due behind it. *stopped: asked to stop, and saved. */
static err_t one_step(struct loop *p, bool *stopped) {
    const struct train_opts *t = p->job->train;
    const int64_t step = p->state.step, start = os_now_ns();
    struct step_line s = {.step = step + 1, .lr = schedule_lr(&p->schedule, step)};
    const struct step_in in = {.loader = p->train,
                               .step = step,
                               .batch = t->batch,
                               .lr = s.lr,
                               .clip = t->clip,
                               .aux_coef = p->state.aux_coef,
                               .balance_rate = p->job->rooms.experts->balance_rate,
                               .t = step + 1,
                               .check_moved = step == 0 && s.lr > 0};
    timetable_begin_step(&p->times, &p->run);
    TRY(train_step(&p->run, &in, &s.out));
    timetable_end_step(&p->times, &p->run, s.out.tokens);
    s.seconds = (double)(os_now_ns() - start) / 1e9;
    s.tokens_per_s = (double)s.out.tokens / s.seconds;
    s.rss_bytes = os_rss_bytes();
    TRY(experts_counts(&p->run.experts, p->run.expert_rows));
    experts_load(p->run.experts.layers, p->run.shape.spec->experts, p->run.expert_rows, &s.load);
    p->state.step++;
    const bool last = s.step == t->steps;
    if (p->valid && (last || (t->valid_every && s.step % t->valid_every == 0))) TRY(validate(p, &s));
    if (run_is_first(&p->run)) TRY(show(p, &s, last));
    TRY(asked_to_stop(p, stopped));
    *stopped = *stopped && !last;
    if (*stopped || last || (p->job->ckpt->every && s.step % p->job->ckpt->every == 0)) TRY(save_ckpt(p));
    return OK;
}

/* As in transformers, a config's coefficient counts where its output_router_logits is true: files of the Hub carry large ones beside false.
 * A model made from keys has it on. */
static err_t choose_aux(struct loop *p) {
    const struct job *j = p->job;
    const struct spec *s = &p->src.spec;
    const double given = j->train->aux_coef;
    const bool keys = strcmp(j->model->init, "random") == 0 && !j->model->config;
    double coef = given >= 0 ? given : s->aux_on ? s->aux_coef : 0;
    p->state.aux_coef = 0;
    if (spec_moe_layers(s) == 0 || j->rooms.experts->balance_rate > 0) return OK;
    if (!s->has_aux) {
        if (given > 0) return FAIL(ERR_USAGE, "train.aux_coef=%g, but models of this family have no load-balancing loss; leave it out", given);
        log_line(LOG_RUN, "load-balancing loss: none in this family");
        return OK;
    }
    if (given < 0 && p->out.step >= 0) { /* runs of before there were records took the coefficient whatever the switch said */
        const double before = p->from.text ? p->from.aux_coef : s->aux_coef;
        const bool same = !(before < coef) && !(before > coef);
        p->state.aux_coef = before;
        if (!same) log_line(LOG_RUN, "load-balancing loss: coefficient %g, as in the run so far", before);
        if (!same) return OK;
    }
    p->state.aux_coef = coef;
    if (given < 0 && !s->aux_on && s->aux_coef > 0)
        log_line(LOG_RUN,
                 "load-balancing loss: off, since output_router_logits is false in config.json; its router_aux_loss_coef is %g, and train.aux_coef "
                 "turns it on",
                 s->aux_coef);
    else
        log_line(LOG_RUN, "load-balancing loss: coefficient %g (%s)", coef,
                 given >= 0 ? "train.aux_coef"
                 : keys     ? "model.aux_coef"
                            : "router_aux_loss_coef of config.json");
    return OK;
}

/* The end in ten lines; the tables go into a file. */
static err_t end_report(struct loop *p, bool stopped) {
    const char *out = p->job->out;
    make_report(p, &p->report, log_level() >= LOG_RUN);
    TRY(report_write(&p->report, out));
    report_print_short(&p->report, log_line);
    if (p->state.step > p->begun_step) log_line(LOG_RUN, "loss: %.4f in step %lld", p->loss, (long long)p->state.step);
    if (p->best_step) log_line(LOG_RUN, "validation loss: %.4f, the lowest %.4f in step %lld", p->valid_loss, p->best_loss, (long long)p->best_step);
    if (p->valid && !stopped) {
        double nats;
        TRY(loader_unigram_entropy(p->valid, &nats));
        log_line(LOG_RUN, "unigram entropy of the validation tokens: %.4f nats (the loss of knowing only how often each token comes)", nats);
    }
    log_line(LOG_RUN, "tables of time and memory: mop report %s", out);
    if (stopped) log_line(LOG_RUN, "stopped after step %lld, saved; go on with train.resume=auto", (long long)p->state.step);
    else log_line(LOG_RUN, "done: %lld steps; the model is in %s", (long long)p->job->train->steps, out);
    return OK;
}

static err_t run_loop(struct loop *p) {
    const struct job *j = p->job;
    const struct train_opts *t = j->train;
    p->schedule =
        (struct schedule){t->schedule, t->lr, t->lr_floor, t->warmup, t->steps, t->decay_steps ? t->decay_steps : i64_max(1, t->steps / 10)};
    TRY(choose_aux(p));
    if (j->rooms.experts->balance_rate > 0)
        log_line(LOG_WARN,
                 "the balancing bias acts in this run and its checkpoints only: the Hugging Face folder has no place for it in this family");
    p->begun_ns = os_now_ns();
    p->begun_step = p->state.step;
    timetable_init(&p->times);
    bool stopped = false;
    while (p->state.step < t->steps && !stopped) TRY(one_step(p, &stopped));
    if (!stopped) {
        const int64_t start = os_now_ns();
        TRY(state_save(&p->run, j, &p->state, true));
        timetable_aside(&p->times, ASIDE_SAVING, start);
    }
    return run_is_first(&p->run) ? end_report(p, stopped) : OK;
}

/* The model as found and, where there is something to train, the data: what steps there are is known from then on. */
static err_t open_source(struct loop *p) {
    const struct job *j = p->job, *given = p->given;
    struct vocab_hint hint;
    if (p->src.config_json) return OK;
    if (j->data->train) TRY(textdata_look(&p->textdata, given, &p->data_opts, p->world));
    TRY(find_hint(j, &hint));
    TRY(model_src_open(j->model, &hint, (uint64_t)j->train->seed, &p->src));
    if (!j->data->train) return OK;
    const int64_t step = p->out.step >= 0 || !p->out.model ? p->out.step : p->out.done; /* a finished run goes on from its end */
    TRY(textdata_make(&p->textdata, given, given->data, step, p->world));
    return open_data(p);
}

/* Where the run begins: anew, or with the state of a run that is the same as far as results go. */
static err_t begin_state(struct loop *p) {
    const struct job *j = p->job;
    char dir[OS_PATH_MAX];
    p->state = (struct train_state){.seed = (uint64_t)j->train->seed, .data = loader_fingerprint(p->train), .batch = j->train->batch};
    TRY(record_mark(&p->src, p->state.init));
    if (p->out.step < 0) return OK;
    TRY(ckpt_path(j->out, p->out.step, dir));
    TRY(record_open(dir, &p->from));
    return p->world->rank == 0 ? record_check(&p->from, j, &p->src, &p->state, p->out.step, p->world->size) : OK;
}

static err_t train_inner(struct loop *p) {
    const struct job *j = p->job;
    TRY(check_job(j));
    TRY(outdir_open(&p->out, j, p->world));
    if (j->train->epochs > 0) TRY(open_source(p));
    TRY(outdir_decide(&p->out, j));
    if (p->out.finished) return OK;
    if (j->train->steps && j->train->warmup > j->train->steps) /* a run that is to go on with more steps, say */
        log_line(LOG_WARN, "train.warmup=%lld is more than train.steps=%lld: the learning rate never reaches train.lr", (long long)j->train->warmup,
                 (long long)j->train->steps);
    TRY(open_source(p));
    if (j->train->steps == 0 && p->world->rank > 0) return OK;
    if (j->train->steps == 0) {
        TRY(state_save_found(&p->src, j));
        log_line(LOG_RUN, "the model as found is in %s", j->out);
        return OK;
    }
    TRY(begin_state(p));
    TRY(open_run(p));
    p->saved_step = -1;
    if (p->out.step >= 0) {
        TRY(state_load(&p->run, j, p->out.step, &p->state));
        p->saved_step = p->out.step;
        log_line(LOG_RUN, "resumed from step %lld", (long long)p->out.step);
        if (run_is_first(&p->run)) TRY(ckpt_prune(j->out, p->out.step, j->ckpt->keep)); /* a run killed before it did leaves one too many */
    }
    if (run_is_first(&p->run)) {
        TRY(logfile_open(&p->log, j->out, p->state.step));
        TRY(tensorboard_open(&p->tensorboard, j->out, p->state.step));
    }
    return run_loop(p);
}

err_t train_run(const struct job *job, struct comm *world) {
    struct loop p = {.given = job,
                     .own_job = *job,
                     .train_opts = *job->train,
                     .data_opts = *job->data,
                     .world = world,
                     .out.lock.fd = -1,
                     .log.fd = -1,
                     .tensorboard.fd = -1};
    p.own_job.train = &p.train_opts;
    p.own_job.data = &p.data_opts;
    p.job = &p.own_job;
    err_t err = train_inner(&p);
    logfile_close(&p.log);
    tensorboard_close(&p.tensorboard);
    run_close(&p.run, err);
    loader_close(p.train);
    loader_close(p.valid);
    model_src_close(&p.src);
    record_close(&p.from);
    outdir_close(&p.out);
    return err;
}
