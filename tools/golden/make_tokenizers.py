#!/usr/bin/env python3
"""Makes tests/golden/tokenizers/variants.json: what Hugging Face's `tokenizers` (0.23) gives for many small tokenizers.

python3 tools/golden/make_tokenizers.py > tests/golden/tokenizers/variants.json      (needs PyPI's tokenizers)
python3 tools/golden/make_tokenizers.py text > tests/golden/tokenizers/text.json     (SentencePiece's kind: words are text)

{"base": a tokenizer.json, "texts": [...], "variants": [{"name", "set": {key: value of the file's top or, "model.x", of its model},
"ids": [[...] per text], "decoded": [text, or null where it is the text that was encoded]}]}. A variant is the base with the
values of "set" put in. In text.json "before" and "after" are what the post-processor puts around a text, and "lists" are ids whose text is
in "texts_of_lists".
"""
import json
import random
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import fuzz_tokenizers

BL = lambda prefix=False, regex=False: {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}
SEQ = lambda *steps: {"type": "Sequence", "pretokenizers": list(steps)}
DIGITS = lambda each: {"type": "Digits", "individual_digits": each}
NFC = {"type": "NFC"}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def added(content, **flags):
    return {"content": content, **dict(dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=False), **flags)}


QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = QWEN.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
            "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")

END = added("<|endoftext|>", special=True)
ODD = [END, added("|||IP_ADDRESS|||", special=True), added("  "), added("     ", normalized=True), added("<|s|>", lstrip=True, special=True),
       added("<|r|>", rstrip=True), added("<|lr|>", lstrip=True, rstrip=True, normalized=True), added("word", single_word=True),
       added("w\u00f6rd", single_word=True, normalized=True), added("e\u0301x", normalized=True), added("\u00e9y"), added("<|en"),
       added("ab", normalized=True), added("abc"), added("bcd"), added("\u0301", normalized=True), added("\u212bz", normalized=True),
       added("<\u0000>"), added("\u3000x", rstrip=True, single_word=True)]
NEOX = ([added("|||IP_ADDRESS|||", special=True)] + [added(" " * k, normalized=True) for k in range(12, 1, -1)] +
        [added("|||EMAIL_ADDRESS|||", special=True), END])

TRAIN = ["the cat and the other one that sat on the mat, and then 123 4567 89", "    if (x == 1):\n        return  HelloWorld(abc, word)\n",
         "Hello hello world, don't won't we'll they're it's I've", "caf\u00e9 na\u00efve \u00e9t\u00e9 \u4e2d\u6587\u4e2d\u6587 \u043f\u0440\u0438\u0432\u0435\u0442"] * 4

TEXTS = ["", " ", "\0", "a\0b\0\0c", "\r\n\r\nx\r\ry\n\n\n  z\t\t", "the cat's other hat, and THE Hat", "Don't DON'T don\u2019t I'\u017f '\u017f we'LL \u212a K",
         "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001fa77", "e\u0301x \u00e9 e\u0301 \u212bngstr\u00f6m A\u030a \u212bz \u00c5z",
         "\ud55c\uad6d\uc5b4 \u1100\u1161\u11a8 \u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3001\u4e2d\u56fd\u3002", "\u0301\u0316a\u0315\u0334 \u0958\u0915\u093c \u1e9b\u0323 \ufb01",
         "<|endoftext|><|endoftext|>  <|s|>  <|r|>  <|lr|>  x", "a <|s|>\n<|r|> \u3000 b", "word words sword word_ w\u00f6rd-word wo\u0308rd", "abcd abcabc bcd ab",
         "<|en <|end <|endoftext|", "\u3000x \u3000xy \u3000x  z", "  |||IP_ADDRESS|||   x", "a\u200bb\u200cc\u180ed\u00a0e\u2028f\u0085g",
         "1234567 \u0661\u0662\u0663 \u00b2\u00b3\u00bc \u2167 \U0001d7d8\U0001d7d9 12.5", "aaaaaaaaaaaaa bbbbb" + " " * 20 + "\n" + " " * 7 + "c",
         "\U000105c0\U0001fa77\U00031350\u1c89 x\U00010d40", "x=1;\n\n    if (y):\n\treturn  HelloWorldFooBar_baz", "\uffff\U0010ffff\ufeffa", "a" * 40 + "\u00e9" * 9]

