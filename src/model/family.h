/* A family of models as data: how its config.json fills a spec, and its names in files. */
#ifndef MOP_MODEL_FAMILY_H
#define MOP_MODEL_FAMILY_H

#include "model/params.h"

/* Tables live in models/NAME.c; model/family.c lists them. The fields are the model room's to define. */


extern const struct family family_olmoe, family_qwen3_moe, family_mixtral;

const struct family *family_by_model_type(const char *model_type); /* "qwen3_moe", or NULL */

#endif
