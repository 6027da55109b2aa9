/* Options: values, run files, origins, what is refused and how the message reads. */
#include "base/opt.h"

#include "test.h"

#include "base/os.h"

#include <unistd.h>

struct values {
    bool flag;
    int64_t steps, any;
    double lr, free;
    const char *out, *name, *dir, *files;
    int dtype;
};
#define AT(field) offsetof(struct values, field)
static const struct opt list[] = {
    {"out", OPT_TEXT, AT(out), NULL, NULL, 0, 0, "folder to write", OPT_SAME},
    {"train.steps", OPT_INT, AT(steps), "10", NULL, 0, 1e12, "steps", OPT_SAME},
    {"train.lr", OPT_FLOAT, AT(lr), "1e-3", NULL, 0, 10, "learning rate", OPT_SAME},
    {"train.flag", OPT_BOOL, AT(flag), "no", NULL, 0, 0, "a switch", OPT_SAME},
    {NULL, OPT_BOOL, 0, NULL, NULL, 0, 0, NULL, OPT_SAME},
};
static const struct opt more[] = {
    {"model.dtype", OPT_CHOICE, AT(dtype), "bf16", "fp32|bf16", 0, 0, "type", OPT_SAME},
    {"model.any", OPT_INT, AT(any), "-3", NULL, 0, 0, "no limits", OPT_SAME},
    {"model.free", OPT_FLOAT, AT(free), "0.1", NULL, 0, 0, "no limits", OPT_SAME},
    {"model.deep.name", OPT_TEXT, AT(name), "x", NULL, 0, 0, "a name", OPT_SAME},
    {"dir", OPT_PATH, AT(dir), NULL, NULL, 0, 0, "a folder", OPT_SAME},
    {"files", OPT_PATHS, AT(files), NULL, NULL, 0, 0, "files", OPT_SAME},
    {NULL, OPT_BOOL, 0, NULL, NULL, 0, 0, NULL, OPT_SAME},
};

static struct values v;
static const struct opt_table tables[] = {{"first", list, &v}, {"second", more, &v}};

static struct opt_set *fresh(void) {
    struct opt_set *s = NULL;
    memset(&v, 0x5a, sizeof v);
    NEED(opt_new(tables, 2, &s));
    return s;
}

static const char *file(const char *text, int64_t bytes) {
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/run.yaml", test_dir());
    NEED(os_write_all(path, text, bytes < 0 ? (int64_t)strlen(text) : bytes));
    return path;
}

static void defaults(void) {
    struct opt_set *s = fresh();
    CASE(v.out == NULL && v.steps == 10 && !v.flag && v.dtype == 1 && v.any == -3 && strcmp(v.name, "x") == 0, "defaults of all types");
    CASE(v.lr > 0.000999 && v.lr < 0.001001, "default of a float");
    CASE(!opt_given(s, "train.lr") && strcmp(opt_origin(s, "train.lr"), "default") == 0, "a default's origin");
    CASE(opt_origin(s, "train.none") == NULL && !opt_given(s, "train.none"), "no origin of an unknown key");
    opt_free(s);
    opt_free(NULL);
}

