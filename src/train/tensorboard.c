#include "train/tensorboard.h"

#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A file is a sequence of records: length (8 bytes), masked CRC of these, the event, masked CRC of the event; little-endian. */
enum { HEAD = 12, TAIL = 4, RECORD_MAX = 1024 };

/* Protocol Buffers: a field is its number and the kind of its value in one varint, then the value. */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION_LOG = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2, SESSION_STATUS = 1, STATUS_START = 1 };

static const char prefix[] = "events.out.tfevents.", suffix[] = ".mop";

uint32_t crc32c(const void *data, int64_t bytes) {
    /* of the sixteen half-bytes, the polynomial 0x1EDC6F41 bit-reversed */
    static const uint32_t half[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                      0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    const unsigned char *p = data;
    uint32_t crc = 0xffffffff;
    for (int64_t i = 0; i < bytes; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ half[crc & 15];
        crc = crc >> 4 ^ half[crc & 15];
    }
    return ~crc;
}

static uint32_t masked(const void *data, int64_t bytes) {
    const uint32_t crc = crc32c(data, bytes);
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

/* ---- writing ---- */

/* Bytes on their way. What does not fit is counted and not written, and is found at the end. */
struct out {
    unsigned char b[RECORD_MAX];
    int64_t n;
};

static void put(struct out *o, const void *data, int64_t bytes) {
    if (o->n + bytes <= RECORD_MAX) memcpy(o->b + o->n, data, (size_t)bytes);
    o->n += bytes;
}

static void put_fixed(struct out *o, uint64_t x, int bytes) {
    unsigned char b[8];
    for (int i = 0; i < bytes; i++) b[i] = (unsigned char)(x >> 8 * i);
    put(o, b, bytes);
}

static void put_varint(struct out *o, uint64_t x) {
    for (; x >= 0x80; x >>= 7) put(o, &(unsigned char){(unsigned char)(x | 0x80)}, 1);
    put(o, &(unsigned char){(unsigned char)x}, 1);
}

static void put_key(struct out *o, int field, int kind) { put_varint(o, (uint64_t)field << 3 | (unsigned)kind); }

static void put_bytes(struct out *o, int field, const void *data, int64_t bytes) {
    put_key(o, field, BYTES);
    put_varint(o, (uint64_t)bytes);
    put(o, data, bytes);
}

static void put_event_begin(struct out *o, int64_t step) {
    struct timespec now;
    uint64_t bits;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const double seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    memcpy(&bits, &seconds, sizeof bits);
    put_key(o, EVENT_WALL_TIME, FIXED64);
    put_fixed(o, bits, 8);
    put_key(o, EVENT_STEP, VARINT);
    put_varint(o, (uint64_t)step);
}

static void put_scalar(struct out *summary, const char *tag, double x) {
    struct out value = {.n = 0};
    put_bytes(&value, VALUE_TAG, tag, (int64_t)strlen(tag));
    put_key(&value, VALUE_SIMPLE, FIXED32);
    put_fixed(&value, bits_of_f32((float)x), 4);
    put_bytes(summary, SUMMARY_VALUE, value.b, value.n);
}

static void put_record(struct out *file, const struct out *event) {
    struct out head = {.n = 0};
    put_fixed(&head, (uint64_t)event->n, 8);
    put_fixed(&head, masked(head.b, 8), 4);
    put(file, head.b, HEAD);
    put(file, event->b, i64_min(event->n, RECORD_MAX));
    put_fixed(file, masked(event->b, i64_min(event->n, RECORD_MAX)), TAIL);
}

static err_t append(struct tensorboard *t, const struct out *file) {
    ENSURE(file->n <= RECORD_MAX);
    return os_append(t->fd, t->path, file->b, file->n);
}

/* ---- what an earlier run left ---- */

static uint64_t get_fixed(const unsigned char *p, int bytes) {
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++) x |= (uint64_t)p[i] << 8 * i;
    return x;
}

static bool get_varint(const unsigned char **p, const unsigned char *end, uint64_t *x) {
    *x = 0;
    for (int shift = 0; shift < 64 && *p < end; shift += 7) {
        const unsigned char b = *(*p)++;
        *x |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) return true;
    }
    return false;
}

/* Length of the record at p, or 0 where it is torn or damaged: readers do not pass it either. */
static int64_t record_length(const unsigned char *p, int64_t left) {
    if (left < HEAD + TAIL || get_fixed(p + 8, 4) != masked(p, 8)) return 0;
    const uint64_t event = get_fixed(p, 8);
    if (event > (uint64_t)(left - HEAD - TAIL)) return 0;
    return get_fixed(p + HEAD + event, TAIL) == masked(p + HEAD, (int64_t)event) ? HEAD + (int64_t)event + TAIL : 0;
}

/* The step of an event, and whether it has scalars. False for what is no event. */
static bool event_read(const unsigned char *p, int64_t bytes, int64_t *step, bool *scalars) {
    const unsigned char *end = p + bytes;
    uint64_t key, x;
    *step = 0;
    *scalars = false;
    while (p < end) {
        if (!get_varint(&p, end, &key)) return false;
        const int kind = (int)(key & 7);
        int64_t skip = kind == FIXED64 ? 8 : kind == FIXED32 ? 4 : 0;
        if (kind != VARINT && kind != BYTES && !skip) return false;
        if ((kind == VARINT || kind == BYTES) && !get_varint(&p, end, &x)) return false;
        if (kind == VARINT && key >> 3 == EVENT_STEP) *step = (int64_t)x;
        if (kind == BYTES && key >> 3 == EVENT_SUMMARY) *scalars = true;
        if (kind == BYTES) skip = x > INT64_MAX ? INT64_MAX : (int64_t)x;
        if (skip > end - p) return false;
        p += skip;
    }
    return true;
}

