/* Between the tensors of a Hugging Face folder and those of the params table: which file tensor holds which part of which param, and where.
 * Most are the same under the same name. Others are stacked over the experts, transposed, or interleaved by rows or columns.
 *
 * A BOX is a run of a param's elements [at, at + count), read as an array of up to 3 dimensions in row-major order, whose element
 * (i, j, k) is element file_at + i*stride[0] + j*stride[1] + k*stride[2] of the file tensor. The boxes of a file tensor cover it; those of
 * a param cover the param. So both ways are strided copies, and one table serves loading, saving, checking and comparing. Local. */
#ifndef MOP_MODEL_NAMES_H
#define MOP_MODEL_NAMES_H

#include "model/params.h"

/* How a folder has its tensors, as far as that is its choice and not its family's. */
struct names_style {
    bool outer;                   /* names begin as in a model of text and pictures (family.outer_prefix) */
    bool stacked_in, stacked_out; /* the experts' gate and up as one tensor, (E, 2I, H); their down as one, (E, H, I) */
    bool block;                   /* family.block is called "mlp" */
    bool mxfp4;                   /* transposed experts are packed: their plain shape is (E, out, in) */
    bool head;                    /* the last tensor: a tied model has the head too, equal to the embedding */
};

struct name_box {
    int64_t param; /* index in params.list */
    int64_t at, count;
    int64_t n[3], stride[3], file_at; /* n 1 in front where there are fewer dimensions */
};

struct file_tensor {
    char name[128];
    int ndim;
    int64_t shape[4], count;
    bool packed;      /* MXFP4: the file has NAME_blocks and NAME_scales for it */
    bool always_fp32; /* in whatever dtype the others are */
    bool trained;
    int64_t box, boxes; /* names.box[box .. box + boxes) */
};

struct names {
    struct params params; /* its memory borrowed */
    struct names_style style;
    struct file_tensor *list; /* in the order of the params */
    int64_t count;
    struct name_box *box;
    int64_t *by_name;                   /* indices of the list, sorted by name */
    int64_t *of_param, *first_of_param; /* boxes of param p: of_param[first_of_param[p] .. first_of_param[p + 1]) */
    int64_t *tensor_of_box;
};

/* New: names_free. */
MUST err_t names_build(const struct spec *s, const struct params *p, const struct names_style *style, struct names *out);
/* Every param under its own name: for params that are not of a family's model. head: the name of a tied head that is there too, or NULL. */
MUST err_t names_plain(const struct params *p, const char *head, struct names *out);
void names_free(struct names *n);

/* The style of a folder that has a tensor NAME where has(ctx, NAME) says so. */
struct names_style names_style_find(const struct spec *s, bool (*has)(void *ctx, const char *name), void *ctx);

const struct file_tensor *names_find(const struct names *n, const char *name); /* or NULL */
/* The file tensor that holds a param's first element. */
const struct file_tensor *names_of_param(const struct names *n, const struct param *p);

/* A tensor as files have it, (count) values in order, out of arrays in flat order; and back. */
void names_gather(const struct names *n, const struct file_tensor *t, const float *flat, float *out);
void names_scatter(const struct names *n, const struct file_tensor *t, const float *values, float *flat);

/* A box row by row, of the param's elements [from, to): for (struct name_run r = names_run(b, from); names_next(b, to, &r);). A run is the
 * `m` elements of the param from `at` on; in the file tensor they begin at file_at and lie `stride` apart. */
struct name_run {
    int64_t at, m, file_at, stride;
};
struct name_run names_run(const struct name_box *b, int64_t from);
bool names_next(const struct name_box *b, int64_t to, struct name_run *r);

#endif
