/* What a file is, by its name and by its first bytes. */
#include "base/json.h"
#include "data/data_int.h"

#include <string.h>
#include <strings.h>

#define TABLE "write its texts as one JSON object a line, {\"text\": ...}, in a file named *.jsonl"
#define MARKUP "take the text out of it first, into *.txt or *.jsonl"
#define PACKED "unpack it first (.gz and .zst are read as they are)"
#define BINARY "write its texts as one JSON object a line, {\"text\": ...}, in a file named *.jsonl"
#define MODEL "give text to tokenize"

static const struct ending {
    const char *name;
    enum file_kind kind;
    const char *what, *advice; /* of FILE_REFUSED */
} ENDINGS[] = {
    {".txt", FILE_TEXT, NULL, NULL},
    {".text", FILE_TEXT, NULL, NULL},
    {".md", FILE_TEXT, NULL, NULL},
    {".rst", FILE_TEXT, NULL, NULL},
    {".pod", FILE_TEXT, NULL, NULL},
    {".jsonl", FILE_JSONL, NULL, NULL},
    {".ndjson", FILE_JSONL, NULL, NULL},
    {".jsonlines", FILE_JSONL, NULL, NULL},
    {".ldjson", FILE_JSONL, NULL, NULL},
    {".jl", FILE_JSONL, NULL, NULL},
    {".json", FILE_JSON, NULL, NULL},
    {".tok", FILE_TOKENS, NULL, NULL},
    {".csv", FILE_REFUSED, "a table (CSV)", TABLE},
    {".tsv", FILE_REFUSED, "a table (TSV)", TABLE},
    {".xls", FILE_REFUSED, "a spreadsheet", TABLE},
    {".xlsx", FILE_REFUSED, "a spreadsheet", TABLE},
    {".ods", FILE_REFUSED, "a spreadsheet", TABLE},
    {".parquet", FILE_REFUSED, "a Parquet table", TABLE},
    {".arrow", FILE_REFUSED, "an Arrow table", TABLE},
    {".feather", FILE_REFUSED, "an Arrow table (Feather)", TABLE},
    {".orc", FILE_REFUSED, "an ORC table", TABLE},
    {".avro", FILE_REFUSED, "an Avro file", TABLE},
    {".sqlite", FILE_REFUSED, "a database", TABLE},
    {".db", FILE_REFUSED, "a database", TABLE},
    {".html", FILE_REFUSED, "HTML", MARKUP},
    {".htm", FILE_REFUSED, "HTML", MARKUP},
    {".xhtml", FILE_REFUSED, "HTML", MARKUP},
    {".xml", FILE_REFUSED, "XML", MARKUP},
    {".pdf", FILE_REFUSED, "a PDF document", MARKUP},
    {".ps", FILE_REFUSED, "a PostScript document", MARKUP},
    {".epub", FILE_REFUSED, "an e-book", MARKUP},
    {".doc", FILE_REFUSED, "a Word document", MARKUP},
    {".docx", FILE_REFUSED, "a Word document", MARKUP},
    {".odt", FILE_REFUSED, "an OpenDocument text", MARKUP},
    {".rtf", FILE_REFUSED, "rich text (RTF)", MARKUP},
    {".zip", FILE_REFUSED, "an archive (zip)", PACKED},
    {".tar", FILE_REFUSED, "an archive (tar)", PACKED},
    {".tgz", FILE_REFUSED, "an archive (tar)", PACKED},
    {".7z", FILE_REFUSED, "an archive (7z)", PACKED},
    {".rar", FILE_REFUSED, "an archive (rar)", PACKED},
    {".xz", FILE_REFUSED, "a compressed file (xz)", PACKED},
    {".lzma", FILE_REFUSED, "a compressed file (lzma)", PACKED},
    {".bz2", FILE_REFUSED, "a compressed file (bzip2)", PACKED},
    {".lz4", FILE_REFUSED, "a compressed file (lz4)", PACKED},
    {".br", FILE_REFUSED, "a compressed file (Brotli)", PACKED},
    {".z", FILE_REFUSED, "a compressed file (compress)", PACKED},
    {".npy", FILE_REFUSED, "a NumPy array", BINARY},
    {".npz", FILE_REFUSED, "NumPy arrays", BINARY},
    {".pkl", FILE_REFUSED, "a pickle of Python objects", BINARY},
    {".pickle", FILE_REFUSED, "a pickle of Python objects", BINARY},
    {".h5", FILE_REFUSED, "an HDF5 file", BINARY},
    {".hdf5", FILE_REFUSED, "an HDF5 file", BINARY},
    {".tfrecord", FILE_REFUSED, "a TFRecord file", BINARY},
    {".idx", FILE_REFUSED, "an index of binary data", BINARY},
    {".bin", FILE_REFUSED, "binary data", BINARY},
    {".pt", FILE_REFUSED, "a PyTorch file", MODEL},
    {".pth", FILE_REFUSED, "a PyTorch file", MODEL},
    {".ckpt", FILE_REFUSED, "a PyTorch file", MODEL},
    {".safetensors", FILE_REFUSED, "a file of weights (safetensors)", MODEL},
    {".gguf", FILE_REFUSED, "a file of weights (GGUF)", MODEL},
    {".onnx", FILE_REFUSED, "a model (ONNX)", MODEL},
};