static void numbers(void) {
    struct opt_set *s = fresh();
    static const struct {
        const char *text;
        int64_t want;
    } good[] = {
        {"0", 0},
        {"7", 7},
        {"-7", -7},
        {"+7", 7},
        {"007", 7},
        {"4k", 4000},
        {"2M", 2000000},
        {"1G", 1000000000},
        {"4Ki", 4096},
        {"2Mi", 2097152},
        {"1Gi", 1073741824},
        {"-1Ki", -1024},
        {"9223372036854775807", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char a[64];
        (void)snprintf(a, sizeof a, "model.any=%s", good[i].text);
        CASE_OK(opt_assign(s, a));
        CASE(v.any == good[i].want, "%s is %lld", a, (long long)v.any);
    }
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "1.5",
                                      "1e3",
                                      "0x10",
                                      "k",
                                      "1kk",
                                      "1K",
                                      "1ki",
                                      "--1",
                                      "+-1",
                                      "1_000",
                                      "nan",
                                      "9223372036854775808",
                                      "99999999999999999999999999999999999",
                                      "9223372036854775807k",
                                      "10000000000Gi"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char a[96];
        (void)snprintf(a, sizeof a, "model.any=%s", bad[i]);
        v.any = 55;
        CASE_ERR(opt_assign(s, a), ERR_USAGE, "model.any=");
        CASE(v.any == 55, "a refused value leaves the field as it was");
    }
    CASE_ERR(opt_assign(s, "train.steps=-1"), ERR_USAGE, "0..1000000000000");
    CASE_ERR(opt_assign(s, "train.steps=2000G"), ERR_USAGE, "out of range");
    static const struct {
        const char *text;
        double want;
    } floats[] = {{"1", 1}, {"-.5", -.5}, {"2.", 2}, {"1e3", 1000}, {"2.5E-1", .25}, {"+4", 4}, {"0", 0}};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        char a[64];
        (void)snprintf(a, sizeof a, "model.free=%s", floats[i].text);
        CASE_OK(opt_assign(s, a));
        CASE(!(v.free < floats[i].want) && !(v.free > floats[i].want), "%s is %g", a, v.free);
    }
    static const char *const bad_floats[] = {"",      "nan", "inf", "-inf",  "infinity", "1e",     "1e+",   ".", "-",
                                             "0x1p3", "1,5", "1 ",  "1e400", "-1e400",   "1e-400", "1.2.3", "1f"};
    for (size_t i = 0; i < sizeof bad_floats / sizeof bad_floats[0]; i++) {
        char a[64];
        (void)snprintf(a, sizeof a, "model.free=%s", bad_floats[i]);
        CASE_ERR(opt_assign(s, a), ERR_USAGE, "model.free=");
    }
    CASE_ERR(opt_assign(s, "train.lr=10.5"), ERR_USAGE, "0..10");
    opt_free(s);
}

static void words(void) {
    struct opt_set *s = fresh();
    CASE_OK(opt_assign(s, "train.flag=on"));
    CASE(v.flag, "on is true");
    CASE_OK(opt_assign(s, "train.flag=FALSE"));
    CASE(!v.flag, "FALSE is false");
    CASE_ERR(opt_assign(s, "train.flag=2"), ERR_USAGE, "true|false");
    CASE_OK(opt_assign(s, "model.dtype=fp32"));
    CASE(v.dtype == 0, "index of a choice");
    CASE_ERR(opt_assign(s, "model.dtype=fp"), ERR_USAGE, "fp32|bf16");
    CASE_ERR(opt_assign(s, "model.dtype=fp32|bf16"), ERR_USAGE, "fp32|bf16");
    CASE_ERR(opt_assign(s, "model.dtype="), ERR_USAGE, "fp32|bf16");
    CASE_OK(opt_assign(s, "out=a=b c"));
    CASE(strcmp(v.out, "a=b c") == 0, "text to the end, equals signs included");
    CASE(opt_given(s, "out") && strcmp(opt_origin(s, "out"), "command line") == 0, "origin of an assignment");
    CASE_OK(opt_assign(s, "out="));
    CASE(v.out == NULL, "empty takes back a text that has no default");
    CASE_OK(opt_assign(s, "model.deep.name="));
    CASE(v.name && !*v.name, "empty stays empty where there is a default");
    CASE_OK(opt_set_value(s, "train.steps", "3", "preset mop"));
    CASE(v.steps == 3 && strcmp(opt_origin(s, "train.steps"), "preset mop") == 0, "the program's own origin");
    CASE_ERR(opt_assign(s, "out=\xff\xfe"), ERR_USAGE, "not UTF-8 at byte 0");
    CASE_ERR(opt_assign(s, "out=ab\xed\xa0\x80"), ERR_USAGE, "not UTF-8 at byte 2");
    CASE_ERR(opt_assign(s, "=3"), ERR_USAGE, "not key=value");
    CASE_ERR(opt_assign(s, "train"), ERR_USAGE, "not key=value");
    CASE_ERR(opt_assign(s, ""), ERR_USAGE, "not key=value");
    CASE_ERR(opt_assign(s, "train=3"), ERR_USAGE, "group");
    char *huge = malloc(1 << 20);
    if (!huge) exit(2);
    memset(huge, 'a', (1 << 20) - 1);
    huge[(1 << 20) - 1] = 0;
    CASE_ERR(opt_assign(s, huge), ERR_USAGE, "not key=value");
    huge[1000] = '=';
    CASE_ERR(opt_assign(s, huge), ERR_USAGE, "longer");
    memcpy(huge, "out=", 4);
    CASE_OK(opt_assign(s, huge));
    CASE(v.out && strlen(v.out) == (1 << 20) - 5, "a long text is kept whole");
    memcpy(huge, "model.any=1", 11);
    CASE_ERR(opt_assign(s, huge), ERR_USAGE, "...");
    free(huge);
    opt_free(s);
}

