/* Errors: a fallible function returns err_t; the one who decides that it is an error writes the
 * message, once, in three parts: what happened; the numbers, path and rank; what to change.
 * Callers pass it on with TRY, which adds a frame. Nothing below cli exits, aborts or asserts. */
#ifndef MOP_BASE_ERR_H
#define MOP_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    OK = 0,
    ERR_FAILED,  /* something that should hold does not */
    ERR_USAGE,   /* the command line, a run file or an option is wrong: exit code 2 */
    ERR_NOMEM,   /* memory, or room in an arena */
    ERR_IO,      /* the operating system refused: open, read, write, fsync, rename, full disk */
    ERR_FORMAT,  /* a file is not what it must be */
    ERR_STOPPED, /* asked to stop (SIGTERM, Ctrl-C) */
    ERR_BUG      /* an invariant of this program does not hold */
} err_t;

#define MUST __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Record code and message for this thread and return code. A message already there is replaced.
 * Messages end without a newline or full stop. */
err_t err_set(err_t code, const char *func, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Put "prefix: " before this thread's message (a file's path, say) and return code. */
err_t err_prefix(err_t code, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Add a frame to this thread's trail; returns code. */
err_t err_frame(err_t code, const char *func);

const char *err_message(void); /* "" where there is none; lives until the next err_set of the thread */
const char *err_trail(void);   /* "inner < outer < ..." */
void err_clear(void);

/* Copy message and trail of another thread into this one's: how a pool or a rank hands its error up. */
err_t err_adopt(err_t code, const char *message);

/* FAIL(ERR_IO, "cannot open %s: %s; check the path", path, why). Its value is written out as `code`, so that an analyzer
 * that reads one file at a time sees that it is not OK. */
#define FAIL(code, ...) ((void)err_set((code), __func__, __VA_ARGS__), (code))

#define TRY(e)                                                        \
    do {                                                              \
        err_t try_ = (e);                                             \
        if (try_ != OK) return (void)err_frame(try_, __func__), try_; \
    } while (0)

/* As TRY, but sets `err` (an err_t in scope) and jumps to the clean-up at `label`. */
#define TRY_OR(e, label)                    \
    do {                                    \
        err = (e);                          \
        if (err != OK) {                    \
            err = err_frame(err, __func__); \
            goto label;                     \
        }                                   \
    } while (0)

/* An invariant of the program: states what does not hold as ERR_BUG instead of aborting. */
#define ENSURE(cond)                                                                           \
    do {                                                                                       \
        if (!(cond))                                                                           \
            return err_set(ERR_BUG, __func__,                                                  \
                           "internal: `%s` does not hold at %s:%d; please report it with the " \
                           "command line that led here",                                       \
                           #cond, __FILE__, __LINE__);                                         \
    } while (0)

#endif
