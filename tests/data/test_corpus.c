/* Documents out of text files, folders and JSON lines; invalid UTF-8 refused or replaced. */
#include "base/fault.h"
#include "base/log.h"
#include "base/os.h"
#include "data/data.h"
#include "data/utf8.h"
#include "test.h"

/* Text, its bytes, where it stops being valid, and Python's bytes.decode(errors="replace") of it. */
static const struct {
    const char *text;
    int bytes, valid;
    const char *replaced;
    int replaced_bytes;
} UTF8[] = {
    {"\x80", 1, 0, "\xef\xbf\xbd", 3},
    {"\xbf\xbf", 2, 0, "\xef\xbf\xbd\xef\xbf\xbd", 6},
    {"\xc0\xaf", 2, 0, "\xef\xbf\xbd\xef\xbf\xbd", 6},
    {"\xc1\xbf", 2, 0, "\xef\xbf\xbd\xef\xbf\xbd", 6},
    {"\xc2", 1, 0, "\xef\xbf\xbd", 3},
    {"\xc2\x61", 2, 0, "\xef\xbf\xbd\x61", 4},
    {"\xc3\xa9", 2, 2, "\xc3\xa9", 2},
    {"\xe0\x80\x80", 3, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9},
    {"\xe0\x9f\xbf", 3, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9},
    {"\xe0\xa0", 2, 0, "\xef\xbf\xbd", 3},
    {"\xe0\xa0\x80", 3, 3, "\xe0\xa0\x80", 3},
    {"\xe2\x82", 2, 0, "\xef\xbf\xbd", 3},
    {"\xe2\x82\x61", 3, 0, "\xef\xbf\xbd\x61", 4},
    {"\xe2\x82\xac", 3, 3, "\xe2\x82\xac", 3},
    {"\xed\x9f\xbf", 3, 3, "\xed\x9f\xbf", 3},
    {"\xed\xa0\x80", 3, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9},
    {"\xed\xbf\xbf", 3, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9},
    {"\xee\x80\x80", 3, 3, "\xee\x80\x80", 3},
    {"\xef\xbf\xbd", 3, 3, "\xef\xbf\xbd", 3},
    {"\xf0\x80\x80\x80", 4, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 12},
    {"\xf0\x8f\xbf\xbf", 4, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 12},
    {"\xf0\x90\x80", 3, 0, "\xef\xbf\xbd", 3},
    {"\xf0\x9f\x98", 3, 0, "\xef\xbf\xbd", 3},
    {"\xf0\x9f\x98\x80", 4, 4, "\xf0\x9f\x98\x80", 4},
    {"\xf0\x9f\x61", 3, 0, "\xef\xbf\xbd\x61", 4},
    {"\xf4\x8f\xbf\xbf", 4, 4, "\xf4\x8f\xbf\xbf", 4},
    {"\xf4\x90\x80\x80", 4, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 12},
    {"\xf5\x80\x80\x80", 4, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 12},
    {"\xf8\x88\x80\x80\x80", 5, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 15},
    {"\xfe\xff", 2, 0, "\xef\xbf\xbd\xef\xbf\xbd", 6},
    {"\x61\xf0\x9f\xf0\x9f\x98\x80\x62", 8, 1, "\x61\xef\xbf\xbd\xf0\x9f\x98\x80\x62", 9},
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", 9, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41", 13},
    {"\x70\x6c\x61\x69\x6e\x20\x41\x53\x43\x49\x49\x20\x6c\x6f\x6e\x67\x65\x72\x20\x74\x68\x61\x6e\x20\x65\x69\x67\x68\x74\xff\x20\x74\x68\x65\x6e"
     "\x20\x6d\x6f\x72\x65\x20\x62\x79\x74\x65\x73\x20\x6f\x66\x20\x69\x74",
     52, 29,
     "\x70\x6c\x61\x69\x6e\x20\x41\x53\x43\x49\x49\x20\x6c\x6f\x6e\x67\x65\x72\x20\x74\x68\x61\x6e\x20\x65\x69\x67\x68\x74\xef\xbf\xbd\x20\x74\x68"
     "\x65\x6e\x20\x6d\x6f\x72\x65\x20\x62\x79\x74\x65\x73\x20\x6f\x66\x20\x69\x74",
     54},
    {"\x00\xff\x00", 3, 1, "\x00\xef\xbf\xbd\x00", 5},
    {"\xef\xbb\xbf\x62\x6f\x6d", 6, 6, "\xef\xbb\xbf\x62\x6f\x6d", 6},
};
enum { UTF8_COUNT = (int)(sizeof UTF8 / sizeof UTF8[0]) };

