/* Python's values: strings by characters, lists, dicts in the order of insertion; equality, order, truth and length as Python has them. */
#include "data/jinja_int.h"

#include "data/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

enum { CHUNK = 64 << 10, ALIGN = 16 };

struct jmem_chunk {
    struct jmem_chunk *next;
    int64_t room, used;
    _Alignas(ALIGN) char bytes[];
};

err_t jmem_get(struct jmem *m, int64_t bytes, void **out) {
    struct jmem_chunk *c = m->chunks;
    if (bytes > m->limit - m->used)
        return FAIL(ERR_FORMAT, "%s: the template builds more than %lld MiB; it does not end", m->name, (long long)(m->limit >> 20));
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (!c || bytes > c->room - c->used) {
        const int64_t room = bytes > CHUNK / 4 ? bytes : CHUNK;
        c = calloc(1, sizeof *c + (size_t)room);
        if (!c) return FAIL(ERR_NOMEM, "out of memory for %lld bytes of a chat template", (long long)room);
        c->room = room;
        if (room == CHUNK || !m->chunks) {
            c->next = m->chunks;
            m->chunks = c;
        } else { /* one large piece: the chunk in use stays in front */
            c->next = m->chunks->next;
            m->chunks->next = c;
        }
    }
    *out = c->bytes + c->used;
    c->used += bytes;
    m->used += bytes;
    return OK;
}

void jmem_free(struct jmem *m) {
    while (m->chunks) {
        struct jmem_chunk *next = m->chunks->next;
        free(m->chunks);
        m->chunks = next;
    }
    m->used = 0;
}

/* ---- strings ---- */

err_t jstr_new(struct jmem *m, const char *p, int64_t bytes, const struct jstr **out) {
    struct jstr *s;
    TRY(JNEW(m, 1, &s));
    int64_t chars = bytes;
    for (int64_t i = 0; i < bytes; i++) chars -= ((unsigned char)p[i] & 0xc0) == 0x80;
    *s = (struct jstr){p, bytes, chars, false};
    *out = s;
    return OK;
}

err_t jstr_copy(struct jmem *m, const char *p, int64_t bytes, const struct jstr **out) {
    char *to;
    TRY(jmem_get(m, bytes + 1, (void **)&to));
    if (bytes) memcpy(to, p, (size_t)bytes);
    return jstr_new(m, to, bytes, out);
}

err_t jv_text(struct jrun *r, const char *text, struct jval *out) {
    const struct jstr *s;
    TRY(jstr_new(&r->mem, text, (int64_t)strlen(text), &s));
    *out = jv_str(s);
    return OK;
}

bool jstr_is(const struct jstr *s, const char *text) {
    const size_t n = strlen(text);
    return s->bytes == (int64_t)n && memcmp(s->p, text, n) == 0;
}

bool jstr_same(const struct jstr *a, const struct jstr *b) {
    return a == b || (a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->p, b->p, (size_t)a->bytes) == 0));
}

int64_t jstr_byte(const struct jstr *s, int64_t chars) {
    if (s->chars == s->bytes || chars == 0) return chars;
    if (chars >= s->chars) return s->bytes;
    int64_t at = 0;
    for (; chars > 0; chars--)
        for (at++; ((unsigned char)s->p[at] & 0xc0) == 0x80; at++) {
        }
    return at;
}

err_t jstr_part(struct jrun *r, const struct jstr *s, int64_t from, int64_t to, struct jval *out) {
    struct jstr *part;
    const struct jstr *made;
    if (from > to) from = to;
    TRY(JNEW(&r->mem, 1, &part));
    if (s->chars == s->bytes) {
        *part = (struct jstr){s->p + from, to - from, to - from, false};
    } else {
        TRY(jrun_step(r, (to - from) / 64));
        TRY(jstr_new(&r->mem, s->p + from, to - from, &made));
        *part = *made;
    }
    part->safe = s->safe;
    *out = jv_str(part);
    return OK;
}

err_t jbuf_put(struct jrun *r, struct jbuf *b, const char *p, int64_t bytes, int64_t chars) {
    if (bytes > b->room - b->n) {
        char *more;
        const int64_t room = 2 * b->room + bytes + 64;
        TRY(jmem_get(&r->mem, room, (void **)&more));
        if (b->n) memcpy(more, b->p, (size_t)b->n);
        b->p = more;
        b->room = room;
    }
    if (bytes) memcpy(b->p + b->n, p, (size_t)bytes);
    b->n += bytes;
    b->chars += chars;
    return OK;
}

err_t jbuf_str(struct jrun *r, struct jbuf *b, const struct jstr *s) { return jbuf_put(r, b, s->p, s->bytes, s->chars); }

err_t jbuf_text(struct jrun *r, struct jbuf *b, const char *ascii) {
    const int64_t n = (int64_t)strlen(ascii);
    return jbuf_put(r, b, ascii, n, n);
}

err_t jbuf_char(struct jrun *r, struct jbuf *b, int32_t c, int64_t times) {
    char one[4];
    const int n = ju_put(one, c);
    if (times > JINJA_BYTES) return JFAIL(r, "a text of %lld characters is more than a template may build; shorten it", (long long)times);
    for (; times > 0; times--) TRY(jbuf_put(r, b, one, n, 1));
    return OK;
}

err_t jbuf_value(struct jrun *r, const struct jbuf *b, struct jval *out) {
    struct jstr *s;
    TRY(JNEW(&r->mem, 1, &s));
    *s = (struct jstr){b->p ? b->p : "", b->n, b->chars, b->safe};
    *out = jv_str(s);
    return OK;
}

/* ---- lists and dicts ---- */

