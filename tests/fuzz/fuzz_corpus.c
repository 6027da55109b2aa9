/* Text as it comes, packed or not, in every way to part it: documents are UTF-8, all of a file is in them where nothing parts it, and parts of
 * documents end. */
#include "data/data.h"
#include "data/utf8.h"
#include "driver.h"

static err_t read_all(struct corpus *c, int64_t *documents, int64_t *bytes) {
    bool more = false;
    *documents = *bytes = 0;
    for (;;) {
        struct corpus_doc d;
        bool got;
        TRY(corpus_next(c, &d, &got));
        if (!got) break;
        for (int64_t i = 0; i < d.count; i++) {
            fuzz_holds(utf8_valid(d.spans[i].text, d.spans[i].bytes) == d.spans[i].bytes, "a document is UTF-8");
            *bytes += d.spans[i].bytes;
        }
        more = d.more;
        *documents += !more;
    }
    fuzz_holds(!more, "a document that goes on ends");
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const ends[] = {"token", "file", "line", "blank", "line:--"};
    for (int i = 0; i < 10; i++) {
        const struct corpus_how how = {.text = {.invalid_utf8 = i % 2 ? CORPUS_UTF8_REPLACE : CORPUS_UTF8_STRICT,
                                                .format = i % 3 == 2 ? CORPUS_TEXT : CORPUS_AUTO,
                                                .document_end = ends[i / 2]},
                                       .end_token = "<e>"};
        struct corpus *c;
        int64_t documents = 0, bytes = 0;
        err_t err = corpus_open(fuzz_file(data, size), &how, &c);
        fuzz_result(err);
        if (err != OK) continue;
        err = read_all(c, &documents, &bytes);
        fuzz_result(err);
        const bool packed = size >= 2 && (data[0] == 0x1f || data[0] == 0x28);
        if (err == OK && how.text.format == CORPUS_TEXT && i / 2 == 1) {
            fuzz_holds(documents == 1, "a file is a document");
            fuzz_holds(packed || bytes >= (int64_t)size, "which holds all of it");
        }
        corpus_close(c);
    }
    return 0;
}