static char path[OS_PATH_MAX];

static const char *in_dir(const char *name) {
    if (os_join(path, test_dir(), name) != OK) exit(2);
    return path;
}

static void put(const char *name, const char *text, int64_t bytes) { NEED(os_write_all(in_dir(name), text, bytes)); }
static void put_text(const char *name, const char *text) { put(name, text, (int64_t)strlen(text)); }

static void replacing(void) {
    for (int i = 0; i < UTF8_COUNT; i++) {
        char buf[256];
        CASE(utf8_valid(UTF8[i].text, UTF8[i].bytes) == UTF8[i].valid, "text %d is valid up to %lld", i,
             (long long)utf8_valid(UTF8[i].text, UTF8[i].bytes));
        int64_t room = utf8_replaced_bytes(UTF8[i].text, UTF8[i].bytes);
        CASE(room == UTF8[i].replaced_bytes, "text %d is replaced by %lld bytes", i, (long long)room);
        if (room != UTF8[i].replaced_bytes) continue;
        memcpy(buf + room - UTF8[i].bytes, UTF8[i].text, (size_t)UTF8[i].bytes);
        utf8_replace(buf, room, UTF8[i].bytes);
        CASE(memcmp(buf, UTF8[i].replaced, (size_t)room) == 0, "text %d is replaced otherwise", i);
    }
}

static const struct corpus_how *how(int invalid_utf8) {
    static struct corpus_how h;
    h = corpus_defaults;
    h.text.invalid_utf8 = invalid_utf8;
    return &h;
}

/* The corpus gives exactly these documents: text, and completion or NULL. */
struct expected {
    const char *text, *completion, *where;
};

static bool span_is(const struct corpus_doc *d, int64_t i, const char *text, int64_t bytes) {
    return i < d->count && d->spans[i].bytes == bytes && memcmp(d->spans[i].text, text, (size_t)bytes) == 0;
}

static void gives(const char *paths, int invalid, const struct expected *want, int count) {
    struct corpus *c;
    NEED(corpus_open(paths, how(invalid), &c));
    int n = 0;
    bool got = true;
    while (got) {
        struct corpus_doc d;
        err_t err = corpus_next(c, &d, &got);
        if (!CASE(err == OK, "%s, document %d: %s", paths, n, err_message())) break;
        if (!got) break;
        if (!CASE(n < count, "%s gives more than %d documents", paths, count)) break;
        CASE(span_is(&d, 0, want[n].text, (int64_t)strlen(want[n].text)), "document %d is \"%.*s\"", n, (int)d.spans[0].bytes, d.spans[0].text);
        const bool sample = want[n].completion;
        CASE(d.masked == sample && d.count == 1 + sample && d.spans[0].counts == !sample, "document %d: what counts", n);
        if (sample && d.count == 2)
            CASE(d.spans[1].counts && span_is(&d, 1, want[n].completion, (int64_t)strlen(want[n].completion)), "completion %d is \"%.*s\"", n,
                 (int)d.spans[1].bytes, d.spans[1].text);
        size_t have = strlen(corpus_where(c)), tail = strlen(want[n].where);
        CASE(have >= tail && strcmp(corpus_where(c) + have - tail, want[n].where) == 0, "document %d is at %s", n, corpus_where(c));
        n++;
    }
    CASE(n == count, "%s gives %d documents, not %d", paths, n, count);
    CASE(corpus_bytes_read(c) == corpus_bytes_total(c), "%s: %lld of %lld bytes read", paths, (long long)corpus_bytes_read(c),
         (long long)corpus_bytes_total(c));
    corpus_close(c);
}

