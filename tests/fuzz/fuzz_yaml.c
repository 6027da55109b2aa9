/* Run files. */
#include "base/opt.h"
#include "driver.h"

struct values {
    bool flag;
    int64_t steps;
    double lr;
    const char *out, *name;
    int dtype;
};
static const struct opt list[] = {
    {"out", OPT_TEXT, offsetof(struct values, out), NULL, NULL, 0, 0, "folder", OPT_SAME},
    {"train.steps", OPT_INT, offsetof(struct values, steps), "10", NULL, 0, 1e12, "steps", OPT_SAME},
    {"train.lr", OPT_FLOAT, offsetof(struct values, lr), "1e-3", NULL, 0, 10, "learning rate", OPT_SAME},
    {"train.flag", OPT_BOOL, offsetof(struct values, flag), "no", NULL, 0, 0, "a switch", OPT_SAME},
    {"model.dtype", OPT_CHOICE, offsetof(struct values, dtype), "bf16", "fp32|bf16", 0, 0, "type", OPT_SAME},
    {"model.deep.name", OPT_TEXT, offsetof(struct values, name), "x", NULL, 0, 0, "a name", OPT_SAME},
    {NULL, OPT_BOOL, 0, NULL, NULL, 0, 0, NULL, OPT_SAME},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct values v;
    struct opt_set *s;
    const struct opt_table table = {"all", list, &v};
    if (opt_new(&table, 1, &s) != OK) abort();
    err_t err = opt_read_yaml(s, fuzz_file(data, size));
    fuzz_result(err);
    fuzz_holds(v.steps >= 0 && v.lr >= 0 && v.lr <= 10 && (v.dtype == 0 || v.dtype == 1) && v.name, "values stay in their ranges");
    opt_free(s);
    return 0;
}
