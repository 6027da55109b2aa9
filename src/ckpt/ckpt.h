/* WHAT    Models and runs on disk: Hugging Face folders in and out, checkpoints, verification.
 *
 *         OUT/                     a Hugging Face folder (config.json, model.safetensors or shards with
 *                                  model.safetensors.index.json, tokenizer and chat-template files), and
 *         OUT/manifest.json        what it vouches for, written last
 *         OUT/log.jsonl            the run's log (not vouched for)
 *         OUT/ckpt/step-00000100/  a checkpoint: again a Hugging Face folder, and
 *             optim-*.safetensors  master.NAME (where weights are not fp32), exp_avg.NAME, exp_avg_sq.NAME, fp32
 *             run.safetensors      run state: step, seed, balancing biases ..., as small tensors, and __metadata__
 *             manifest.json        files, tensors, dtypes, shapes, XXH3-128 of every tensor and of every file; written last
 *
 * MEMORY  One buffer of CKPT_BUFFER bytes: tensors stream through it. Never a second copy of the model.
 * INVARIANTS
 *         I1 A checkpoint is complete or it is not there: it is built as step-N.part, every file fsynced, manifest.json
 *            written last, then the folder is renamed and its parent fsynced.
 *         I2 Older checkpoints are removed only after a newer one is complete (renamed to .part first, so a kill while
 *            removing leaves nothing that looks complete).
 *         I3 Every byte of every vouched file is covered by a checksum; verify finds any flipped, missing or surplus one.
 * SEE     docs/formats/checkpoint.md, docs/formats/manifest.md
 * All calls: local, and what changes a folder is for one process at a time (out_lock). One rank writes: what it writes of other ranks' shards comes through ckpt_run.read. Each rank reads its own. */
#ifndef MOP_CKPT_CKPT_H
#define MOP_CKPT_CKPT_H

#include "model/names.h"
#include "tensor/dtype.h"

enum { CKPT_BUFFER = 8 << 20, CKPT_NAME_MAX = 256 };

/* ---- reading a set of safetensors: one file, a Hugging Face folder, or a checkpoint's optimizer files ---- */

struct tensor_info {
    char name[CKPT_NAME_MAX];
    enum dtype dtype;
    int ndim;
    int64_t shape[8];
    int64_t count;         /* elements */
    int file;              /* index into the reader's files */
    int64_t offset, bytes; /* in that file, absolute */
};
struct st_reader; /* open files and the tensors in them, sorted by name */

/* One .safetensors file. Every malformed header, offset or size is ERR_FORMAT that names file and tensor. New: st_close. */
MUST err_t st_open_file(const char *path, struct st_reader **out);
/* The weights of a Hugging Face folder: model.safetensors, or what model.safetensors.index.json names. */
MUST err_t st_open_folder(const char *dir, struct st_reader **out);
void st_close(struct st_reader *r);

int64_t st_count(const struct st_reader *r);
const struct tensor_info *st_at(const struct st_reader *r, int64_t i);
const struct tensor_info *st_find(const struct st_reader *r, const char *name); /* or NULL */
const char *st_path(const struct st_reader *r, const struct tensor_info *t);    /* of its file, for messages */
/* __metadata__ of the first file: value of key, or NULL. */
const char *st_metadata(const struct st_reader *r, const char *key);

/* Elements [from, from+n) of t: raw in the file's dtype; or as fp32 (F32, BF16, F16, F64 files). */
MUST err_t st_read(const struct st_reader *r, const struct tensor_info *t, int64_t from, int64_t n, void *out);
MUST err_t st_read_f32(const struct st_reader *r, const struct tensor_info *t, int64_t from, int64_t n, float *out);

/* ---- a model in a Hugging Face folder (hf_model.c); names says which tensors it has, and how ---- */

/* Tensors of no use to the text model that lie in its folder (layers of multi-token prediction, a vision tower): indices for st_at. The
 * caller's list has room for st_count. */
struct st_extras {
    int64_t *list, count;
};

/* The names of a folder's tensors, found by which of them are there. New: names_free. */
MUST err_t st_find_names(const struct st_reader *r, const struct spec *s, const struct params *p, struct names *out);
/* Hold the reader against a model: every tensor of the model there once, with its shape and a weight dtype, or packed as the spec says, and
 * none besides but extras (where the caller takes them). ERR_FORMAT names file and tensor. Buffers that transformers ignores on load
 * (inv_freq) are let pass. spec NULL: names alone, nothing packed. */