static void nearest(void) {
    struct opt_set *s = fresh();
    CASE_ERR(opt_assign(s, "train.stpes=3"), ERR_USAGE, "nearest is train.steps ");
    CASE_ERR(opt_assign(s, "trian.lr=3"), ERR_USAGE, "nearest is train.lr ");
    CASE_ERR(opt_assign(s, "lr=3"), ERR_USAGE, "nearest is train.lr ");
    CASE_ERR(opt_assign(s, "dtype=3"), ERR_USAGE, "nearest is model.dtype ");
    CASE_ERR(opt_assign(s, "Out=3"), ERR_USAGE, "nearest is out ");
    CASE_ERR(opt_assign(s, "a\033[2J\nb=3"), ERR_USAGE, "option a?[2J?b;");
    static const char *const names[] = {"train", "eval", "tokenize", "tokenizer-train", "help"};
    CASE(strcmp(opt_nearest("trian", names, 5), "train") == 0, "a swap is one edit");
    CASE(strcmp(opt_nearest("tokenise", names, 5), "tokenize") == 0, "one letter");
    CASE(strcmp(opt_nearest("tokenizr-train", names, 5), "tokenizer-train") == 0, "a letter left out");
    CASE(opt_nearest("frobnicate", names, 5) == NULL, "nothing is near");
    CASE(opt_nearest("", names, 5) == NULL, "nothing is near an empty word");
    CASE(opt_nearest("x", NULL, 0) == NULL, "no names");
    opt_free(s);
}

static void yaml_good(void) {
    struct opt_set *s = fresh();
    const char *path = file(
        "# a run\nout: runs/a\ntrain:\n  steps: 4k\n  lr: 2e-3   # why\n  flag: yes\nmodel.dtype: fp32\nmodel:\n  deep: {name: 'q: \"x\"'}\n", -1);
    CASE_OK(opt_read_yaml(s, path));
    CASE(v.steps == 4000 && v.flag && v.dtype == 0 && strcmp(v.out, "runs/a") == 0 && strcmp(v.name, "q: \"x\"") == 0, "nested and dotted keys");
    char want[600];
    (void)snprintf(want, sizeof want, "%s:5", path);
    CASE(strcmp(opt_origin(s, "train.lr"), want) == 0, "origin %s", opt_origin(s, "train.lr"));
    CASE_OK(opt_assign(s, "train.steps=5"));
    CASE(v.steps == 5, "the command line goes over the file");
    CASE_OK(opt_read_yaml(s, file("out: [a.tok, 'b c.tok', 3]\ntrain: {steps: 6}\n", -1)));
    CASE(strcmp(v.out, "a.tok,b c.tok,3") == 0 && v.steps == 6, "a list is joined, a second file goes over the first: %s", v.out);
    CASE_OK(opt_read_yaml(s, file("out:\n  - x\n  - y\n", -1)));
    CASE(strcmp(v.out, "x,y") == 0, "a block list");
    CASE_OK(opt_read_yaml(s, file("out: ~\ntrain:\nmodel: {}\n", -1)));
    CASE(v.out == NULL, "null takes back a text; an empty group sets nothing");
    CASE_OK(opt_read_yaml(s, file("out: []\n", -1)));
    CASE(v.out == NULL, "an empty list is no text");
    static const char *const empty[] = {"",    "\n\n# nothing\n",      "---\n", "---\n...\n",
                                        "~\n", "\xef\xbb\xbf# mark\n", "{}\n",  "%YAML 1.1\n---\ntrain.steps: 1\n"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) CASE_OK(opt_read_yaml(s, file(empty[i], -1)));
    opt_free(s);
}

