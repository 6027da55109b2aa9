/* Event files, read back by a parser of the test's own: framing, checksums, tags, steps and values; what a resume leaves of older files. */
#include "test.h"

#include "base/fault.h"
#include "train/tensorboard.h"

#include <math.h>
#include <unistd.h>

enum { EVENTS = 64, VALUES = 16 };
struct value {
    char tag[32];
    float x;
};
struct tb_event {
    double wall;
    int64_t step;
    char version[32];
    int start, values; /* start: status of a session_log, -1 none */
    struct value value[VALUES];
};
struct events {
    struct tb_event e[EVENTS];
    int n;
    bool whole; /* to the last byte */
};

/* bit by bit, by the polynomial */
static uint32_t crc_bits(const unsigned char *p, int64_t n) {
    uint32_t c = 0xffffffff;
    for (int64_t i = 0; i < 8 * n; i++) {
        const uint32_t bit = (c ^ (uint32_t)(p[i / 8] >> i % 8)) & 1;
        c = (c >> 1) ^ (bit ? 0x82f63b78 : 0);
    }
    return c ^ 0xffffffff;
}

static bool crc_good(const unsigned char *p, int64_t n, const unsigned char *stored) {
    const uint32_t c = crc_bits(p, n), m = ((c >> 15) | (c << 17)) + 0xa282ead8;
    return stored[0] == (m & 255) && stored[1] == (m >> 8 & 255) && stored[2] == (m >> 16 & 255) && stored[3] == m >> 24;
}

struct field {
    uint64_t number, kind, varint;
    const unsigned char *data;
    int64_t bytes;
};
static uint64_t varint(const unsigned char **p) {
    uint64_t x = 0;
    for (int s = 0;; s += 7) {
        x |= (uint64_t)(**p & 127) << s;
        if (*(*p)++ < 128) return x;
    }
}
static bool next_field(const unsigned char **p, const unsigned char *end, struct field *f) {
    if (*p >= end) return false;
    const uint64_t key = varint(p);
    *f = (struct field){.number = key >> 3, .kind = key & 7};
    if (f->kind == 0) f->varint = varint(p);
    f->bytes = f->kind == 1 ? 8 : f->kind == 5 ? 4 : f->kind == 2 ? (int64_t)varint(p) : 0;
    f->data = *p;
    *p += f->bytes;
    return *p <= end;
}

static void parse_value(const unsigned char *p, int64_t n, struct value *v) {
    struct field f;
    for (const unsigned char *at = p; next_field(&at, p + n, &f);) {
        if (f.number == 1 && f.kind == 2) (void)snprintf(v->tag, sizeof v->tag, "%.*s", (int)f.bytes, f.data);
        if (f.number == 2 && f.kind == 5) memcpy(&v->x, f.data, 4);
    }
}

static void parse_event(const unsigned char *p, int64_t n, struct tb_event *e) {
    struct field f, g;
    *e = (struct tb_event){.start = -1};
    for (const unsigned char *at = p; next_field(&at, p + n, &f);) {
        if (f.number == 1 && f.kind == 1) memcpy(&e->wall, f.data, 8);
        if (f.number == 2 && f.kind == 0) e->step = (int64_t)f.varint;
        if (f.number == 3 && f.kind == 2) (void)snprintf(e->version, sizeof e->version, "%.*s", (int)f.bytes, f.data);
        for (const unsigned char *in = f.data; (f.number == 5 || f.number == 7) && next_field(&in, f.data + f.bytes, &g);) {
            if (f.number == 5 && g.number == 1 && e->values < VALUES) parse_value(g.data, g.bytes, &e->value[e->values++]);
            if (f.number == 7 && g.number == 1) e->start = (int)g.varint;
        }
    }
}

static void parse(const char *path, struct events *out) {
    char *text;
    int64_t bytes, at = 0;
    *out = (struct events){.n = 0};
    NEED(os_read_all(path, 1 << 20, &text, &bytes));
    const unsigned char *p = (const unsigned char *)text;
    while (at + 16 <= bytes && out->n < EVENTS) {
        int64_t n;
        memcpy(&n, p + at, 8);
        if (!crc_good(p + at, 8, p + at + 8) || n > bytes - at - 16 || !crc_good(p + at + 12, n, p + at + 12 + n)) break;
        parse_event(p + at + 12, n, &out->e[out->n++]);
        at += n + 16;
    }
    out->whole = at == bytes;
    free(text);
}

static double find(const struct tb_event *e, const char *tag) {
    for (int i = 0; i < e->values; i++)
        if (strcmp(e->value[i].tag, tag) == 0) return e->value[i].x;
    return NAN;
}

static struct step_line line_of(int64_t step) {
    return (struct step_line){.step = step,
                              .out = {.loss = 5.0 / (double)step, .grad_norm = 1.5},
                              .lr = 1e-3,
                              .tokens_per_s = 1000 + (double)step,
                              .validated = step % 2 == 0,
                              .valid_loss = 6.0 / (double)step,
                              .load = {.layers = 2, .balance = 0.75, .max_over_mean = 1.25, .dead = 3},
                              .rss_bytes = INT64_C(3) << 29};
}

