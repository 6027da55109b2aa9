/* What other programs write into JSON and jansson does not hold stops nothing under a key that nobody reads, is no value of any kind
 * under one that is read, and comes out as it went in. */
#include "base/json.h"
#include "test.h"

static json_t *read_as(const char *text, unsigned how) {
    json_error_t why;
    return json_read(text, (int64_t)strlen(text), how, &why);
}

/* The value under "a" of {"a": VALUE, "b": 1} is a mark that shows `shown`. */
static void marked(const char *value, unsigned how) {
    char text[256], buf[256];
    (void)snprintf(text, sizeof text, "{\"a\": %s, \"b\": 1}", value);
    json_t *o = read_as(text, how);
    const json_t *a = json_object_get(o, "a");
    CASE(json_mark(a) && strcmp(json_mark(a), value) == 0, "%s is a mark, not %s", value, json_mark(a) ? json_mark(a) : "none");
    CASE(!json_is_number(a) && !json_is_string(a) && !json_is_null(a) && !json_is_boolean(a) && !json_is_array(a), "%s is of no kind", value);
    CASE(json_integer_value(json_object_get(o, "b")) == 1, "beside %s the rest is read", value);
    CASE(strcmp(json_show(a, buf, sizeof buf), value) == 0, "%s is shown as %s", value, buf);
    char *back = json_write(o, JSON_COMPACT);
    (void)snprintf(text, sizeof text, "{\"a\":%s,\"b\":1}", value);
    CASE(back && strcmp(back, text) == 0, "%s is written as %s", value, back);
    free(back);
    back = json_write(o, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
    (void)snprintf(text, sizeof text, "{\n  \"a\": %s,\n  \"b\": 1\n}", value);
    CASE(back && strcmp(back, text) == 0, "%s, indented: %s", value, back);
    free(back);
    json_decref(o);
}

/* Valid for jansson: nothing changes. */
static void plain(const char *text) {
    json_error_t why;
    json_t *a = read_as(text, JSON_NULS), *b = json_loads(text, JSON_ALLOW_NUL | JSON_DECODE_ANY, &why);
    CASE(a && b && json_equal(a, b), "%s is what jansson reads", text);
    char *x = json_write(a, JSON_ENCODE_ANY), *y = json_dumps(b, JSON_ENCODE_ANY);
    CASE(x && y && strcmp(x, y) == 0, "%s is written as jansson writes it: %s", text, x);
    free(x);
    free(y);
    json_decref(a);
    json_decref(b);
}

static void replaced(const char *text, unsigned how, const char *want) {
    json_t *a = read_as(text, how);
    char *x = a ? json_write(a, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    CASE(x && strcmp(x, want) == 0, "%s becomes %s", text, x ? x : "an error");
    free(x);
    json_decref(a);
}

static void refused(const char *text, int line, int column) {
    json_error_t why;
    json_t *a = json_read(text, (int64_t)strlen(text), 0, &why);
    CASE(!a && why.text[0], "%s is refused", text);
    CASE(why.line == line && why.column == column, "%s: at line %d, column %d, not %d, %d: %s", text, line, column, why.line, why.column, why.text);
    json_decref(a);
}

int main(void) {
    static const char *const numbers[] = {"NaN",
                                          "Infinity",
                                          "-Infinity",
                                          "1e999",
                                          "-1e999",
                                          "1E+400",
                                          "9223372036854775808",
                                          "-9223372036854775809",
                                          "1000000000000000019884624838656",
                                          "123456789012345678901234567890123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) marked(numbers[i], i % 2 ? JSON_NULS | JSON_REPLACE : 0);
    marked("\"\\ud800\"", JSON_NULS);
    marked("\"x\\udc00y\"", JSON_NULS);
    marked("\"\\\\\\\"\\ud83d\\u0041 \\/\\n\"", 0);
    marked("\"\\udc00\\ud800\"", 0);
    marked("\"a\\u0000b\"", 0);

    plain("{\"a\": 9223372036854775807, \"b\": -9223372036854775808, \"c\": 1e308, \"d\": 1e-999, \"e\": [true, null, \"\\ud83d\\ude00\\u0000\"]}");
    plain("[{\"\\u0001\": 5}, {\"\\u0001\": [\"a\"]}, {\"\\u0001\": \"a\", \"b\": 1}, \"{\\\"\\\\u0001\\\":\\\"x\\\"}\"]");
    plain("\"{\\\"NaN\"");

    replaced("[\"a\\ud800\\udbff\\ude00\\udc00\\\\ud800\"]", JSON_REPLACE, "[\"a\xef\xbf\xbd\xf4\x8f\xb8\x80\xef\xbf\xbd\\\\ud800\"]");
    replaced("{\"\\ud800\": 1, \"b\\u0000\" : 2}", 0, "{\"\xef\xbf\xbd\":1,\"b\xef\xbf\xbd\":2}");
    replaced("\xef\xbb\xbf[NaN,[NaN, {\"a\":1e999}],\"NaN\"]", 0, "[NaN,[NaN,{\"a\":1e999}],\"NaN\"]");

    refused("{\"a\": NaN,\n \"b\": nan}", 2, 9);
    refused("[1e999, 01]", 1, 9);
    refused("[NaN", 1, 4);
    refused("{\"a\": NaN} x", 1, 12);
    refused("[1e999, 1.]", 1, 10);
    refused("[\"\\ud800\", \"", 1, 12);
    refused("{\"a\": NaN, \"a\": 1}", 1, 14);
    json_error_t why;
    CASE(!json_read("[\"\x1b[31m\"]", 9, 0, &why) && !strchr(why.text, 0x1b), "control characters of the text do not reach the terminal: %s",
         why.text);

    /* whatever is cut off anywhere is an error or a value, never a crash */
    static const char long_text[] =
        "{\"a\": [NaN, -Infinity, 1e999, 99999999999999999999], \"\\ud800k\\u0000\": {\"b\": \"\\udc00\\\"\"}, \"c\": -1.5e+3}";
    for (int64_t n = 0; n < (int64_t)sizeof long_text; n++) {
        char copy[sizeof long_text];
        memcpy(copy, long_text, sizeof copy);
        json_t *o = json_read(copy, n, 0, &why);
        CASE((o != NULL) == (n == (int64_t)sizeof long_text - 1), "the first %lld bytes: %s", (long long)n, o ? "a value" : why.text);
        json_decref(o);
    }
    char small[8];
    json_t *list = read_as("[1,2,3,4]", 0);
    CASE(strcmp(json_show(list, small, sizeof small), "[1,2...") == 0, "what is long is cut: %s", small);
    json_decref(list);
    return test_end();
}
