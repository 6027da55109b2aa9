/* Unicode's normalization forms. Hugging Face's tokenizers know those of Unicode 9, utf8proc 2.8 those of 15: what came later stays where it
 * is, as measured over all code points. */
#include "data/tokenizer_int.h"

#include <utf8proc.h>

#include <stdlib.h>
#include <string.h>

struct range {
    int32_t first, last;
};

/* Characters with a combining class or a decomposition that Unicode 9 did not have: they stand still. */
static const struct range unknown[] = {
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},     {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},
    {0x1715, 0x1715},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},   {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10efd, 0x10eff},
    {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11930, 0x11930},
    {0x11935, 0x11935}, {0x11938, 0x11938}, {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47},
    {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f},
    {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
};

/* With a compatibility decomposition that Unicode 9 did not have. */
static const struct range unknown_compat[] = {
    {0x32ff, 0x32ff},   {0xa7f2, 0xa7f4},   {0xab69, 0xab69},   {0x10781, 0x10785}, {0x10787, 0x107b0},
    {0x107b2, 0x107ba}, {0x1e030, 0x1e06d}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9},
};

enum { PARTS = 32 }; /* characters that one decomposes to; U+FDFA has 18 */

static bool among(const struct range *list, size_t count, int32_t c) {
    for (size_t i = 0; i < count; i++)
        if (c <= list[i].last) return c >= list[i].first;
    return false;
}

/* Neither composes with what is before it nor decomposes: the form of a text is the forms of its pieces cut before such characters. */
static bool starts_piece(const struct norm_step *how, int32_t c) {
    if (c < (how->compat ? 0xa0 : 0xc0)) return true;
    if (c < 0x7fd) return false;
    if ((c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff)) return true;
    if (among(unknown, sizeof unknown / sizeof *unknown, c)) return true;
    return how->compat && among(unknown_compat, sizeof unknown_compat / sizeof *unknown_compat, c);
}

static int by_class(const void *a, const void *b) {
    const struct form_char *x = a, *y = b;
    if (x->ccc != y->ccc) return x->ccc < y->ccc ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* One piece: decompose, order the marks between starters by their class (utf8proc's own ordering is quadratic in their number), compose. */
static err_t form_piece(struct form *f, const struct norm_step *how, const char *p, int64_t bytes, struct tok_buffer *to) {
    const int options = UTF8PROC_STABLE | UTF8PROC_COMPOSE | (how->compat ? UTF8PROC_COMPAT : 0);
    f->count = 0;
    for (int64_t i = 0; i < bytes;) {
        int len;
        const int32_t c = unicode_get(p + i, bytes - i, &len);
        const bool still = starts_piece(how, c);
        TRY(tok_grow((void **)&f->chars, &f->chars_room, f->count + PARTS, sizeof *f->chars));
        utf8proc_int32_t parts[PARTS];
        int bound = 0;
        utf8proc_ssize_t k = still ? 0 : utf8proc_decompose_char(c, parts, PARTS, options, &bound);
        ENSURE(k >= 0 && k <= PARTS);
        if (k == 0) parts[k++] = c;
        for (utf8proc_ssize_t j = 0; j < k; j++) {
            const int ccc = still ? 0 : (int)utf8proc_get_property(parts[j])->combining_class;
            f->chars[f->count] = (struct form_char){.c = parts[j], .ccc = ccc, .at = f->count};
            f->count++;
        }
        i += len;
    }
    TRY(tok_grow((void **)&f->flat, &f->flat_room, f->count, sizeof *f->flat));
    for (int64_t i = 0; i < f->count;) {
        int64_t end = i + 1;
        bool ordered = true;
        if (f->chars[i].ccc)
            for (; end < f->count && f->chars[end].ccc; end++) ordered = ordered && f->chars[end - 1].ccc <= f->chars[end].ccc;
        if (!ordered) qsort(f->chars + i, (size_t)(end - i), sizeof *f->chars, by_class);
        for (; i < end; i++) f->flat[i] = f->chars[i].c;
    }
    int64_t k = f->count;
    if (how->compose) k = utf8proc_normalize_utf32(f->flat, (utf8proc_ssize_t)f->count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    ENSURE(k >= 0);
    TRY(tok_grow((void **)&to->text, &to->room, to->bytes + 4 * k, 1));
    for (int64_t i = 0; i < k; i++) to->bytes += unicode_put(f->flat[i], to->text + to->bytes);
    return OK;
}

bool form_is_plain(const struct norm_step *how, const char *text, int64_t bytes) {
    const unsigned char below = how->compat ? 0xc2 : how->compose ? 0xcc : 0xc3; /* lead bytes of U+00A0, U+0300, U+00C0 */
    int64_t i = 0;
    while (i < bytes && (unsigned char)text[i] < below) i++;
    return i == bytes;
}

static err_t form_bytes(struct form *f, const struct norm_step *how, const char *text, int64_t bytes, struct tok_buffer *to) {
    for (int64_t i = 0; i < bytes;) {
        int len, next;
        const int32_t c = unicode_get(text + i, bytes - i, &len);
        int64_t end = i + len;
        for (; end < bytes && !starts_piece(how, unicode_get(text + end, bytes - end, &next)); end += next) continue;
        if (end == i + len && starts_piece(how, c)) TRY(tok_buffer_add(to, text + i, len));
        else TRY(form_piece(f, how, text + i, end - i, to));
        i = end;
    }
    return OK;
}

static int64_t characters(const char *text, int64_t bytes) {
    int64_t n = 0;
    for (int64_t i = 0; i < bytes; i++) n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

err_t form_text(struct form *f, const struct norm_step *how, struct tok_piece in, struct tok_buffer *to, int64_t *origin) {
    const int64_t start = to->bytes;
    int64_t first = 0; /* characters that the first one becomes; what is behind it may change the last of them, not their number */
    if (in.origin) {
        TRY(form_bytes(f, how, in.text, in.origin, to));
        first = characters(to->text + start, to->bytes - start);
        to->bytes = start;
    }
    TRY(form_bytes(f, how, in.text, in.bytes, to));
    int64_t at = start;
    for (; first > 0 && at < to->bytes; first--) do
            at++;
        while (at < to->bytes && ((unsigned char)to->text[at] & 0xc0) == 0x80);
    *origin = at - start;
    return OK;
}