/* Keep the records up to the first of a step after `step`; *steps are kept. In place: a reader that is further on in the file finds its
 * end there and goes on to the next, and at no time is there less than what is kept. */
static err_t cut(const char *path, int64_t step, int64_t *steps) {
    char *text;
    int64_t bytes, at = 0;
    *steps = 0;
    TRY(os_read_all(path, INT64_MAX - 1, &text, &bytes));
    while (at < bytes) {
        const unsigned char *p = (const unsigned char *)text + at;
        const int64_t length = record_length(p, bytes - at);
        int64_t s;
        bool scalars;
        if (!length || !event_read(p + HEAD, length - HEAD - TAIL, &s, &scalars) || (scalars && s > step)) break;
        at += length;
        *steps += scalars;
    }
    free(text);
    return at < bytes ? os_truncate(path, at) : OK;
}

static bool is_ours(const char *name) {
    const size_t n = strlen(name), m = sizeof suffix - 1;
    return strncmp(name, prefix, sizeof prefix - 1) == 0 && n > m && strcmp(name + n - m, suffix) == 0;
}

/* Every event file of ours in `out`, up to `step`. *second: the latest in the names, of any program. A file that keeps no step goes, but
 * for the newest: a reader that is at the end of it has nowhere to go on from once it is gone. */
static err_t cut_all(const char *out, int64_t step, int64_t *second) {
    char **names, path[OS_PATH_MAX];
    int64_t count, steps;
    bool newest = true;
    err_t err = OK;
    TRY(os_list(out, &names, &count));
    for (int64_t i = count - 1; i >= 0 && err == OK; i--) {
        if (strncmp(names[i], prefix, sizeof prefix - 1) != 0) continue;
        const int64_t s = strtoll(names[i] + sizeof prefix - 1, NULL, 10);
        if (s < 9999999999) *second = i64_max(*second, s); /* ten digits: the names sort as the numbers */
        if (!is_ours(names[i])) continue;
        err = os_join(path, out, names[i]);
        if (err == OK) err = cut(path, step, &steps);
        if (err == OK && !steps && !newest) err = os_remove_tree(path);
        newest = false;
    }
    os_free_list(names, count);
    return err;
}

/* Readers take the files of a folder in the order of their names: the new one must come last, whatever the clock says. */
static err_t name_file(struct tensorboard *t, const char *out, int64_t newest) {
    char host[65] = "host", name[160];
    if (gethostname(host, sizeof host - 1) != 0) (void)snprintf(host, sizeof host, "host");
    host[sizeof host - 1] = 0;
    for (char *c = host; *c; c++)
        if (*c == '/' || *c < '!' || *c > '~') *c = '-';
    (void)snprintf(name, sizeof name, "%s%010lld.%s.%lld%s", prefix, (long long)i64_max((int64_t)time(NULL), newest + 1), host, (long long)getpid(),
                   suffix);
    return os_join(t->path, out, name);
}

err_t tensorboard_open(struct tensorboard *t, const char *out, int64_t step) {
    int64_t newest = 0;
    TRY(cut_all(out, step, &newest));
    TRY(name_file(t, out, newest));
    TRY(os_append_open(t->path, &t->fd));
    static const char version[] = "brain.Event:2";
    struct out file = {.n = 0}, event = {.n = 0}, start = {.n = 0};
    put_event_begin(&event, 0);
    put_bytes(&event, EVENT_FILE_VERSION, version, sizeof version - 1);
    put_record(&file, &event);
    /* a reader that is open since before the resume drops what it has from this step on */
    event.n = 0;
    put_event_begin(&event, step + 1);
    put_key(&start, SESSION_STATUS, VARINT);
    put_varint(&start, STATUS_START);
    put_bytes(&event, EVENT_SESSION_LOG, start.b, start.n);
    put_record(&file, &event);
    return append(t, &file);
}

void tensorboard_close(struct tensorboard *t) {
    os_close(t->fd);
    t->fd = -1;
}

err_t tensorboard_step(struct tensorboard *t, const struct step_line *s) {
    struct out file = {.n = 0}, event = {.n = 0}, summary = {.n = 0};
    put_scalar(&summary, "train/loss", s->out.loss);
    put_scalar(&summary, "train/lr", s->lr);
    put_scalar(&summary, "train/grad_norm", s->out.grad_norm);
    put_scalar(&summary, "train/tokens_per_s", s->tokens_per_s);
    if (s->validated) put_scalar(&summary, "val/loss", s->valid_loss);
    if (s->load.layers) {
        put_scalar(&summary, "experts/balance", s->load.balance);
        put_scalar(&summary, "experts/max_over_mean", s->load.max_over_mean);
        put_scalar(&summary, "experts/dead", (double)s->load.dead);
    }
    put_scalar(&summary, "memory/gib", (double)s->rss_bytes / 1073741824.0);
    put_event_begin(&event, s->step);
    put_bytes(&event, EVENT_SUMMARY, summary.b, summary.n);
    put_record(&file, &event);
    return append(t, &file);
}