static void texts_and_folders(void) {
    static const char *const folders[] = {"d/b", "d/.hidden", "none", "packed", "d/c"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) NEED(os_mkdirs(in_dir(folders[i])));
    put_text("d/z.txt", "zed\r\n");
    put_text("d/a.md", "");
    put_text("d/b/x.pod", "=head1 b\xc3\xa9\n");
    put_text("d/b/x.jsonl", "{\"text\": \"one\"}\n\n \t\r\n{\"id\": 7, \"text\": \"two\"}");
    put_text("d/.hidden/x.txt", "not this");
    put_text("d/.x.txt", "nor this");
    put_text("d/image.png", "\x89PNG");
    put_text("packed/a.txt.xz", "\xfd");
    put_text("bom.weird", "\xef\xbb\xbf"
                          "bom");
    put_text("none/a.dat", "x");
    static const struct expected folder[] = {
        {"", NULL, "d/a.md"},         {"one", NULL, "d/b/x.jsonl:1"}, {"two", NULL, "d/b/x.jsonl:4"}, {"=head1 b\xc3\xa9\n", NULL, "d/b/x.pod"},
        {"zed\r\n", NULL, "d/z.txt"},
    };
    gives(in_dir("d"), CORPUS_UTF8_STRICT, folder, 5);
    char list[2 * OS_PATH_MAX + 8];
    (void)snprintf(list, sizeof list, "%s/bom.weird,%s/d/z.txt", test_dir(), test_dir());
    static const struct expected named[] = {{"\xef\xbb\xbf"
                                             "bom",
                                             NULL, "bom.weird"},
                                            {"zed\r\n", NULL, "d/z.txt"}}; /* a named file may have any ending */
    gives(list, CORPUS_UTF8_STRICT, named, 2);

    struct corpus *c;
    CASE_ERR(corpus_open(in_dir("none"), how(0), &c), ERR_FORMAT, "holds no *.txt");
    CASE_ERR(corpus_open(in_dir("packed"), how(0), &c), ERR_FORMAT, "a.txt.xz is a compressed file");
    CASE_ERR(corpus_open("x.parquet", how(0), &c), ERR_FORMAT, "x.parquet is a Parquet table, which is not read");
    CASE_ERR(corpus_open(in_dir("absent.txt"), how(0), &c), ERR_IO, "absent.txt");
    (void)snprintf(list, sizeof list, "%s/d/z.txt,,x", test_dir());
    CASE_ERR(corpus_open(list, how(0), &c), ERR_USAGE, "an empty name");
    CASE_ERR(corpus_open("", how(0), &c), ERR_USAGE, "an empty name");
}

/* The error met when the corpus is read to its end. */
static err_t read_through(const char *name, int invalid) {
    struct corpus *c;
    TRY(corpus_open(in_dir(name), how(invalid), &c));
    bool got = true;
    err_t err = OK;
    while (err == OK && got) {
        struct corpus_doc d;
        err = corpus_next(c, &d, &got);
    }
    corpus_close(c);
    return err;
}