static void yaml_bad(void) {
    struct opt_set *s = fresh();
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"train:\n  stepz: 3\n", "run.yaml:2: there is no option train.stepz; the nearest is train.steps "},
        {"trian:\n  steps: 3\n", "run.yaml:2: there is no option trian.steps; the nearest is train.steps"},
        {"trian: {}\n", "run.yaml:1: there is no option trian"},
        {"train: 3\n", "run.yaml:1: train is a group"},
        {"out: {a: 1}\n", "run.yaml:1: out is one option"},
        {"train:\n  steps: 3\n  steps: 3\n", "run.yaml:3: train.steps was already set in line 2"},
        {"train: {steps: 3}\ntrain.steps: 4\n", "run.yaml:2: train.steps was already set in line 1"},
        {"train:\n  steps:\n", "run.yaml:2: train.steps has no value"},
        {"train: {steps: [3, 4]}\n", "train.steps=3,4"},
        {"train: {steps: []}\n", "run.yaml:1: train.steps="},
        {"train: {lr: .nan}\n", "is not a number"},
        {"train: {lr: .inf}\n", "is not a number"},
        {"out: &a x\nmodel.deep.name: *a\n", "run.yaml:1: an anchor"},
        {"out: *a\n", "run.yaml:1:"},
        {"&a out: x\n", "run.yaml:1: an anchor"},
        {"train: &a {steps: 3}\n", "run.yaml:1: an anchor"},
        {"out: &a [x]\n", "run.yaml:1: an anchor"},
        {"out: !!str 3\n", "run.yaml:1: a tag"},
        {"out: !x [3]\n", "run.yaml:1: a tag"},
        {"train: !!map {steps: 3}\n", "run.yaml:1: a tag"},
        {"out: a\n---\nout: b\n", "run.yaml:2: a second document"},
        {"- out\n", "run.yaml:1: not a map"},
        {"out\n", "run.yaml:1: not a map"},
        {"? [a]\n: b\n", "run.yaml:1: a key is a list or a map"},
        {"? {a: b}\n: b\n", "run.yaml:1: a key is a list or a map"},
        {"'': b\n", "a key is empty"},
        {"\"a\\0b\": b\n", "a key is empty, holds a NUL"},
        {"out: \"a\\0b\"\n", "holds a NUL"},
        {"out: [\"a\\0b\"]\n", "holds a NUL"},
        {"out: [a, '']\n", "the list of out is empty"},
        {"out: ['a\\', b]\n", "ends with a backslash"},
        {"out: [[a]]\n", "holds a list or a map"},
        {"out: [{a: b}]\n", "holds a list or a map"},
        {"out: [a\n", "run.yaml:2: not YAML"},
        {"out: \"a\n", "not YAML"},
        {"\tout: a\n", "not YAML"},
        {"out: a\n b: c\n", "run.yaml:2: not YAML"},
        {"train:\n   steps: 3\n  lr: 1\n", "run.yaml:3: not YAML"},
        {"out: \xff\n", "not YAML"},
        {"out: a\n<<: {steps: 3}\n", "there is no option <<"},
        {"out: @a\n", "not YAML"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) CASE_ERR(opt_read_yaml(s, file(bad[i].text, -1)), ERR_USAGE, bad[i].part);
    CASE_ERR(opt_read_yaml(s, file("out: a\0b\n", 9)), ERR_USAGE, "not YAML");
    CASE_ERR(opt_read_yaml(s, "/nonexistent/run.yaml"), ERR_IO, "/nonexistent/run.yaml");
    CASE_ERR(opt_read_yaml(s, test_dir()), ERR_IO, "not an ordinary file");
    enum { BIG = (1 << 20) + 1 };
    char *big = malloc(BIG);
    if (!big) exit(2);
    static const char fill[] = "[{a-:?!&";
    for (size_t k = 0; k + 1 < sizeof fill; k++) {
        memset(big, fill[k], BIG);
        CASE(opt_read_yaml(s, file(big, BIG - 1)) != OK, "a MiB of '%c'", fill[k]);
    }
    CASE_ERR(opt_read_yaml(s, file(big, BIG)), ERR_FORMAT, "more than");
    for (int i = 0; i + 2 < BIG; i += 2) memcpy(big + i, "a:", 2);
    CASE(opt_read_yaml(s, file(big, BIG - 1)) != OK, "a MiB of a:a:a:");
    memset(big, 'x', BIG);
    memcpy(big, "out: ", 5);
    CASE_OK(opt_read_yaml(s, file(big, BIG - 1)));
    CASE(strlen(v.out) == BIG - 6, "a MiB of text is a text");
    free(big);
    opt_free(s);
}

