/* Text as it comes: what files are, by name and content; packed ones, pipes, patterns; and where documents of a text file end. */
#include "base/os.h"
#include "data/data_int.h"
#include "test.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static char path_buffer[4][1024];
static const char *in_dir(const char *name) {
    static int turn;
    char *path = path_buffer[turn++ % 4];
    (void)snprintf(path, sizeof path_buffer[0], "%s/%s", test_dir(), name);
    return path;
}
static void put(const char *name, const char *text, int64_t bytes) {
    NEED(os_write_all(in_dir(name), text, bytes < 0 ? (int64_t)strlen(text) : bytes));
}

/* All documents of a list as one text, "|" behind each, parts joined; or NULL with the error. */
static char *documents(const char *paths, const struct corpus_how *how) {
    struct corpus *c;
    if (corpus_open(paths, how, &c) != OK) return NULL;
    size_t used = 0;
    char *all = malloc(64 << 20);
    if (!all) exit(2);
    for (bool got = true;;) {
        struct corpus_doc d;
        if (corpus_next(c, &d, &got) != OK) {
            free(all);
            all = NULL;
            break;
        }
        if (!got) break;
        for (int64_t i = 0; i < d.count; i++) {
            memcpy(all + used, d.spans[i].text, (size_t)d.spans[i].bytes);
            used += (size_t)d.spans[i].bytes;
        }
        if (!d.more) all[used++] = '|';
    }
    corpus_close(c);
    if (all) all[used] = 0;
    return all;
}

static void gives(const char *paths, const struct corpus_how *how, const char *want) {
    err_clear();
    char *got = documents(paths, how);
    CASE(got && strcmp(got, want) == 0, "%.200s gives \"%.200s\", not \"%.200s\" (%s)", paths, got ? got : "nothing", want, err_message());
    free(got);
}

static void refuses(const char *paths, const char *part) {
    err_clear();
    char *got = documents(paths, &corpus_defaults);
    CASE(!got && strstr(err_message(), part), "%.200s gives \"%.200s\" and says \"%s\", not \"%s\"", paths, got ? got : "nothing", err_message(),
         part);
    free(got);
}

/* ---- names and contents ---- */

static void kinds(void) {
    static const char lines[] = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
    static const char *const names[] = {"a.jsonl", "a.ndjson", "a.jsonlines", "a.JSONL", "a.NDJson", "a.jl", "a.ldjson", "a.json", "a.dat", "a"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        put(names[i], lines, -1);
        gives(in_dir(names[i]), &corpus_defaults, "one|two|");
    }
    put("lines.txt", lines, -1);
    refuses(in_dir("lines.txt"), "is JSON lines, going by its first line");
    const struct corpus_how text = {.text = {.format = CORPUS_TEXT, .document_end = "token"}},
                            jsonl = {.text = {.format = CORPUS_JSONL, .document_end = "token"}};
    gives(in_dir("lines.txt"), &text, "{\"text\": \"one\"}\n{\"text\": \"two\"}\n|");
    gives(in_dir("lines.txt"), &jsonl, "one|two|");
    put("table.csv", "a,b\n", -1);
    gives(in_dir("table.csv"), &text, "a,b\n|");
    put("a.JSON", "[{\"text\": \"one\"}]", -1);
    refuses(in_dir("a.JSON"), "is one JSON document over many lines");
    put("b.json", "{\n \"text\": \"one\"}\n", -1);
    refuses(in_dir("b.json"), "is one JSON document over many lines");
    put("b.txt", "{\n \"text\": \"one\"}\n", -1);
    gives(in_dir("b.txt"), &corpus_defaults, "{\n \"text\": \"one\"}\n|");
    put("c.txt", "{\\rm an old} book", -1);
    gives(in_dir("c.txt"), &corpus_defaults, "{\\rm an old} book|");

    static const char *const refused[][2] = {
        {"x.csv", "a table (CSV)"},
        {"x.TSV", "a table (TSV)"},
        {"x.html", "HTML"},
        {"x.htm.gz", "HTML"},
        {"x.npy", "a NumPy array"},
        {"x.parquet", "a Parquet table"},
        {"x.arrow", "an Arrow table"},
        {"x.xlsx", "a spreadsheet"},
        {"x.pdf", "a PDF document"},
        {"x.zip", "an archive (zip)"},
        {"x.tar.gz", "an archive"},
        {"x.pkl", "a pickle"},
        {"x.txt.xz", "a compressed file (xz)"},
        {"x.pt", "a PyTorch file"},
        {"x.tok", "a token file"},
        {"x.safetensors", "a file of weights"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char says[128];
        (void)snprintf(says, sizeof says, "%s is %s", refused[i][0], refused[i][1]);
        refuses(in_dir(refused[i][0]), says);
    }
    static const struct {
        const char *bytes;
        int count;
        const char *says;
    } contents[] = {
        {"PAR1xxxx", 8, "a Parquet table"},
        {"%PDF-1.7\n", 9, "a PDF document"},
        {"PK\3\4xxxx", 8, "an archive (zip)"},
        {"\x93NUMPY\1\0", 8, "a NumPy array"},
        {"\x80\4\x95xxxx", 7, "a pickle"},
        {"BZh91AY", 7, "a compressed file (bzip2)"},
        {"\xff\xfeh\0i\0", 6, "is UTF-16LE"},
        {"\xfe\xff\0h\0i", 6, "is UTF-16BE"},
        {"h\0i\0 \0t\0h\0e\0r\0e\0", 16, "is UTF-16LE"},
        {"\0h\0i\0 \0t\0h\0e\0r\0e", 16, "is UTF-16BE"},
        {"\xff\xfe\0\0h\0\0\0", 8, "is UTF-32LE"},
    };
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++)
        for (int k = 0; k < 3; k++) {
            static const char *const as[] = {"magic.txt", "magic.jsonl", "magic"};
            put(as[k], contents[i].bytes, contents[i].count);
            refuses(in_dir(as[k]), contents[i].says);
        }
    put("nul.txt", "a\0b and then letters", 20);
    struct corpus *c;
    struct corpus_doc d;
    bool got;
    NEED(corpus_open(in_dir("nul.txt"), &corpus_defaults, &c));
    NEED(corpus_next(c, &d, &got));
    CASE(got && d.spans[0].bytes == 20, "a NUL in a text is a character");
    corpus_close(c);
}

