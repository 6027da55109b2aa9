/* Reading: every way a header can be wrong, and what is right though it looks odd. */
#include "base/os.h"
#include "ckpt/ckpt.h"
#include "tests/ckpt/model.h"

#include <inttypes.h>

/* A file: the header's length as claimed, header, `data` bytes 0, 1, 2 ... */
static void make(const char *path, uint64_t claimed, const char *header, int64_t header_bytes, int64_t data) {
    unsigned char *b = malloc((size_t)(8 + header_bytes + data) + 1);
    if (!b) exit(2);
    for (int i = 0; i < 8; i++) b[i] = (unsigned char)(claimed >> 8 * i);
    memcpy(b + 8, header, (size_t)header_bytes);
    for (int64_t i = 0; i < data; i++) b[8 + header_bytes + i] = (unsigned char)i;
    put_file(path, b, 8 + header_bytes + data);
    free(b);
}

#define T(name, dtype, shape, from, to) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"
#define BIG "9223372036854775807"

static const struct {
    const char *header;
    int64_t data;
    const char *part; /* of the message, beside the file's name */
} bad[] = {
    /* JSON */
    {"", 0, "does not begin with '{'"},
    {"        ", 0, "does not begin with '{'"},
    {"[]", 0, "does not begin with '{'"},
    {" {}", 0, "does not begin with '{'"},
    {"{", 0, "not JSON"},
    {"{}}", 0, "not JSON"},
    {"{} x", 0, "not JSON"},
    {"{\"a\"}", 0, "not JSON"},
    {"{\"a\":{\"dtype\":\"F32\"", 0, "not JSON"},
    {"{\"\xff\":1}", 0, "not JSON"},
    {"{\"a\\u0000\":1}", 0, "tensor a\xef\xbf\xbd: its entry in the header is not an object"},
    {"{" T("a", "F32", "[1]", 0, 4) "," T("a", "F32", "[1]", 4, 8) "}", 8, "duplicate object key"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "duplicate object key"},
    {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}", 0, "duplicate object key"},
    /* metadata */
    {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
    {"{\"__metadata__\":null}", 0, "__metadata__ is not an object"},
    {"{\"__metadata__\":{\"k\":1}}", 0, "the value of k is not a string"},
    /* entries */
    {"{\"a\":1}", 0, "tensor a: its entry in the header is not an object"},
    {"{\"a\":[]}", 0, "tensor a: its entry in the header is not an object"},
    {"{\"a\":null}", 0, "tensor a: its entry in the header is not an object"},
    {"{\"a\":{}}", 0, "tensor a: its entry has no \"dtype\""},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "tensor a: its entry has no \"shape\""},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "tensor a: its entry has no \"data_offsets\""},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"stride\":1}}", 4, "tensor a: its entry has keys besides"},
    {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "empty name"},
    {"{\"a\\nb\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "control character 10 at byte 1"},
    /* dtypes */
    {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a: \"dtype\" is not a string"},
    {"{" T("a", "F31", "[1]", 0, 4) "}", 4, "tensor a: the dtype \"F31\" is not supported"},
    {"{" T("a", "f32", "[1]", 0, 4) "}", 4, "tensor a: the dtype \"f32\" is not supported"},
    {"{" T("a", "F8_E5M2", "[4]", 0, 4) "}", 4, "tensor a: the dtype \"F8_E5M2\" is not supported"},
    {"{" T("a", "", "[1]", 0, 4) "}", 4, "tensor a: the dtype \"\" is not supported"},
    /* shapes */
    {"{" T("a", "F32", "4", 0, 4) "}", 4, "tensor a: \"shape\" is not a list"},
    {"{" T("a", "F32", "null", 0, 4) "}", 4, "tensor a: \"shape\" is not a list"},
    {"{" T("a", "F32", "[-1]", 0, 4) "}", 4, "tensor a: dimension 0"},
    {"{" T("a", "F32", "[1,1.0]", 0, 4) "}", 4, "tensor a: dimension 1"},
    {"{" T("a", "F32", "[\"1\"]", 0, 4) "}", 4, "tensor a: dimension 0"},
    {"{" T("a", "F32", "[1,null]", 0, 4) "}", 4, "tensor a: dimension 1"},
    {"{" T("a", "F32", "[true]", 0, 4) "}", 4, "tensor a: dimension 0"},
    {"{" T("a", "F32", "[18446744073709551616]", 0, 4) "}", 4, "tensor a: dimension 0"},
    {"{" T("a", "F32", "[1]", 0, 4) "," T("big", "F32", "[18446744073709551616]", 4, 8) "}", 8, "tensor big: "},
    {"{" T("a", "F32", "[1]", 0, 4) "," T("far", "F32", "[1]", 4, 9223372036854775808) "}", 8, "tensor far: "},
    {"{" T("a", "F32", "[" BIG "]", 0, 4) "}", 4, "tensor a: its shape takes more than 2^63 bytes"},
    {"{" T("a", "U8", "[" BIG "]", 0, 4) "}", 4, "tensor a: its data_offsets span 4 bytes"},
    {"{" T("a", "F32", "[4294967296,4294967296]", 0, 4) "}", 4, "tensor a: the product of its shape is beyond 2^63"},
    {"{" T("a", "F32", "[4294967296,4294967296,0]", 0, 0) "}", 0, "tensor a: the product of its shape is beyond 2^63"},
    {"{" T("a", "U8", "[4294967296,4294967297]", 0, 0) "}", 0, "tensor a: the product of its shape is beyond 2^63"},
    {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "tensor a has 9 dimensions"},
    {"{" T("a", "F32", "[2]", 0, 4) "}", 4, "span 4 bytes, its shape and dtype F32 take 8"},
    {"{" T("a", "F32", "[0]", 0, 4) "}", 4, "span 4 bytes, its shape and dtype F32 take 0"},
    {"{" T("a", "BF16", "[1]", 0, 4) "}", 4, "span 4 bytes, its shape and dtype BF16 take 2"},
    /* offsets */
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":4}}", 4, "tensor a: \"data_offsets\" is not a list of two"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "tensor a: \"data_offsets\" is not a list of two"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4, "tensor a: \"data_offsets\" is not a list of two"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.0]}}", 4, "tensor a: \"data_offsets\" is not a list of two"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[\"0\",4]}}", 4, "tensor a: \"data_offsets\" is not a list of two"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "tensor a: its data_offsets 4, 0 are not in order"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "tensor a: its data_offsets -4, 0 are not in order"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-" BIG "," BIG "]}}", 4, "are not in order"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[9223372036854775803," BIG "]}}", 4, "tensor a ends at byte " BIG},
    {"{" T("a", "F32", "[2]", 0, 8) "}", 7, "tensor a ends at byte 8 of the data, which has 7 bytes"},
    {"{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[2]", 4, 12) "}", 4, "tensor b ends at byte 12"},
    {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[1]", 4, 8) "}", 8, "tensor b overlaps tensor a"},
    {"{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}", 4, "overlaps tensor"},
    {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[0]", 4, 4) "}", 8, "tensor b overlaps tensor a"},
    {"{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 8, 12) "}", 12, "no tensor covers the 4 bytes before tensor b"},
    {"{" T("a", "F32", "[1]", 4, 8) "}", 8, "no tensor covers the 4 bytes before tensor a"},
    {"{" T("a", "F32", "[1]", 0, 4) "}", 5, "no tensor covers its last 1 bytes"},
    {"{}", 1, "no tensor covers its last 1 bytes"},
    {"{" T("a", "F32", "[0]", 1, 1) "}", 1, "no tensor covers the 1 bytes before tensor a"},
};

