/* OUT/mop_report.json: a report in and out. */
#include "train/report.h"

#include "base/json.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format[] = "mop report 1";
enum { REPORT_MAX = 16 << 20 };

/* Numbers of the report, where they stand in the file. */
enum kind { COUNT, REAL, SMALL, FLAG };
#define AT(kind, key, field) \
    { key, kind, offsetof(struct report, field) }
static const struct {
    const char *key;
    enum kind kind;
    size_t offset;
} numbers[] = {
    AT(COUNT, "from_step", from),
    AT(COUNT, "to_step", to),
    AT(COUNT, "steps", steps),
    AT(FLAG, "first_left_out", first_left_out),
    AT(COUNT, "tokens", tokens),
    AT(COUNT, "step_ns", step_ns),
    AT(COUNT, "communication_ns", comm_ns),
    AT(COUNT, "validation_ns", aside_ns[ASIDE_VALIDATION]),
    AT(COUNT, "saving_ns", aside_ns[ASIDE_SAVING]),
    AT(COUNT, "other_ns", other_ns),
    AT(SMALL, "ranks", ranks),
    AT(SMALL, "threads", threads),
    AT(COUNT, "layers", layers),
    AT(COUNT, "seq", seq),
    AT(COUNT, "heads", heads),
    AT(COUNT, "head_dim", head_dim),
    AT(REAL, "operations_a_token", per_token),
    AT(REAL, "peak_operations_a_second", peak),
    AT(COUNT, "rss_bytes", rss_bytes),
};
#undef AT
enum { NUMBERS = (int)(sizeof numbers / sizeof numbers[0]) };

/* ---- out ---- */

static json_t *number_to(const struct report *p, int i) {
    const void *at = (const char *)p + numbers[i].offset;
    int64_t count;
    double real;
    int small;
    bool flag;
    switch (numbers[i].kind) {
    case COUNT: memcpy(&count, at, sizeof count); return json_integer(count);
    case SMALL: memcpy(&small, at, sizeof small); return json_integer(small);
    case FLAG: memcpy(&flag, at, sizeof flag); return json_boolean(flag);
    case REAL: break;
    }
    memcpy(&real, at, sizeof real);
    return json_real(real);
}

err_t report_write(const struct report *p, const char *out) {
    char path[OS_PATH_MAX];
    TRY(os_join(path, out, REPORT_NAME));
    json_t *root = json_pack("{ss, ss, ss}", "format", format, "isa", p->isa, "dtype", p->dtype), *kernels = json_array(), *memory = json_array();
    bool good = root && kernels && memory;
    for (int i = 0; i < NUMBERS && good; i++) good = json_object_set_new(root, numbers[i].key, number_to(p, i)) == 0;
    for (int i = 0; i < p->kernels && good; i++) {
        const struct report_kernel *k = &p->kernel[i];
        good = json_array_append_new(kernels,
                                     json_pack("{ss, ss, sI, sI, sf, sf}", "room", k->room, "kernel", k->kernel, "count", (json_int_t)k->sum.count,
                                               "ns", (json_int_t)k->sum.ns, "operations", k->sum.cost.flops, "bytes", k->sum.cost.bytes)) == 0;
    }
    for (int i = 0; i < p->ledger.lines && good; i++) {
        const struct ledger_line *l = &p->ledger.line[i];
        good = json_array_append_new(memory, json_pack("{ss, ss, ss, ss, sI, sI}", "room", l->room, "what", l->what, "tier", tier_name(l->tier),
                                                       "life", life_name(l->life), "predicted", (json_int_t)l->predicted_bytes, "held",
                                                       (json_int_t)l->held_bytes)) == 0;
    }
    good = good && json_object_set(root, "kernels", kernels) == 0 && json_object_set(root, "memory", memory) == 0;
    char *text = good ? json_dumps(root, JSON_INDENT(1)) : NULL;
    err_t err = text ? os_write_all(path, text, (int64_t)strlen(text)) : FAIL(ERR_NOMEM, "out of memory for %s", path);
    free(text);
    json_decref(kernels);
    json_decref(memory);
    json_decref(root);
    return err;
}

/* ---- in ---- */

