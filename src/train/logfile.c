#include "train/logfile.h"

#include "base/json.h"
#include "base/num.h"
#include "base/os.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keep the lines whose "step" is at most `step`; a last line without its end (a kill) goes too. */
static err_t cut(const char *path, int64_t step) {
    char *text;
    int64_t bytes, kept = 0;
    TRY(os_read_all(path, INT64_MAX - 1, &text, &bytes));
    for (int64_t at = 0; at < bytes;) {
        const char *end = memchr(text + at, '\n', (size_t)(bytes - at));
        if (!end) break;
        const int64_t length = end - (text + at) + 1;
        json_error_t why;
        json_t *line = json_read(text + at, length, 0, &why);
        const json_t *s = json_object_get(line, "step");
        const bool keep = json_is_integer(s) && json_integer_value(s) <= step;
        json_decref(line);
        if (!keep) break;
        at += length;
        kept = at;
    }
    err_t err = os_write_all(path, text, kept);
    free(text);
    return err;
}

err_t logfile_last(const char *out, int64_t *step) {
    enum { LINE_MAX_BYTES = 1 << 16 };
    char path[OS_PATH_MAX];
    int fd;
    int64_t bytes;
    *step = 0;
    TRY(os_join(path, out, "log.jsonl"));
    if (!os_exists(path)) return OK;
    char *text = malloc(LINE_MAX_BYTES);
    if (!text) return FAIL(ERR_NOMEM, "out of memory for the end of %s", path);
    err_t err;
    TRY_OR(os_open_read(path, &fd, &bytes), done);
    const int64_t n = i64_min(bytes, LINE_MAX_BYTES);
    err = os_read_at(fd, path, text, n, bytes - n);
    os_close(fd);
    for (int64_t end = n; err == OK && *step == 0 && end > 0;) { /* line by line from the end, where one may be torn */
        int64_t begin = end - 1;
        while (begin > 0 && text[begin - 1] != '\n') begin--;
        json_t *line = json_loadb(text + begin, (size_t)(end - begin), 0, NULL);
        *step = json_integer_value(json_object_get(line, "step"));
        json_decref(line);
        end = begin;
    }
done:
    free(text);
    return err;
}

err_t logfile_open(struct logfile *f, const char *out, int64_t step) {
    TRY(os_join(f->path, out, "log.jsonl"));
    if (os_exists(f->path)) TRY(cut(f->path, step));
    return os_append_open(f->path, &f->fd);
}

void logfile_close(struct logfile *f) {
    os_close(f->fd);
    f->fd = -1;
}

void experts_load(int layers, int64_t e, const int64_t *count, struct expert_load *out) {
    *out = (struct expert_load){.layers = layers, .max_over_mean = 1};
    for (int l = 0; l < layers; l++) {
        const int64_t *c = count + l * e;
        int64_t sum = 0, most = 0;
        double entropy = 0;
        for (int64_t x = 0; x < e; x++) {
            sum += c[x];
            most = i64_max(most, c[x]);
            out->dead += c[x] == 0;
        }
        for (int64_t x = 0; x < e; x++)
            if (c[x]) entropy -= (double)c[x] / (double)sum * log((double)c[x] / (double)sum);
        out->balance += (sum ? exp(entropy) / (double)e : 1) / out->layers;
        if (sum) out->max_over_mean = fmax(out->max_over_mean, (double)most * (double)e / (double)sum);
    }
}

err_t logfile_step(struct logfile *f, const struct step_line *s) {
    char line[1024], valid[64] = "", experts[192] = "";
    if (s->validated) (void)snprintf(valid, sizeof valid, ", \"valid_loss\": %.9g", s->valid_loss);
    if (s->load.layers)
        (void)snprintf(experts, sizeof experts,
                       ", \"aux_loss\": %.9g, \"expert_balance\": %.4f, \"expert_max_over_mean\": %.4f, \"dead_experts\": %lld", s->out.aux,
                       s->load.balance, s->load.max_over_mean, (long long)s->load.dead);
    const int n = snprintf(line, sizeof line,
                           "{\"step\": %lld, \"loss\": %.9g, \"total_loss\": %.9g, \"lr\": %.9g, \"grad_norm\": %.9g, \"tokens\": %lld, "
                           "\"tokens_per_s\": %.1f, \"seconds\": %.3f%s%s}\n",
                           (long long)s->step, s->out.loss, s->out.total, s->lr, s->out.grad_norm, (long long)s->out.tokens, s->tokens_per_s,
                           s->seconds, experts, valid);
    ENSURE(n > 0 && n < (int)sizeof line);
    return os_append(f->fd, f->path, line, n);
}