POOL = list("abcdeABC xyz  \n\t\r'stmlldvre.,!?-_0123456789<|>") + list(
    "\u0301\u0316\u00e9\u00f1\u4e2d\u6587\u304b\u3000\u00a0\U0001f600\u200d\u00df\u044f\u03a9\u0639\u0e51\u0663\u00b2\u2167\0\x1f\x85\u2028\u180e\u017f\u212a\u1100\u1161") + [
    "<|s|>", "<|r|>", "<|lr|>", "word", "ab", "abc", "<|endoftext|>", "    ", "e\u0301x", "\u00e9y", "Hello", "'S", "'LL", "\r\n"]


def variants(base):
    vocab = base["model"]["vocab"]

    def tokens(*list_):
        first, out = len(vocab), []
        for t in list_:
            out.append(dict(id=vocab.get(t["content"], first), **t))
            first += t["content"] not in vocab
        return out

    def merges(rng):
        """Every rule that makes a token, in a random order: many rules make the same token."""
        m = [[w[:k], w[k:]] for w in vocab for k in range(1, len(w)) if w[:k] in vocab and w[k:] in vocab]
        rng.shuffle(m)
        return m

    yield "gpt2", {}
    yield "olmoe", {"normalizer": NFC, "added_tokens": tokens(*NEOX)}
    yield "qwen", {"normalizer": NFC, "pre_tokenizer": SEQ(split(QWEN), BL())}
    post = {"type": "Sequence", "processors": [BL(True, True), {"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [
        {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [len(vocab)], "tokens": ["<|endoftext|>"]}}}]}
    yield "llama3", {"pre_tokenizer": SEQ(split(LLAMA3), BL()), "model.ignore_merges": True, "post_processor": post}
    yield "added gpt2", {"added_tokens": tokens(*ODD)}
    yield "added nfc", {"added_tokens": tokens(*ODD), "normalizer": {"type": "Sequence", "normalizers": [NFC, NFC]}}
    yield "added prefix", {"added_tokens": tokens(*ODD), "normalizer": NFC, "pre_tokenizer": BL(True, True)}
    yield "cl100k", {"pre_tokenizer": SEQ(split(CL100K, "Removed", True), BL())}
    yield "o200k", {"pre_tokenizer": SEQ(split(O200K), BL()), "model.ignore_merges": True}
    yield "deepseek", {"normalizer": NFC, "pre_tokenizer": SEQ(split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK), BL())}
    yield "digits each", {"pre_tokenizer": SEQ(DIGITS(True), BL(False, True))}
    yield "digits runs", {"pre_tokenizer": SEQ(DIGITS(False), BL(True, True))}
    yield "steps behind bytes", {"pre_tokenizer": SEQ(BL(False, True), DIGITS(False), split("[0-9][0-9][0-9]"))}
    yield "no regex", {"pre_tokenizer": BL(True, False)}
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            name = behavior + (" inverted" if invert else "")
            yield "spaces " + name, {"pre_tokenizer": SEQ(split(r"\s+", behavior, invert), BL())}
            yield "string " + name, {"pre_tokenizer": SEQ(split(" ", behavior, invert, "String"), BL())}
            yield "empty matches " + name, {"pre_tokenizer": SEQ(split(r"(?=[A-Z])|\d*", behavior, invert), BL(True, True))}
    for pattern in (r"\w+|[^\w\s]+", r"\b", r"\B.", r"\W+|\D\S", r"^.|.$|\A..|(?m:a.)|\z", "(?i)hello|k+|s|\u00df|\u00e9|\u044f",
                    r"a+?|(?:ab){2}|x{2,}?|[^\S\n]+|\p{^L}{2}?|b{,2}", r"\h+|\x41|\x{1F600}|\u4e2d|\t|\v", r"(?<=[a-z])(?=[A-Z])|(?<!\p{L})\p{Lu}|(?>a+)b",
                    r"[-a\-z]+|[\w-]+|[+--]|[\]\[]|[\p{Han}\p{Hiragana}]+", "", "|a", r"\p{Latin}+|\p{Greek}+|\p{Cyrillic}+|\p{Letter}|\p{Decimal_Number}",
                    r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))|\p{L}+"):
        yield "regex " + pattern, {"pre_tokenizer": SEQ(split(pattern), BL())}
    yield "many rules, one token", {"model.merges": merges(random.Random(1))}
    yield "merges as text", {"model.merges": [" ".join(m) for m in base["model"]["merges"]]}
    yield "no decoder", {"decoder": None}
    yield "decoder in a sequence", {"decoder": {"type": "Sequence", "decoders": [BL(True, True)]}}
    fewer = [w for w in vocab if not set(w) & set("e\u00c3\u0120t")]
    less = {"model.vocab": {w: i for i, w in enumerate(fewer)}, "added_tokens": [dict(id=len(fewer), **END)],
            "model.merges": [m for m in base["model"]["merges"] if not set(m[0] + m[1]) & set("e\u00c3\u0120t")]}
    yield "bytes without a token", less
    yield "unknown token", {**less, "model.unk_token": "o"}
    yield "unknown token, fused", {**less, "model.unk_token": "o", "model.fuse_unk": True}


