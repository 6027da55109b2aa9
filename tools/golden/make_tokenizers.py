#!/usr/bin/env python3
"""Makes tests/golden/tokenizers/variants.json: what Hugging Face's `tokenizers` (0.23) gives for many small tokenizers.

python3 tools/golden/make_tokenizers.py > tests/golden/tokenizers/variants.json      (needs PyPI's tokenizers)

{"base": a tokenizer.json, "texts": [...], "variants": [{"name", "set": {key: value of the file's top or, "model.x", of its model},
"ids": [[...] per text], "decoded": [text, or null where it is the text that was encoded]}]}. A variant is the base with the
values of "set" put in.
"""
import json
import random

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

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


def main():
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
    dump = lambda x: json.dumps(x, separators=(",", ":"))
    print('{"base":' + dump(base) + ',\n"texts":' + dump(texts) + ',\n"variants":[')
    print(",\n".join(dump(v) for v in out))
    print("]}")


if __name__ == "__main__":
    main()
