/* Bytes as they come: from a file, a pipe or standard input, unpacked where they are a gzip file or a Zstandard frame, several of
 * them in a row included. What is held does not grow with the input. */
#include "base/num.h"
#include "base/os.h"
#include "data/data_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

enum { RAW = 1 << 17 };
enum packing { PLAIN, GZIP, ZSTD };

struct stream {
    char *name; /* for messages */
    int fd;
    enum packing packing;
    unsigned char *raw; /* [RAW] read and not used: [at, end) */
    int64_t at, end, read;
    bool over;   /* nothing more to read */
    bool inside; /* of a gzip member or Zstandard frame */
    z_stream gz;
    bool gz_open;
    ZSTD_DStream *zstd;
    XXH3_state_t *sum; /* of what was read */
    char *peek;        /* [STREAM_PEEK] unpacked and not given out: [peek_at, peek_end) */
    int64_t peek_at, peek_end;
    bool peeked;
};

static const unsigned char GZIP_MAGIC[2] = {0x1f, 0x8b}, ZSTD_MAGIC[4] = {0x28, 0xb5, 0x2f, 0xfd};

static err_t broken(const struct stream *s, const char *why) {
    return FAIL(ERR_FORMAT, "%s is damaged: %s in its packed byte %lld; copy it again or pack it anew", s->name, why,
                (long long)(s->read - (s->end - s->at)));
}

/* Read behind what is left. */
static err_t fill(struct stream *s) {
    if (s->at > 0) {
        memmove(s->raw, s->raw + s->at, (size_t)(s->end - s->at));
        s->end -= s->at;
        s->at = 0;
    }
    int64_t n;
    TRY(os_stream_read(s->fd, s->name, s->raw + s->end, RAW - s->end, &n));
    if (n) (void)XXH3_64bits_update(s->sum, s->raw + s->end, (size_t)n);
    s->end += n;
    s->read += n;
    s->over = n == 0;
    return OK;
}

static bool begins(const struct stream *s, const unsigned char *magic, int64_t n) {
    return s->end - s->at >= n && memcmp(s->raw + s->at, magic, (size_t)n) == 0;
}

/* ---- unpacking: at least one byte into `to`, or *got 0 at the end ---- */

static err_t copy(struct stream *s, char *to, int64_t room, int64_t *got) {
    if (s->at == s->end && !s->over) TRY(fill(s));
    *got = i64_min(room, s->end - s->at);
    memcpy(to, s->raw + s->at, (size_t)*got);
    s->at += *got;
    return OK;
}

/* Behind a member: another one, nothing, or the zeros that tapes end with. */
static err_t gzip_next(struct stream *s, bool *more) {
    while (s->end - s->at < 2 && !s->over) TRY(fill(s));
    *more = begins(s, GZIP_MAGIC, 2);
    if (*more) {
        if (inflateReset(&s->gz) != Z_OK) return broken(s, "a member that cannot be begun");
        s->inside = true;
        return OK;
    }
    while (s->at < s->end || !s->over) {
        for (; s->at < s->end; s->at++)
            if (s->raw[s->at]) return broken(s, "bytes that are no gzip");
        if (!s->over) TRY(fill(s));
    }
    return OK;
}

static err_t gunzip(struct stream *s, char *to, int64_t room, int64_t *got) {
    *got = 0;
    while (*got == 0) {
        bool more = true;
        if (!s->inside) TRY(gzip_next(s, &more));
        if (!more) return OK;
        if (s->at == s->end && !s->over) TRY(fill(s));
        s->gz.next_in = s->raw + s->at;
        s->gz.avail_in = (uInt)(s->end - s->at);
        s->gz.next_out = (unsigned char *)to;
        s->gz.avail_out = (uInt)i64_min(room, 1 << 30);
        const uInt had = s->gz.avail_out;
        const int rc = inflate(&s->gz, Z_NO_FLUSH);
        *got = had - s->gz.avail_out;
        s->at = s->end - s->gz.avail_in;
        if (rc == Z_MEM_ERROR) return FAIL(ERR_NOMEM, "out of memory for unpacking %s", s->name);
        if (rc == Z_STREAM_END) s->inside = false;
        else if (rc != Z_OK && rc != Z_BUF_ERROR) return broken(s, s->gz.msg ? s->gz.msg : "data that is no gzip");
        else if (*got == 0 && s->over && s->at == s->end) return broken(s, "its end too early");
    }
    return OK;
}

