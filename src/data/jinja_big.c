/* Whole numbers beyond 64 bits: schoolbook arithmetic in base 10^9. Templates hardly meet them, but a schema's bounds may be such. */
#include "data/jinja_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASE = 1000000000, LIMBS = JBIG_DIGITS / 9 + 2, TEXT = 9 * LIMBS + 16 };

static err_t make(struct jmem *m, int n, struct jbig **out) {
    TRY(JNEW(m, 1, out));
    (*out)->n = n;
    return JNEW(m, n + 1, &(*out)->d);
}

/* An int where it is one of 64 bits. */
static err_t finish(struct jrun *r, struct jbig *b, struct jval *out) {
    while (b->n && b->d[b->n - 1] == 0) b->n--;
    if (b->n > LIMBS) return JFAIL(r, "a number of more than %d digits; use smaller numbers", JBIG_DIGITS);
    if (b->n <= 3) {
        __int128 v = 0;
        for (int i = b->n - 1; i >= 0; i--) v = v * BASE + b->d[i];
        if (b->neg) v = -v;
        if (v >= INT64_MIN && v <= INT64_MAX) {
            *out = jv_int((int64_t)v);
            return OK;
        }
    }
    *out = (struct jval){.type = J_BIG, .u.big = b};
    return OK;
}

static err_t big_of(struct jrun *r, struct jval v, const struct jbig **out) {
    struct jbig *b;
    if (v.type == J_BIG) {
        *out = v.u.big;
        return OK;
    }
    const int64_t i = jv_as_int(v);
    uint64_t u = i < 0 ? -(uint64_t)i : (uint64_t)i;
    TRY(make(&r->mem, 3, &b));
    b->neg = i < 0;
    for (b->n = 0; u; u /= BASE) b->d[b->n++] = (uint32_t)(u % BASE);
    *out = b;
    return OK;
}

err_t jbig_of_text(struct jmem *m, const char *text, struct jval *out) {
    struct jbig *b;
    errno = 0;
    *out = jv_int(strtoll(text, NULL, 10));
    if (!errno) return OK;
    const char *digits = text + strspn(text, "+-0");
    const size_t n = strlen(digits);
    if (n > JBIG_DIGITS) return FAIL(ERR_FORMAT, "a number of %zu digits; at most %d are read", n, JBIG_DIGITS);
    TRY(make(m, (int)(n + 8) / 9, &b));
    b->neg = text[0] == '-';
    for (size_t i = 0; i < n; i++) {
        const size_t place = n - 1 - i;
        b->d[place / 9] = b->d[place / 9] * 10 + (uint32_t)(digits[i] - '0');
    }
    *out = (struct jval){.type = J_BIG, .u.big = b};
    return OK;
}

err_t jbig_of_float(struct jrun *r, double f, struct jval *out) {
    char text[400];
    if (f > -9.2e18 && f < 9.2e18) {
        *out = jv_int((int64_t)f);
        return OK;
    }
    (void)snprintf(text, sizeof text, "%.0f", f);
    return jbig_of_text(&r->mem, text, out);
}

static void write_text(const struct jbig *b, char out[TEXT]) {
    int n = snprintf(out, 16, "%s%u", b->neg ? "-" : "", b->n ? (unsigned)b->d[b->n - 1] : 0u);
    for (int i = b->n - 2; i >= 0; i--) n += snprintf(out + n, 16, "%09u", (unsigned)b->d[i]);
}

err_t jbig_text(struct jrun *r, struct jval v, const struct jstr **out) {
    const struct jbig *b;
    char text[TEXT];
    TRY(big_of(r, v, &b));
    write_text(b, text);
    return jstr_copy(&r->mem, text, (int64_t)strlen(text), out);
}

err_t jv_to_float(struct jrun *r, struct jval v, double *f) {
    char text[TEXT];
    if (v.type == J_FLOAT || jv_is_int(v)) {
        *f = v.type == J_FLOAT ? v.u.f : (double)jv_as_int(v);
        return OK;
    }
    write_text(v.u.big, text);
    *f = strtod(text, NULL);
    if (*f - *f == 0) return OK;
    return JFAIL(r, "a whole number is beyond what a float holds; use smaller numbers");
}

/* ---- magnitudes ---- */

static int order_of(const struct jbig *a, const struct jbig *b) {
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    for (int i = a->n - 1; i >= 0; i--)
        if (a->d[i] != b->d[i]) return a->d[i] < b->d[i] ? -1 : 1;
    return 0;
}

err_t jbig_compare(struct jrun *r, struct jval a, struct jval b, int *order) {
    const struct jbig *x, *y;
    TRY(big_of(r, a, &x));
    TRY(big_of(r, b, &y));
    *order = x->neg != y->neg ? (x->neg ? -1 : 1) : x->neg ? -order_of(x, y) : order_of(x, y);
    return OK;
}

