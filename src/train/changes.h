/* What is different in a run that goes on, and whether it is allowed. Local. */
#ifndef MOP_TRAIN_CHANGES_H
#define MOP_TRAIN_CHANGES_H

#include "base/err.h"

#include <stdint.h>

struct changes {
    char **allowed; /* train.resume_changes, one by one */
    int64_t allowed_count;
    int64_t count;              /* of those that are not allowed */
    char said[2048], keys[512]; /* of these: "train.lr 0.1, now 0.2; ...", "train.lr,..." */
    char all[512];              /* the names of all that differ, as keys */
};
/* `allowed`: comma-separated names, or NULL. Closed by changes_close, whatever came of it. */
MUST err_t changes_open(struct changes *c, const char *allowed);
void changes_close(struct changes *c);
/* One difference: logged where it is allowed, else remembered. */
void changes_add(struct changes *c, const char *name, const char *was, const char *is);
void changes_add_text(struct changes *c, const char *name, const char *text);
/* Is there one, allowed or not, whose name begins so? */
bool changes_have(const struct changes *c, const char *begin);
/* ERR_USAGE with all that are not allowed. */
MUST err_t changes_check(const struct changes *c, const char *out);

#endif