static void test_malformed(void) {
    char path[OS_PATH_MAX];
    struct st_reader *r;
    (void)path_in(path, test_dir(), "bad.safetensors");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        make(path, strlen(bad[i].header), bad[i].header, (int64_t)strlen(bad[i].header), bad[i].data);
        err_clear();
        err_t err = st_open_file(path, &r);
        CASE(err == ERR_FORMAT && strstr(err_message(), bad[i].part) && strstr(err_message(), path), "header %s gives %d \"%s\", not \"%s\"",
             bad[i].header, (int)err, err_message(), bad[i].part);
        if (err == OK) st_close(r);
    }
    static const uint64_t lengths[] = {3, 100, 100000001, 1ull << 31, 1ull << 32, 1ull << 63, (1ull << 63) - 1, -1ull, -7ull, -8ull, -9ull, -10ull};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char part[64];
        (void)snprintf(part, sizeof part, "its header claims %" PRIu64 " bytes", lengths[i]);
        make(path, lengths[i], "{}", 2, 0);
        CASE_ERR(st_open_file(path, &r), ERR_FORMAT, part);
    }
    for (int n = 0; n < 8; n++) {
        put_file(path, "\2\0\0\0\0\0\0", n);
        CASE_ERR(st_open_file(path, &r), ERR_FORMAT, "has only");
    }
    static char long_header[100001];
    memset(long_header, '[', 100000);
    (void)snprintf(long_header, 6, "{\"a\":");
    long_header[5] = '[';
    make(path, 100000, long_header, 100000, 0);
    CASE_ERR(st_open_file(path, &r), ERR_FORMAT, "not JSON");
    (void)snprintf(long_header, sizeof long_header, "{\"%0298d\":1}", 7);
    make(path, strlen(long_header), long_header, (int64_t)strlen(long_header), 0);
    CASE_ERR(st_open_file(path, &r), ERR_FORMAT, "has 298 bytes, more than the 255 allowed");
    CASE_ERR(st_open_file(PATH(test_dir(), "nowhere"), &r), ERR_IO, "nowhere");
    CASE_ERR(st_open_file(test_dir(), &r), ERR_IO, "not an ordinary file");
}

