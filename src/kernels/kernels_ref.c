#include "kernels/kernels_int.h"

void kernels_reference(struct kernels *out) {
    *out = (struct kernels){
#define KERNEL_ENTRY(name, args) .name = name##_ref,
        KERNEL_LIST(KERNEL_ENTRY)
#undef KERNEL_ENTRY
            .isa = "reference",
    };
}
