#include "model/family.h"

#include <string.h>

#define FAMILY_POINTER(name) &family_##name,
static const struct family *const families[] = {FAMILY_LIST(FAMILY_POINTER)};

static bool same(const char *a, const char *b) { return a && strcmp(a, b) == 0; }

const struct family *family_by_model_type(const char *model_type, bool *outer) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const struct family *f = families[i];
        *outer = same(f->outer_model_type, model_type);
        if (*outer || same(f->model_type, model_type) || same(f->other_model_type, model_type)) return f;
    }
    return NULL;
}

#define FAMILY_TEXT(name) ", " #name

const char *family_names(bool from_keys) {
    static const char all[] = FAMILY_LIST(FAMILY_TEXT), keyed[] = FAMILY_KEYED_LIST(FAMILY_TEXT);
    return (from_keys ? keyed : all) + 2; /* behind the first comma */
}
