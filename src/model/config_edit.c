#include "base/json.h"
#include "model/config_int.h"

#include <stdlib.h>
#include <string.h>

static bool set(json_t *o, const char *key, json_t *value) { return json_object_set_new(o, key, value) == 0; }

static bool edit_one(json_t *o, const struct spec *s, const struct config_edit *e) {
    static const char *const dtype_keys[] = {"torch_dtype", "dtype"};
    bool fine = true, found = false;
    for (int i = 0; i < 2 && e->dtype; i++)
        if (json_object_get(o, dtype_keys[i])) {
            fine = fine && set(o, dtype_keys[i], json_string(e->dtype));
            found = true;
        }
    if (e->dtype && e->add_dtype && !found) fine = fine && set(o, "dtype", json_string(e->dtype));
    if (e->plain) (void)json_object_del(o, "quantization_config");
    const char *mtp = s->family->mtp_key;
    if (e->drop_extras && mtp && json_object_get(o, mtp)) fine = fine && set(o, mtp, json_integer(0));
    return fine;
}

/* The text model alone, as transformers writes it. */
static json_t *flatten(const json_t *root, const struct spec *s) {
    json_t *flat = json_deep_copy(json_object_get(root, "text_config")), *list = json_array();
    const bool fine =
        flat && json_array_append_new(list, json_string(s->family->architecture)) == 0 && json_object_set(flat, "architectures", list) == 0;
    json_decref(list);
    if (fine) return flat;
    json_decref(flat);
    return NULL;
}

/* The shortest digits that read back as the same numbers: 1e-06 rather than 9.9999999999999995e-07. */
char *config_text_of(const json_t *root, size_t flags) {
    for (size_t digits = 15; digits <= 17; digits++) {
        json_error_t why;
        char *t = json_write(root, JSON_INDENT(2) | JSON_REAL_PRECISION(digits) | flags);
        json_t *back = t ? json_read(t, (int64_t)strlen(t), 0, &why) : NULL;
        const bool same = back && (digits == 17 || json_equal(back, root)); /* 17 always do */
        json_decref(back);
        if (same) return t;
        free(t);
    }
    return NULL;
}

err_t config_edit(const struct spec *s, const char *text, const struct config_edit *edit, char **out) {
    json_error_t why;
    json_t *root = json_read(text, (int64_t)strlen(text), 0, &why), *inner = NULL;
    ENSURE(root); /* it has been read */
    bool fine = edit_one(root, s, edit);
    if (fine && s->outer) {
        inner = json_object_get(root, "text_config");
        fine = edit_one(inner, s, edit);
        if (fine && edit->drop_extras) {
            json_t *flat = flatten(root, s);
            json_decref(root);
            root = flat;
        }
    }
    *out = fine && root ? config_text_of(root, 0) : NULL;
    json_decref(root);
    if (!*out) return FAIL(ERR_NOMEM, "no memory for the text of a config.json; free some memory");
    return OK;
}
