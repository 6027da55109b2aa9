/* inv_freq against transformers 5.23's, made once with its ROPE_INIT_FUNCTIONS for Qwen3MoeConfig. */
#include "golden.h"

#include "base/log.h"

#include <float.h>
#include <math.h>

static const struct {
    const char *rope;
    double attention_factor;
    double inv_freq[16];
    int index[16];
    int n, head_dim;
} expected[] = {
    {"{\"rope_type\": \"default\", \"rope_theta\": 10000.0}",
     1.0,
     {0x1.0p+0, 0x1.43d136p-2, 0x1.99999ap-4, 0x1.030dc6p-5, 0x1.9e7c7p-9, 0x1.4b96cp-12},
     {0, 1, 2, 3, 5, 7},
     6,
     16},
    {"{\"rope_type\": \"default\", \"rope_theta\": 1000000.0}",
     1.0,
     {0x1.0p+0, 0x1.9c975ap-1, 0x1.4c7bcp-1, 0x1.0beddep-1, 0x1.5bf9fep-2, 0x1.c3f06ap-3, 0x1.6c310ep-3, 0x1.7d298cp-4, 0x1.ef0a26p-5, 0x1.41783ap-5,
      0x1.b4f7e4p-7, 0x1.28fb5cp-8, 0x1.454deep-10, 0x1.74eea6p-13, 0x1.58863ap-16, 0x1.4d1c98p-20},
     {0, 1, 2, 3, 5, 7, 8, 11, 13, 15, 20, 25, 31, 40, 50, 63},
     16,
     128},
    {"{\"rope_type\": \"linear\", \"rope_theta\": 500000.0, \"factor\": 3.0}",
     1.0,
     {0x1.555556p-2, 0x1.08c4eap-4, 0x1.9ac216p-7, 0x1.3e9f14p-9, 0x1.7f6d4p-14, 0x1.cd69bep-19},
     {0, 1, 2, 3, 5, 7},
     6,
     16},
    {"{\"rope_type\": \"yarn\", \"rope_theta\": 1000000.0, \"factor\": 4.0, \"original_max_position_embeddings\": 32768}",
     1.138629436111989,
     {0x1.0p+0, 0x1.9c975ap-1, 0x1.4c7bcp-1, 0x1.0beddep-1, 0x1.5bf9fep-2, 0x1.c3f06ap-3, 0x1.6c310ep-3, 0x1.7d298cp-4, 0x1.ef0a26p-5, 0x1.41783ap-5,
      0x1.b4f7e4p-7, 0x1.0ec71p-8, 0x1.a4fb7p-11, 0x1.74eea6p-15, 0x1.58863ap-18, 0x1.4d1c98p-22},
     {0, 1, 2, 3, 5, 7, 8, 11, 13, 15, 20, 25, 31, 40, 50, 63},
     16,
     128},
    {"{\"rope_type\": \"yarn\", \"rope_theta\": 10000.0, \"factor\": 40.0, \"original_max_position_embeddings\": 4096, \"mscale\": 0.707, "
     "\"mscale_all_dim\": 1.3, \"beta_fast\": 32, \"beta_slow\": 1}",
     0.8521510516131852,
     {0x1.0p+0, 0x1.1feb34p-1, 0x1.43d136p-2, 0x1.6c310ep-3, 0x1.ccab84p-5, 0x1.a46198p-7, 0x1.7d835cp-8, 0x1.325652p-12, 0x1.d7b9ep-17,
      0x1.2a5884p-18},
     {0, 1, 2, 3, 5, 7, 8, 11, 13, 15},
     10,
     32},
    {"{\"rope_type\": \"yarn\", \"rope_theta\": 150000.0, \"factor\": 32.0, \"original_max_position_embeddings\": 4096, \"truncate\": false, "
     "\"beta_fast\": 24.0, \"beta_slow\": 2.0}",
     1.3465735902799727,
     {0x1.0p+0, 0x1.60ca6ap-1, 0x1.e62d44p-2, 0x1.4eff54p-2, 0x1.3e19fap-3, 0x1.2e0ec8p-4, 0x1.a04328p-5, 0x1.77dd7ap-7, 0x1.9d6694p-9,
      0x1.ad25b2p-12, 0x1.31265p-16, 0x1.7b2c8ep-19, 0x1.44a5a6p-22},
     {0, 1, 2, 3, 5, 7, 8, 11, 13, 15, 20, 25, 31},
     13,
     64},
    {"{\"rope_type\": \"yarn\", \"rope_theta\": 10000.0, \"factor\": 0.5, \"original_max_position_embeddings\": 64, "
     "\"attention_factor\": 0.75}",
     0.75,
     {0x1.0p+0, 0x1.afc19ep-2, 0x1.555556p-3, 0x1.030dc6p-4, 0x1.9e7c7p-8, 0x1.4b96cp-11},
     {0, 1, 2, 3, 5, 7},
     6,
     16},
};

int main(void) {
    log_set_level(LOG_ERROR);
    for (size_t c = 0; c < sizeof expected / sizeof *expected; c++) {
        char edits[512];
        struct spec s;
        float inv[64];
        (void)snprintf(edits, sizeof edits, "{\"head_dim\": %d, \"rope_parameters\": %s}", expected[c].head_dim, expected[c].rope);
        NEED(edited_spec("qwen3_moe", edits, &s));
        CASE(fabs(s.rope.attention_factor - expected[c].attention_factor) <= 4 * DBL_EPSILON * expected[c].attention_factor,
             "attention factor of %s: %.17g, not %.17g", expected[c].rope, s.rope.attention_factor, expected[c].attention_factor);
        rope_inv_freq(&s, inv);
        for (int i = 0; i < expected[c].n; i++) {
            /* torch's vectorised power is within 1 ulp and ours within 1/2; its reciprocal and what follows rounds once on each side */
            double want = expected[c].inv_freq[i], got = (double)inv[expected[c].index[i]];
            CASE(fabs(got - want) <= 3 * (double)FLT_EPSILON * want, "inv_freq[%d] of %s: %a, not %a", expected[c].index[i], expected[c].rope, got,
                 want);
        }
    }
    return test_end();
}