/* |a| + |b| or, where |a| >= |b|, |a| - |b|. */
static err_t add(struct jrun *r, const struct jbig *a, const struct jbig *b, bool minus, struct jbig **out) {
    struct jbig *s;
    const int n = (a->n > b->n ? a->n : b->n) + 1;
    int64_t carry = 0;
    TRY(make(&r->mem, n, &s));
    for (int i = 0; i < n; i++) {
        const int64_t y = i < b->n ? b->d[i] : 0;
        carry += (i < a->n ? a->d[i] : 0) + (minus ? -y : y);
        const int64_t digit = (carry % BASE + BASE) % BASE;
        s->d[i] = (uint32_t)digit;
        carry = (carry - digit) / BASE;
    }
    *out = s;
    return OK;
}

static err_t sum(struct jrun *r, const struct jbig *a, const struct jbig *b, bool minus, struct jval *out) {
    const bool b_neg = b->neg != minus, differ = a->neg != b_neg;
    const bool swap = differ && order_of(a, b) < 0;
    struct jbig *s;
    TRY(swap ? add(r, b, a, true, &s) : add(r, a, b, differ, &s));
    s->neg = swap ? b_neg : a->neg;
    return finish(r, s, out);
}

static err_t product(struct jrun *r, const struct jbig *a, const struct jbig *b, struct jbig **out) {
    struct jbig *p;
    TRY(jrun_step(r, (int64_t)a->n * b->n / 16));
    TRY(make(&r->mem, a->n + b->n, &p));
    for (int i = 0; i < a->n; i++) {
        uint64_t carry = 0;
        for (int k = 0; k < b->n; k++) {
            carry += (uint64_t)a->d[i] * b->d[k] + p->d[i + k];
            p->d[i + k] = (uint32_t)(carry % BASE);
            carry /= BASE;
        }
        p->d[i + b->n] = (uint32_t)carry;
    }
    p->neg = a->neg != b->neg;
    *out = p;
    return OK;
}

static uint32_t scale(struct jbig *b, uint32_t by) {
    uint64_t carry = 0;
    for (int i = 0; i < b->n; i++) {
        carry += (uint64_t)b->d[i] * by;
        b->d[i] = (uint32_t)(carry % BASE);
        carry /= BASE;
    }
    return (uint32_t)carry;
}

static uint32_t divide_small(struct jbig *b, uint32_t by) { /* returns the rest */
    uint64_t rest = 0;
    for (int i = b->n - 1; i >= 0; i--) {
        rest = rest * BASE + b->d[i];
        b->d[i] = (uint32_t)(rest / by);
        rest %= by;
    }
    return (uint32_t)rest;
}

/* Digit `at` of the quotient u / v (Knuth, algorithm D): guessed from the leading digits, at most two too large. */
static uint32_t quotient_digit(struct jbig *u, const struct jbig *v, int at) {
    const int n = v->n;
    const uint64_t lead = (uint64_t)u->d[at + n] * BASE + u->d[at + n - 1];
    uint64_t guess = lead / v->d[n - 1], rest = lead % v->d[n - 1];
    while (guess >= BASE || guess * v->d[n - 2] > rest * BASE + u->d[at + n - 2]) {
        guess--;
        rest += v->d[n - 1];
        if (rest >= BASE) break;
    }
    int64_t borrow = 0;
    for (int i = 0; i <= n; i++) {
        int64_t d = (int64_t)u->d[at + i] - (int64_t)(i < n ? guess * v->d[i] % BASE : 0) + borrow;
        borrow = -(int64_t)(i < n ? guess * v->d[i] / BASE : 0);
        if (d < 0) {
            const int64_t k = (-d + BASE - 1) / BASE;
            d += k * BASE;
            borrow -= k;
        }
        u->d[at + i] = (uint32_t)d;
    }
    if (borrow >= 0) return (uint32_t)guess;
    uint64_t carry = 0; /* one too large: add v back */
    for (int i = 0; i <= n; i++) {
        carry += (uint64_t)u->d[at + i] + (i < n ? v->d[i] : 0);
        u->d[at + i] = (uint32_t)(carry % BASE);
        carry /= BASE;
    }
    return (uint32_t)guess - 1;
}

/* Magnitudes: a = q * b + rest. b is not 0. */
static err_t divide(struct jrun *r, const struct jbig *a, const struct jbig *b, struct jbig **q, struct jbig **rest) {
    struct jbig *u, *v;
    TRY(jrun_step(r, (int64_t)a->n * b->n / 16));
    TRY(make(&r->mem, a->n + 1, &u));
    memcpy(u->d, a->d, (size_t)a->n * sizeof *u->d);
    TRY(make(&r->mem, a->n + 1, q));
    if (b->n == 1) {
        TRY(make(&r->mem, 1, rest));
        (*rest)->d[0] = divide_small(u, b->d[0]);
        *q = u;
        return OK;
    }
    TRY(make(&r->mem, b->n, &v));
    memcpy(v->d, b->d, (size_t)b->n * sizeof *v->d);
    const uint32_t by = BASE / (b->d[b->n - 1] + 1);
    (void)scale(v, by);
    (void)scale(u, by);
    for (int at = a->n - b->n; at >= 0; at--) (*q)->d[at] = quotient_digit(u, v, at);
    (void)divide_small(u, by);
    *rest = u;
    return OK;
}