static err_t unzstd(struct stream *s, char *to, int64_t room, int64_t *got) {
    ZSTD_outBuffer out = {to, (size_t)room, 0};
    while (out.pos == 0) {
        if (s->at == s->end && !s->over) TRY(fill(s));
        if (s->at == s->end && !s->inside) break;
        ZSTD_inBuffer in = {s->raw + s->at, (size_t)(s->end - s->at), 0};
        const size_t rc = ZSTD_decompressStream(s->zstd, &out, &in);
        s->at += (int64_t)in.pos;
        if (ZSTD_isError(rc)) return broken(s, ZSTD_getErrorName(rc));
        s->inside = rc != 0;
        if (s->over && s->at == s->end && s->inside && out.pos == 0) return broken(s, "its end too early");
    }
    *got = (int64_t)out.pos;
    return OK;
}

static err_t unpack(struct stream *s, char *to, int64_t room, int64_t *got) {
    return s->packing == GZIP ? gunzip(s, to, room, got) : s->packing == ZSTD ? unzstd(s, to, room, got) : copy(s, to, room, got);
}

/* ---- the interface ---- */

/* What the first bytes are goes before what the name says; a name that promises a packed file must keep it. */
static err_t begin(struct stream *s, const char *path) {
    while (s->end < 4 && !s->over) TRY(fill(s));
    if (begins(s, GZIP_MAGIC, 2)) {
        s->packing = GZIP;
        if (inflateInit2(&s->gz, 15 + 16) != Z_OK) return FAIL(ERR_NOMEM, "out of memory for unpacking %s", s->name);
        s->gz_open = s->inside = true;
        return OK;
    }
    if (begins(s, ZSTD_MAGIC, 4)) {
        s->packing = ZSTD;
        s->zstd = ZSTD_createDStream();
        return s->zstd ? OK : FAIL(ERR_NOMEM, "out of memory for unpacking %s", s->name);
    }
    const char *packed = file_packing(path);
    if (packed) return FAIL(ERR_FORMAT, "%s does not begin as a %s file does; copy it again, or name it after what it is", s->name, packed);
    return OK;
}

err_t stream_open(const char *path, struct stream **out) {
    struct stream *s = calloc(1, sizeof *s);
    if (!s) return FAIL(ERR_NOMEM, "out of memory while opening %s", path);
    s->name = strdup(file_name(path));
    s->fd = -1;
    s->raw = malloc(RAW);
    s->peek = malloc(STREAM_PEEK);
    s->sum = XXH3_createState();
    err_t err =
        s->name && s->raw && s->peek && s->sum && XXH3_64bits_reset(s->sum) == XXH_OK ? OK : FAIL(ERR_NOMEM, "out of memory while opening %s", path);
    int64_t bytes;
    if (err == OK) err = os_stream_open(path, &s->fd, &bytes);
    if (err == OK) err = begin(s, path);
    if (err != OK) {
        stream_close(s);
        return err_frame(err, __func__);
    }
    *out = s;
    return OK;
}

void stream_close(struct stream *s) {
    if (!s) return;
    os_close(s->fd);
    if (s->gz_open) (void)inflateEnd(&s->gz);
    (void)ZSTD_freeDStream(s->zstd);
    if (s->sum) (void)XXH3_freeState(s->sum);
    free(s->name);
    free(s->raw);
    free(s->peek);
    free(s);
}

err_t stream_peek(struct stream *s, const char **text, int64_t *bytes) {
    while (!s->peeked && s->peek_end < STREAM_PEEK) {
        int64_t n = 0;
        TRY(unpack(s, s->peek + s->peek_end, STREAM_PEEK - s->peek_end, &n));
        if (n == 0) break;
        s->peek_end += n;
    }
    s->peeked = true;
    *text = s->peek;
    *bytes = s->peek_end;
    return OK;
}

err_t stream_read(struct stream *s, char *to, int64_t room, int64_t *got) {
    *got = i64_min(room, s->peek_end - s->peek_at);
    if (*got == 0) return room > 0 ? unpack(s, to, room, got) : OK;
    memcpy(to, s->peek + s->peek_at, (size_t)*got);
    s->peek_at += *got;
    return OK;
}

err_t stream_skip(struct stream *s) {
    while (!s->over) {
        s->at = s->end;
        TRY(fill(s));
    }
    return OK;
}

bool stream_packed(const struct stream *s) { return s->packing != PLAIN; }
int64_t stream_bytes_read(const struct stream *s) { return s->read; }
uint64_t stream_sum(const struct stream *s) { return XXH3_64bits_digest(s->sum); }
