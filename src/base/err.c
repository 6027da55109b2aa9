#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One message and one trail per thread: ranks are threads, and each has its own error.
 * tools/globals.sh names this file as one of the few that may keep state. */
static _Thread_local char message[4096];
static _Thread_local char trail[1024];

err_t err_set(err_t code, const char *func, const char *fmt, ...) {
    char text[sizeof message]; /* an argument may be the old message itself */
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(message, text, sizeof message);
    (void)snprintf(trail, sizeof trail, "%s", func);
    return code;
}

err_t err_prefix(err_t code, const char *fmt, ...) {
    char prefix[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    size_t p = strlen(prefix), m = strlen(message);
    if (p + 2 + m + 1 > sizeof message) m = sizeof message - p - 3;
    memmove(message + p + 2, message, m);
    message[p + 2 + m] = 0;
    memcpy(message, prefix, p);
    memcpy(message + p, ": ", 2);
    return code;
}

err_t err_frame(err_t code, const char *func) {
    size_t n = strlen(trail);
    if (n + strlen(func) + 4 < sizeof trail) (void)snprintf(trail + n, sizeof trail - n, " < %s", func);
    return code;
}

const char *err_message(void) { return message; }
const char *err_trail(void) { return trail; }

void err_clear(void) { message[0] = trail[0] = 0; }

err_t err_adopt(err_t code, const char *text) {
    (void)snprintf(message, sizeof message, "%s", text);
    trail[0] = 0;
    return code;
}