static void test_truncated(void) {
    char path[OS_PATH_MAX];
    struct st_reader *r;
    const char *header = "{" T("a", "F32", "[2]", 0, 8) "," T("b", "BF16", "[2]", 8, 12) "}";
    int64_t n = (int64_t)strlen(header), whole = 8 + n + 12;
    (void)path_in(path, test_dir(), "cut.safetensors");
    make(path, (uint64_t)n, header, n, 12);
    char *data;
    int64_t bytes;
    NEED(os_read_all(path, 1 << 20, &data, &bytes));
    NEED(st_open_file(path, &r));
    st_close(r);
    int refused = 0;
    for (int64_t i = 0; i < whole; i++) {
        put_file(path, data, i);
        err_clear();
        refused += st_open_file(path, &r) == ERR_FORMAT && strstr(err_message(), path);
    }
    CASE(refused == whole, "%d of %d truncations are refused", refused, (int)whole);
    free(data);
}

static void test_good(void) {
    char path[OS_PATH_MAX];
    struct st_reader *r;
    (void)path_in(path, test_dir(), "good.safetensors");
    make(path, 2, "{}", 2, 0);
    NEED(st_open_file(path, &r));
    CASE(st_count(r) == 0 && !st_find(r, "a") && !st_metadata(r, "k"), "an empty file is a file");
    st_close(r);

    /* padding, metadata, a scalar, zero-size tensors anywhere, offsets in another order than names, an unaligned tensor */
    const char *header =
        "{\"__metadata__\":{\"format\":\"pt\"}," T("z", "U8", "[1]", 0, 1) "," T("e", "F32", "[3,0]", 1, 1) "," T("s", "F32", "[]", 1, 5) "," T(
            "b", "BF16", "[2,1]", 5, 9) "," T("h", "F16", "[1]", 9, 11) "," T("d", "F64", "[1]", 11, 19) "," T("i", "I64", "[1]", 19,
                                                                                                               27) "," T("n\\u00e9", "I64", "[0]", 27,
                                                                                                                         27) "}        ";
    make(path, strlen(header), header, (int64_t)strlen(header), 27);
    NEED(st_open_file(path, &r));
    CASE(st_count(r) == 8, "all tensors are there");
    CASE(strcmp(st_metadata(r, "format"), "pt") == 0 && !st_metadata(r, "x"), "metadata");
    bool sorted = true;
    for (int64_t i = 1; i < st_count(r); i++) sorted = sorted && strcmp(st_at(r, i - 1)->name, st_at(r, i)->name) < 0;
    CASE(sorted && st_find(r, "n\xc3\xa9") && !st_find(r, "zz") && !st_find(r, ""), "sorted and found by name");
    const struct tensor_info *s = st_find(r, "s");
    unsigned char raw[4];
    float f, want;
    NEED(st_read(r, s, 0, 1, raw));
    CASE(s->ndim == 0 && s->count == 1 && raw[0] == 1 && raw[3] == 4, "a scalar");
    NEED(st_read_f32(r, s, 0, 1, &f));
    memcpy(&want, raw, 4);
    CASE(f == want, "a scalar as fp32");
    CASE_OK(st_read_f32(r, st_find(r, "e"), 0, 0, &f));
    NEED(st_read_f32(r, st_find(r, "b"), 1, 1, &f));
    uint32_t bits = (uint32_t)(7 | 8 << 8) << 16;
    memcpy(&want, &bits, 4);
    CASE(f == want, "bf16 widened, from the middle");
    NEED(st_read_f32(r, st_find(r, "d"), 0, 1, &f));
    double d;
    unsigned char eight[8] = {11, 12, 13, 14, 15, 16, 17, 18};
    memcpy(&d, eight, 8);
    CASE(f == (float)d, "f64 rounded");
    NEED(st_read_f32(r, st_find(r, "h"), 0, 1, &f));
    CASE(f == (0x209 + 0x400) / 1024.0F / 8192.0F, "f16 widened: 0x0a09 is 2^-13 * (1 + 521/1024)");
    CASE_ERR(st_read_f32(r, st_find(r, "i"), 0, 1, &f), ERR_FORMAT, "tensor i has dtype I64");
    CASE_ERR(st_read(r, s, 1, 1, raw), ERR_BUG, "internal");
    CASE_ERR(st_read(r, s, -1, 1, raw), ERR_BUG, "internal");
    CASE_ERR(st_read(r, s, 0, INT64_MAX, raw), ERR_BUG, "internal");
    st_close(r);
}

