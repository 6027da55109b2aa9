/* Any text is a value or an error with a message; what is read and written again reads as the same value, but
 * for a text that writes the key of a mark itself. */
#include "base/json.h"
#include "driver.h"

static bool forged(const uint8_t *data, size_t size) { return memmem(data, size, "u0001", 5) != NULL; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (unsigned how = 0; how < 4; how++) {
        json_error_t why;
        why.text[0] = 0;
        json_t *value = json_read((const char *)data, (int64_t)size, how, &why);
        if (!value) {
            fuzz_holds(why.text[0] != 0, "an error says why");
            fuzz_holds(why.line >= 1 && why.position <= (int)size, "an error is in the text");
            continue;
        }
        char shown[32];
        (void)json_show(value, shown, sizeof shown);
        fuzz_holds(strlen(shown) < sizeof shown, "what is shown fits");
        char *text = json_write(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
        fuzz_holds(text != NULL, "what is read can be written");
        json_t *again = json_read(text, (int64_t)strlen(text), how, &why);
        fuzz_holds(forged(data, size) || (again && json_equal(value, again)), "what is written reads as the same");
        json_decref(again);
        json_decref(value);
        free(text);
    }
    return 0;
}