err_t jlist_new(struct jrun *r, int64_t n, struct jlist **out) {
    TRY(JNEW(&r->mem, 1, out));
    if (n > 0) TRY(JNEW(&r->mem, n, &(*out)->v));
    (*out)->room = n;
    return OK;
}

err_t jlist_add(struct jrun *r, struct jlist *l, struct jval v) {
    if (l->n == l->room) {
        struct jval *more;
        TRY(JNEW(&r->mem, 2 * l->room + 4, &more));
        if (l->n) memcpy(more, l->v, (size_t)l->n * sizeof *more);
        l->v = more;
        l->room = 2 * l->room + 4;
    }
    l->v[l->n++] = v;
    return OK;
}

err_t jpair(struct jrun *r, struct jval a, struct jval b, struct jval *out) {
    struct jlist *l;
    TRY(jlist_new(r, 2, &l));
    TRY(jlist_add(r, l, a));
    TRY(jlist_add(r, l, b));
    *out = jv_tuple(l);
    return OK;
}

static err_t dict_grow(struct jrun *r, struct jdict *d, int64_t room) {
    struct jval *kv;
    uint64_t *hash;
    TRY(JNEW(&r->mem, 2 * room, &kv));
    TRY(JNEW(&r->mem, room, &hash));
    if (d->n) {
        memcpy(kv, d->keys, (size_t)d->n * sizeof *kv);
        memcpy(kv + room, d->vals, (size_t)d->n * sizeof *kv);
        memcpy(hash, d->hash, (size_t)d->n * sizeof *hash);
    }
    d->keys = kv;
    d->vals = kv + room;
    d->hash = hash;
    d->room = room;
    return OK;
}

err_t jdict_new(struct jrun *r, int64_t room, struct jdict **out) {
    TRY(JNEW(&r->mem, 1, out));
    return room > 0 ? dict_grow(r, *out, room) : OK;
}

static uint64_t hash_bytes(const char *p, int64_t n) { /* FNV-1a */
    uint64_t h = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return h;
}

err_t jdict_add(struct jrun *r, struct jdict *d, struct jval key, struct jval v) {
    if (d->n == d->room) TRY(dict_grow(r, d, 2 * d->room + 4));
    d->keys[d->n] = key;
    d->vals[d->n] = v;
    return jv_hash(r, key, &d->hash[d->n++]);
}

err_t jdict_find(struct jrun *r, const struct jdict *d, struct jval key, int64_t *at) {
    uint64_t h;
    TRY(jv_hash(r, key, &h));
    TRY(jrun_step(r, d->n / 16));
    for (*at = 0; *at < d->n; (*at)++) {
        if (d->hash[*at] != h) continue;
        bool same;
        TRY(jv_equal(r, d->keys[*at], key, &same));
        if (same) return OK;
    }
    *at = -1;
    return OK;
}

err_t jdict_put(struct jrun *r, struct jdict *d, struct jval key, struct jval v) {
    int64_t at;
    TRY(jdict_find(r, d, key, &at));
    if (at < 0) return jdict_add(r, d, key, v);
    d->vals[at] = v;
    return OK;
}

int64_t jdict_str(const struct jdict *d, const struct jstr *key) {
    const uint64_t h = hash_bytes(key->p, key->bytes);
    for (int64_t i = 0; i < d->n; i++)
        if (d->hash[i] == h && d->keys[i].type == J_STR && jstr_same(d->keys[i].u.s, key)) return i;
    return -1;
}

int64_t jdict_text(const struct jdict *d, const char *key) {
    const struct jstr s = {key, (int64_t)strlen(key), (int64_t)strlen(key), false};
    return jdict_str(d, &s);
}

err_t jv_hash(struct jrun *r, struct jval v, uint64_t *hash) {
    switch (v.type) {
    case J_STR: *hash = hash_bytes(v.u.s->p, v.u.s->bytes); return OK;
    case J_NONE: *hash = 1; return OK;
    case J_UNDEFINED: *hash = 2; return OK;
    case J_BOOL:
    case J_INT: *hash = (uint64_t)jv_as_int(v) * 0x9e3779b97f4a7c15u; return OK;
    case J_BIG: { /* as the float that may equal it */
        double f;
        TRY(jv_to_float(r, v, &f));
        memcpy(hash, &f, sizeof *hash);
        return OK;
    }
    case J_FLOAT:
        if (v.u.f >= -9e18 && v.u.f <= 9e18 && v.u.f == (double)(int64_t)v.u.f) *hash = (uint64_t)(int64_t)v.u.f * 0x9e3779b97f4a7c15u;
        else memcpy(hash, &v.u.f, sizeof *hash);
        return OK;
    case J_TUPLE:
        *hash = 3;
        for (int64_t i = 0; i < v.u.l->n; i++) {
            uint64_t one;
            TRY(jv_hash(r, v.u.l->v[i], &one));
            *hash = (*hash ^ one) * 0x100000001b3u;
        }
        return OK;
    case J_LIST:
    case J_DICT: return JFAIL(r, "a %s can be no key of a dict; use a string", jv_type(v));
    default: return JFAIL(r, "a %s as the key of a dict is not known to mop's templates; use a string", jv_type(v));
    }
}

const char *jv_type(struct jval v) {
    static const char *const NAME[] = {"missing",   "Undefined", "NoneType",    "bool",   "int",      "float",          "int",
                                       "str",       "list",      "tuple",       "dict",   "range",    "view of a dict", "generator",
                                       "Namespace", "Macro",     "LoopContext", "method", "function", "Cycler",         "Joiner"};
    return v.type == J_STR && v.u.s->safe ? "Markup" : NAME[v.type];
}