def template(*single):
    return {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}} if t is None else {"SpecialToken": {"id": t, "type_id": 0}}
                                                     for t in single], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for i, t in enumerate(fuzz_tokenizers.SPECIALS)}}


LLAMA_NORM = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"},
                                                  {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}


def text_variants(base):
    """As variants(), of a base whose words are text."""
    meta = lambda scheme, split=False: {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split}
    bos = {"post_processor": template("<s>", None)}
    yield "mixtral", {"normalizer": LLAMA_NORM, "decoder": fuzz_tokenizers.LLAMA, **bos}
    yield "mixtral 2", {"pre_tokenizer": meta("first"), "decoder": fuzz_tokenizers.LLAMA, **bos}
    yield "t5", {"pre_tokenizer": meta("always", True), "decoder": meta("always"), "post_processor": template(None, "</s>")}
    yield "gemma", {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}, "pre_tokenizer": split(" ", "MergedWithPrevious", False, "String"),
                    "decoder": {"type": "Sequence", "decoders": fuzz_tokenizers.LLAMA["decoders"][:3]}, **bos}
    yield "never", {"pre_tokenizer": meta("never", True), "decoder": meta("never")}
    yield "nmt", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
                  "pre_tokenizer": meta("always", True)}
    yield "clip", {"normalizer": {"type": "Sequence", "normalizers": [NFC, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]},
                   "pre_tokenizer": SEQ(split(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "Removed", True), BL()), "model.end_of_word_suffix": "b",
                   "decoder": {"type": "BPEDecoder", "suffix": "b"}}
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"):
        yield name, {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": name}] if name == "StripAccents" else [{"type": name}]}}
    yield "StripAccents alone", {"normalizer": {"type": "StripAccents"}}
    yield "ByteLevel as a normalizer", {"normalizer": {"type": "ByteLevel"}, "decoder": BL()}
    for left in (False, True):
        yield f"Strip {left}", {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": True}}
    for name in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer"):
        yield name, {"pre_tokenizer": {"type": name}}
    yield "delimiter", {"pre_tokenizer": {"type": "CharDelimiterSplit", "delimiter": "\u2581"}}
    yield "length", {"pre_tokenizer": {"type": "FixedLength", "length": 3}}
    for behavior in fuzz_tokenizers.BEHAVIORS:
        yield "Punctuation " + behavior, {"pre_tokenizer": {"type": "Punctuation", "behavior": behavior}}
    yield "twice bytes", {"pre_tokenizer": SEQ(BL(True, True), BL(True, True)), "decoder": BL()}
    yield "no fallback", {"normalizer": LLAMA_NORM, "model.byte_fallback": False}
    yield "no fallback, fused", {"normalizer": LLAMA_NORM, "model.byte_fallback": False, "model.fuse_unk": True, "decoder": fuzz_tokenizers.LLAMA}
    yield "no unknown token", {"normalizer": LLAMA_NORM, "model.byte_fallback": False, "model.unk_token": None}
    yield "ignore_merges", {"pre_tokenizer": meta("always", True), "model.ignore_merges": True}
    yield "prefix", {"model.continuing_subword_prefix": "b", "model.merges": [], "decoder": {"type": "WordPiece", "prefix": "b", "cleanup": True}}
    yield "bert", {"post_processor": {"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]}}
    yield "roberta", {"post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}}
    yield "twice around", {"post_processor": {"type": "Sequence", "processors": [BL(), template("<s>", "</s>", None, "<s>")]}}
    for number in range(48):
        r = random.Random(number)
        out = {"normalizer": fuzz_tokenizers.normalizer(r), "pre_tokenizer": fuzz_tokenizers.pre_tokenizer(r), "decoder": fuzz_tokenizers.decoder(r),
               "post_processor": fuzz_tokenizers.post_processor(r, base["model"]["vocab"], 1), "model.fuse_unk": r.random() < 0.5,
               "model.byte_fallback": r.random() < 0.5}
        yield f"random {number}", out


def text_main():
    r = random.Random(8)
    m = fuzz_tokenizers.model(r)
    while m["continuing_subword_prefix"] or m["end_of_word_suffix"] or "<0x00>" not in m["vocab"] or len(m["merges"]) < 90:
        m = fuzz_tokenizers.model(r)
    m.update({"unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True, "ignore_merges": False})
    added = [{"id": m["vocab"][t], "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for t in fuzz_tokenizers.SPECIALS]
    n = len(m["vocab"])
    for t, flags in (("word", {"lstrip": True}), ("Hello", {"normalized": True}), ("\u2581\u2581\u2581", {"rstrip": True, "single_word": True})):
        added.append({"id": m["vocab"].get(t, n), "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags})
        n += t not in m["vocab"]
    base = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None, "pre_tokenizer": None,
            "post_processor": None, "decoder": None, "model": m}
    texts = ["", " ", "a", "\u2581", " ab  ab", "ab ab\n", "<s> ab</s>ab", "a" * 40 + "\u2581b" * 12 + " c \u00e9" * 9, "Hello Hello word  word", "\ufb01\u00e9 e\u0301 \u0130",
             "\u2581\u2581\u2581 \u2581\u2581\u2581 x", "1\u00b2 \u2167!?  \u00ad.\u00bf"] + ["".join(r.choice(fuzz_tokenizers.POOL) for _ in range(r.randrange(1, 30))) for _ in range(14)]
    byte = lambda data: [m["vocab"]["<0x%02X>" % b] for b in data]
    a, b = m["vocab"]["a"], m["vocab"]["b"]
    lists = [byte("\u00e9\u4e2d".encode()), [a] + byte(b"\xff\xfe") + [b], byte("\U0001f600".encode()[:3]) + [b], byte(b"a\xc3") + [a] + byte(b"\xa9"), [0, 1, 2],
             [m["vocab"]["\u2581"], a, m["vocab"]["\u2581"]], [2, m["vocab"]["\u2581"], b]] + [[r.randrange(n) for _ in range(12)] for _ in range(6)]
    out = []
    for name, put in text_variants(base):
        d = json.loads(json.dumps(base))
        for key, value in put.items():
            if key.startswith("model."):
                d["model"][key[6:]] = value
            else:
                d[key] = value
        t = Tokenizer.from_str(json.dumps(d))
        ids = [t.encode(x, add_special_tokens=False).ids for x in texts]
        whole = t.encode("word", add_special_tokens=True)
        inside = [i for i, special in enumerate(whole.special_tokens_mask) if not special]
        whole = whole.ids
        decoded = [t.decode(i, skip_special_tokens=False) for i in ids]
        out.append({"name": name, "set": put, "ids": ids, "decoded": [None if d == x else d for d, x in zip(decoded, texts)], "before": whole[:inside[0]],
                    "after": whole[inside[-1] + 1:], "texts_of_lists": [t.decode(i, skip_special_tokens=False) for i in lists]})
    return base, texts, out, lists


def main():
    dump = lambda x: json.dumps(x, separators=(",", ":"))
    if sys.argv[1:] == ["text"]:
        base, texts, out, lists = text_main()
        print('{"base":' + dump(base) + ',\n"texts":' + dump(texts) + ',\n"lists":' + dump(lists) + ',\n"variants":[')
        print(",\n".join(dump(v) for v in out))
        print("]}")
        return
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.train_from_iterator(TRAIN, trainers.BpeTrainer(vocab_size=400, min_frequency=2, show_progress=False,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    base = json.loads(t.to_str())
    base["decoder"] = BL(True, True)
    base["added_tokens"] = [dict(id=len(base["model"]["vocab"]), **END)]
    rng = random.Random(3)
    texts = TEXTS + ["".join(rng.choice(POOL) for _ in range(rng.randint(1, 30))) for _ in range(15)]
    out = []
    for name, put in variants(base):
        d = json.loads(json.dumps(base))
        for key, value in put.items():
            if key.startswith("model."):
                d["model"][key[6:]] = value
            else:
                d[key] = value
        t = Tokenizer.from_str(json.dumps(d))
        ids = [t.encode(x, add_special_tokens=False).ids for x in texts]
        decoded = [t.decode(i, skip_special_tokens=False) for i in ids]
        out.append({"name": name, "set": put, "ids": ids, "decoded": [None if d == x else d for d, x in zip(decoded, texts)]})
    print('{"base":' + dump(base) + ',\n"texts":' + dump(texts) + ',\n"variants":[')
    print(",\n".join(dump(v) for v in out))
    print("]}")


if __name__ == "__main__":
    main()
