/* WHAT    The corridor: calls the rooms in the order of the data's journey, and everything built on that: the training
 *         loop, evaluation, generation, comparison with golden folders.
 *           model_src   a model as it was found: spec, tensors, config text, weights to read
 *           run         a rank at work: device, arenas, weights, rooms
 *           step        one micro-batch forward and backward; one optimizer step
 * INVARIANTS
 *         I1 Nothing is allocated after the first step.
 *         I2 The same run gives the same bits, with any number of threads, resumed or not.
 * SEE     mop.md, ARCHITECTURE.md */
#ifndef MOP_TRAIN_TRAIN_H
#define MOP_TRAIN_TRAIN_H

#include "attention/attention.h"
#include "base/os.h"
#include "ckpt/ckpt.h"
#include "data/data.h"
#include "data/tokenizer.h"
#include "dense/dense.h"
#include "device/device.h"
#include "experts/experts.h"
#include "optim/optim.h"
#include "stash/stash.h"
#include "vocab/vocab.h"

#include <stdatomic.h>

/* ---- options ---- */

enum resume { RESUME_NO, RESUME_AUTO };
struct train_opts {
    double epochs; /* 0: steps says how long; else train_run finds the steps of it */
    int64_t steps, batch, micro_batch, warmup, decay_steps, seed, valid_every, valid_sequences;
    double lr, lr_floor, clip, aux_coef;
    int schedule, resume;
    const char *resume_changes; /* comma-separated names, or NULL */
};
extern const struct opt train_opt_list[];

/* Options of the rooms that a step goes through. Borrowed; NULL where the defaults will do. */
struct room_opts {
    const struct dense_opts *dense;
    const struct attention_opts *attention;
    const struct experts_opts *experts;
    const struct vocab_opts *vocab;
};

/* All that a run is told. Borrowed. */
struct job {
    const struct model_opts *model;
    const struct data_opts *data;
    const struct train_opts *train;
    const struct optim_opts *optim;
    struct room_opts rooms;
    const struct mesh_opts *mesh;
    const struct device_opts *device; /* NULL: the cpu device */
    const struct stash_opts *stash;
    const struct ckpt_opts *ckpt;
    const char *out, *tokenizer;
    const struct opt_set *options; /* what is recorded of them, and compared where a run goes on; NULL: nothing is */
    int64_t threads;
    const atomic_int *stop; /* set from outside: finish the step, save, return ERR_STOPPED; may be NULL */
    atomic_int *report;     /* set from outside: print the time table behind the step, and set to 0; may be NULL */
};

/* ---- the model as found ---- */

struct model_src {
    struct spec spec;
    struct params params;
    struct names names, names_out; /* of the tensors in the folder found, and in those that are written */
    char *config_json;             /* text to be written back */
    struct st_reader *reader;      /* NULL: initialise at random */
    enum dtype *file_dtype;        /* [names_out.count] of the tensors in the folders that are written */
    enum dtype dtype;              /* of weights that were packed in the folder found, and of a model that starts from nothing */
    struct st_extras extras;       /* tensors of the folder found that are carried along */
    const char *dir;               /* Hugging Face folder, or NULL; borrowed */
    uint64_t seed;                 /* of the random initialisation */
};
/* What tokenizer or token files say of a model that starts from keys: ids (0: not known) and the end of a document (-1: not known). */
struct vocab_hint {
    int64_t vocab, eos;
};
/* hint: NULL where nothing is known. New: model_src_close. */
MUST err_t model_src_open(const struct model_opts *o, const struct vocab_hint *hint, uint64_t seed, struct model_src *out);
void model_src_close(struct model_src *m);
/* fp32 elements [from, from+n) of tensor p as found. */
MUST err_t model_src_read(const struct model_src *m, const struct param *p, int64_t from, int64_t n, float *out);

/* The tokenizer.json that goes with the model: that of tokenizer= (or NULL), else the model's own; path "" and *sum 0 where there is none.
 * sum: tok_tokenizer_sum. */
MUST err_t tokens_tokenizer(const struct model_src *src, const char *tokenizer, char path[OS_PATH_MAX], uint64_t *sum);
/* ERR_USAGE where a token file of the loaders (some may be NULL) was made by another, or a warning with `how` DATA_TOKENIZER_ANY or where this
 * program cannot read the model's; what cannot be checked is said. */
MUST err_t tokens_check(const struct model_src *src, const char *tokenizer, int how, const struct loader *const *loaders, int count);

/* ---- a rank at work ---- */

struct run_setup {
    int64_t rows, seq; /* of a micro-batch, over all ranks */
    int64_t positions; /* how many positions have a cos and sin; at least seq */
    enum dtype act;
    bool train, keep; /* with gradients and moments; intermediates kept */
    bool cache;       /* keys and values of `positions` tokens of one row are kept from call to call; rows 1, not with train */
    int64_t threads;
    const struct device_opts *device; /* NULL: the cpu device */
    const struct optim_opts *optim;   /* train only */
    struct room_opts rooms;
    struct comm *world;           /* the ranks; NULL: this one alone */
    const struct mesh_opts *mesh; /* NULL: the defaults */
    const char *isa;              /* "reference", or one of kernels_cpu's; NULL: the best */
    const char *advice;           /* what to lower where memory does not suffice; NULL: options of training */
};

