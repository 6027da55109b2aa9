#include "base/os.h"
#include "cli/cli.h"
#include "cli/plot.h"

#include <stdlib.h>
#include <string.h>

struct plot_opts {
    const char *out;
};

#define FIELD(name) offsetof(struct plot_opts, name)
const struct opt plot_opt_list[] = {
    {.key = "out", .type = OPT_PATH, .offset = FIELD(out), .help = "the picture: FILE.svg, or FILE.html for a page with it; RUN/plot.svg by default"},
    {.key = NULL},
};

static bool ends_in(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The folder's own name: "runs/a/" is a, "." is what it stands for. */
static const char *name_of(const char *run, char room[OS_PATH_MAX]) {
    char *real = realpath(run, NULL);
    (void)snprintf(room, OS_PATH_MAX, "%s", real ? real : run);
    free(real);
    const char *slash = strrchr(room, '/');
    return slash && slash[1] ? slash + 1 : room;
}

static void page(FILE *f, const struct plot_run *r, const char *name) {
    (void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>", f);
    plot_escape(f, name);
    (void)fputs("</title>\n<style>body { margin: 16px; background: #fff } svg { display: block; margin: 0 auto; max-width: 100%; height: auto }"
                "</style>\n</head>\n<body>\n",
                f);
    plot_svg(f, r, name);
    (void)fputs("</body>\n</html>\n", f);
}

/* As plot_svg and page begin. */
static bool is_plot(const char *begin, int64_t bytes) {
    static const char svg[] = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", title[] = "role=\"img\">\n<title>",
                      html[] = "<!DOCTYPE html>\n<html lang=\"en\">";
    const bool drawn = memmem(begin, (size_t)bytes, svg, sizeof svg - 1) && memmem(begin, (size_t)bytes, title, sizeof title - 1);
    return drawn && (memcmp(begin, svg, sizeof svg - 1) == 0 || memcmp(begin, html, sizeof html - 1) == 0);
}

static err_t draw(const struct plot_run *r, const char *run, const char *out) {
    char room[OS_PATH_MAX], *text = NULL;
    size_t bytes = 0;
    const char *name = name_of(run, room);
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return FAIL(ERR_NOMEM, "out of memory for the picture");
    if (ends_in(out, ".html")) page(f, r, name);
    else plot_svg(f, r, name);
    const bool bad = ferror(f) != 0;
    err_t err = OK;
    if (fclose(f) != 0 || bad) err = FAIL(ERR_NOMEM, "out of memory for the picture");
    if (err == OK) err = os_write_all(out, text, (int64_t)bytes);
    free(text);
    return err;
}

err_t cmd_plot(int argc, char **argv) {
    struct plot_opts own;
    struct opt_set *set;
    struct plot_run r = {.tokens = 0};
    char standard[OS_PATH_MAX];
    const bool named = argc > 1 && argv[1][0] && (!strchr(argv[1], '=') || os_is_dir(argv[1]));
    if (!named) return FAIL(ERR_USAGE, "no folder; write mop plot RUN, the folder that a training run writes (its out=)");
    const char *run = argv[1];
    argv[1] = argv[0];
    TRY(opt_new(&(struct opt_table){"plot", plot_opt_list, &own}, 1, &set));
    err_t err = cli_options(argc - 1, argv + 1, set);
    if (err == OK) err = os_join(standard, run, "plot.svg");
    const char *out = err == OK && own.out ? own.out : standard;
    if (err == OK && !ends_in(out, ".svg") && !ends_in(out, ".html"))
        err = FAIL(ERR_USAGE, "out=%.200s ends neither in .svg nor in .html; choose the kind of picture by the name", out);
    if (err == OK) err = os_may_replace(out, is_plot, "a picture of mop plot");
    if (err == OK) err = plot_load(run, &r);
    if (err == OK) err = draw(&r, run, out);
    if (err == OK) (void)printf("%s: steps %lld, validations %lld\n", out, (long long)r.loss.n, (long long)r.valid.n);
    plot_free(&r);
    opt_free(set);
    return err;
}
