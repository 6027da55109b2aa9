/* safetensors: the header, and the values of a file that was accepted. */
#include "ckpt/ckpt.h"
#include "driver.h"

enum { READ = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct st_reader *r;
    err_t err = st_open_file(fuzz_file(data, size), &r);
    fuzz_result(err);
    if (err != OK) return 0;
    (void)st_metadata(r, "format");
    for (int64_t i = 0; i < st_count(r); i++) {
        const struct tensor_info *t = st_at(r, i);
        fuzz_holds(t->offset >= 8 && t->bytes >= 0 && (uint64_t)t->offset + (uint64_t)t->bytes <= size, "a tensor lies inside its file");
        fuzz_holds(st_find(r, t->name) != NULL && st_path(r, t) != NULL, "a tensor is found by its name");
        int64_t n = t->count < READ ? t->count : READ;
        double raw[READ]; /* 8 bytes an element are enough for every dtype */
        float f[READ];
        fuzz_result(st_read(r, t, t->count - n, n, raw));
        fuzz_result(st_read_f32(r, t, 0, n, f));
    }
    st_close(r);
    return 0;
}