/* Sums over ranks of a step's micro-batches: nats of all targets, the load-balancing loss. */
struct step_sums {
    double loss, aux;
};

struct run {
    struct device device;
    struct exec ex;
    struct mesh mesh;
    struct ledger ledger;
    struct arenas arenas;
    struct shape shape;
    const struct model_src *src;
    struct room_opts rooms; /* none NULL */
    struct store store;
    struct dense dense;
    struct attention attention;
    struct experts experts;
    struct vocab vocab;
    struct stash stash;
    struct optim optim;
    struct batch host, batch; /* (T) as loaded, on the host; the same on the device */
    /* Where each token's document begins, padding at itself: what attention reads. On the host, and the same on the device. */
    int32_t *host_start, *start;         /* (T) in the micro-batch */
    int32_t *host_start_all, *start_all; /* (rows, D*seq) of the whole sequences, in the sequence; NULL where D is 1 */
    struct batch whole;                  /* one sequence, D > 1; host */
    int64_t first_row;                   /* of the micro-batch's sequences, the first that this rank has part of */
    int64_t all_rows, all_seq;           /* the whole micro-batch: sequences, tokens of each */
    void *dx, *dh;                       /* (T, H) act, training */
    struct step_sums *sums;              /* device: of the step so far */
    int64_t *expert_rows;                /* host (MoE layers, E): of the step, of all ranks, for the log */
    int *slot;                           /* [layers] which layer of its kind (MoE or not) a layer is */
    int *unit;                           /* [2L + 1] of each half-layer's dense weights, and of the final norm */
};

/* Whether the rooms compute all that a model asks for: ERR_USAGE names what they do not (served.c). */
MUST err_t run_served(const struct spec *s);
/* Formula, dry run and reserve agree, or it is an error. Weights are those of src. New: run_close. */
MUST err_t run_open(struct run *r, const struct model_src *src, const struct run_setup *setup);
/* What such a run would reserve: laid out dry. Nothing is kept. */
MUST err_t run_bytes(const struct model_src *src, const struct run_setup *setup, int64_t *bytes);
/* err: how the work on it ended. After a failure the job is stopped first: peers may still read this rank's buffers (comm I5). */
void run_close(struct run *r, err_t err);
/* Work on the first `tokens` of one row only (tokens <= laid out): generation and evaluation. */
void run_set_tokens(struct run *r, int64_t tokens);
/* r->host to r->batch. */
MUST err_t run_upload(struct run *r);
/* This rank's part of a micro-batch into r->host: out of all its sequences in hand, of a training step's sequences from `first` on, or of a split's
 * in file order. Local. */
void run_cut(struct run *r, const struct batch *all);
MUST err_t run_take_step(struct run *r, const struct loader *l, int64_t step, int64_t batch, int64_t first);
MUST err_t run_take_rows(struct run *r, const struct loader *l, int64_t first);
/* Elements [from, from + n) of this rank's part of what rests, `at_rest` on the device (fp32) as the keeper's arrays lie, to the host, which
 * waits; and of a tensor, to rank 0's host. The second is collective over mesh->control. */
MUST err_t run_fetch(struct run *r, const float *at_rest, int64_t at, int64_t n, float *out);
MUST err_t run_collect(struct run *r, const float *at_rest, const struct param *p, int64_t from, int64_t n, float *out);
static inline bool run_is_first(const struct run *r) { return r->shape.split.rank == 0; }

/* ---- one step ---- */

struct micro_out {
    double loss_sum, aux;
    int64_t targets, tokens;
};

/* Embedding, blocks, final norm: r->dense.last.h holds what the head reads. Collective over all. */
MUST err_t step_forward(struct run *r);
static inline struct attention_batch run_starts(const struct run *r) {
    return (struct attention_batch){r->batch.positions, r->start, r->start_all, r->host_start, r->host_start_all};
}

/* Half-layers (block.c). */
MUST err_t half_forward(struct run *r, int j, bool again);
MUST err_t half_backward(struct run *r, int j);

/* Forward and backward of the batch in hand; what it gave this rank, for which the host waits. loss_scale: 1 / targets of the step. aux_scale:
 * coefficient / micro-batches. */
MUST err_t step_micro(struct run *r, float loss_scale, double aux_scale, struct micro_out *out);

struct step_out {
    double loss, aux, total, grad_norm;
    int64_t tokens, targets;
};
struct step_in {
    const struct loader *loader;
    int64_t step, batch;
    double lr, clip, aux_coef, balance_rate;
    int64_t t;
    bool check_moved;
};
/* One optimizer step over all its micro-batches. The host waits for the device twice at its end (the sums of losses; the norm), and in the forward of MoE
 * layers (device.md C3). */