/* Many tensors: nothing here may be quadratic. */
static void test_many(void) {
    enum { N = 100000 };
    char path[OS_PATH_MAX];
    struct st_reader *r;
    char *h = malloc((size_t)N * 96 + 16);
    if (!h) exit(2);
    int64_t n = 0;
    for (int i = 0; i < N; i++)
        n += sprintf(h + n, "%c\"model.layers.%d.w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}", i ? ',' : '{', i, N - 1 - i, N - i);
    h[n++] = '}';
    (void)path_in(path, test_dir(), "many.safetensors");
    make(path, (uint64_t)n, h, n, N);
    free(h);
    NEED(st_open_file(path, &r));
    int found = 0;
    for (int i = 0; i < N; i++) {
        char name[64];
        unsigned char byte;
        (void)snprintf(name, sizeof name, "model.layers.%d.w", i);
        const struct tensor_info *t = st_find(r, name);
        found += t && st_read(r, t, 0, 1, &byte) == OK && byte == (unsigned char)(N - 1 - i);
    }
    CASE(found == N, "%d of %d tensors found and read", found, N);
    st_close(r);
}

static void write_one(const char *path, const char *name) {
    char header[400];
    (void)snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", name);
    make(path, strlen(header), header, (int64_t)strlen(header), 4);
}

