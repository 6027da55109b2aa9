#include "model/shard.h"

static struct shard part_of(int64_t run_from, int64_t run, int64_t parts, int64_t part) {
    const int64_t length = (run + parts - 1) / parts, at = part * length < run ? part * length : run;
    return (struct shard){.from = run_from + at, .own = run - at < length ? run - at : length, .length = length};
}

int shard_vocab_part(const struct split *how, bool head, int rank) {
    return head ? rank % how->vocab * (how->ranks / how->vocab) + rank / how->vocab : rank;
}

int shard_vocab_owner(const struct split *how, bool head, int part) {
    const int blocks = how->ranks / how->vocab;
    return head ? part % blocks * how->vocab + part / blocks : part;
}

static struct shard rows_of(const struct spec *s, const struct split *how, bool head, int rank) {
    const int64_t rows = shard_vocab_rows(s, how->ranks), length = rows * s->hidden, all = s->vocab * s->hidden;
    const int64_t at = shard_vocab_part(how, head, rank) * length, from = at < all ? at : all;
    return (struct shard){.from = from, .own = all - from < length ? all - from : length, .length = length};
}

struct shard shard_of(const struct spec *s, const struct unit *u, const struct split *how, int rank) {
    switch (u->kind) {
    case UNIT_EMBED: return rows_of(s, how, s->tied, rank);
    case UNIT_HEAD: return rows_of(s, how, true, rank);
    case UNIT_EXPERTS: {
        const int64_t run = u->count / how->expert;
        return part_of(rank % how->expert * run, run, how->ranks / how->expert, rank / how->expert);
    }
    default: return part_of(0, u->count, how->ranks, rank);
    }
}

void split_rows(const struct split *how, int64_t batch, int rank, int64_t *first, int64_t *rows) {
    const int64_t blocks = how->ranks / how->seq, block = rank / how->seq;
    *first = block * batch / blocks;
    *rows = (block + 1) * batch / blocks - *first;
}
