/* What a fuzz target needs besides LLVMFuzzerTestOneInput. Built plainly, the program runs its committed corpus
 * (tests/fuzz/corpus/NAME, NAME being the program's behind "fuzz_") and FUZZ_RUNS mutations of it (5000), each made from
 * its number alone, so that a failure is found again with FUZZ_FROM=number FUZZ_RUNS=1. `make fuzz-NAME` builds the same
 * file with libFuzzer instead (-DMOP_LIBFUZZER) and searches. What a target must hold: no crash, no hang, and every
 * error has a message and is the input's fault, neither a bug nor want of memory. */
#ifndef MOP_TESTS_FUZZ_DRIVER_H
#define MOP_TESTS_FUZZ_DRIVER_H

#include "base/err.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

__attribute__((unused)) static void fuzz_result(err_t err) {
    if (err == OK || (err != ERR_BUG && err != ERR_NOMEM && *err_message())) return;
    (void)fprintf(stderr, "error %d \"%s\": a malformed input must get an error of its own\n", (int)err, err_message());
    abort();
}

/* What must hold of an input that was accepted. */
__attribute__((unused)) static void fuzz_holds(bool ok, const char *what) {
    if (ok) return;
    (void)fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

/* The input as a file, in memory; the path is good until the next call. */
__attribute__((unused)) static const char *fuzz_file(const uint8_t *data, size_t size) {
    static int fd = -1;
    static char path[64];
    if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size) {
        perror("memfd");
        exit(2);
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

#ifndef MOP_LIBFUZZER

#include "base/log.h"
#include "base/os.h"
#include "test.h"

#include <signal.h>

enum { FUZZ_MAX = 1 << 20, FUZZ_SECONDS = 60 };

struct fuzz_input {
    char *data;
    int64_t bytes;
};

static char fuzz_where[600]; /* what runs now, for the message of a crash */

static void fuzz_died(void) {
    static const char head[] = "FAILED while running ";
    (void)!write(STDERR_FILENO, head, sizeof head - 1);
    (void)!write(STDERR_FILENO, fuzz_where, strlen(fuzz_where));
    (void)!write(STDERR_FILENO, "\n", 1);
}

static void fuzz_signal(int number) {
    fuzz_died();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak)); // NOLINT(bugprone-reserved-identifier): theirs

static uint64_t fuzz_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int64_t fuzz_below(uint64_t *state, int64_t n) { return n > 0 ? (int64_t)(fuzz_random(state) % (uint64_t)n) : 0; }

/* Put `with` in the place of [at, at+cut). */
static void fuzz_replace(struct fuzz_input *in, int64_t at, int64_t cut, const void *with, int64_t bytes) {
    if (in->bytes - cut + bytes > FUZZ_MAX) return;
    memmove(in->data + at + bytes, in->data + at + cut, (size_t)(in->bytes - at - cut));
    memcpy(in->data + at, with, (size_t)bytes);
    in->bytes += bytes - cut;
}

static void fuzz_mutate(struct fuzz_input *in, const struct fuzz_input *other, uint64_t *state) {
    static const char *const words[] = {"0",
                                        "-1",
                                        "1",
                                        "18446744073709551615",
                                        "9223372036854775807",
                                        "4294967296",
                                        "1e309",
                                        "-0.0",
                                        "null",
                                        "true",
                                        "{}",
                                        "[]",
                                        "\"\"",
                                        "{",
                                        "}",
                                        "[",
                                        "]",
                                        ",",
                                        ":",
                                        "\"",
                                        "\\u0000",
                                        "\\ud800",
                                        "\xff",
                                        "\xed\xa0\x80",
                                        "\n",
                                        "  ",
                                        "&a",
                                        "*a",
                                        "!!",
                                        "---\n",
                                        "(?:",
                                        "\\p{L}",
                                        "0.5"};
    static const uint64_t numbers[] = {
        0, 1, 7, 8, 255, 256, 0x7fffffff, 0x80000000u, 0xffffffffu, 0x100000000u, INT64_MAX, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    char piece[256];
    int64_t at = fuzz_below(state, in->bytes + 1), rest = in->bytes - at, n = fuzz_below(state, rest < 64 ? rest + 1 : 64);
    const char *word = words[fuzz_below(state, sizeof words / sizeof words[0])];
    uint64_t number = numbers[fuzz_below(state, sizeof numbers / sizeof numbers[0])];
    switch (fuzz_below(state, 9)) {
    case 0: /* a bit */
        if (rest) in->data[at] = (char)(in->data[at] ^ (1 << fuzz_below(state, 8)));
        break;
    case 1: /* a byte */
        if (rest) in->data[at] = (char)fuzz_random(state);
        break;
    case 2: fuzz_replace(in, at, n, "", 0); break;
    case 3: /* a run twice */
        memcpy(piece, in->data + at, (size_t)n);
        fuzz_replace(in, at, 0, piece, n);
        break;
    case 4: fuzz_replace(in, at, 0, word, (int64_t)strlen(word)); break;
    case 5: /* another number or value: up to where this one ends */
        for (n = 0; n < rest && n < 40 && !strchr(",:]}\n", in->data[at + n]); n++) {
        }
        fuzz_replace(in, at, n, word, (int64_t)strlen(word));
        break;
    case 6: /* a binary number, small and large files' lengths among them */
        if (fuzz_below(state, 2)) number = (uint64_t)in->bytes + number % 17 - 8;
        at = fuzz_below(state, 3) ? at / 8 * 8 : 0;
        if (in->bytes - at >= 8) memcpy(in->data + at, &number, fuzz_below(state, 2) ? 8 : 4);
        break;
    case 7: in->bytes = at; break;
    default: /* the tail of another input */
        n = fuzz_below(state, other->bytes + 1);
        fuzz_replace(in, at, rest, other->data + n, other->bytes - n);
        break;
    }
}

static int64_t fuzz_env(const char *name, int64_t value) {
    const char *text = getenv(name);
    return text ? strtoll(text, NULL, 10) : value;
}

/* A copy of exactly its size on the heap, so that a sanitizer sees the first byte behind it. */
static void fuzz_one(const struct fuzz_input *in) {
    uint8_t *exact = malloc((size_t)in->bytes + (in->bytes == 0));
    if (!exact) exit(2);
    memcpy(exact, in->data, (size_t)in->bytes);
    (void)alarm(FUZZ_SECONDS); /* a hang, not slowness: one input takes milliseconds */
    (void)LLVMFuzzerTestOneInput(exact, (size_t)in->bytes);
    (void)alarm(0);
    free(exact);
}

int main(int argc, char **argv) {
    (void)argc;
    const char *name = strrchr(argv[0], '_');
    char dir[256];
    (void)snprintf(dir, sizeof dir, "tests/fuzz/corpus/%s", name ? name + 1 : "");
    static const int signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(fuzz_died);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) (void)signal(signals[i], fuzz_signal);

    log_set_level(LOG_ERROR); /* warnings about what is odd in an input are right, and many */
    char **names;
    int64_t count;
    NEED(os_list(dir, &names, &count));
    struct fuzz_input *corpus = calloc((size_t)count + 1, sizeof *corpus), now = {malloc(FUZZ_MAX + 64), 0};
    if (!corpus || !now.data || !CASE(count > 0, "%s holds no inputs", dir)) exit(test_end());
    for (int64_t i = 0; i < count; i++) {
        (void)snprintf(fuzz_where, sizeof fuzz_where, "%s/%s", dir, names[i]);
        NEED(os_read_all(fuzz_where, FUZZ_MAX, &corpus[i].data, &corpus[i].bytes));
        fuzz_one(&corpus[i]);
        CASE(true, "%s", names[i]);
    }
    int64_t from = fuzz_env("FUZZ_FROM", 0), runs = fuzz_env("FUZZ_RUNS", 5000);
    for (int64_t i = from; i < from + runs; i++) {
        uint64_t state = (uint64_t)i;
        const struct fuzz_input *first = &corpus[fuzz_below(&state, count)];
        memcpy(now.data, first->data, (size_t)first->bytes);
        now.bytes = first->bytes;
        for (int64_t k = 1 + fuzz_below(&state, 4); k > 0; k--) fuzz_mutate(&now, &corpus[fuzz_below(&state, count)], &state);
        (void)snprintf(fuzz_where, sizeof fuzz_where, "mutation %lld (again: FUZZ_FROM=%lld FUZZ_RUNS=1 %s)", (long long)i, (long long)i, argv[0]);
        fuzz_one(&now);
    }
    CASE(true, "%lld mutations", (long long)runs);
    for (int64_t i = 0; i < count; i++) free(corpus[i].data);
    free(corpus);
    free(now.data);
    os_free_list(names, count);
    return test_end();
}

#endif
#endif