/* A path in a run file and what it means; on the command line fewer characters mean something. */
static void paths(void) {
    struct opt_set *s = fresh();
    (void)setenv("HOME", "/home/me", 1);
    (void)setenv("DATA", "/data/a b", 1);
    (void)unsetenv("NOT_SET");
    static const struct {
        const char *text, *file, *line; /* NULL: refused */
    } good[] = {{"~", "/home/me", "/home/me"},
                {"~/x", "/home/me/x", "/home/me/x"},
                {"./~", "./~", "./~"},
                {"a~", "a~", "a~"},
                {"x/~/y", "x/~/y", "x/~/y"},
                {"${HOME}/x", "/home/me/x", "/home/me/x"},
                {"$HOME/x", "/home/me/x", "$HOME/x"},
                {"/r/${DATA}_$HOME", "/r//data/a b_/home/me", "/r//data/a b_$HOME"},
                {"a\\$b\\`", "a$b`", "a\\$b\\`"},
                {"\\${HOME}", "${HOME}", "\\/home/me"},
                {"~you/x", NULL, NULL},
                {"${NOT_SET}/x", NULL, NULL},
                {"$NOT_SET/x", NULL, "$NOT_SET/x"},
                {"a$5", NULL, "a$5"},
                {"$(id)", NULL, "$(id)"},
                {"`id`", NULL, "`id`"},
                {"${HOME:-x}", NULL, "${HOME:-x}"},
                {"${HOME", NULL, "${HOME"},
                {"$", NULL, "$"}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char yaml[256], line[256];
        (void)snprintf(yaml, sizeof yaml, "dir: '%s'\n", good[i].text);
        err_t err = opt_read_yaml(s, file(yaml, -1));
        CASE(good[i].file ? err == OK && v.dir && strcmp(v.dir, good[i].file) == 0 : err == ERR_USAGE, "%s in a file is %s (%s)", good[i].text, v.dir,
             err_message());
        (void)snprintf(line, sizeof line, "dir=%s", good[i].text);
        err = opt_assign(s, line);
        CASE(good[i].line ? err == OK && v.dir && strcmp(v.dir, good[i].line) == 0 : err == ERR_USAGE, "%s is %s (%s)", line, v.dir, err_message());
    }
    CASE_ERR(opt_assign(s, "dir=~you"), ERR_USAGE, "dir begins with ~you");
    CASE_ERR(opt_assign(s, "dir=${NOT_SET}"), ERR_USAGE, "the environment has no NOT_SET");
    CASE_OK(opt_assign(s, "out=~/${HOME}"));
    CASE(strcmp(v.out, "~/${HOME}") == 0, "a text is no path");
    (void)setenv("DATA", "\xff", 1);
    CASE_ERR(opt_assign(s, "dir=${DATA}"), ERR_USAGE, "is not UTF-8");
    (void)unsetenv("HOME");
    CASE_ERR(opt_assign(s, "dir=~/x"), ERR_USAGE, "the environment has no HOME");

    (void)setenv("HOME", "/home/me", 1);
    static const struct {
        const char *yaml, *names[4];
    } lists[] = {{"files: a,~/b,./~\n", {"a", "/home/me/b", "./~"}},
                 {"files: [a, '~/b,c', \"x\\\\$y\"]\n", {"a", "/home/me/b,c", "x$y"}},
                 {"files: 'a\\,~b,$HOME'\n", {"a,~b", "/home/me"}},
                 {"files: [',']\n", {","}},
                 {"files: ['~', 'a\\b']\n", {"/home/me", "a\\b"}}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        CASE_OK(opt_read_yaml(s, file(lists[i].yaml, -1)));
        char **names = NULL;
        int64_t n = 0;
        NEED(opt_split(v.files, &names, &n));
        for (int64_t k = 0; k < n; k++)
            CASE(k < 4 && lists[i].names[k] && strcmp(names[k], lists[i].names[k]) == 0, "name %d of %s is %s", (int)k, lists[i].yaml, names[k]);
        CASE(n == 4 || !lists[i].names[n], "%s has %d names", lists[i].yaml, (int)n);
        os_free_list(names, n);
    }
    opt_free(s);
}

