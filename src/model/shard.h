/* Which elements of a unit a rank holds at rest, and how a batch is spread over ranks: arithmetic alone, the same on every rank. Every
 * shard is one interval of its unit's flat run, 1/W of it, as long on every rank (the last ones may own less: what is left is zero
 * padding). W ranks, D, E_p and P as in mop.md 2.
 *
 *   attention, dense part of the feed-forward, final norm: W equal parts, rank order
 *   experts      E_p runs of E/E_p experts (run r mod E_p), each in W/E_p parts (part r div E_p)
 *   head         P runs of rows (run r mod P), each in W/P parts by rows (part r div P); so a tied embedding
 *   embedding    W parts by rows, rank order
 * Local. SEE mop.md 2, 3.1, 3.3, 3.6, 6.9 */
#ifndef MOP_MODEL_SHARD_H
#define MOP_MODEL_SHARD_H

#include "model/params.h"

struct split {
    int ranks, rank;        /* W, this rank */
    int seq, expert, vocab; /* D, E_p, P; each divides W */
};

/* All on one rank. */
static inline struct split split_one(void) { return (struct split){1, 0, 1, 1, 1}; }

struct shard {
    int64_t from, own; /* elements [from, from + own) of the unit */
    int64_t length;    /* own and padding */
};
struct shard shard_of(const struct spec *s, const struct unit *u, const struct split *how, int rank);

/* Rows of the vocabulary on a rank, padding included: V/W rounded up. */
static inline int64_t shard_vocab_rows(const struct spec *s, int ranks) { return (s->vocab + ranks - 1) / ranks; }
/* Which of the W parts of the vocabulary a rank holds, and who holds a part. In the layout of the head, or, where `head` is false, that
 * of an embedding of its own. */
int shard_vocab_part(const struct split *how, bool head, int rank);
int shard_vocab_owner(const struct split *how, bool head, int part);

/* Sequences [first, first + rows) of a micro-batch of `batch` are those of the block of D ranks that `rank` is in: W/D blocks, as even
 * as they come. Each of the D ranks has ceil(S/D) tokens of each of them. */
void split_rows(const struct split *how, int64_t batch, int rank, int64_t *first, int64_t *rows);
static inline int64_t split_tokens(const struct split *how, int64_t seq) { return (seq + how->seq - 1) / how->seq; }

#endif
