#include "kernels/cost.h"

const char *const kernel_names[KERNEL_COUNT] = {
#define KERNEL_NAME(name, args) #name,
    KERNEL_LIST(KERNEL_NAME)
#undef KERNEL_NAME
};