/* ---- lists ---- */

static void lists(void) {
    static const char *const folders[] = {"l", "l/sub", "l/x,y", "l/empty", "l/tables"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) NEED(os_mkdirs(in_dir(folders[i])));
    static const char *const files[] = {"b.txt", "a.txt", "c,d.txt", "e[1].txt", "sub/f.jsonl", "x,y/g.txt", "tables/t.parquet", "sub/u.tsv"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char name[64], text[64];
        (void)snprintf(name, sizeof name, "l/%s", files[i]);
        (void)snprintf(text, sizeof text, strstr(files[i], "jsonl") ? "{\"text\": \"%s\"}" : "%s", files[i]);
        put(name, text, -1);
    }
    if (chdir(in_dir("l")) != 0) exit(2);
    static const char *const good[][2] = {
        {"b.txt,a.txt", "b.txt|a.txt|"},
        {"*.txt", "a.txt|b.txt|c,d.txt|e[1].txt|"},
        {"?.txt,sub/*.jsonl", "a.txt|b.txt|sub/f.jsonl|"},
        {"[ab].txt", "a.txt|b.txt|"},
        {"c,d.txt", "c,d.txt|"},
        {"a.txt,c\\,d.txt", "a.txt|c,d.txt|"},
        {"e[1].txt", "e[1].txt|"},
        {"{b,a}.txt", "a.txt|b.txt|"},
        {"sub/{f,u}.jsonl,a.txt", "sub/f.jsonl|a.txt|"},
        {"x,y", "x,y/g.txt|"},
        {"x*", "x,y/g.txt|"},
        {"sub", "sub/f.jsonl|"},
        {".", "a.txt|b.txt|c,d.txt|e[1].txt|sub/f.jsonl|x,y/g.txt|"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) gives(good[i][0], &corpus_defaults, good[i][1]);
    refuses("z*.txt", "no file matches the pattern z*.txt");
    refuses("**/*.txt", "which is not known; name the folder");
    refuses("a.txt,,b.txt", "an empty name");
    refuses("tables", "t.parquet is a Parquet table");
    refuses("empty", "holds no *.txt");
    refuses("sub/*", "u.tsv is a table");
    refuses("no,where.txt", "cannot open no: No such file");
    refuses("-,-", "standard input is named twice");
    if (chdir("/") != 0) exit(2);
}

/* ---- packed files and pipes ---- */

static void gzip(const char *name, const char *text, int64_t bytes, const char *mode) {
    gzFile f = gzopen(in_dir(name), mode);
    if (!f || gzwrite(f, text, (unsigned)bytes) != (int)bytes || gzclose(f) != Z_OK) exit(2);
}

static void zstd(const char *name, const char *text, int64_t bytes, int frames) {
    const size_t room = ZSTD_compressBound((size_t)bytes);
    char *to = malloc(room * (size_t)frames);
    size_t used = 0;
    for (int i = 0; i < frames; i++) used += ZSTD_compress(to + used, room, text, (size_t)bytes, 3);
    put(name, to, (int64_t)used);
    free(to);
}

struct writer {
    const char *path, *text;
    int64_t bytes;
};
static void *write_pipe(void *arg) {
    const struct writer *w = arg;
    FILE *f = fopen(w->path, "wb");
    if (f) {
        (void)fwrite(w->text, 1, (size_t)w->bytes, f);
        (void)fclose(f);
    }
    return NULL;
}

static void packed(void) {
    enum { LARGE = 3 << 20 };
    static const char line[] = "{\"text\": \"packed\"}\n";
    gzip("a.jsonl.gz", line, sizeof line - 1, "wb");
    gives(in_dir("a.jsonl.gz"), &corpus_defaults, "packed|");
    gzip("a.jsonl.gz", line, sizeof line - 1, "ab");
    gives(in_dir("a.jsonl.gz"), &corpus_defaults, "packed|packed|"); /* members in a row */
    zstd("a.NDJSON.zst", line, sizeof line - 1, 3);
    gives(in_dir("a.NDJSON.zst"), &corpus_defaults, "packed|packed|packed|");
    gzip("a.txt.gz", "", 0, "wb");
    gives(in_dir("a.txt.gz"), &corpus_defaults, "|");
    gzip("plain.txt", "packed under another name", 25, "wb");
    gives(in_dir("plain.txt"), &corpus_defaults, "packed under another name|");
    gzip("wide.txt.gz", "\xff\xfeh\0i\0", 6, "wb");
    refuses(in_dir("wide.txt.gz"), "is UTF-16LE");
    gzip("bad.txt.gz", "good\xff", 5, "wb");
    refuses(in_dir("bad.txt.gz"), "byte 0xff at byte 4 of the file, unpacked");
    put("not.txt.gz", "plain", -1);
    refuses(in_dir("not.txt.gz"), "does not begin as a gzip file does");
    put("not.txt.zst", "", 0);
    refuses(in_dir("not.txt.zst"), "does not begin as a Zstandard file does");

    /* of any length, cut off anywhere, or followed by what is none of it */
    char *text = malloc(LARGE + 1);
    if (!text) exit(2);
    for (int i = 0; i < LARGE; i++) text[i] = (char)(i % 61 == 60 ? '\n' : 'a' + (i * 7 + i / 61) % 26);
    text[LARGE] = 0;
    gzip("large.txt.gz", text, LARGE, "wb");
    zstd("large.txt.zst", text, LARGE, 1);
    put("large.txt", text, LARGE);
    text[LARGE] = '|';
    char *want = malloc(LARGE + 2);
    memcpy(want, text, LARGE + 1);
    want[LARGE + 1] = 0;
    static const char *const large[] = {"large.txt", "large.txt.gz", "large.txt.zst"};
    for (int i = 0; i < 3; i++) {
        char *got = documents(in_dir(large[i]), &corpus_defaults);
        CASE(got && strcmp(got, want) == 0, "%s comes out as it was", large[i]);
        free(got);
        char *raw;
        int64_t bytes;
        NEED(os_read_all(in_dir(large[i]), LARGE, &raw, &bytes));
        for (int64_t cut = 1; i > 0 && cut < bytes; cut += bytes / 7) {
            const char *name = i == 1 ? "cut.txt.gz" : "cut.txt.zst";
            put(name, raw, bytes - cut);
            refuses(in_dir(name), bytes - cut < 4 ? "does not begin" : "its end too early");
        }
        raw = realloc(raw, (size_t)bytes + 4);
        memset(raw + bytes, 'm', 4);
        if (i > 0) {
            put(i == 1 ? "more.txt.gz" : "more.txt.zst", raw, bytes + 4);
            refuses(in_dir(i == 1 ? "more.txt.gz" : "more.txt.zst"), "is damaged");
            raw[bytes / 2] ^= 0x55;
            raw[bytes / 2 + 1] ^= 0x55;
            put(i == 1 ? "flip.txt.gz" : "flip.txt.zst", raw, bytes);
            if (i == 1) refuses(in_dir("flip.txt.gz"), "is damaged"); /* a Zstandard frame need not have a checksum */
        }
        free(raw);
    }

    char pipe[1024];
    (void)snprintf(pipe, sizeof pipe, "%s", in_dir("pipe"));
    if (mkfifo(pipe, 0600) != 0) exit(2);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        struct writer w = {pipe, i ? line : text, i ? (int64_t)sizeof line - 1 : LARGE};
        if (pthread_create(&thread, NULL, write_pipe, &w) != 0) exit(2);
        char *got = documents(pipe, &corpus_defaults);
        CASE(got && strcmp(got, i ? "packed|" : want) == 0, "through a pipe comes what went in (%d)", i);
        free(got);
        (void)pthread_join(thread, NULL);
    }
    free(want);
    free(text);
}