/* A run at `out` from after step `from` to `to`; its file's path. */
static const char *run(const char *out, int64_t from, int64_t to) {
    static struct tensorboard t;
    NEED(tensorboard_open(&t, out, from));
    for (int64_t s = from + 1; s <= to; s++) {
        const struct step_line l = line_of(s);
        NEED(tensorboard_step(&t, &l));
    }
    tensorboard_close(&t);
    return t.path;
}

static const char *folder(const char *name) {
    static char path[OS_PATH_MAX];
    NEED(os_join(path, test_dir(), name));
    NEED(os_mkdirs(path));
    return path;
}

/* The steps with scalars in all files of a folder in the order of their names, as "1 2 3 |4 ": a bar where another file begins. */
static const char *steps(const char *out) {
    static char text[512], path[OS_PATH_MAX];
    static struct events ev;
    char **names;
    int64_t count;
    int n = 0;
    text[0] = 0;
    NEED(os_list(out, &names, &count));
    for (int64_t i = 0; i < count; i++) {
        if (!strstr(names[i], ".mop")) continue;
        NEED(os_join(path, out, names[i]));
        parse(path, &ev);
        if (i) n += snprintf(text + n, sizeof text - (size_t)n, "|");
        for (int k = 0; k < ev.n; k++)
            if (ev.e[k].values) n += snprintf(text + n, sizeof text - (size_t)n, "%lld ", (long long)ev.e[k].step);
        if (!ev.whole) n += snprintf(text + n, sizeof text - (size_t)n, "torn");
    }
    os_free_list(names, count);
    return text;
}

static void checksums(void) {
    unsigned char b[32];
    CASE(crc32c("123456789", 9) == 0xe3069283, "CRC-32C of 123456789: %08x", crc32c("123456789", 9));
    CASE(crc32c("", 0) == 0, "CRC-32C of nothing");
    memset(b, 0, 32); /* RFC 3720, B.4 */
    CASE(crc32c(b, 32) == 0x8a9136aa, "CRC-32C of 32 zeros: %08x", crc32c(b, 32));
    memset(b, 255, 32);
    CASE(crc32c(b, 32) == 0x62a8ab43, "CRC-32C of 32 times 255: %08x", crc32c(b, 32));
    for (int i = 0; i < 32; i++) b[i] = (unsigned char)i;
    CASE(crc32c(b, 32) == 0x46dd794e, "CRC-32C of 0 to 31: %08x", crc32c(b, 32));
}

static void one_run(void) {
    static struct events ev;
    const char *path = run(folder("one"), 0, 4), *name = strrchr(path, '/') + 1;
    CASE(strncmp(name, "events.out.tfevents.", 20) == 0 && strspn(name + 20, "0123456789") == 10, "%s: a name that readers look for", name);
    parse(path, &ev);
    CASE(ev.whole && ev.n == 6, "every byte belongs to one of 6 records: %d", ev.n);
    CASE(strcmp(ev.e[0].version, "brain.Event:2") == 0 && ev.e[0].values == 0, "the version comes first: %s", ev.e[0].version);
    CASE(ev.e[1].start == 1 && ev.e[1].step == 1, "then the start of step 1: %d %lld", ev.e[1].start, (long long)ev.e[1].step);
    for (int s = 1; s <= 4; s++) {
        const struct tb_event *e = &ev.e[s + 1];
        const struct step_line l = line_of(s);
        CASE(e->step == s && e->wall >= ev.e[s].wall && e->wall > 1.6e9, "step %d: %lld at %.3f", s, (long long)e->step, e->wall);
        CASE(find(e, "train/loss") == (float)l.out.loss && find(e, "train/lr") == (float)l.lr && find(e, "train/grad_norm") == 1.5 &&
                 find(e, "train/tokens_per_s") == l.tokens_per_s && find(e, "memory/gib") == 1.5,
             "step %d: what each run has", s);
        CASE(find(e, "experts/balance") == 0.75 && find(e, "experts/max_over_mean") == 1.25 && find(e, "experts/dead") == 3, "step %d: experts", s);
        CASE(l.validated ? find(e, "val/loss") == (float)l.valid_loss : isnan(find(e, "val/loss")), "step %d: validation where there was one", s);
        CASE(e->values == 8 + l.validated, "step %d: %d values", s, e->values);
    }
    static struct tensorboard t;
    struct step_line l = line_of(INT64_C(1) << 40);
    l.load.layers = 0;
    NEED(tensorboard_open(&t, folder("dense"), 0));
    CASE_OK(tensorboard_step(&t, &l));
    tensorboard_close(&t);
    parse(t.path, &ev);
    CASE(ev.n == 3 && ev.e[2].values == 6 && ev.e[2].step == INT64_C(1) << 40, "a model without experts, a large step: %d values", ev.e[2].values);
}

