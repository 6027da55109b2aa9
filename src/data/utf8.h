/* UTF-8 as Unicode's table 3-7 has it: no overlong forms, no surrogates, nothing above U+10FFFF. What is invalid is cut
 * into maximal subparts (Unicode 3.9, D93b), one U+FFFD each, which is what Python's errors="replace" and Rust's
 * from_utf8_lossy do. NUL bytes are ordinary. Local. */
#ifndef MOP_DATA_UTF8_H
#define MOP_DATA_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of the character at p (1 to 4), or minus the bytes of the invalid maximal subpart there (-1 to -3). bytes > 0. */
int utf8_step(const char *p, int64_t bytes);

/* Length of the longest valid prefix: `bytes` if all of it is valid. */
int64_t utf8_valid(const char *text, int64_t bytes);

/* Bytes of the text once every invalid subpart is U+FFFD; never fewer than `bytes`. */
int64_t utf8_replaced_bytes(const char *text, int64_t bytes);

/* Replace in place: the text is the last `bytes` of the `room` bytes at `buf`, room = utf8_replaced_bytes of it; the
 * result fills buf[0, room). No piece gets shorter, so what is written never overtakes what is still to be read. */
void utf8_replace(char *buf, int64_t room, int64_t bytes);

#endif
