/* The test harness: a case is one checked fact. A test program ends with `return test_end();`, which
 * prints "N passed, N failed, N skipped" as its last line. */
#ifndef MOP_TESTS_TEST_H
#define MOP_TESTS_TEST_H

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_passed, test_failed, test_skipped;

__attribute__((format(printf, 4, 5), unused)) static bool test_case(bool ok, const char *file, int line, const char *fmt, ...) {
    if (ok) {
        test_passed++;
        return true;
    }
    test_failed++;
    va_list ap;
    va_start(ap, fmt);
    (void)printf("FAILED %s:%d: ", file, line);
    (void)vprintf(fmt, ap);
    (void)printf("\n");
    va_end(ap);
    (void)fflush(stdout);
    return false;
}

__attribute__((unused)) static void test_skip(const char *why) {
    test_skipped++;
    (void)printf("SKIP %s\n", why);
}

__attribute__((unused)) static int test_end(void) {
    (void)printf("%d passed, %d failed, %d skipped\n", test_passed, test_failed, test_skipped);
    return test_failed != 0;
}

/* CASE(a == b, "sum of %d numbers", n) */
#define CASE(ok, ...) test_case((ok), __FILE__, __LINE__, __VA_ARGS__)
/* The call succeeds. */
#define CASE_OK(e)                                                               \
    do {                                                                         \
        err_t case_ = (e);                                                       \
        test_case(case_ == OK, __FILE__, __LINE__, "%s: %s", #e, err_message()); \
    } while (0)
/* The call fails with `code` and a message that contains `part`. */
#define CASE_ERR(e, code, part)                                                                                                                  \
    do {                                                                                                                                         \
        err_clear();                                                                                                                             \
        err_t case_ = (e);                                                                                                                       \
        test_case(case_ == (code) && strstr(err_message(), (part)), __FILE__, __LINE__, "%s gave %d \"%s\", not %d with \"%s\"", #e, (int)case_, \
                  err_message(), (int)(code), (part));                                                                                           \
    } while (0)
/* As CASE_OK, and end the program where it fails (what follows needs it). */
#define NEED(e)                                                                                         \
    do {                                                                                                \
        err_t need_ = (e);                                                                              \
        if (!test_case(need_ == OK, __FILE__, __LINE__, "%s: %s", #e, err_message())) exit(test_end()); \
    } while (0)

/* A folder of this test program's own, made empty, under $TMPDIR or /tmp; removed by the caller or left for a look. */
__attribute__((unused)) static const char *test_dir(void) {
    static char dir[256];
    if (!dir[0]) {
        const char *t = getenv("TMPDIR");
        (void)snprintf(dir, sizeof dir, "%s/mop-test-XXXXXX", t && *t ? t : "/tmp");
        if (!mkdtemp(dir)) exit(2);
    }
    return dir;
}

#endif