static void test_index(void) {
    static const struct {
        const char *index, *part;
    } wrong[] = {
        {"", "not JSON"},
        {"[]", "\"weight_map\" is missing"},
        {"{}", "\"weight_map\" is missing"},
        {"{\"weight_map\":[]}", "\"weight_map\" is missing"},
        {"{\"weight_map\":{}}", "\"weight_map\" is missing"},
        {"{\"weight_map\":{\"a\":1,\"b\":\"2.safetensors\"}}", "tensor a the file (not a string)"},
        {"{\"weight_map\":{\"a\":\"../1.safetensors\",\"b\":\"2.safetensors\"}}", "tensor a the file ../1.safetensors"},
        {"{\"weight_map\":{\"a\":\"/etc/1.safetensors\",\"b\":\"2.safetensors\"}}", "tensor a the file /etc/1.safetensors"},
        {"{\"weight_map\":{\"a\":\"x/1.safetensors\",\"b\":\"2.safetensors\"}}", "tensor a the file x/1.safetensors"},
        {"{\"weight_map\":{\"a\":\"..\",\"b\":\"2.safetensors\"}}", "tensor a the file .."},
        {"{\"weight_map\":{\"a\":\"\",\"b\":\"2.safetensors\"}}", "tensor a the file ;"},
        {"{\"weight_map\":{\"a\":\"pytorch_model.bin\",\"b\":\"2.safetensors\"}}", "tensor a the file pytorch_model.bin"},
        {"{\"weight_map\":{\"a\":\"9.safetensors\",\"b\":\"2.safetensors\"}}", "9.safetensors"},
        {"{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"2.safetensors\"}}", "tensor a is missing: it should be in 2.safetensors"},
        {"{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"}}", "but weight_map says"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\",\"c\":\"2.safetensors\"}}", "tensor c is missing"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"3.safetensors\"}}", "surplus tensor c"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\",\"c\":\"4.safetensors\"}}", "tensor b is there twice"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}", "duplicate object key"},
    };
    char dir[OS_PATH_MAX];
    struct st_reader *r;
    (void)fresh(dir, "index");
    CASE_ERR(st_open_folder(PATH(dir, "none"), &r), ERR_IO, "none does not exist");
    CASE_ERR(st_open_folder(dir, &r), ERR_FORMAT, "holds neither");
    write_one(PATH(dir, "1.safetensors"), "a");
    write_one(PATH(dir, "2.safetensors"), "b");
    const char *two = "{" T("b", "F32", "[1]", 0, 4) "," T("c", "F32", "[1]", 4, 8) "}";
    make(PATH(dir, "3.safetensors"), strlen(two), two, (int64_t)strlen(two), 8);
    make(PATH(dir, "4.safetensors"), strlen(two), two, (int64_t)strlen(two), 8);
    char index[OS_PATH_MAX];
    (void)path_in(index, dir, "model.safetensors.index.json");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put_file(index, wrong[i].index, (int64_t)strlen(wrong[i].index));
        err_clear();
        err_t err = st_open_folder(dir, &r);
        CASE((err == ERR_FORMAT || err == ERR_IO) && strstr(err_message(), wrong[i].part), "index %s gives %d \"%s\"", wrong[i].index, (int)err,
             err_message());
        if (err == OK) st_close(r);
    }
    const char *right = "{\"metadata\":{\"total_size\":0},\"weight_map\":{\"b\":\"2.safetensors\",\"a\":\"1.safetensors\"}}";
    put_file(index, right, (int64_t)strlen(right));
    NEED(st_open_folder(dir, &r));
    CASE(st_count(r) == 2 && st_find(r, "a") && st_find(r, "b"), "two shards; files that the index does not name are left alone");
    CASE(strstr(st_path(r, st_find(r, "b")), "2.safetensors"), "a tensor knows its file");
    st_close(r);
    write_one(PATH(dir, "model.safetensors"), "single");
    NEED(st_open_folder(dir, &r));
    CASE(st_count(r) == 1 && st_find(r, "single"), "model.safetensors goes before an index");
    st_close(r);
}

/* Zeros, but for one tensor's last element. */
struct zeros {
    const struct st_out *list;
    int64_t odd; /* -1: none */
};
static err_t zeros_read(void *ctx, int64_t i, int64_t from, int64_t n, void *out) {
    const struct zeros *z = ctx;
    (void)from;
    size_t bytes = (size_t)n * (size_t)dtype_bytes(z->list[i].dtype);
    memset(out, 0, bytes);
    if (i == z->odd) memset((char *)out + bytes - 2, 0x3f, 2);
    return OK;
}

/* A file with the model's tensors, all zero, of which tensor `which` is `edit` instead (NULL: left out), and with `more`,
 * whose values are others where `odd`; held against the model. `tied`: the model has no head of its own. */
static err_t check_with(const struct model *m, int which, const struct st_out *edit, const struct st_out *more, bool odd, bool tied) {
    struct st_out list[MODEL_TENSORS + 1];
    int64_t n = 0, tensors = tied ? MODEL_TENSORS - 1 : MODEL_TENSORS;
    for (int i = 0; i < tensors; i++) {
        struct st_out o = {.dtype = DT_F32, .ndim = m->list[i].ndim, .shape = {m->list[i].shape[0], m->list[i].shape[1]}};
        (void)snprintf(o.name, sizeof o.name, "%s", m->list[i].name);
        if (i != which) list[n++] = o;
        else if (edit) list[n++] = *edit;
    }
    if (more) list[n++] = *more;
    char path[OS_PATH_MAX];
    unsigned char sum[16];
    struct zeros z = {list, odd ? n - 1 : -1};
    (void)path_in(path, test_dir(), "check.safetensors");
    NEED(st_write_file(path, list, n, NULL, zeros_read, &z, NULL, sum));
    int64_t by_name[MODEL_TENSORS], k = 0;
    for (int i = 0; i < MODEL_TENSORS; i++)
        if (m->by_name[i] < tensors) by_name[k++] = m->by_name[i];
    struct params p = m->params;
    p.count = tensors;
    p.by_name = by_name;
    struct st_reader *r;
    NEED(st_open_file(path, &r));
    struct names names;
    NEED(names_plain(&p, tied && st_find(r, "lm_head.weight") ? "lm_head.weight" : NULL, &names));
    err_t err = st_check_model(r, NULL, &names, NULL);
    names_free(&names);
    st_close(r);
    return err;
}