static void records(void) {
    put_text("p.jsonl", "{\"prompt\": \"2+2=\", \"completion\": \"4\"}\n{\"completion\": \"\", \"prompt\": \"\"}\n{\"text\": \"plain\"}\n");
    static const struct expected pairs[] = {{"2+2=", "4", "p.jsonl:1"}, {"", "", "p.jsonl:2"}, {"plain", NULL, "p.jsonl:3"}};
    gives(in_dir("p.jsonl"), CORPUS_UTF8_STRICT, pairs, 3);
    put_text("bom.jsonl", "\xef\xbb\xbf{\"text\": \"\\u00e9\\ud83d\\ude00\"}");
    static const struct expected bom[] = {{"\xc3\xa9\xf0\x9f\x98\x80", NULL, "bom.jsonl:1"}};
    gives(in_dir("bom.jsonl"), CORPUS_UTF8_STRICT, bom, 1);

    put_text("nul.jsonl", "{\"text\": \"a\\u0000b\"}\n");
    struct corpus *c;
    struct corpus_doc d;
    bool got;
    NEED(corpus_open(in_dir("nul.jsonl"), how(0), &c));
    NEED(corpus_next(c, &d, &got));
    CASE(got && span_is(&d, 0, "a\0b", 3), "a NUL is a character");
    corpus_close(c);

    /* what nobody asks for stops nothing, and a null column is none */
    put_text("odd.jsonl", "{\"text\": \"a\", \"score\": NaN, \"id\": 123456789012345678901234567890}\n"
                          "{\"text\": \"b\", \"x\": [Infinity, -Infinity, {\"y\": 1e999}], \"z\": \"\\udfff\", \"\\ud800\": \"\\u0000\"}\n"
                          "{\"text\": \"c\", \"prompt\": null, \"completion\": null, \"messages\": null}\n"
                          "{\"text\": null, \"prompt\": \"d\", \"completion\": \"e\"}\n");
    static const struct expected odd[] = {
        {"a", NULL, "odd.jsonl:1"}, {"b", NULL, "odd.jsonl:2"}, {"c", NULL, "odd.jsonl:3"}, {"d", "e", "odd.jsonl:4"}};
    gives(in_dir("odd.jsonl"), CORPUS_UTF8_STRICT, odd, 4);
    gives(in_dir("odd.jsonl"), CORPUS_UTF8_REPLACE, odd, 4);
    put_text("half.jsonl", "{\"text\": \"x\\ud800y\\ud83d\\ude00\\udc00\"}\n");
    static const struct expected half[] = {{"x\xef\xbf\xbdy\xf0\x9f\x98\x80\xef\xbf\xbd", NULL, "half.jsonl:1"}};
    gives(in_dir("half.jsonl"), CORPUS_UTF8_REPLACE, half, 1);

    static const struct {
        const char *line, *says;
    } bad[] = {
        {"{\"text\": \"x\"", "bad.jsonl:2 is not JSON"},
        {"{\"text\": \"x\"} {}", "bad.jsonl:2 is not JSON"},
        {"{\"text\": \"\\ud800\"}", "bad.jsonl:2: \"text\" has an escape for half of a surrogate pair"},
        {"{\"text\": \"a\", \"x\": nan}", "bad.jsonl:2 is not JSON"},
        {"{\"text\": NaN}", "bad.jsonl:2: \"text\" is NaN, not a string"},
        {"{\"text\": 1e999}", "bad.jsonl:2: \"text\" is 1e999, not a string"},
        {"{\"text\": \"a\", \"text\": \"b\"}", "bad.jsonl:2 is not JSON"},
        {"null", "bad.jsonl:2 is not"},
        {"[\"text\"]", "bad.jsonl:2 is not a JSON object"},
        {"\"text\"", "bad.jsonl:2 is not"},
        {"{}", "bad.jsonl:2 has neither \"text\" nor \"prompt\""},
        {"{\"text\": 7}", "bad.jsonl:2: \"text\" is 7, not a string"},
        {"{\"text\": null}", "bad.jsonl:2 has neither \"text\" nor \"prompt\""},
        {"{\"prompt\": \"a\"}", "bad.jsonl:2 has \"prompt\" without \"completion\""},
        {"{\"completion\": \"a\"}", "bad.jsonl:2 has \"completion\" without \"prompt\""},
        {"{\"prompt\": \"a\", \"completion\": [1]}", "bad.jsonl:2: \"completion\" is [1], not a string"},
        {"{\"text\": \"a\", \"prompt\": \"b\", \"completion\": \"c\"}", "\"text\" and a prompt or completion"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}", "bad.jsonl:2 has \"messages\""},
        {"{\"messages\": [], \"text\": \"a\"}", "bad.jsonl:2 has \"messages\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "{\"text\": \"fine\"}\n%s\n{\"text\": \"fine\"}\n", bad[i].line);
        put_text("bad.jsonl", text);
        CASE_ERR(read_through("bad.jsonl", CORPUS_UTF8_STRICT), ERR_FORMAT, bad[i].says);
    }
    /* deeper than a parser's stack may go */
    char *deep = malloc(200100);
    if (!deep) exit(2);
    int n = sprintf(deep, "{\"text\": \"a\", \"x\": ");
    memset(deep + n, '[', 100000);
    memset(deep + n + 100000, ']', 100000);
    memcpy(deep + n + 200000, "}", 2);
    put_text("deep.jsonl", deep);
    free(deep);
    CASE_ERR(read_through("deep.jsonl", 0), ERR_FORMAT, "deep.jsonl:1 is not JSON");
}

