/* Classes, cases and normalization forms of every code point are those of Hugging Face's tokenizers, by the sums that
 * tools/golden/make_unicode.py printed, whatever Unicode our libraries know. */
#include "data/tokenizer_int.h"
#include "test.h"

static const struct {
    const char *name;
    uint64_t sum;
} want[] = {
    {"space", UINT64_C(0x53af17e71405196a)},       {"word", UINT64_C(0x97f25c1275247393)}, {"number", UINT64_C(0xe6bef922b914592d)},
    {"punctuation", UINT64_C(0x3bfcdd02d95d4614)}, {"mark", UINT64_C(0x74682837ff014352)}, {"lower", UINT64_C(0x3516fa77378c1cfe)},
    {"nmt", UINT64_C(0x56a136c8397f5346)},         {"nfc", UINT64_C(0xb7a71eef6835bd17)},  {"nfd", UINT64_C(0x24b52ec007630bab)},
    {"nfkc", UINT64_C(0x456e420da57f3cd3)},        {"nfkd", UINT64_C(0x6b77bb03565e0478)},
};

static uint64_t fnv(uint64_t sum, const char *text, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i++) sum = (sum ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static void check(const char *name, uint64_t sum) {
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (strcmp(want[i].name, name) == 0) {
            CASE(sum == want[i].sum, "%s of every code point sums up to %016llx, not %016llx", name, (unsigned long long)sum,
                 (unsigned long long)want[i].sum);
            return;
        }
    CASE(false, "a sum for %s is known", name);
}

static int32_t next(int32_t c) { return c == 0xd7ff ? 0xe000 : c + 1; }

static void class_of(const char *name, bool (*is)(int32_t)) {
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    char text[4];
    for (int32_t c = 1; c < 0x110000; c = next(c))
        if (is(c)) sum = fnv(sum, text, unicode_put(c, text));
    check(name, sum);
}

/* What the step makes of each character by itself. */
static void step_of(const char *name, struct norm_step step) {
    struct tokenizer t = {.norm_count = 1};
    struct tok_scratch s;
    t.norms[0] = step;
    NEED(tok_scratch_init(&t, &s));
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (int32_t c = 1; c < 0x110000; c = next(c)) {
        char text[4];
        struct tok_piece p = {text, unicode_put(c, text), 0};
        if (tok_normalize(&s, p, &p) != OK) exit(2);
        sum = fnv(sum, p.text, p.bytes);
    }
    check(name, sum);
    tok_scratch_fini(&s);
}

int main(void) {
    class_of("space", unicode_is_space);
    class_of("word", unicode_is_word);
    class_of("number", unicode_is_number);
    class_of("punctuation", unicode_is_punctuation);
    class_of("mark", unicode_is_mark);
    step_of("lower", (struct norm_step){.kind = NORM_LOWERCASE});
    step_of("nmt", (struct norm_step){.kind = NORM_NMT});
    step_of("nfc", (struct norm_step){.kind = NORM_FORM, .compose = true});
    step_of("nfd", (struct norm_step){.kind = NORM_FORM});
    step_of("nfkc", (struct norm_step){.kind = NORM_FORM, .compose = true, .compat = true});
    step_of("nfkd", (struct norm_step){.kind = NORM_FORM, .compat = true});
    return test_end();
}