static void test_check_model(void) {
    struct model m;
    model_init(&m, 1, 1, 5);
    CASE_OK(check_with(&m, -1, NULL, NULL, false, false));
    CASE_ERR(check_with(&m, 1, NULL, NULL, false, false), ERR_FORMAT, "check.safetensors: tensor model.layers.0.mlp.gate.weight is missing");
    CASE_ERR(check_with(&m, 3, NULL, NULL, false, false), ERR_FORMAT, "tensor lm_head.weight is missing");
    struct st_out more = {.name = "model.layers.1.mlp.gate.weight", .dtype = DT_F32, .ndim = 1, .shape = {2}};
    CASE_ERR(check_with(&m, -1, NULL, &more, false, false), ERR_FORMAT, "check.safetensors: surplus tensor model.layers.1.mlp.gate.weight");
    struct st_out buffer = {.name = "model.layers.0.self_attn.rotary_emb.inv_freq", .dtype = DT_F32, .ndim = 1, .shape = {2}};
    CASE_OK(check_with(&m, -1, NULL, &buffer, false, false));

    struct st_out edit = {.name = "model.layers.0.mlp.gate.weight", .dtype = DT_F16, .ndim = 2, .shape = {3, 4}};
    CASE_OK(check_with(&m, 1, &edit, NULL, false, false));
    edit.dtype = DT_BF16;
    CASE_OK(check_with(&m, 1, &edit, NULL, false, false));
    static const enum dtype no_weights[] = {DT_F64, DT_I64, DT_I32, DT_U16, DT_U8};
    for (int i = 0; i < 5; i++) {
        char part[80];
        edit.dtype = no_weights[i];
        (void)snprintf(part, sizeof part, "tensor model.layers.0.mlp.gate.weight has dtype %s", dtype_name(edit.dtype));
        CASE_ERR(check_with(&m, 1, &edit, NULL, false, false), ERR_FORMAT, part);
    }
    edit.dtype = DT_F32;
    edit.shape[0] = 4;
    edit.shape[1] = 3;
    CASE_ERR(check_with(&m, 1, &edit, NULL, false, false), ERR_FORMAT,
             "tensor model.layers.0.mlp.gate.weight has shape [4, 3], but config.json asks for [3, 4]");
    edit.ndim = 1;
    edit.shape[0] = 12;
    CASE_ERR(check_with(&m, 1, &edit, NULL, false, false), ERR_FORMAT, "has shape [12], but config.json asks for [3, 4]");
    edit.ndim = 3;
    edit.shape[0] = 3;
    edit.shape[1] = 4;
    edit.shape[2] = 1;
    CASE_ERR(check_with(&m, 1, &edit, NULL, false, false), ERR_FORMAT, "has shape [3, 4, 1]");
    struct st_out norm = {.name = "model.norm.weight", .dtype = DT_F32, .ndim = 2, .shape = {3, 1}};
    CASE_ERR(check_with(&m, 2, &norm, NULL, false, false), ERR_FORMAT, "model.norm.weight has shape [3, 1], but config.json asks for [3]");

    struct st_out head = {.name = "lm_head.weight", .dtype = DT_F32, .ndim = 2, .shape = {5, 4}};
    CASE_OK(check_with(&m, -1, NULL, NULL, false, true));
    CASE_OK(check_with(&m, -1, NULL, &head, false, true));
    CASE_ERR(check_with(&m, -1, NULL, &head, true, true), ERR_FORMAT,
             "lm_head.weight differs from model.embed_tokens.weight, but tie_word_embeddings");
    head.shape[0] = 4;
    CASE_ERR(check_with(&m, -1, NULL, &head, false, true), ERR_FORMAT, "lm_head.weight has shape [4, 4]");
}

int main(void) {
    test_malformed();
    test_truncated();
    test_good();
    test_many();
    test_index();
    test_check_model();
    CASE_OK(os_remove_tree(test_dir()));
    return test_end();
}
