/* What kernels share: elements of activations as fp32, and how a set of kernels is put together. */
#ifndef MOP_KERNELS_KERNELS_INT_H
#define MOP_KERNELS_KERNELS_INT_H

#include "base/num.h"
#include "kernels/kernels.h"

/* What this CPU (and the OS) lets run; each level has what the ones before it have. */
enum cpu_level { CPU_PORTABLE, CPU_AVX2, CPU_AVX512, CPU_AVX512_BF16, CPU_AMX, CPU_LEVELS };

/* Put the vectorised operations into the table, in place of the reference's. */
void vector_install_portable(struct kernels *k);
void vector_install_avx2(struct kernels *k);
void vector_install_avx512(struct kernels *k);

/* Attention by AMX into the table; what it takes for F32 activations is a file of its own. */
void attention_install_amx(struct kernels *k);
void attention_forward_split_amx(struct pool *pool, const struct attention_args *a);
void attention_backward_split_amx(struct pool *pool, const struct attention_backward_args *b);

/* Put the matrix product of `level` (enum cpu_level) into the table. */
void matmul_install(struct kernels *k, int level);

/* An activation is F32 or BF16; nothing else comes here. */
static inline float act_load(enum dtype act, const void *p, int64_t i) {
    return act == DT_BF16 ? bf16_to_f32(((const bf16 *)p)[i]) : ((const float *)p)[i];
}

static inline void act_store(enum dtype act, void *p, int64_t i, float x) {
    if (act == DT_BF16) ((bf16 *)p)[i] = bf16_of_f32(x);
    else ((float *)p)[i] = x;
}

static inline float act_round(enum dtype act, float x) { return act == DT_BF16 ? bf16_to_f32(bf16_of_f32(x)) : x; }

static inline int64_t act_bytes(enum dtype act) { return act == DT_BF16 ? 2 : 4; }

static inline const void *act_at(enum dtype act, const void *p, int64_t i) { return (const char *)p + i * act_bytes(act); }
static inline void *act_at_mut(enum dtype act, void *p, int64_t i) { return (char *)p + i * act_bytes(act); }

#endif