/* Lines that are longer than the buffer, that end where it ends, and that are many. */
static void long_lines(void) {
    static const int64_t lengths[] = {1048559, 1048560, 1048561, 1048562, 1048563, 3000000, 1, 0, 2097140, 5000000};
    enum { COUNT = (int)(sizeof lengths / sizeof lengths[0]) };
    struct os_writer w;
    NEED(os_write_open(&w, in_dir("long.jsonl")));
    char *text = malloc(5000000);
    if (!text) exit(2);
    for (int64_t i = 0; i < 5000000; i++) text[i] = (char)('a' + i % 23);
    for (int i = 0; i < COUNT; i++) {
        NEED(os_write(&w, "{\"text\": \"", 10));
        NEED(os_write(&w, text, lengths[i]));
        NEED(os_write(&w, "\"}\r\n", i + 1 < COUNT ? 4 : 2));
    }
    NEED(os_write_commit(&w));
    struct corpus *c;
    NEED(corpus_open(in_dir("long.jsonl"), how(0), &c));
    for (int i = 0; i < COUNT; i++) {
        struct corpus_doc d = {0};
        bool got = false;
        NEED(corpus_next(c, &d, &got));
        CASE(got && span_is(&d, 0, text, lengths[i]), "line %d has %lld bytes", i, (long long)d.spans[0].bytes);
    }
    struct corpus_doc d;
    bool got = true;
    NEED(corpus_next(c, &d, &got));
    CASE(!got, "no line behind the last");
    corpus_close(c);
    free(text);
}

static void invalid(void) {
    put("bad.txt", "0123456789\xe2\x82\xac\xe2\x82x", 16);
    CASE_ERR(read_through("bad.txt", CORPUS_UTF8_STRICT), ERR_FORMAT, "bad.txt is not UTF-8: byte 0xe2 at byte 13 of the file");
    static const struct expected text[] = {{"0123456789\xe2\x82\xac\xef\xbf\xbdx", NULL, "bad.txt"}};
    gives(in_dir("bad.txt"), CORPUS_UTF8_REPLACE, text, 1);
    put_text("b.jsonl", "{\"text\": \"a\"}\n{\"text\": \"\xff"
                        "b\xf0\x9f\"}\n{\"text\": \"\xff\xff\xff\"}\n");
    CASE_ERR(read_through("b.jsonl", CORPUS_UTF8_STRICT), ERR_FORMAT, "b.jsonl:2 is not UTF-8: byte 0xff at byte 24 of the file");
    static const struct expected lines[] = {{"a", NULL, "b.jsonl:1"},
                                            {"\xef\xbf\xbd"
                                             "b\xef\xbf\xbd",
                                             NULL, "b.jsonl:2"},
                                            {"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", NULL, "b.jsonl:3"}};
    gives(in_dir("b.jsonl"), CORPUS_UTF8_REPLACE, lines, 3);
    for (int i = 0; i < UTF8_COUNT; i++) {
        put("u.txt", UTF8[i].text, UTF8[i].bytes);
        struct corpus *c;
        struct corpus_doc d = {0};
        bool got = false;
        NEED(corpus_open(in_dir("u.txt"), how(CORPUS_UTF8_REPLACE), &c));
        NEED(corpus_next(c, &d, &got));
        CASE(got && span_is(&d, 0, UTF8[i].replaced, UTF8[i].replaced_bytes), "text file %d is replaced otherwise", i);
        corpus_close(c);
        if (UTF8[i].valid == UTF8[i].bytes) continue;
        char says[64];
        (void)snprintf(says, sizeof says, "at byte %d of the file", UTF8[i].valid);
        CASE_ERR(read_through("u.txt", CORPUS_UTF8_STRICT), ERR_FORMAT, says);
    }
}

/* Every open and read may fail: an error, and nothing leaks (the sanitizers see). */
static void faults(void) {
    static const enum fault kinds[] = {FAULT_OPEN, FAULT_READ};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        fault_arm(kinds[k], 1 << 20);
        NEED(read_through("d", 0));
        int64_t points = fault_count(kinds[k]);
        CASE(points >= 3, "%s is met %lld times", fault_name(kinds[k]), (long long)points);
        for (int64_t i = 1; i <= points; i++) {
            fault_arm(kinds[k], i);
            CASE_ERR(read_through("d", 0), ERR_IO, "/d");
        }
        fault_arm(kinds[k], 0);
    }
}

int main(void) {
    log_set_level(LOG_ERROR); /* the warning of what was passed over */
    replacing();
    texts_and_folders();
    records();
    long_lines();
    invalid();
    faults();
    NEED(os_remove_tree(test_dir()));
    return test_end();
}
