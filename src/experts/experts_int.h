/* What the files of this room share. Local. */
#ifndef MOP_EXPERTS_EXPERTS_INT_H
#define MOP_EXPERTS_EXPERTS_INT_H

#include "experts/experts.h"
#include "experts/llep_plan.h"

/* Elements of an expert: gate and up (2I, H), then down (H, I). */
static inline int64_t expert_elements(const struct spec *s) { return 3 * s->hidden * s->expert_width; }
/* Experts on a rank of the expert block, Q. */
static inline int experts_owned(const struct shape *h) { return h->spec->experts / h->split.expert; }
/* Are rows sent to their experts, or is all that a rank needs on it? */
static inline bool experts_travel(const struct shape *h, const struct experts_opts *o) {
    return h->split.expert > 1 && o->strategy != EXPERTS_GATHER;
}
/* Tokens of a chunk where nothing is sent: enough rows for the products' full speed. Kept or recomputed, chunks and so bits are the same. */
enum { EXPERTS_CHUNK = 4096 };

/* ---- a layer call's plan, kept from forward to backward (plan.c); host, 32 bits ---- */

/* Rows [that of the interval before, to) of an expert's global list are computed on `rank`. */
struct kept_interval {
    int32_t rank, to;
};

/* A PIECE is what one rank has of one interval: pieces are numbered by expert, then row. Where nothing is sent there is no plan, and rows
 * are those of each chunk and expert. Where ranks are threads a block of ranks has one of these for a layer, its first rank's. */
struct kept {
    int64_t chunks;                 /* K */
    bool plain;                     /* no expert moves */
    int32_t *counts;                /* (E_p, E) rows of each rank for each expert */
    int32_t *first;                 /* (E + 1) intervals of expert e: [first[e], first[e + 1]) */
    struct kept_interval *interval; /* (E * (E_p + 1)) */
    int32_t *rows; /* (pieces, K) of each chunk; a rank that shares no memory has those of its own rows and of rows that come to it */
};

/* ---- chunks of tokens, and rows in work ---- */

/* Tokens first, first + step, ... of the call and their rows: by list (an expert, or what a rank takes of one), then token, then slot. */
struct chunk {
    int64_t first, step, tokens, rows;
    int32_t *base;        /* host (lists): first row of each */
    int32_t *token, *pos; /* (rows): token of the call; (tokens, k): row of each slot, -1 none */
};

/* Rows of one source (a rank that they come from; one, where nothing is sent) and one expert are a GROUP: a run of the rows in work. All on the
 * host but what in, out, g_in and g_out point to. */
struct groups {
    int count, sources;
    int64_t rows;
    int *of_source; /* (sources + 1) first group of each; an expert has at most one in each */
    int *expert;    /* (count) */
    int64_t *off;   /* (count + 1) first row of each */
    const void **in, **out;
    float **g_in, **g_out;
};

/* What becomes of the rows of a chunk: (rows, H), (rows, 2I), (rows, I), (rows, H) act. */
struct expert_rows {
    const void *x;
    void *gate_up, *mid, *out;
};

struct experts_saved {
    void *logits;   /* (T, E) act */
    float *weights; /* (T, k) */
    int32_t *token; /* (R) */
    int32_t *pos;   /* (T or a chunk's tokens, k) */
    void *in, *gate_up, *mid, *out;
};

struct far;

struct experts_work {
    int unit;                    /* of the layer in hand */
    const void **w_in, **w_out;  /* host (E), of the layer in hand; NULL where this rank has the expert not */
    float **g_in, **g_out;       /* the same */
    struct experts_saved *saved; /* [slots] */
    struct kept *kept;           /* [layers], or for forward alone one */
    int32_t *fetched;            /* host: counts as they come up */
    int32_t *number, *list;      /* device, scratch (T, k): of each row in its list; its list, where rows are sent */
    int32_t *count, *count_work; /* device, scratch */
    struct groups here;          /* of the chunk in hand, where nothing is sent */
    int32_t *base;               /* host (E), the same */
    float *dweights;             /* (T, k) scratch, backward */
    void *dmid;                  /* (rows of a chunk, I) scratch, backward */
    void *dh_router;             /* (T, H) scratch, backward */
    struct far *far;             /* where rows are sent */
};

static inline struct kept *kept_of(const struct experts *m, int moe) { return &m->work->kept[m->shape.backward ? moe : 0]; }
static inline const uint16_t *ids_of(const struct experts *m, int moe) { return m->ids + (int64_t)moe * m->shape.tokens * m->shape.spec->top_k; }

/* ---- chunk.c: the device's side of a chunk. Queued. ---- */

/* token and pos, by the numbers in work->number; `lists` of them, each row's in work->list, or, by_expert, its expert. */
void chunk_deal(struct experts *m, const struct chunk *c, int moe, int lists, bool by_expert);
/* x (T, H) to rows. */
void chunk_gather(struct experts *m, const struct chunk *c, const void *x, void *rows);
/* Each token's slots summed out of its rows into y (T, H); weights (T, k), NULL: all 1. */
void chunk_combine(struct experts *m, const struct chunk *c, const float *weights, const void *rows, void *y);
/* A number a row out of (T, k), or home into it. */
void chunk_weights(struct experts *m, const struct chunk *c, float *weights, float *of_rows, bool home);

