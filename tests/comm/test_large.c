/* Bytes and places beyond 2^31, on two ranks: threads, or, started by mpirun, processes. */
#include "comm/comm.h"
#include "test.h"

#include <sys/mman.h>

enum { PIECE = 4099 };
static const int64_t FAR = INT64_C(5) << 30, LONG = (INT64_C(1) << 31) + 4097;

/* Address space of which only what is touched becomes memory. */
static unsigned char *space(int64_t bytes) {
    void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Each rank sends PIECE bytes to each, that lie 5 GiB and more into the buffers on both sides. */
static err_t far_places(struct comm *c) {
    const int64_t all = FAR + 4 * PIECE;
    unsigned char *send = space(all), *recv = space(all);
    ENSURE(send && recv && c->size == 2);
    int64_t bytes[2] = {PIECE, PIECE}, at[2] = {FAR, FAR + 2 * PIECE}, to[2] = {FAR + PIECE, FAR + 3 * PIECE};
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < PIECE; i++) send[at[r] + i] = (unsigned char)(i * 7 + c->rank * 50 + r * 100);
    TRY(COMM(c, all_to_allv, send, bytes, at, recv, bytes, to));
    int64_t wrong = 0;
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < PIECE; i++) wrong += recv[to[r] + i] != (unsigned char)(i * 7 + r * 50 + c->rank * 100);
    (void)munmap(send, (size_t)all);
    (void)munmap(recv, (size_t)all);
    return wrong ? FAIL(ERR_FAILED, "%lld bytes are wrong", (long long)wrong) : OK;
}

/* Rank 0 sends more than 2^31 bytes to rank 1 and nothing else moves. What was never written reads as zeros and takes no memory. */
static err_t long_message(struct comm *c) {
    unsigned char *memory = space(LONG);
    ENSURE(memory != NULL);
    const int64_t marks[] = {0, (1 << 20) - 1, (INT64_C(1) << 31) - 1, INT64_C(1) << 31, LONG - 1};
    if (c->rank == 0)
        for (int i = 0; i < 5; i++) memory[marks[i]] = (unsigned char)(i + 1);
    const int64_t none[2] = {0, 0}, some[2] = {c->rank == 0 ? 0 : LONG, 0}, send[2] = {0, c->rank == 0 ? LONG : 0};
    TRY(COMM(c, all_to_allv, memory, send, none, memory, some, none));
    int64_t wrong = 0;
    for (int i = 0; i < 5; i++) wrong += memory[marks[i]] != i + 1;
    (void)munmap(memory, (size_t)LONG);
    return wrong ? FAIL(ERR_FAILED, "%lld marks of a long message are wrong on rank %d", (long long)wrong, c->rank) : OK;
}

static err_t rank_main(void *arg, int rank, struct comm *world) {
    const bool *whole = arg;
    err_t err = far_places(world);
    if (rank == 0) CASE(err == OK, "places beyond 2^31: %s", err_message());
    if (err != OK || !*whole) return err;
    err = long_message(world);
    if (rank == 0) CASE(err == OK, "more than 2^31 bytes: %s", err_message());
    return err;
}

int main(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    bool whole = false; /* each byte would take shadow memory */
    test_skip("2 GiB at once: a sanitizer watches");
#else
    bool whole = true;
#endif
    const bool first = !getenv("OMPI_COMM_WORLD_RANK") || strcmp(getenv("OMPI_COMM_WORLD_RANK"), "0") == 0;
    err_t err = world_run(world_launched() ? 0 : 2, rank_main, &whole);
    if (!first) return err != OK;
    CASE(err == OK, "%s", err_message());
    return test_end();
}
