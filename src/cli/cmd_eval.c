#include "cli/cli.h"

#include <math.h>
#include <stdio.h>

static err_t evaluate(const struct options *o, struct model_src *src, struct run *run, struct loader *l) {
    const struct run_setup u = {
        .rows = 1, .seq = o->data.seq, .positions = o->data.seq, .act = o->model.dtype == MODEL_BF16 ? DT_BF16 : DT_F32, .threads = o->cli.threads};
    TRY(run_open(run, src, &u));
    double loss;
    int64_t targets;
    TRY(eval_split(run, l, 0, &loss, &targets));
    (void)printf("loss %.6f\nperplexity %.4f\ntargets %lld\n", loss, exp(loss), (long long)targets);
    return OK;
}

err_t cmd_eval(int argc, char **argv) {
    struct options o;
    struct opt_set *set;
    struct model_src src = {0};
    struct run run = {0};
    struct loader *l = NULL;
    TRY(cli_load(argc, argv, NULL, &o, &set));
    err_t err = OK;
    if (!o.data.valid) {
        err = FAIL(ERR_USAGE, "data.valid is not given; write data.valid=FILE.tok with the tokens to measure");
        goto done;
    }
    TRY_OR(model_src_open(&o.model, NULL, 0, &src), done);
    TRY_OR(loader_open(&o.data, DATA_VALID, src.spec.vocab, 0, &l), done);
    TRY_OR(evaluate(&o, &src, &run, l), done);
done:
    run_close(&run);
    loader_close(l);
    model_src_close(&src);
    opt_free(set);
    return err;
}
