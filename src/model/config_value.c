#include "model/config_int.h"

#include "base/json.h"
#include "base/log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

err_t config_open(const char *path, const char *prefix, const json_t *object, struct config *out) {
    json_t *rest = json_copy((json_t *)object);
    if (!rest) return FAIL(ERR_NOMEM, "no memory for the keys of a config; %s; free some memory", path);
    *out = (struct config){.path = path, .prefix = prefix, .object = object, .rest = rest};
    return OK;
}

void config_close(struct config *c) {
    json_decref(c->rest);
    c->rest = NULL;
}

const char *config_show(const json_t *value, char buf[CONFIG_SHOWN]) { return json_show(value, buf, CONFIG_SHOWN); }

const json_t *config_take(struct config *c, const char *key) {
    (void)json_object_del(c->rest, key);
    return json_object_get(c->object, key);
}

bool config_null(const struct config *c, const char *key) { return json_is_null(json_object_get(c->object, key)); }

static err_t wrong(const struct config *c, const char *key, const json_t *value, const char *must_be) {
    char shown[CONFIG_SHOWN];
    return FAIL(ERR_FORMAT, "%s: key %s%s is %s; it must be %s", c->path, c->prefix, key, config_show(value, shown), must_be);
}

err_t config_count(struct config *c, const char *key, int64_t max, int64_t *value) {
    const json_t *v = config_take(c, key);
    if (!v && *value > 0) return OK;
    if (!v) return FAIL(ERR_FORMAT, "%s: key %s%s is missing; add it, an integer of at least 1", c->path, c->prefix, key);
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > max) {
        char must_be[80];
        (void)snprintf(must_be, sizeof must_be, "an integer from 1 to %lld, without a fraction", (long long)max);
        return wrong(c, key, v, must_be);
    }
    *value = json_integer_value(v);
    return OK;
}

err_t config_int(struct config *c, const char *key, int max, int *value) {
    int64_t wide = *value;
    TRY(config_count(c, key, max, &wide));
    *value = (int)wide;
    return OK;
}

err_t config_whole(struct config *c, const char *key, int max, int *value) {
    const json_t *v = json_object_get(c->object, key);
    if (v && (json_is_null(v) || (json_is_integer(v) && json_integer_value(v) == 0))) {
        if (!json_is_null(v)) *value = 0;
        (void)config_take(c, key);
        return OK;
    }
    return v ? config_int(c, key, max, value) : OK;
}

err_t config_real(struct config *c, const char *key, double lo, double hi, double *value) {
    const json_t *v = config_take(c, key);
    if (!v) return OK;
    double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= lo && x <= hi)) {
        char must_be[80];
        (void)snprintf(must_be, sizeof must_be, "a number from %g to %g", lo, hi);
        return wrong(c, key, v, must_be);
    }
    *value = x;
    return OK;
}

err_t config_flag(struct config *c, const char *key, bool *value) {
    const json_t *v = config_take(c, key);
    if (!v) return OK;
    if (!json_is_boolean(v)) return wrong(c, key, v, "true or false");
    *value = json_is_true(v);
    return OK;
}

err_t config_text(struct config *c, const char *key, const char **value) {
    const json_t *v = config_take(c, key);
    if (!v) return OK;
    if (!json_is_string(v)) return wrong(c, key, v, "text in quotes");
    *value = json_string_value(v);
    return OK;
}

void config_warn_rest(const struct config *c) {
    if (json_object_size(c->rest) == 0) return;
    json_t *names = json_array();
    const char *key;
    json_t *value;
    json_object_foreach(c->rest, key, value) {
        if (json_array_size(names) < 32) (void)json_array_append_new(names, json_sprintf("%s%s", c->prefix, key));
    }
    char text[2048];
    size_t n = json_dumpb(names, text, sizeof text, JSON_ENSURE_ASCII);
    if (n > sizeof text) n = sizeof text;
    log_line(LOG_WARN, "%s: unknown keys, %zu of them, are not used: %.*s", c->path, json_object_size(c->rest), (int)n, text);
    json_decref(names);
}