MUST err_t st_check_model(const struct st_reader *r, const struct spec *s, const struct names *names, struct st_extras *extras);
/* Elements [from, from + n) of a param of a model that has been checked, as fp32. */
MUST err_t st_read_param(const struct st_reader *r, const struct spec *s, const struct names *names, const struct param *p, int64_t from, int64_t n,
                         float *out);
/* The dtype that its file has it in; `unpacked` for packed ones. */
enum dtype st_param_dtype(const struct st_reader *r, const struct names *names, const struct param *p, enum dtype unpacked);
/* The same of an extra in F8_E4M3, unpacked. */
MUST err_t st_read_extra(const struct st_reader *r, const struct spec *s, const struct tensor_info *t, int64_t from, int64_t n, float *out);

/* ---- writing safetensors ---- */

struct st_out { /* one tensor to be written */
    char name[CKPT_NAME_MAX];
    enum dtype dtype;
    int ndim;
    int64_t shape[8];
};
/* Where the values come from: elements [from, from+n) of tensor i, in its dtype, into out. */
typedef err_t (*st_source)(void *ctx, int64_t i, int64_t from, int64_t n, void *out);

/* Write tensors as one file, in the order given but wider element types first (so that each is aligned in the file);
 * metadata is a flat list key, value, key, value, NULL, or NULL.
 * If `sums` is not NULL it takes one XXH3-128 per tensor (16 bytes each, canonical), and file_sum that of the file. */
MUST err_t st_write_file(const char *path, const struct st_out *list, int64_t count, const char *const *metadata, st_source source, void *ctx,
                         unsigned char (*sums)[16], unsigned char file_sum[16]);

/* ---- one run, one folder ---- */

struct out_lock {
    const char *out; /* borrowed */
    int fd;
    int made; /* folders that were made for it */
};
/* Makes `out` where it is not there, and locks it for this process; the kernel gives the lock up when the process ends, however it ends. ERR_USAGE,
 * nothing touched, where a run is at work there; with `wait` after some seconds, in which one that was just killed ends. Where locks are not
 * to be had, or may not reach other hosts, a warning says so. */
MUST err_t out_lock_take(const char *out, bool wait, struct out_lock *l);
/* Folders that were made and hold nothing go again. Fine on a lock never taken, with `out` NULL. */
void out_lock_drop(struct out_lock *l);
/* What tells this lock from others, 0: there is none. All processes that see the folder see the same. */
uint64_t out_lock_mark(const char *out);
/* Is a run at work in `out`, and which? Takes nothing, so that it never stands in a run's way. */
enum { OUT_WHO_MAX = 256 };
bool out_busy(const char *out, char who[OUT_WHO_MAX]);

/* Reading a model or checkpoint where a run may be at work: wait while it puts a model in its place; then tell whether `dir` has been replaced or
 * removed since, in which case what was read may be of both. */
struct ckpt_mark {
    uint64_t device, inode;
    int64_t seconds, ns;
};
MUST err_t ckpt_settle(const char *dir, struct ckpt_mark *mark);
bool ckpt_changed(const char *dir, const struct ckpt_mark *mark);

/* ---- Hugging Face folders and checkpoints ---- */

/* What the training side hands over. A value source gives fp32 elements [from, from+n) of the flat store's tensor p. */
enum ckpt_part { CKPT_WEIGHT, CKPT_EXP_AVG, CKPT_EXP_AVG_SQ, CKPT_PARTS };
struct ckpt_run {
    const struct params *params;
    const struct names *names;     /* of the Hugging Face folder's tensors; NULL: those of the params */
    const enum dtype *file_dtype;  /* [names->count], or [params->count]: of the weights there */
    bool as_found;                 /* the weights are those of `found`: a tensor that is there as it is to be written is copied */
    const struct st_reader *found; /* tensors to be carried along come from here, NULL: none; packed ones unpacked into */
    const struct st_extras *extras;
    const struct spec *spec; /* how they are packed */
    enum dtype unpacked;
    err_t (*read)(void *ctx, enum ckpt_part part, const struct param *p, int64_t from, int64_t n, float *out);
    void *ctx;
    const char *config_json;    /* text of config.json, written as it is */
    const char *record;         /* text of mop_run.json, or NULL */
    const char *copy_from;      /* folder whose tokenizer, chat-template and generation files are kept; or NULL */
    const char *tokenizer;      /* a tokenizer.json that goes there instead of all of copy_from that is a tokenizer's; or NULL */
    const char *tokenizer_from; /* with tokenizer: the folder whose other tokenizer files go along; or NULL */
    const struct st_out *state; /* run state: small tensors */
    int64_t state_count;
    const void *const *state_data;     /* [state_count], borrowed */
    const char *const *state_metadata; /* key, value, ..., NULL */
};

