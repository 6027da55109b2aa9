#include "data/utf8.h"

#include <string.h>

static const char REPLACEMENT[] = {(char)0xef, (char)0xbf, (char)0xbd}; /* U+FFFD */

int utf8_step(const char *p, int64_t bytes) {
    const unsigned char *s = (const unsigned char *)p;
    unsigned lead = s[0];
    if (lead < 0x80) return 1;
    int need;
    unsigned lo = 0x80, hi = 0xbf; /* of the second byte: excludes overlong forms, surrogates and what is above U+10FFFF */
    if (lead >= 0xc2 && lead <= 0xdf) {
        need = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        need = 3;
        if (lead == 0xe0) lo = 0xa0;
        if (lead == 0xed) hi = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        need = 4;
        if (lead == 0xf0) lo = 0x90;
        if (lead == 0xf4) hi = 0x8f;
    } else {
        return -1;
    }
    for (int i = 1; i < need; i++) {
        if (i >= bytes || s[i] < lo || s[i] > hi) return -i;
        lo = 0x80;
        hi = 0xbf;
    }
    return need;
}

int64_t utf8_valid(const char *text, int64_t bytes) {
    int64_t i = 0;
    while (i < bytes) {
        uint64_t eight;
        if (i + 8 <= bytes) {
            memcpy(&eight, text + i, 8);
            if (!(eight & 0x8080808080808080u)) {
                i += 8;
                continue;
            }
        }
        int n = utf8_step(text + i, bytes - i);
        if (n < 0) return i;
        i += n;
    }
    return bytes;
}

int64_t utf8_replaced_bytes(const char *text, int64_t bytes) {
    int64_t out = 0;
    for (int64_t i = 0; i < bytes;) {
        int64_t good = utf8_valid(text + i, bytes - i);
        out += good;
        i += good;
        if (i == bytes) break;
        out += (int64_t)sizeof REPLACEMENT;
        i -= utf8_step(text + i, bytes - i);
    }
    return out;
}

void utf8_replace(char *buf, int64_t room, int64_t bytes) {
    char *to = buf;
    const char *from = buf + (room - bytes), *end = buf + room;
    while (from < end) {
        int64_t good = utf8_valid(from, end - from);
        memmove(to, from, (size_t)good);
        to += good;
        from += good;
        if (from == end) break;
        from -= utf8_step(from, end - from);
        memcpy(to, REPLACEMENT, sizeof REPLACEMENT);
        to += sizeof REPLACEMENT;
    }
}
