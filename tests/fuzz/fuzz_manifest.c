/* manifest.json. Its last line is a checksum of all the rest, which no mutation would get past: each input is also read with
 * that line made anew. */
#include "ckpt/ckpt_int.h"
#include "driver.h"

static void parse(const char *text, int64_t bytes) {
    struct manifest m;
    err_t err = manifest_parse("manifest.json", text, bytes, &m);
    fuzz_result(err);
    if (err == OK) manifest_close(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char key[] = "\"sum\": \"";
    char *text = malloc(size + 64), hex[SUM_HEX];
    unsigned char sum[SUM_BYTES];
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0; /* as os_read_all gives it */
    parse(text, (int64_t)size);
    size_t body = size;
    for (size_t at = 0; at + sizeof key - 1 <= size; at++)
        if (memcmp(text + at, key, sizeof key - 1) == 0) body = at;
    sum_of(text, (int64_t)body, sum);
    sum_hex(sum, hex);
    int tail = snprintf(text + body, 64, "%s%s\"}\n", key, hex);
    parse(text, (int64_t)body + tail);
    free(text);
    return 0;
}
