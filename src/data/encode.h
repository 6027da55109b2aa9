/* WHAT    Documents to ids: what tokenize, train, eval and generate do with text. A document is spans of text, each
 *         encoded by itself, so that a prompt's ids are those it has when the model is asked; the mask says which tokens
 *         the loss counts.
 * INVARIANTS
 *         I1 ids and mask of a document depend on tokenizer, document and end token alone: not on its neighbours, nor on
 *            the number of threads.
 *         I2 documents are given out in the corpus' order.
 *         I3 a long plain document, which a corpus gives in parts, has the ids of the whole: parts are encoded apart only where
 *            the tokenizer is seen to cut between them (the ids around the seam are the same with it and without).
 * MEMORY  A batch of 16 MiB of text with its ids; a document beyond that, and parts that the tokenizer joins, whole.
 * Local. */
#ifndef MOP_DATA_ENCODE_H
#define MOP_DATA_ENCODE_H

#include "data/data.h"
#include "data/tokenizer.h"

/* A document's tokens. */
struct encoded {
    struct tok_ids ids;
    uint8_t *mask; /* [ids.count] 1: counts in the loss; NULL: all count */
    bool more;     /* a part: the document goes on in the next */
};

/* The spans' ids end to end, with `eos` behind them unless it is -1 or doc->more: it counts. Replaces what `out` holds (zero it before
 * the first call); encoded_free. */
MUST err_t encode_doc(const struct tokenizer *t, struct tok_scratch *s, const struct corpus_doc *doc, int32_t eos, struct encoded *out);
void encoded_free(struct encoded *e);
MUST err_t encoded_push(struct tok_ids *ids, int32_t id); /* one id more */

/* The tokenizer's end-of-document token as text writes it, for corpus_how; "" where there is none, or none that fits. */
enum { ENCODE_END_MAX = 1024 };
void encode_end_text(const struct tokenizer *t, char out[ENCODE_END_MAX]);

/* All documents of a corpus, by all threads. `each` is called with one after another on the calling thread; what it gets is
 * borrowed for the call. An error of a document says where it stands. */
struct encode_in {
    const struct tokenizer *tokenizer;
    struct corpus *corpus;
    int threads; /* >= 1 */
    int32_t eos; /* -1: none */
    err_t (*each)(void *ctx, const struct encoded *doc);
    void *ctx;
};
MUST err_t encode_corpus(const struct encode_in *in);

/* A token file of all documents of a corpus; the first samples are shown with their masks, and what became of it is said
 * (log level 2). A corpus without a token is ERR_FORMAT, which calls it `name`. */
MUST err_t encode_file(const struct tokenizer *t, struct corpus *c, const char *name, int threads, int32_t eos, const char *path);

#endif
