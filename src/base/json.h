/* JSON as other programs write it. Python's json writes whole numbers of any size, NaN, Infinity and halves of surrogate
 * pairs, of which jansson holds none and refuses the whole text. Here such a value becomes a mark: a value of a kind that no
 * reader asks for. So it stops nothing under a key that nobody reads, and under one that is read it is refused as any wrong
 * value is, by the key's name, and shown as it was written. All else that is no JSON is refused. Local. */
#ifndef MOP_BASE_JSON_H
#define MOP_BASE_JSON_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* JSON_NULS: a string may hold the character U+0000, and its reader knows that it may; else such a string is marked.
 * JSON_REPLACE: half of a surrogate pair becomes U+FFFD. In keys both become U+FFFD in any case. */
enum { JSON_NULS = 1, JSON_REPLACE = 2 };

/* An object, an array or any other value, a byte-order mark before it or none; no key twice in an object. NULL: *why says what is wrong and
 * where in `text`, in characters that can be printed. Valid text costs what jansson costs. New: json_decref. */
json_t *json_read(const char *text, int64_t bytes, unsigned how, json_error_t *why);

/* What stood there instead of a mark, "1e999" for one; NULL for every other value. Borrowed. */
const char *json_mark(const json_t *value);
/* As json_dumps, marks as they stood. New: free. NULL: no memory. */
char *json_write(const json_t *value, size_t flags);
/* The same in one line of ASCII, cut to fit into `room` bytes (at least 8): safe to print whatever the value holds. Returns buf. */
const char *json_show(const json_t *value, char *buf, size_t room);

#endif
