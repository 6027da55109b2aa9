/* The sets by name: complete, refused by name, and which share their operations. */
#include "kernel_test.h"

static int slots_missing(const struct kernels *k) {
    int missing = 0;
#define SLOT_MISSING(name, args) missing += !k->name;
    KERNEL_LIST(SLOT_MISSING)
#undef SLOT_MISSING
    return missing;
}

/* Slots that differ, but for the matrix product and, by AMX, attention. */
static int slots_apart(const struct kernels *a, const struct kernels *b, bool amx) {
    int apart = 0;
#define SLOT_APART(name, args) apart += a->name != b->name;
    KERNEL_LIST(SLOT_APART)
#undef SLOT_APART
    return apart - (a->matmul != b->matmul) -
           (amx ? (a->attention_forward != b->attention_forward) + (a->attention_backward != b->attention_backward) : 0);
}

int main(void) {
    static const char *const names[] = {"portable", "avx2", "avx512", "avx512_bf16", "amx"};
    struct kernels k, best, avx512;
    bool has_avx512 = kernels_cpu("avx512", &avx512) == OK;
    NEED(kernels_cpu(NULL, &best));
    CASE(slots_missing(&best) == 0, "the best set is complete");
    kernels_reference(&k);
    CASE(slots_missing(&k) == 0 && strcmp(k.isa, "reference") == 0, "the reference is complete");
    CASE_ERR(kernels_cpu("sse9", &k), ERR_USAGE, "sse9");
    CASE_ERR(kernels_cpu("", &k), ERR_USAGE, "the sets are");
    bool lower = true; /* the CPU has every set up to the best, and none above */
    for (int i = 0; i < 5; i++) {
        if (!lower) {
            CASE_ERR(kernels_cpu(names[i], &k), ERR_USAGE, best.isa);
            continue;
        }
        NEED(kernels_cpu(names[i], &k));
        CASE(slots_missing(&k) == 0 && strcmp(k.isa, names[i]) == 0, "set %s is complete", names[i]);
        if (i >= 3 && has_avx512) CASE(slots_apart(&k, &avx512, i == 4) == 0, "%s shares the vectors of avx512", names[i]);
        lower = strcmp(names[i], best.isa) != 0;
    }
    CASE(!lower, "the best set, %s, has a name", best.isa);
    return test_end();
}