MUST err_t train_step(struct run *r, const struct step_in *in, struct step_out *out);

/* Which tensor, layer and room a non-finite loss or gradient comes from: always returns the error. */
MUST err_t blame_loss(struct run *r, int64_t step, double loss);
MUST err_t blame_gradient(struct run *r, int64_t step, double norm);

/* Every tensor that the first update can move has moved: others' experts stayed frozen while the loss still fell. */
struct moved;
MUST err_t moved_before(struct run *r, double lr, double norm, double clip, struct moved **out);
MUST err_t moved_after(struct run *r, int64_t step, struct moved *m); /* frees m */

/* ---- the whole ---- */

/* Collective over world, whose ranks train together. */
MUST err_t train_run(const struct job *job, struct comm *world);
/* Mean loss in nats per target over the first `sequences` (0: all) of a split. */
MUST err_t eval_split(struct run *r, const struct loader *l, int64_t sequences, double *loss, int64_t *targets);
/* Bytes of text that a split's targets stand for; ends of documents are no text. What r->host holds is overwritten. Collective. */
MUST err_t eval_target_bytes(struct run *r, const struct loader *l, const struct tokenizer *t, int64_t *bytes);

/* Multiple choice: of files (comma-separated) of {"context", "choices", "answer"} a line, how many answers are the likeliest choice by the
 * sum of the log-probabilities of its tokens, and by that sum per byte of its text. The run's rows x seq tokens are a batch. Context and
 * choice of more than `longest` tokens are ERR_USAGE, or with `truncate` lose the context's begin. Local. */
struct score {
    int64_t questions, right, right_per_byte;
};
MUST err_t score_choices(struct run *r, const struct tokenizer *t, const char *paths, int64_t longest, bool truncate, struct score *out);

/* How the next token is chosen: the logits of ids that have been are divided by repetition_penalty where positive, else multiplied
 * with it (1: off); divided by temperature (0: the most likely id, the lower one at a tie); all but the top_k likeliest
 * fall out (0: off), then all that are not needed to reach the share top_p (1: off). */
struct sampling {
    double temperature, top_p, repetition_penalty;
    int64_t top_k;
    uint64_t seed;
};
struct sampler;
/* New: sampler_free. */
MUST err_t sampler_new(int64_t vocab, const struct sampling *how, struct sampler **out);
void sampler_free(struct sampler *s);
/* The penalty meets this id from now on. */
void sampler_see(struct sampler *s, int32_t id);
/* The n-th choice (from 0), a pure function of seed, n and logits (vocab), which it changes. A logit that is not finite is ERR_FAILED. */
MUST err_t sampler_next(struct sampler *s, float *logits, int64_t n, int32_t *id);

/* Continue `ids` (count > 0, room for count + tokens) on a run with a cache of count + tokens - 1 positions. The prompt goes
 * through in windows of the run's rows x seq tokens: any size gives the same bits. ends: ids that end it and are not given; NULL: none.
 * `each` (or NULL) is called with every new id; it ends the generation by setting *more false. Local. */
struct end_ids {
    int32_t *ids; /* in rising order, each once */
    int64_t count;
};
/* What ends a text of the model, as transformers has it: eos_token_id, an id or a list, of generation_config.json in its folder, else of its
 * config, else the tokenizer's (t may be NULL). ERR_FORMAT names file and key. New: free(out->ids), also after an error. */
MUST err_t model_ends(const struct model_src *m, const struct tokenizer *t, struct end_ids *out);
bool is_end(const struct end_ids *ends, int32_t id);
enum { GENERATE_WINDOW = 256 }; /* large enough for the matmuls' full speed */
struct generate_in {
    int32_t *ids;
    int64_t count, tokens;
    struct sampling how;
    const struct end_ids *ends;
    err_t (*each)(void *ctx, int32_t id, bool *more);
    void *ctx;
};
MUST err_t generate(struct run *r, const struct generate_in *in, int64_t *made);

/* Run state and values as the ckpt room wants them (state.c). */
enum { RECORD_HEX = 17 };
struct train_state {
    int64_t step;
    uint64_t seed, data;
    int64_t batch;
    double aux_coef;       /* of the load-balancing loss */
    char init[RECORD_HEX]; /* record_mark: of the weights that it began with */
};
/* Collective; rank 0 writes. */
MUST err_t state_save(struct run *r, const struct job *job, const struct train_state *s, bool final);
/* The model as found, as a Hugging Face folder at job->out: nothing is held but a buffer. */
MUST err_t state_save_found(const struct model_src *src, const struct job *job);
/* s->step; the rest of s stays. */
MUST err_t state_load(struct run *r, const struct job *job, int64_t step, struct train_state *s);
/* Step, seed, data and batch of the run that wrote the checkpoint. */
MUST err_t state_read(const char *out, int64_t step, struct train_state *s);

#endif
