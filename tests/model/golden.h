/* What the tests of this room share: the golden configs and edits of them. */
#ifndef MOP_TESTS_MODEL_GOLDEN_H
#define MOP_TESTS_MODEL_GOLDEN_H

#include "test.h"

#include "base/json.h"
#include "base/os.h"
#include "model/family.h"

static const char *const golden_families[] = {"olmoe", "qwen3_moe", "mixtral"};
enum { GOLDEN_FAMILIES = 3 };

/* The text of tests/golden/FAMILY/config.json. New: free. */
static inline char *golden_text(const char *family, int64_t *bytes) {
    char path[OS_PATH_MAX];
    char *text = NULL;
    (void)snprintf(path, sizeof path, "tests/golden/%s/config.json", family);
    NEED(os_read_all(path, 1 << 20, &text, bytes));
    return text;
}

static inline struct spec golden_spec(const char *family) {
    struct spec s = {0};
    int64_t bytes = 0;
    char *text = golden_text(family, &bytes);
    NEED(spec_from_json("config.json", text, bytes, &s));
    free(text);
    return s;
}

/* Read the golden config with `edits`: a JSON object whose members replace the config's; {"delete": [keys]} removes. */
static inline err_t edited_spec(const char *family, const char *edits, struct spec *out) {
    int64_t bytes = 0;
    char *text = golden_text(family, &bytes);
    json_error_t why;
    json_t *config = json_read(text, bytes, 0, &why), *edit = json_read(edits, (int64_t)strlen(edits), 0, &why);
    free(text);
    if (!test_case(config && edit, __FILE__, __LINE__, "the test's own JSON: %s", edits)) exit(test_end());
    json_t *gone = json_object_get(edit, "delete");
    for (size_t i = 0; i < json_array_size(gone); i++) (void)json_object_del(config, json_string_value(json_array_get(gone, i)));
    (void)json_object_del(edit, "delete");
    (void)json_object_update(config, edit);
    char *changed = json_write(config, JSON_COMPACT);
    json_decref(config);
    json_decref(edit);
    err_t err = spec_from_json("dir/config.json", changed, (int64_t)strlen(changed), out);
    free(changed);
    return err;
}

#endif