/* What opt_print writes reads back to the same values. */
static void round_trip(void) {
    struct opt_set *s = fresh();
    static const char *const texts[] = {"out=runs/a",
                                        "out=",
                                        "out= lead",
                                        "out=null",
                                        "out=~",
                                        "out=a: b # c",
                                        "out=\"q\"\\",
                                        "out=- x",
                                        "out=1",
                                        "out=a\n\tb",
                                        "out=\xc3\xa9t\xc3\xa9",
                                        "out=\xe2\x80\xa8|\xef\xbb\xbf|\xc2\x85|\xf0\x9f\x98\x80",
                                        "out=[a]",
                                        "out={",
                                        "out=a,b",
                                        "out=*x",
                                        "out=!x",
                                        "out=%",
                                        "out='",
                                        "out=...",
                                        "out=---",
                                        "out=.",
                                        "out=Null",
                                        "dir=a$b ${HOME} `c` \\$d \\",
                                        "files=a\\,b,${HOME},$x"};
    static const char *const lrs[] = {"train.lr=0.1", "train.lr=3e-4", "train.lr=0.30000000000000004", "train.lr=1e-300"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CASE_OK(opt_assign(s, texts[i]));
        CASE_OK(opt_assign(s, lrs[i % 4]));
        struct values was = v;
        char *text = v.out ? strdup(v.out) : NULL, *dir = v.dir ? strdup(v.dir) : NULL, *files = v.files ? strdup(v.files) : NULL, path[512];
        (void)snprintf(path, sizeof path, "%s/printed.yaml", test_dir());
        (void)fflush(stdout);
        int keep = dup(STDOUT_FILENO);
        if (!freopen(path, "w", stdout)) exit(2);
        opt_print(s);
        (void)fflush(stdout);
        (void)dup2(keep, STDOUT_FILENO);
        (void)close(keep);
        CASE_OK(opt_read_yaml(s, path));
        CASE(v.steps == was.steps && v.any == was.any && memcmp(&v.lr, &was.lr, sizeof v.lr) == 0 && v.dtype == was.dtype && v.flag == was.flag,
             "numbers come back");
        CASE(text ? v.out && strcmp(v.out, text) == 0 : !v.out, "%s comes back as %s", texts[i], v.out);
        CASE(dir ? v.dir && strcmp(v.dir, dir) == 0 : !v.dir, "%s comes back as %s", dir, v.dir);
        CASE(files ? v.files && strcmp(v.files, files) == 0 : !v.files, "%s comes back as %s", files, v.files);
        free(text);
        free(dir);
        free(files);
    }
    opt_free(s);
}

static void tables_wrong(void) {
    struct opt_set *s;
    static const struct opt twice[] = {{"a", OPT_BOOL, AT(flag), "no", NULL, 0, 0, "x", OPT_SAME},
                                       {"a", OPT_BOOL, AT(flag), "no", NULL, 0, 0, "x", OPT_SAME},
                                       {NULL, OPT_BOOL, 0, NULL, NULL, 0, 0, NULL, OPT_SAME}};
    static const struct opt out_of_range[] = {{"a", OPT_INT, AT(any), "5", NULL, 1, 4, "x", OPT_SAME},
                                              {NULL, OPT_BOOL, 0, NULL, NULL, 0, 0, NULL, OPT_SAME}};
    struct opt_table t = {"room", twice, &v};
    CASE_ERR(opt_new(&t, 1, &s), ERR_BUG, "two tables");
    t.opts = out_of_range;
    CASE_ERR(opt_new(&t, 1, &s), ERR_USAGE, "1..4");
}

int main(void) {
    defaults();
    numbers();
    words();
    nearest();
    yaml_good();
    yaml_bad();
    paths();
    round_trip();
    tables_wrong();
    CASE_OK(os_remove_tree(test_dir()));
    return test_end();
}
