/* The data room's own: what its files share. */
#ifndef MOP_DATA_DATA_INT_H
#define MOP_DATA_DATA_INT_H

#include "data/data.h"

/* 64 bits that differ if any byte of the file does (the header's checksum, which covers the others). */
uint64_t tok_identity(const struct tok_file *f);
const char *tok_path(const struct tok_file *f);

/* Where a sequence begins, and how many of its tokens have a target. */
struct row {
    int64_t doc, offset, targets;
}; /* document numbers run on over the files of a list */

/* A split laid into sequences. */
struct pack {
    struct tok_file **files;
    int64_t *first_doc; /* [file_count + 1]: number of each file's first document */
    int64_t file_count, seq, vocab;
    bool across, samples; /* documents are one stream; whole samples with masks */
    int side;             /* PACK_* */
    double fraction;
    uint64_t seed;
    struct row *rows;
    int64_t row_count, row_room, tokens, targets;
};
enum { PACK_ALL, PACK_KEPT, PACK_HELD_OUT }; /* all documents, those not held out, those held out */

/* files, first_doc and the options are set: find the rows. long_samples: DATA_LONG_*. */
MUST err_t pack_index(struct pack *p, int long_samples);
/* Write the sequence at rows[row] as one row of a batch (pointers to its first element). */
MUST err_t pack_fill(const struct pack *p, int64_t row, const struct batch *to);
void pack_pad(int64_t seq, const struct batch *to); /* a row that is all padding */

#endif
