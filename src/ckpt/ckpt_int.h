/* What the files of this room share. Local. */
#ifndef MOP_CKPT_INT_H
#define MOP_CKPT_INT_H

#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t by value: no allocation per sum */

#include "base/os.h"
#include "ckpt/ckpt.h"

#include <jansson.h>
#include <stdio.h>
#include <xxhash.h>

enum { SUM_BYTES = 16, SUM_HEX = 2 * SUM_BYTES + 1, STEP_NAME = 48 };

/* As transformers: the sum of a shard's tensors, unless one tensor alone has more. */
#define CKPT_SHARD_BYTES ((int64_t)5000000000)
/* As the safetensors library. */
#define ST_HEADER_MAX ((int64_t)100000000)
/* Of an index or a manifest: 300,000 tensors take some 60 MB. */
#define CKPT_JSON_MAX ((int64_t)1 << 30)

/* ---- sum.c: XXH3-128 ---- */

void sum_init(XXH3_state_t *s);
void sum_add(XXH3_state_t *s, const void *data, int64_t bytes);
void sum_end(const XXH3_state_t *s, unsigned char sum[SUM_BYTES]); /* canonical: most significant byte first */
void sum_of(const void *data, int64_t bytes, unsigned char sum[SUM_BYTES]);
void sum_hex(const unsigned char sum[SUM_BYTES], char hex[SUM_HEX]); /* lower case, as xxh128sum prints it */

/* ---- text.c: text that grows; lack of memory is remembered and comes out once, at text_check ---- */

struct text {
    char *s;
    int64_t bytes, room;
    bool failed;
};
void text_add(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_quote(struct text *t, const char *s); /* as a JSON string */
void text_shape(struct text *t, const int64_t *shape, int ndim);
MUST err_t text_check(const struct text *t);
void text_free(struct text *t);

/* ---- safetensors.c ---- */

struct st_file {
    char *path;
    int fd;
    int64_t bytes, data; /* of the file; where its header ends */
};
struct st_reader {
    struct st_file *files;
    int file_count;
    struct tensor_info *list; /* sorted by name */
    int64_t count, room;
    json_t *metadata; /* of the first file, or NULL */
};

/* All of these files as one set; a tensor that two of them hold is ERR_FORMAT. New: st_close. */
MUST err_t st_open_files(const char *const *paths, int count, struct st_reader **out);

/* ---- hf_folder.c ---- */

#define WEIGHTS_NAME "model.safetensors"
#define WEIGHTS_INDEX "model.safetensors.index.json"
/* One of these two, or a shard's name as we and transformers give it: what a save may replace. */
bool folder_is_weights(const char *name);

/* ---- st_write.c ---- */

/* st_write_file, and the size of the file. */
MUST err_t st_write_sized(const char *path, const struct st_out *list, int64_t count, const char *const *metadata, st_source source, void *ctx,
                          unsigned char (*sums)[SUM_BYTES], unsigned char file_sum[SUM_BYTES], int64_t *bytes);

/* ---- manifest.c ---- */

#define MANIFEST_NAME "manifest.json"

/* Being made: one file after the other, as they are written. */
struct manifest_out {
    struct text text;
    int64_t files;
};
enum manifest_kind { MANIFEST_MODEL, MANIFEST_CHECKPOINT };
void manifest_begin(struct manifest_out *m, enum manifest_kind kind);
/* A file; with count tensors and their sums where it is a safetensors file. */
void manifest_add(struct manifest_out *m, const char *name, int64_t bytes, const unsigned char sum[SUM_BYTES], const struct st_out *list,
                  int64_t count, unsigned char (*sums)[SUM_BYTES]);
/* Write dir/manifest.json. m is freed, whatever comes of it. */
MUST err_t manifest_write(struct manifest_out *m, const char *dir);
void manifest_drop(struct manifest_out *m);

/* Read back: its own sum and its structure are checked, so that what follows need not. */
struct manifest {
    json_t *root;
    json_t *files; /* borrowed from root: name -> {bytes, xxh3, tensors} */
    enum manifest_kind kind;
};
MUST err_t manifest_read(const char *dir, struct manifest *out);
/* The same from memory; `path` is for messages. */
MUST err_t manifest_parse(const char *path, const char *text, int64_t bytes, struct manifest *out);
void manifest_close(struct manifest *m);

/* ---- save.c ---- */

MUST err_t save_model(const char *dir, const struct ckpt_run *run, int64_t shard_bytes);
MUST err_t save_checkpoint(const char *out, int64_t step, int64_t keep, const struct ckpt_run *run, int64_t shard_bytes);

/* ---- folder.c: the files of one Hugging Face folder or checkpoint, written into a folder of their own ---- */

/* All of it into `dir`, which is there and empty: with the optimizer's tensors and the run's state where `kind` is
 * a checkpoint. manifest.json comes last. */
MUST err_t folder_write(const char *dir, enum manifest_kind kind, const struct ckpt_run *run, int64_t shard_bytes);

/* ---- steps.c: the folders under OUT/ckpt ---- */

void step_name(int64_t step, char name[STEP_NAME]);
/* The step of "step-00000100"; -1 for any other name. */
int64_t step_of(const char *name);
MUST err_t step_path(const char *out, int64_t step, char path[OS_PATH_MAX]);
/* Steps of the checkpoints under out, ascending. Owned by the caller: free. */
MUST err_t steps_list(const char *out, int64_t **steps, int64_t *count);
/* Put right what a killed process left under out/ckpt: unfinished checkpoints go, one that was being replaced comes back. */
MUST err_t steps_recover(const char *out);
/* Remove the folder that could not be finished and give back `err` with its message. */
err_t folder_discard(err_t err, const char *path);

/* ---- lock.c ---- */

#define LOCK_NAME "run.lock"

/* ---- commit.c: a model that is complete in a folder beside its place is moved there ---- */

#define COMMIT_NAME "model.commit"
#define MODEL_PART "model.part" /* on its way there */
/* Put the model in dir/model.commit in its place; nothing to do where there is none. May be called again after it was
 * cut off anywhere. */
MUST err_t model_commit(const char *dir);

/* ---- verify.c ---- */

/* What was found. Problems go to `to` where it is not NULL; the first is kept. */
struct check {
    FILE *to;
    int64_t problems, files, tensors;
    char first[1536];
};
/* Every file of dir/manifest.json, sums computed anew. Only lack of memory is an error. */
MUST err_t check_folder(const char *dir, struct check *c);
MUST err_t verify_to(FILE *to, const char *dir, int64_t *files, int64_t *tensors);

#endif
