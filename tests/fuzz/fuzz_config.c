/* config.json. One that is accepted also gives its table of tensors, and a config.json of ours that reads back. */
#include "driver.h"
#include "model/family.h"
#include "model/names.h"

enum { TENSORS = 1 << 14 }; /* a config may ask for more tensors than a fuzzer has time for */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1); /* as os_read_all gives it, a NUL behind the end */
    struct spec s, again;
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    err_t err = spec_from_json("config.json", text, (int64_t)size, &s);
    free(text);
    fuzz_result(err);
    if (err != OK) return 0;
    if ((int64_t)s.layers * (s.experts + 16) * 3 < TENSORS) {
        struct params p;
        err = params_build(&s, &p);
        fuzz_result(err);
        if (err == OK) {
            fuzz_holds(p.elements == spec_params(&s), "the tensors hold as many values as the model has parameters");
            struct names n = {0};
            const struct names_style style = {.stacked_in = size % 2 == 0, .stacked_out = size % 4 < 2, .outer = s.outer};
            err = names_build(&s, &p, &style, &n);
            fuzz_result(err);
            int64_t sum = 0;
            for (int64_t i = 0; i < n.count; i++) sum += n.list[i].count;
            fuzz_holds(err != OK || sum == p.elements, "and so do the tensors of files");
            names_free(&n);
            params_free(&p);
        }
    }
    if (!s.family->from_keys) return 0;
    char *ours;
    err = spec_to_json(&s, "float32", &ours);
    fuzz_result(err);
    if (err != OK) return 0;
    fuzz_holds(spec_from_json("written config.json", ours, (int64_t)strlen(ours), &again) == OK, "what is written can be read");
    fuzz_holds(again.hidden == s.hidden && again.layers == s.layers && again.experts == s.experts && again.vocab == s.vocab, "and says the same");
    free(ours);
    return 0;
}