/* ---- ends of documents ---- */

static void ends(void) {
    static const struct {
        const char *end, *text, *want;
    } list[] = {
        {"token", "one\n<e>\ntwo\n<e>\n", "one\n|two\n|"},
        {"token", "one<e>two<e>", "one|two|"},
        {"token", "one\r\n<e>\r\ntwo", "one\r\n|two|"},
        {"token", "<e>one<e><e>two<e>\n\n \n", "one|two|"},
        {"token", "one<e>\n\ntwo", "one|\ntwo|"},
        {"token", "no end", "no end|"},
        {"token", "", "|"},
        {"token", "<e>", ""},
        {"token", "\n", "\n|"},
        {"token", "almost <e <e> done", "almost <e | done|"},
        {"file", "one<e>two\n\nthree", "one<e>two\n\nthree|"},
        {"line", "one\ntwo\r\n\n \nthree", "one|two|three|"},
        {"line", "one\n", "one|"},
        {"line", "one", "one|"},
        {"blank", "a\nb\n\n\nc\n \t\r\nd", "a\nb\n|c\n|d|"},
        {"blank", "\n\na\n\n", "a\n|"},
        {"blank", "a", "a|"},
        {"line:---", "a\nb\n---\nc\n----\nd\n---\r\ne\n---", "a\nb\n|c\n----\nd\n|e\n|"},
        {"line:---", "---\n---\na ---\n", "a ---\n|"},
        {"line:<e>", "a <e>\n<e>\nb", "a <e>\n|b|"},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        const struct corpus_how how = {.text = {.document_end = list[i].end}, .end_token = "<e>"};
        put("ends.txt", list[i].text, -1);
        gives(in_dir("ends.txt"), &how, list[i].want);
    }
    put("ends.txt", "one\n<e>\ntwo\nlines\n<e>\nthree", -1);
    const struct corpus_how how = {.text = {.document_end = "token"}, .end_token = "<e>"};
    struct corpus *c;
    struct corpus_doc d;
    bool got;
    NEED(corpus_open(in_dir("ends.txt"), &how, &c));
    static const char *const where[] = {"/ends.txt", "/ends.txt:3", "/ends.txt:6"};
    for (int i = 0; i < 3; i++) {
        NEED(corpus_next(c, &d, &got));
        const size_t n = strlen(corpus_where(c)), tail = strlen(where[i]);
        CASE(got && n > tail && strcmp(corpus_where(c) + n - tail, where[i]) == 0, "document %d is at %s", i, corpus_where(c));
    }
    corpus_close(c);
    static const char *const wrong[] = {"", "tokens", "line:", "lines", "line:a\nb"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CASE_ERR(corpus_open(in_dir("ends.txt"), &(struct corpus_how){.text = {.document_end = wrong[i]}}, &c), ERR_USAGE,
                 "is not known; give token, file, line");
}

/* Documents and ends where the buffer ends; long documents come in parts that are the whole. */
static void borders(void) {
    enum { PART = TEXT_PART, COUNT = 12 };
    static const int64_t lengths[COUNT] = {PART - 1, PART, PART + 1, 1, 3 * PART, 7 * PART + 5, 0, 2 * PART - 3, 2 * PART - 2, 5, 4 * PART + 1, 2};
    for (int kind = 0; kind < 2; kind++) {
        char *text = malloc(32 << 20), *want = malloc(32 << 20), *to = text, *out = want;
        for (int i = 0; i < COUNT; i++) {
            for (int64_t k = 0; k < lengths[i]; k++) *to++ = *out++ = (char)(k % 80 == 79 ? '\n' : 'a' + (k + i) % 26);
            if (lengths[i]) *out++ = '|';
            if (kind == 1 && lengths[i] % 80 != 0) { /* its last line's end belongs to the document */
                out[-1] = *to++ = '\n';
                *out++ = '|';
            }
            to += sprintf(to, kind ? "==\n" : "<e>");
        }
        *out = 0;
        put("borders.txt", text, to - text);
        const struct corpus_how how = {.text = {.document_end = kind ? "line:==" : "token"}, .end_token = "<e>"};
        char *got = documents(in_dir("borders.txt"), &how);
        CASE(got && strcmp(got, want) == 0, "documents of any length, ended by %s", how.text.document_end);
        free(got);
        free(text);
        free(want);
    }
}

int main(void) {
    kinds();
    lists();
    packed();
    ends();
    borders();
    return test_end();
}
