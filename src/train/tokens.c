/* Are the ids of the token files those of the model's tokenizer? */
#include "base/log.h"
#include "base/os.h"
#include "train/train.h"

#include <stdio.h>

err_t tokens_tokenizer(const struct model_src *src, const char *tokenizer, char path[OS_PATH_MAX], uint64_t *sum) {
    *sum = 0;
    path[0] = 0;
    const char *dir = tokenizer ? tokenizer : src->dir;
    if (!dir) return OK;
    if (os_is_dir(dir)) TRY(os_join(path, dir, "tokenizer.json"));
    else if (snprintf(path, OS_PATH_MAX, "%s", dir) >= OS_PATH_MAX) return FAIL(ERR_USAGE, "the path %.60s... is too long; use a shorter one", dir);
    if (tokenizer || os_exists(path)) return tok_tokenizer_sum(path, sum);
    path[0] = 0;
    return OK;
}

/* A tokenizer that this program cannot read has made no token file: whoever made this one meant another form of the same, it is hoped. */
static bool can_be_read(const char *tokenizer) {
    struct tokenizer *t;
    const bool can = tokenizer_open(tokenizer, &t) == OK;
    if (can) tokenizer_close(t);
    else err_clear();
    return can;
}

static err_t differs(const struct tok_file *f, const char *other, uint64_t sum, int how, bool readable) {
    if (how == DATA_TOKENIZER_SAME && readable)
        return FAIL(ERR_USAGE,
                    "%s was made by another tokenizer than %s (fingerprints %016llx and %016llx); tokenize its text again with this one, or set "
                    "data.tokenizer=any if both give the same ids",
                    tok_path(f), other, (unsigned long long)tok_fingerprint(f), (unsigned long long)sum);
    log_line(LOG_WARN, "%s was made by another tokenizer than %s: that both give the same ids is taken on trust", tok_path(f), other);
    return OK;
}

err_t tokens_check(const struct model_src *src, const char *tokenizer, int how, const struct loader *const *loaders, int count) {
    char path[OS_PATH_MAX];
    uint64_t sum, own;
    const struct tok_file *first = NULL, *unknown = NULL;
    TRY(tokens_tokenizer(src, NULL, path, &own));
    TRY(tokens_tokenizer(src, tokenizer, path, &sum));
    if (own && own != sum)
        log_line(LOG_WARN, "tokenizer=%s is another than that of %s: its ids are not what the model has learned", tokenizer, src->dir);
    for (int k = 0; k < count; k++)
        for (int64_t i = 0; loaders[k] && i < loader_files(loaders[k]); i++) {
            const struct tok_file *f = loader_file(loaders[k], i);
            const uint64_t made_by = tok_fingerprint(f);
            if (made_by == 0) unknown = f;
            else if (sum && made_by != sum) TRY(differs(f, path, sum, how, can_be_read(path)));
            else if (!sum && first && made_by != tok_fingerprint(first)) TRY(differs(f, tok_path(first), tok_fingerprint(first), how, true));
            else if (!first) first = f;
        }
    if (unknown && sum)
        log_line(LOG_WARN,
                 "%s does not say which tokenizer made it: its ids are in the model's vocabulary, and that they are those of %s is not checked",
                 tok_path(unknown), path);
    if (!sum && src->dir) log_line(LOG_RUN, "%s has no tokenizer.json: that the tokens are its tokenizer's is not checked", src->dir);
    return OK;
}
