/* The mesh: six families of communicators over the same ranks (mop.md section 2). D, E_p and P are independent
 * choices; each divides W. Here W = 1 and each family is the group of one. */
#ifndef MOP_COMM_MESH_H
#define MOP_COMM_MESH_H

#include "comm/comm.h"

struct mesh {
    struct comm dense;        /* all W ranks */
    struct comm seq;          /* blocks of D */
    struct comm expert;       /* blocks of E_p */
    struct comm expert_shard; /* equal index inside the expert block */
    struct comm vocab;        /* blocks of P */
    struct comm vocab_shard;  /* equal index inside the vocab block */
};

void mesh_self_init(struct mesh *out);

#endif