static void resumes(void) {
    static struct events ev;
    const char *out = folder("resume");
    (void)run(out, 0, 5);
    const char *path = run(out, 3, 6);
    CASE(strcmp(steps(out), "1 2 3 |4 5 6 ") == 0, "resumed at 3: %s", steps(out));
    parse(path, &ev);
    CASE(ev.e[1].start == 1 && ev.e[1].step == 4, "a reader is told that step 4 begins anew: %lld", (long long)ev.e[1].step);
    (void)run(out, 6, 8);
    CASE(strcmp(steps(out), "1 2 3 |4 5 6 |7 8 ") == 0, "resumed at the end: %s", steps(out));
    (void)run(out, 2, 3);
    CASE(strcmp(steps(out), "1 2 ||3 ") == 0, "resumed at 2, three files back, of which the newest stays: %s", steps(out));
    (void)run(out, 0, 1);
    CASE(strcmp(steps(out), "|1 ") == 0, "begun anew: %s", steps(out));
    for (int i = 0; i < 5; i++) (void)run(out, 0, 0);
    CASE(strcmp(steps(out), "|") == 0, "runs without a step do not pile up: %s", steps(out));
}

static void damage(void) {
    char *text, path[OS_PATH_MAX];
    int64_t bytes;
    const char *out = folder("damage");
    (void)snprintf(path, sizeof path, "%s", run(out, 0, 3));
    NEED(os_read_all(path, 1 << 20, &text, &bytes));
    const int64_t record = (bytes - 16) / 3; /* at least a third of the last record and less than all before it */
    for (int64_t torn = 1; torn < record / 2; torn += 7) {
        NEED(os_remove_tree(out));
        NEED(os_mkdirs(out));
        NEED(os_write_all(path, text, bytes - torn));
        (void)run(out, 3, 4);
        CASE(strcmp(steps(out), "1 2 |4 ") == 0, "%lld bytes torn off: %s", (long long)torn, steps(out));
    }
    for (int64_t at = 0; at < bytes; at += 5) { /* nothing behind a damaged byte is kept, and no byte leads astray */
        NEED(os_remove_tree(out));
        NEED(os_mkdirs(out));
        text[at] ^= 0x40;
        NEED(os_write_all(path, text, bytes));
        text[at] ^= 0x40;
        (void)run(out, 3, 4);
        const char *s = steps(out);
        CASE(strcmp(s, "|4 ") == 0 || strcmp(s, "1 |4 ") == 0 || strcmp(s, "1 2 |4 ") == 0, "byte %lld damaged: %s", (long long)at, s);
    }
    free(text);
}

static void names(void) {
    char other[OS_PATH_MAX];
    char *text;
    int64_t bytes;
    const char *out = folder("names");
    (void)run(out, 0, 4);
    /* another program's file stays as it is, and ours comes behind it */
    NEED(os_join(other, out, "events.out.tfevents.5000000000.elsewhere.1.0"));
    NEED(os_write_all(other, "not ours", 8));
    const char *path = run(out, 4, 5);
    CASE(strcmp(path, other) > 0, "%s comes behind a file from the future", path);
    NEED(os_read_all(other, 100, &text, &bytes));
    CASE(bytes == 8 && memcmp(text, "not ours", 8) == 0, "another program's file is left alone");
    free(text);
}

static void refusals(void) {
    static struct tensorboard t;
    const char *out = folder("refused");
    const struct step_line l = line_of(1);
    fault_arm(FAULT_OPEN, 2);
    CASE_ERR(tensorboard_open(&t, out, 0), ERR_IO, "events.out.tfevents");
    NEED(tensorboard_open(&t, out, 0));
    fault_arm(FAULT_WRITE, 1);
    CASE_ERR(tensorboard_step(&t, &l), ERR_IO, "cannot write");
    fault_arm(FAULT_WRITE, 0);
    tensorboard_close(&t);
    (void)run(out, 0, 3);
    fault_arm(FAULT_WRITE, 1);
    CASE_ERR(tensorboard_open(&t, out, 2), ERR_IO, "cannot cut");
    fault_arm(FAULT_WRITE, 0);
    (void)run(out, 2, 3);
    CASE(strcmp(steps(out), "1 2 |3 ") == 0, "a cut that failed is done again: %s", steps(out));
}

static void load(void) {
    const int64_t count[] = {5, 5, 5, 5, /**/ 12, 0, 0, 0, /**/ 7, 7, 0, 0};
    struct expert_load l;
    experts_load(1, 4, count, &l);
    CASE(fabs(l.balance - 1) < 1e-12 && l.max_over_mean == 1 && l.dead == 0, "alike: %g %g %lld", l.balance, l.max_over_mean, (long long)l.dead);
    experts_load(3, 4, count, &l);
    CASE(fabs(l.balance - (1 + 0.25 + 0.5) / 3) < 1e-12 && l.max_over_mean == 4 && l.dead == 5, "alike, all on one, half of them: %g %g %lld",
         l.balance, l.max_over_mean, (long long)l.dead);
    experts_load(0, 4, count, &l);
    CASE(l.layers == 0, "no experts");
}

int main(void) {
    checksums();
    one_run();
    resumes();
    damage();
    names();
    refusals();
    load();
    (void)!os_remove_tree(test_dir());
    return test_end();
}
