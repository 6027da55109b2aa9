#include "model/spec.h"

#include <math.h>

static const double two_pi = 6.283185307179586476925;

/* The dimension whose pair turns `rotations` times over the original length. */
static double yarn_dimension(const struct spec *s, double rotations) {
    return s->rope.dim * log((double)s->rope.original_max_positions / (rotations * two_pi)) / (2 * log(s->rope.theta));
}

/* Each operation rounds to fp32 where torch's does, so that the angles at far positions are those that the model was
 * trained with; the power alone is formed in double and rounded once, which torch's own is within an ulp of. */
void rope_inv_freq(const struct spec *s, float *inv_freq) {
    const struct rope_spec *r = &s->rope;
    float base = (float)r->theta, factor = (float)r->factor;
    double low = 0, high = 0;
    if (r->kind == ROPE_YARN) {
        low = yarn_dimension(s, r->beta_fast);
        high = yarn_dimension(s, r->beta_slow);
        if (r->truncate) {
            low = floor(low);
            high = ceil(high);
        }
        low = fmax(low, 0);
        high = fmin(high, r->dim - 1);
        if (low == high) high += 0.001;
    }
    for (int i = 0; i < r->dim / 2; i++) {
        float exponent = (float)(2 * i) / (float)r->dim;
        float freq = (float)pow((double)base, (double)exponent), inv = 1.0f / freq;
        if (r->kind == ROPE_LINEAR) inv = inv / factor;
        if (r->kind == ROPE_YARN) {
            float ramp = ((float)i - (float)low) / (float)(high - low);
            float keep = 1.0f - fminf(fmaxf(ramp, 0.0f), 1.0f);
            inv = 1.0f / (factor * freq) * (1.0f - keep) + inv * keep;
        }
        inv_freq[i] = inv;
    }
}
