#include "comm/mesh.h"

void mesh_self_init(struct mesh *out) {
    comm_self_init(&out->dense);
    comm_self_init(&out->seq);
    comm_self_init(&out->expert);
    comm_self_init(&out->expert_shard);
    comm_self_init(&out->vocab);
    comm_self_init(&out->vocab_shard);
}
