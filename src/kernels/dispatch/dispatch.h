/* Rows dealt to lists, and lists cut into chunks. A ROW is a (token, slot) pair with an expert (0xffff: none). In a chunk the rows of a
 * list lie by token, then slot, and lists lie one behind the other: count and place number the rows of each list of each chunk, the host
 * turns the counts into the lists' first rows, and dispatch_rows makes of both where each row lies. A LIST is an expert's rows, or the
 * part of them that one rank computes (mop.md 3.3 to 3.5). Rows of a call are fewer than 2^31. Local. */
#ifndef MOP_KERNELS_DISPATCH_H
#define MOP_KERNELS_DISPATCH_H

#include "base/pool.h"
#include "tensor/dtype.h"

/* Chunks of `span` tokens one behind the other; a list is an expert. */
struct dispatch_count_args {
    int64_t tokens, span;
    int experts, k;
    const uint16_t *ids; /* (tokens, k) */
    int32_t *number;     /* (tokens, k): rows of the same chunk and expert before it; -1: none */
    int32_t *count;      /* (chunks, experts) */
    int32_t *work;       /* dispatch_count_work numbers */
};

/* Chunk c has tokens c, c + chunks, ...; a list is a piece of an expert's rows: those before row until[p] of the expert that its pieces
 * before it do not have. */
struct dispatch_place_args {
    int64_t tokens, chunks;
    int experts, k, lists;
    const uint16_t *ids;  /* (tokens, k) */
    const int32_t *first; /* (experts + 1): pieces [first[e], first[e + 1]); the host's */
    const int32_t *until; /* (lists): ascending over an expert's pieces; the host's */
    const int32_t *place; /* (lists): which list the piece is; the host's */
    int32_t *number;      /* (tokens, k): in: of the row in its expert, over the whole call; out: in its chunk and list */
    int32_t *list;        /* (tokens, k): -1: none */
    int32_t *count;       /* (chunks, lists) */
    int32_t *work;        /* dispatch_place_work numbers */
};

/* One chunk: tokens first, first + step, ..., `count` of them. */
struct dispatch_rows_args {
    int64_t tokens, first, step, count, rows; /* rows: that these tokens have */
    int k, lists;
    const uint16_t *ids; /* (tokens, k): the list is the expert; NULL: */
    const int32_t *list; /* (tokens, k) */
    const int32_t *number;
    const int32_t *base; /* (lists): first row; the host's */
    int32_t *token;      /* (rows): of the call */
    int32_t *pos;        /* (count, k): row; -1: none */
};

/* A number a row of the chunk, out of those of tokens and slots, or home into them (0 where there is no row). */
struct dispatch_weights_args {
    int64_t first, step, count, rows;
    int k;
    bool home;
    const int32_t *pos; /* (count, k) */
    float *weights;     /* (tokens, k): the chunk's are read, or with home written */
    float *of_rows;     /* (rows): written, or with home read */
};

/* Tokens that a thread counts at once, so many that their counts are not more than they are; and the numbers of work space. */
int64_t dispatch_block(int64_t lists);
int64_t dispatch_count_work(int64_t tokens, int64_t span, int experts);
int64_t dispatch_place_work(int64_t tokens, int64_t chunks, int lists);

#endif
