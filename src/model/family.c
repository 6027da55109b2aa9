#include "model/family.h"

#include <string.h>

static const struct family *const families[] = {&family_olmoe, &family_qwen3_moe, &family_mixtral};

const struct family *family_by_model_type(const char *model_type) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i]->model_type, model_type) == 0) return families[i];
    return NULL;
}

const char *family_names(void) { return "olmoe, qwen3_moe, mixtral"; }
