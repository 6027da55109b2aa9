/* Token files: the header and the borders; then every token of a file that was accepted, with and without its sums. */
#include "data/data.h"
#include "driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int sums = 0; sums < 2; sums++) {
        struct tok_file *f;
        err_t err = tok_open(fuzz_file(data, size), sums, &f);
        fuzz_result(err);
        if (err != OK) continue;
        int64_t tokens = 0, seen = 0;
        for (int64_t d = 0; d < tok_docs(f); d++) {
            int64_t count;
            const int32_t *ids = tok_doc(f, d, &count);
            const uint8_t *mask = tok_mask(f, d);
            fuzz_holds(count >= 0 && count <= tok_tokens(f), "a document is no longer than the file");
            tokens += count;
            for (int64_t i = 0; i < count; i++) seen += (int64_t)ids[i] + (mask ? mask[i] : 1);
        }
        fuzz_holds(tokens == tok_tokens(f), "the documents hold all tokens");
        fuzz_holds(seen >= 0 || !sums, "ids are not negative");
        (void)tok_fingerprint(f);
        tok_close(f);
    }
    return 0;
}
