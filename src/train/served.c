/* What the rooms do not compute yet, in one place: a model that asks for it is refused by name before anything is laid out. Loading, saving
 * and the oracle know all of it. */
#include "model/family.h"
#include "train/train.h"

static const char *not_served(const struct spec *s) {
    for (int l = 0; l < s->layers; l++) {
        if (s->layer[l].attention == ATTENTION_GATED_GQA) return "gated attention";
        if (s->layer[l].attention == ATTENTION_MLA) return "latent attention";
        if (s->layer[l].attention == ATTENTION_DELTA) return "Gated DeltaNet";
    }
    if (s->biases & (BIAS_ROUTER | BIAS_EXPERTS)) return "biases of router and experts";
    if (s->activation != ACTIVATION_SWIGLU) return "its activation";
    if (s->shared_width > 0) return "shared experts";
    if (s->score != SCORE_SOFTMAX || s->choice != CHOICE_SCORE) return "its router";
    return NULL;
}

err_t run_served(const struct spec *s) {
    const char *what = not_served(s);
    if (!what) return OK;
    return FAIL(ERR_USAGE,
                "models of the family %s are read, written and verified, but not yet trained, evaluated or run: %s is not supported in this one",
                s->family->model_type, what);
}
