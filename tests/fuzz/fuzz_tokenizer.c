/* tokenizer.json; one that is accepted encodes a text, and its ids decode. */
#include "data/tokenizer.h"
#include "driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] = "Hello  world's 1234\n\n\t caf\xc3\xa9 e\xcc\x81 \xf0\x9f\x98\x80<|endoftext|> don't\r\n  x";
    struct tokenizer *t;
    err_t err = tokenizer_open(fuzz_file(data, size), &t);
    fuzz_result(err);
    if (err != OK) return 0;
    struct tok_scratch *s;
    struct tok_ids ids = {0};
    fuzz_result(tok_scratch_new(t, &s));
    err = tokenizer_encode(t, s, text, sizeof text - 1, &ids);
    fuzz_result(err);
    for (int64_t i = 0; err == OK && i < ids.count; i++)
        fuzz_holds(ids.ids[i] >= 0 && ids.ids[i] < tokenizer_vocab(t), "ids are below the vocabulary's size");
    char *back;
    int64_t bytes;
    if (err == OK) {
        err = tokenizer_decode(t, ids.ids, ids.count, &back, &bytes);
        fuzz_result(err);
        if (err == OK) free(back);
    }
    (void)tokenizer_eos(t);
    free(ids.ids);
    tok_scratch_free(s);
    tokenizer_close(t);
    return 0;
}