static bool number_from(struct report *p, int i, const json_t *value) {
    void *at = (char *)p + numbers[i].offset;
    const int64_t count = json_integer_value(value);
    const double real = json_number_value(value);
    const int small = (int)count;
    const bool flag = json_is_true(value);
    switch (numbers[i].kind) {
    case COUNT: memcpy(at, &count, sizeof count); return json_is_integer(value);
    case SMALL: memcpy(at, &small, sizeof small); return json_is_integer(value) && count >= 0 && count == small;
    case FLAG: memcpy(at, &flag, sizeof flag); return json_is_boolean(value);
    case REAL: break;
    }
    memcpy(at, &real, sizeof real);
    return json_is_number(value);
}

/* A short text of an object into `to`. */
static bool text_from(const json_t *object, const char *key, char *to, size_t size) {
    const char *text = json_string_value(json_object_get(object, key));
    return text && snprintf(to, size, "%s", text) < (int)size;
}

static bool kernel_from(struct report *p, const json_t *k) {
    if (p->kernels == REPORT_KERNELS) return false;
    struct report_kernel *to = &p->kernel[p->kernels++];
    to->sum.count = json_integer_value(json_object_get(k, "count"));
    to->sum.ns = json_integer_value(json_object_get(k, "ns"));
    to->sum.cost.flops = json_number_value(json_object_get(k, "operations"));
    to->sum.cost.bytes = json_number_value(json_object_get(k, "bytes"));
    return text_from(k, "room", to->room, sizeof to->room) && text_from(k, "kernel", to->kernel, sizeof to->kernel);
}

static bool memory_from(struct report *p, const json_t *m) {
    if (p->ledger.lines == LEDGER_LINES) return false;
    struct ledger_line *l = &p->ledger.line[p->ledger.lines++];
    const char *tier = json_string_value(json_object_get(m, "tier")), *life = json_string_value(json_object_get(m, "life"));
    l->room = json_string_value(json_object_get(m, "room"));
    l->what = json_string_value(json_object_get(m, "what"));
    l->predicted_bytes = json_integer_value(json_object_get(m, "predicted"));
    l->held_bytes = json_integer_value(json_object_get(m, "held"));
    bool good = l->room && l->what && tier && life;
    int t = 0, f = 0;
    while (good && t < TIER_COUNT && strcmp(tier_name((enum tier)t), tier) != 0) t++;
    while (good && f < LIFE_COUNT && strcmp(life_name((enum life)f), life) != 0) f++;
    l->tier = (enum tier)t;
    l->life = (enum life)f;
    return good && t < TIER_COUNT && f < LIFE_COUNT;
}

static bool parse(struct report *p, const json_t *root) {
    const json_t *kernels = json_object_get(root, "kernels"), *memory = json_object_get(root, "memory");
    const char *is = json_string_value(json_object_get(root, "format"));
    bool good = is && strcmp(is, format) == 0 && json_is_array(kernels) && json_is_array(memory);
    good = good && text_from(root, "isa", p->isa, sizeof p->isa) && text_from(root, "dtype", p->dtype, sizeof p->dtype);
    for (int i = 0; i < NUMBERS && good; i++) good = number_from(p, i, json_object_get(root, numbers[i].key));
    for (size_t i = 0; good && i < json_array_size(kernels); i++) good = kernel_from(p, json_array_get(kernels, i));
    for (size_t i = 0; good && i < json_array_size(memory); i++) good = memory_from(p, json_array_get(memory, i));
    return good && (p->steps == 0 || p->step_ns > 0);
}

err_t report_read(const char *out, struct report *p) {
    char path[OS_PATH_MAX], *text;
    int64_t bytes;
    json_error_t why;
    memset(p, 0, sizeof *p);
    TRY(os_join(path, out, REPORT_NAME));
    TRY(os_read_all(path, REPORT_MAX, &text, &bytes));
    p->json = json_read(text, bytes, 0, &why);
    free(text);
    if (p->json && parse(p, p->json)) return OK;
    report_close(p);
    return FAIL(ERR_FORMAT, "%s is no report of a run (%s); the next run in that folder writes it anew", path, format);
}

void report_close(struct report *p) {
    json_decref(p->json);
    memset(p, 0, sizeof *p);
}