static const struct magic {
    const char *bytes;
    int count, at;
    const char *what, *advice;
} MAGICS[] = {
    {TOK_MAGIC, TOK_MAGIC_BYTES, 0, "a token file", "data.train and data.valid take such files, by name and not through a pipe"},
    {"PAR1", 4, 0, "a Parquet table", TABLE},
    {"ARROW1", 6, 0, "an Arrow table", TABLE},
    {"Obj\1", 4, 0, "an Avro file", TABLE},
    {"SQLite format 3", 16, 0, "a database (SQLite)", TABLE},
    {"%PDF-", 5, 0, "a PDF document", MARKUP},
    {"{\\rtf", 5, 0, "rich text (RTF)", MARKUP},
    {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8, 0, "an old Office document", MARKUP},
    {"PK\3\4", 4, 0, "an archive (zip), as Office documents, .npz and PyTorch files are too", PACKED},
    {"ustar", 5, 257, "an archive (tar)", PACKED},
    {"7z\xbc\xaf\x27\x1c", 6, 0, "an archive (7z)", PACKED},
    {"Rar!\x1a\7", 6, 0, "an archive (rar)", PACKED},
    {"\xfd"
     "7zXZ",
     6, 0, "a compressed file (xz)", PACKED},
    {"BZh", 3, 0, "a compressed file (bzip2)", PACKED},
    {"\4\"M\x18", 4, 0, "a compressed file (lz4)", PACKED},
    {"\x93NUMPY", 6, 0, "a NumPy array", BINARY},
    {"\x89HDF", 4, 0, "an HDF5 file", BINARY},
    {"\x80\2", 2, 0, "a pickle of Python objects", BINARY},
    {"\x80\3", 2, 0, "a pickle of Python objects", BINARY},
    {"\x80\4\x95", 3, 0, "a pickle of Python objects", BINARY},
    {"\x80\5\x95", 3, 0, "a pickle of Python objects", BINARY},
    {"GGUF", 4, 0, "a file of weights (GGUF)", MODEL},
    {"\x7f"
     "ELF",
     4, 0, "a program", MODEL},
    {"\x89PNG", 4, 0, "an image (PNG)", MODEL},
    {"\xff\xd8\xff", 3, 0, "an image (JPEG)", MODEL},
};

static bool ends_with(const char *name, size_t n, const char *ending) {
    const size_t e = strlen(ending);
    return n > e && strncasecmp(name + n - e, ending, e) == 0;
}

const char *file_name(const char *path) { return strcmp(path, "-") == 0 ? "standard input" : path; }

const char *file_packing(const char *path) {
    const size_t n = strlen(path);
    return ends_with(path, n, ".gz") ? "gzip" : ends_with(path, n, ".zst") ? "Zstandard" : NULL;
}