/* Hugging Face folder into `dir` (made if it is not there; other files in it are left alone), manifest last. An F16
 * file whose value does not fit is ERR_FAILED that names the tensor. A model that is there already stays as it is until
 * the new one is complete and on disk in dir/model.commit; cut off between, that folder is finished by the next
 * ckpt_save_model or ckpt_recover. */
MUST err_t ckpt_save_model(const char *dir, const struct ckpt_run *run);
/* dir/ckpt/step-N, whole or not at all; then only the newest `keep` complete ones stay (0: all). */
MUST err_t ckpt_save(const char *out, int64_t step, int64_t keep, const struct ckpt_run *run);
/* All but the newest `keep` complete ones, `latest` among those that stay, go (0: none): what a kill before that was done has left. */
MUST err_t ckpt_prune(const char *out, int64_t latest, int64_t keep);
/* Puts right what a killed process left: unfinished checkpoints (.part) and files on their way are removed, one that was being replaced comes back, a
 * model that was on its way into out is put in its place. May be cut off and called again. */
MUST err_t ckpt_recover(const char *out);
/* Step of the newest complete checkpoint under out, or -1. */
MUST err_t ckpt_newest(const char *out, int64_t *step);
/* What `out` holds. */
enum out_model {
    OUT_NO_MODEL,
    OUT_OURS,   /* as mop wrote it: a manifest vouches for it (the files themselves are not read) */
    OUT_ANOTHER /* config.json or weights, and no manifest: somebody's */
};
struct out_found {
    int64_t step; /* of the newest complete checkpoint, -1: none */
    enum out_model model;
};
MUST err_t ckpt_look(const char *out, struct out_found *found);
/* Is every byte of the model in `out` as its manifest says? ERR_FORMAT with the first that is not. */
MUST err_t ckpt_check_model(const char *out);
/* Where the checkpoint of a step lies. */
MUST err_t ckpt_path(const char *out, int64_t step, char path[4096]);
/* What the run wrote of itself in `dir`, OUT or a checkpoint; *text NULL where there is none. Owned by the caller: free. */
#define CKPT_RECORD "mop_run.json"
MUST err_t ckpt_record(const char *dir, char **text);
/* Open a checkpoint's three sets. First reads all of it against its manifest (each file once more than the loading
 * itself): no run goes on from damaged state. */
struct ckpt_in {
    struct st_reader *model, *optim, *run;
    const struct names *names; /* set by the caller before ckpt_read, borrowed; NULL: the params' own */
    char dir[4096];
};
MUST err_t ckpt_open(const char *out, int64_t step, struct ckpt_in *in);
void ckpt_close(struct ckpt_in *in);
/* Element values as written: CKPT_WEIGHT gives the fp32 master. */
MUST err_t ckpt_read(const struct ckpt_in *in, enum ckpt_part part, const struct param *p, int64_t from, int64_t n, float *out);

/* `mop verify DIR`: the folder's final weights and every checkpoint in it against their manifests, all sums computed
 * anew. Prints one line per problem to standard output (file, tensor, what), and ERR_FAILED if there is any.
 * ERR_FORMAT where there is nothing to verify. */
MUST err_t ckpt_verify(const char *dir, int64_t *files, int64_t *tensors);

/* `mop verify DIR OTHER`: the models of two folders and the checkpoints that both have, tensor by tensor: weights, masters, moments, run state. A
 * tensor is different where it has other bits and, relative in L2, lies further off than `tolerance`; each is a line on standard output. */
MUST err_t ckpt_compare(const char *dir, const char *other, double tolerance, int64_t *tensors, int64_t *different);

/* Options of the room: ckpt.every, ckpt.keep. */
struct ckpt_opts {
    int64_t every, keep;
};
extern const struct opt ckpt_opt_list[];

#endif
