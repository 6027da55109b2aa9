/* A chat template. What compiles is rendered over a conversation; its spans lie inside of its text. */
#include "data/jinja.h"
#include "data/utf8.h"
#include "driver.h"

#include <jansson.h>

static const char CONVERSATION[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": "
                                   "[{\"type\": \"text\", \"text\": \"h\\u00e9\"}], "
                                   "\"tags\": [\"a\", 1, null, {\"k\": 2.5}]}, {\"role\": \"assistant\", \"content\": \"<think>x</think>y\", "
                                   "\"tool_calls\": [{\"id\": \"123456789\", "
                                   "\"function\": {\"name\": \"f\", \"arguments\": {\"a\": 1}}}]}], \"tools\": [{\"type\": \"function\", "
                                   "\"function\": {\"name\": \"f\", \"parameters\": "
                                   "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}}}}}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct jinja *t;
    struct jinja_text x;
    err_t err = jinja_compile("fuzz", (const char *)data, (int64_t)size, &t);
    fuzz_result(err);
    if (err != OK) return 0;
    json_t *c = json_loads(CONVERSATION, 0, NULL);
    const struct jinja_chat chat = {.messages = json_object_get(c, "messages"),
                                    .tools = json_object_get(c, "tools"),
                                    .add_generation_prompt = true,
                                    .now = "2026-03-09T14:05:07"};
    err = jinja_render(t, &chat, &x);
    fuzz_result(err);
    if (err == OK) {
        fuzz_holds(utf8_valid(x.text, x.bytes) == x.bytes, "a template's text is UTF-8");
        for (int64_t i = 0; i < x.span_count && x.spans_exact; i++)
            fuzz_holds(x.spans[i].begin >= 0 && x.spans[i].begin <= x.spans[i].end && x.spans[i].end <= x.bytes, "a span lies in the text");
    }
    jinja_text_free(&x);
    jinja_free(t);
    json_decref(c);
    return 0;
}
