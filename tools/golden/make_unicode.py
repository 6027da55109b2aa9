#!/usr/bin/env python3
"""Prints the sums that tests/data/test_unicode.c holds: what Hugging Face's `tokenizers` (0.23) makes of every code point.

python3 tools/golden/make_unicode.py      (needs PyPI's tokenizers; some minutes)

A line is a name and the 64-bit FNV-1a sum of UTF-8: of a class the characters that are in it, of a form or case what each character becomes.
"""
from tokenizers import normalizers as N, pre_tokenizers as P

CODES = [chr(c) for c in range(1, 0x110000) if not 0xd800 <= c < 0xe000]


def fnv(texts):
    h = 0xcbf29ce484222325
    for t in texts:
        for b in t.encode():
            h = (h ^ b) * 0x100000001b3 & 0xffffffffffffffff
    return h


def members(pre, pieces):
    return [c for c in CODES if len(pre.pre_tokenize_str("a" + c + "a")) == pieces]


for name, texts in (
        ("space", members(P.WhitespaceSplit(), 2)),
        ("word", members(P.Whitespace(), 1)),
        ("number", members(P.Digits(individual_digits=True), 3)),
        ("punctuation", members(P.Punctuation(), 3)),
        ("mark", [c for c in CODES if N.StripAccents().normalize_str("a" + c) == "a"]),
        ("lower", [N.Lowercase().normalize_str(c) for c in CODES]),
        ("nmt", [N.Nmt().normalize_str(c) for c in CODES]),
        ("nfc", [N.NFC().normalize_str(c) for c in CODES]),
        ("nfd", [N.NFD().normalize_str(c) for c in CODES]),
        ("nfkc", [N.NFKC().normalize_str(c) for c in CODES]),
        ("nfkd", [N.NFKD().normalize_str(c) for c in CODES])):
    print('{"%s", UINT64_C(0x%016x)},' % (name, fnv(texts)))