err_t jbig_digits(struct jrun *r, struct jval v, int base, bool upper, const struct jstr **out) {
    static const char lower_digits[] = "0123456789abcdef", upper_digits[] = "0123456789ABCDEF";
    enum { MOST = 30 * LIMBS + 1 };
    char text[MOST];
    const struct jbig *b;
    struct jbig *u;
    int at = MOST;
    TRY(big_of(r, v, &b));
    TRY(make(&r->mem, b->n, &u));
    memcpy(u->d, b->d, (size_t)b->n * sizeof *u->d);
    TRY(jrun_step(r, (int64_t)b->n * b->n));
    do {
        text[--at] = (upper ? upper_digits : lower_digits)[divide_small(u, (uint32_t)base)];
        while (u->n && u->d[u->n - 1] == 0) u->n--;
    } while (u->n);
    return jstr_copy(&r->mem, text + at, MOST - at, out);
}

static bool is_zero(const struct jbig *b) {
    for (int i = 0; i < b->n; i++)
        if (b->d[i]) return false;
    return true;
}

/* As Python: towards minus infinity, the rest with the divisor's sign. */
static err_t floor_divide(struct jrun *r, const struct jbig *a, const struct jbig *b, bool modulo, struct jval *out) {
    struct jbig *q, *rest;
    TRY(divide(r, a, b, &q, &rest));
    const bool again = a->neg != b->neg && !is_zero(rest);
    q->neg = a->neg != b->neg;
    rest->neg = a->neg;
    TRY(finish(r, modulo ? rest : q, out));
    if (!again) return OK;
    const struct jval by = modulo ? (struct jval){.type = J_BIG, .u.big = b} : jv_int(-1);
    return jbig_binary(r, JO_ADD, *out, by, out);
}

/* Correctly rounded: many more digits of the quotient than a double can ask for, the rest told by one more. */
static err_t true_divide(struct jrun *r, const struct jbig *a, const struct jbig *b, struct jval *out) {
    enum { DIGITS = 90 };
    const int shift = DIGITS + b->n - a->n > 0 ? DIGITS + b->n - a->n : 0;
    struct jbig *scaled, *q, *rest;
    TRY(make(&r->mem, a->n + shift, &scaled));
    memcpy(scaled->d + shift, a->d, (size_t)a->n * sizeof *a->d);
    TRY(divide(r, scaled, b, &q, &rest));
    char *text;
    TRY(jmem_get(&r->mem, 9 * (int64_t)q->n + 64, (void **)&text));
    int n = a->neg != b->neg ? sprintf(text, "-") : 0;
    for (int i = q->n - 1; i >= 0; i--) n += sprintf(text + n, "%09u", (unsigned)q->d[i]);
    (void)sprintf(text + n, "%de%d", !is_zero(rest), -9 * shift - 1);
    *out = jv_float(strtod(text, NULL));
    if (out->u.f - out->u.f == 0) return OK;
    return JFAIL(r, "the result of / is beyond what a float holds; use smaller numbers");
}

static err_t power(struct jrun *r, struct jval a, struct jval b, struct jval *out) {
    if (b.type == J_BIG) return JFAIL(r, "** with an exponent beyond 64 bits; use a smaller one");
    struct jval base = a;
    *out = jv_int(1);
    for (int64_t e = jv_as_int(b); e > 0; e >>= 1) {
        if (e & 1) TRY(jbinary(r, JO_MUL, *out, base, out));
        if (e > 1) TRY(jbinary(r, JO_MUL, base, base, &base));
    }
    return OK;
}

err_t jbig_binary(struct jrun *r, enum jop op, struct jval a, struct jval b, struct jval *out) {
    const struct jbig *x, *y;
    struct jbig *p = NULL;
    TRY(big_of(r, a, &x));
    TRY(big_of(r, b, &y));
    switch (op) {
    case JO_ADD:
    case JO_SUB: return sum(r, x, y, op == JO_SUB, out);
    case JO_MUL: TRY(product(r, x, y, &p)); return finish(r, p, out);
    case JO_DIV: return true_divide(r, x, y, out);
    case JO_FLOORDIV:
    case JO_MOD: return floor_divide(r, x, y, op == JO_MOD, out);
    default: return power(r, a, b, out);
    }
}
