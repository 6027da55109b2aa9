#include "model/store.h"

err_t store_find(const struct store *s, enum param_kind kind, int layer, int expert, const struct param **out) {
    const struct param *p = params_at(s->params, kind, layer, expert);
    ENSURE(p != NULL);
    *out = p;
    return OK;
}