static const struct ending *find_ending(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);
    if (file_packing(name)) n -= ends_with(name, n, ".gz") ? 3 : 4;
    for (size_t i = 0; i < sizeof ENDINGS / sizeof ENDINGS[0]; i++)
        if (ends_with(name, n, ENDINGS[i].name)) return &ENDINGS[i];
    return NULL;
}

enum file_kind file_kind(const char *path) {
    const struct ending *e = find_ending(path);
    return e ? e->kind : FILE_UNKNOWN;
}

static err_t refuse(const char *path, const char *what, const char *advice) {
    return FAIL(ERR_FORMAT, "%s is %s, which is not read; %s", file_name(path), what, advice);
}

err_t file_check_name(const char *path) {
    const struct ending *e = find_ending(path);
    if (e && e->kind == FILE_REFUSED) return refuse(path, e->what, e->advice);
    if (e && e->kind == FILE_TOKENS) return refuse(path, "a token file, going by its name", "name it as data.train or data.valid");
    return OK;
}

/* Text in 16 or 32 bits a character, by its mark or, where it is of Latin letters for the most part, by every other byte being 0. */
static const char *wide(const char *text, int64_t bytes) {
    if (bytes >= 4 && memcmp(text, "\xff\xfe\0\0", 4) == 0) return "UTF-32LE";
    if (bytes >= 4 && memcmp(text, "\0\0\xfe\xff", 4) == 0) return "UTF-32BE";
    if (bytes >= 4 && memcmp(text, "\xff\xfe", 2) == 0) return "UTF-16LE";
    if (bytes >= 4 && memcmp(text, "\xfe\xff", 2) == 0) return "UTF-16BE";
    int64_t zeros[2] = {0, 0}, half = bytes / 2;
    for (int64_t i = 0; i < 2 * half; i++) zeros[i % 2] += text[i] == 0;
    if (half < 2 || zeros[0] + zeros[1] < half / 2 + 1) return NULL;
    return zeros[0] == 0 ? "UTF-16LE" : zeros[1] == 0 ? "UTF-16BE" : NULL;
}

/* Is the first line that is not blank a JSON object by itself? A line that goes on behind what is seen counts by how it begins. */
static bool first_line_is_object(const char *text, int64_t bytes) {
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        bytes -= 3;
    }
    while (bytes > 0 && strchr(" \t\r\n", *text) && *text) {
        text++;
        bytes--;
    }
    if (bytes == 0 || *text != '{') return false;
    const char *end = memchr(text, '\n', (size_t)bytes);
    if (!end && bytes >= STREAM_PEEK / 2) {
        const char *p = text + 1;
        while (*p == ' ') p++;
        return *p == '"';
    }
    json_error_t why;
    json_t *object = json_read(text, end ? end - text : bytes, JSON_NULS, &why);
    const bool is = json_is_object(object);
    json_decref(object);
    return is;
}

err_t file_check_text(const char *path, enum file_kind kind, const char *text, int64_t bytes, bool *lines) {
    for (size_t i = 0; i < sizeof MAGICS / sizeof MAGICS[0]; i++) {
        const struct magic *m = &MAGICS[i];
        if (bytes >= m->at + m->count && memcmp(text + m->at, m->bytes, (size_t)m->count) == 0) return refuse(path, m->what, m->advice);
    }
    const char *encoding = wide(text, bytes);
    if (encoding)
        return FAIL(ERR_FORMAT, "%s is %s, going by its first bytes, and text must be UTF-8; convert it: iconv -f %s -t UTF-8", file_name(path),
                    encoding, encoding);
    *lines = kind == FILE_JSONL;
    if (kind == FILE_JSONL) return OK;
    const bool object = first_line_is_object(text, bytes);
    if (kind == FILE_TEXT && object)
        return FAIL(ERR_FORMAT, "%s is JSON lines, going by its first line, with a name for text; name it *.jsonl, or set data.format", path);
    if (kind == FILE_JSON && !object)
        return refuse(path, "one JSON document over many lines",
                      "write one JSON object a line in a file named *.jsonl (jq -c '.[]' does it for an array)");
    *lines = object;
    return OK;
}