/* ---- expert.c: the experts' arithmetic, the only place of it. Queued. ---- */

void groups_point(const struct experts *m, const struct groups *g);
/* x to out, which may take x's place. */
void experts_apply(struct experts *m, const struct groups *g, const struct expert_rows *r);
/* dx (rows, H) from dout (rows, H), gradients of weights added; gate_up becomes its gradient, dmid (rows, I) is work space. dx may be dout. */
void experts_apply_backward(struct experts *m, const struct groups *g, const struct expert_rows *r, const void *dout, void *dmid, void *dx);

/* ---- moe.c ---- */

/* The layer's experts in use: work->w_in and so on. Collective over expert_shard and, to gather all, expert_migrate. */
MUST err_t experts_open_layer(struct experts *m, int layer, bool backward);
/* Point at expert e's weights and gradient (or NULL) in memory of its own. */
void experts_point(struct experts *m, int e, void *w, float *g);

/* ---- far.c: what rows that are sent need ---- */

/* A chunk of rows on its way, D rows of it sent and A rows come; tables on the host, rows in scratch. */
enum { EXPERTS_LEGS = 3 }; /* one arriving, one in work, one going home */
struct leg {
    struct chunk chunk;
    struct groups in;         /* off is the leg's own; the rest the call's */
    int64_t *bytes, *bytes_a; /* (4, E_p) of rows, and of a number a row: out, where, in, where */
    void *sent;               /* (D, H) act: rows that go, then those that came back */
    void *x;                  /* (A, H) act: in, and out in their place */
    float *sent_a, *back_a;   /* (D) backward: routing weights, their gradients */
    void *sent_g, *g;         /* (D, H), (A, H) act: dy, then dx */
    float *a, *da;            /* (A) */
    struct event there, home;
};

/* A layer call from this rank: its rows in LISTS, what a rank takes of one interval, by rank, expert and row; and the groups that come to it. Host. */
struct call {
    const struct kept *kept;
    int lists;
    int32_t *first, *until, *place; /* (E + 1), (lists), (lists): struct dispatch_place_args */
    int *to;                        /* (E_p + 1) first list of each rank */
    int32_t *piece;                 /* (lists) */
    struct groups in;               /* off: not here */
    int *from;                      /* (E_p + 1) first of the pieces that come from each rank */
    int *in_first;                  /* (groups + 1) */
    int32_t *in_piece;              /* pieces of the groups */
    int *cursor;                    /* (3, E_p) work */
};

struct far {
    struct llep_plan plan;       /* of the forward in hand */
    int64_t *mine, *all, *table; /* (E + 1), (E_p, E + 1), (E_p, E) counts of the forward in hand */
    struct kept now;             /* a plan that another rank keeps is made here too, but its rows */
    bool keeper;                 /* does this rank keep the block's plans? */
    struct call call;            /* of the layer in hand */
    int64_t *bytes;              /* (4, E_p) */
    int32_t *out_rows, *in_rows; /* counts of chunks, exchanged */
    uint8_t *moves, *guest;      /* (Q): does any rank's j-th expert move; (E): does this rank take rows of it, another's */
    struct leg leg[EXPERTS_LEGS];
    int legs;
    void *gate_up, *mid, *out, *dmid; /* (A, 2I), (A, I), (A, H), (A, I) act */
    void *guest_w;                    /* (E - Q, 3*H*I) act: migrated experts */
    float *guest_g, *landed;          /* their gradients; (E_p, 3*H*I) where those of helpers arrive */
    int64_t rows_high, guests_high;   /* most rows of a chunk, most migrated experts that were here so far */
};

MUST err_t far_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out);
/* Collective over mesh->expert when it is for real, where ranks share memory. */
MUST err_t far_layout(struct experts *m, struct arenas *a);

/* ---- plan.c. Collective over mesh->expert in forward. ---- */

/* Count, plan, place, exchange: far.call of the moe-th layer; the host waits twice. */
MUST err_t plan_forward(struct experts *m, int moe);
/* The same from what forward kept: the host waits for nothing. */
void plan_again(struct experts *m, int moe);
/* Host tables of a chunk: rows out by list, rows in by group. */
void plan_chunk(struct experts *m, int64_t chunk, struct leg *l);

/* ---- dispatch.c: rows to their experts and back, in chunks. Collective over the expert block. ---- */

/* y (T, H) from h, by the ids and weights (T, k) of the moe-th layer, whose weights are open. */
MUST err_t experts_dispatch_forward(struct experts *m, int moe, const float *weights, const void *h, void *y);
/* dh and work->dweights from dy; gradients of weights added. */
MUST err_t experts_dispatch_backward(struct experts *m, int moe, float *weights, const void *h, const void *dy, void *dh);

/* ---- migrate.c: experts' weights to the ranks that the plan gives rows to, and their gradients back ---- */

MUST err_t experts_migrate_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out);
MUST err_t experts_migrate_layout(struct experts *m, struct arena *a);
/* By far.call; skipped by all ranks of the block where it moves nothing. Queued: *arrived is to be awaited before a guest is used. */
MUST err_t experts_migrate_out(struct experts *m, bool backward, struct event *arrived);
MUST err_t experts_migrate_home(struct experts *m);

#endif
