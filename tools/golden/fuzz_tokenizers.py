#!/usr/bin/env python3
"""Random tokenizers on random texts: does `mop tokenize` give what Hugging Face's `tokenizers` (0.23) gives, ids and texts of ids?

python3 tools/golden/fuzz_tokenizers.py build/mop [FROM [TO]]      (needs PyPI's tokenizers)

Each number from FROM to TO is a tokenizer; where the two differ, it is printed with the text. Ends with 1 if any did.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer, pre_tokenizers

BYTE_CHARS = sorted(pre_tokenizers.ByteLevel.alphabet())
POOL = list("aabcdeABCÄ  xyz  \n\t'sml.,!?-_0123789<|>▁▁") + list(
    "\u0301\u0316éñ中文か\u3000\u00a0😀\u200dßяΩع๑٣²Ⅷ\0\x1f\x85\u2028ſK가한İﬁﷺ①ｱﾞＡ\u0958\u1e9b\u0323\u00ad\ufeff\ufffd\u0345") + [
    "<s>", "</s>", "<unk>", "ab", "abc", "  ", "   ", "<0x41>", "word", "Hello", "▁▁", " ▁", "ab ab", "¿", "…", "\U00011de0", "\u1df6"]
SPECIALS = ["<s>", "</s>", "<unk>"]


def pick(r, *choices):
    return r.choice(choices)


def pattern(r, empty=True):
    """empty: it may match nothing (where that is replaced, Hugging Face's alignment goes astray)."""
    return pick(r, {"String": pick(r, " ", "a", "▁", "ab", "  ", "é", *[""] * empty)},
                {"Regex": pick(r, r"\s+", "[ab]+", " {2,}", r"\d", r"\p{L}+", r"\s$")} if not empty else {"Regex": pick(r, r"\s+", "[ab]+", " {2,}", r"\d", r"\p{L}+", "(?=[A-Z])|b*", "^", "$", r"\s$")})


def normalizer(r, deep=0):
    kind = r.randrange(15 if deep < 2 else 13)
    if kind < 4:
        return {"type": ("NFC", "NFD", "NFKC", "NFKD")[kind]}
    if kind == 4:
        return {"type": "Lowercase"}
    if kind == 5:
        return {"type": "StripAccents"}
    if kind == 6:
        return {"type": "Nmt"}
    if kind == 7:
        return {"type": "Strip", "strip_left": r.random() < 0.7, "strip_right": r.random() < 0.7}
    if kind < 10:
        return {"type": "Prepend", "prepend": pick(r, "▁", "▁", " ", "xy", "中")}
    if kind < 12:
        return {"type": "Replace", "pattern": pattern(r, False), "content": pick(r, "▁", "▁", " ", "", "ab", "é")}
    if kind == 12:
        return {"type": "ByteLevel"}
    return {"type": "Sequence", "normalizers": [normalizer(r, deep + 1) for _ in range(r.randrange(4))]}


BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")


def metaspace(r):
    return {"type": "Metaspace", "replacement": pick(r, "▁", "▁", "▁", "_"), "prepend_scheme": pick(r, "always", "first", "first", "never"),
            "split": r.random() < 0.6}


def pre_tokenizer(r, deep=0):
    kind = r.randrange(16 if deep < 2 else 13)
    if kind == 0:
        return {"type": "ByteLevel", "add_prefix_space": r.random() < 0.5, "trim_offsets": True, "use_regex": r.random() < 0.5}
    if kind < 5:
        return metaspace(r)
    if kind == 5:
        return {"type": "Digits", "individual_digits": r.random() < 0.5}
    if kind == 6:
        return {"type": "Punctuation", "behavior": pick(r, *BEHAVIORS)}
    if kind == 7:
        return {"type": "Whitespace"}
    if kind == 8:
        return {"type": "WhitespaceSplit"}
    if kind == 9:
        return {"type": "CharDelimiterSplit", "delimiter": pick(r, " ", "a", "▁")}
    if kind == 10:
        return {"type": "BertPreTokenizer"}
    if kind == 11:
        return {"type": "FixedLength", "length": r.randrange(1, 6)}
    if kind == 12:
        return {"type": "Split", "pattern": pattern(r), "behavior": pick(r, *BEHAVIORS), "invert": r.random() < 0.3}
    return {"type": "Sequence", "pretokenizers": [pre_tokenizer(r, deep + 1) for _ in range(r.randrange(4))]}


LLAMA = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                                          {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}


def decoder(r, deep=0):
    kind = r.randrange(17 if deep < 2 else 13)
    if kind < 2:
        return {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    if kind < 4:
        return metaspace(r)
    if kind < 6:
        return {"type": "ByteFallback"}
    if kind < 8:
        return {"type": "Fuse"}
    if kind < 10:
        return {"type": "Strip", "content": pick(r, " ", "▁", "a"), "start": r.randrange(3), "stop": 0}
    if kind == 10:
        return {"type": "Replace", "pattern": pattern(r), "content": pick(r, " ", "", "é")}
    if kind == 11:
        return {"type": "WordPiece", "prefix": pick(r, "##", "a", ""), "cleanup": r.random() < 0.5}
    if kind == 12:
        return {"type": "BPEDecoder", "suffix": pick(r, "</w>", "b", " ")}
    if kind < 15:
        return LLAMA
    return {"type": "Sequence", "decoders": [decoder(r, deep + 1) for _ in range(r.randrange(5))]}


def template(r, vocab):
    token = lambda t: {"SpecialToken": {"id": t, "type_id": 0}}
    single = [token(pick(r, *SPECIALS)) for _ in range(r.randrange(3))] + [{"Sequence": {"id": "A", "type_id": 0}}] + [
        token(pick(r, *SPECIALS)) for _ in range(r.randrange(3))]
    return {"type": "TemplateProcessing", "single": single, "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {t: {"id": t, "ids": [vocab[t]] * r.randrange(1, 3), "tokens": [t]} for t in SPECIALS}}


def post_processor(r, vocab, deep=0):
    kind = r.randrange(6 if deep == 0 else 5)
    if kind < 2:
        return template(r, vocab)
    if kind == 2:
        return {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    if kind == 3:
        return {"type": "BertProcessing", "sep": ["</s>", vocab["</s>"]], "cls": ["<s>", vocab["<s>"]]}
    if kind == 4:
        return {"type": "RobertaProcessing", "sep": ["</s>", vocab["</s>"]], "cls": ["<s>", vocab["<s>"]], "trim_offsets": True, "add_prefix_space": False}
    return {"type": "Sequence", "processors": [post_processor(r, vocab, 1) for _ in range(r.randrange(3))]}


def model(r):
    tokens = list(SPECIALS)
    if r.random() < 0.8:
        tokens += ["<0x%02X>" % b for b in range(256) if r.random() < (1.1 if r.random() < 0.7 else 0.97)]
    prefix, suffix = (pick(r, "##", None) if r.random() < 0.1 else None), (pick(r, "</w>", None) if r.random() < 0.1 else None)
    alphabet = [c for c in dict.fromkeys(POOL) if len(c) == 1 and c != "\0" and r.random() < 0.8]
    if r.random() < 0.4:
        alphabet += [c for c in BYTE_CHARS if r.random() < 0.98]
    for c in alphabet:
        tokens += [c] + ([prefix + c] if prefix else []) + ([c + suffix] if suffix else []) + ([prefix + c + suffix] if prefix and suffix else [])
    tokens = list(dict.fromkeys(tokens))
    merges, known = [], set(tokens)
    common = [t for t in tokens if t.strip("#").replace("</w>", "") in ("a", "b", "c", "▁", " ", "d", "1", "2", "é", "中", "Ġ", "s")]
    byte_tokens = [t for t in tokens if t.startswith("<0x")]
    for _ in range(r.randrange(120)):
        a, b = r.choice(common), r.choice(common)
        if byte_tokens and r.random() < 0.03:
            a = r.choice(byte_tokens)
        if r.random() < 0.02:
            b = "<unk>"
        if prefix and not b.startswith(prefix) or (suffix and a.endswith(suffix)):
            continue
        made = a + (b[len(prefix):] if prefix else b)
        if made not in known:
            known.add(made)
            tokens.append(made)
            common.append(made)
        merges.append([a, b])
    r.shuffle(merges)
    ids = list(range(len(tokens)))
    vocab = dict(zip(tokens, ids))
    return {"type": "BPE", "dropout": None, "unk_token": pick(r, "<unk>", "<unk>", "▁" if "▁" in vocab else "<unk>", None),
            "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix, "fuse_unk": r.random() < 0.5, "byte_fallback": r.random() < 0.7,
            "ignore_merges": r.random() < 0.2, "vocab": vocab, "merges": merges}


def make(r):
    m = model(r)
    vocab = m["vocab"]
    added = [{"id": vocab[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for t in SPECIALS]
    next_id = len(vocab)
    for t in ["ab", "word", "Hello", "▁▁", "É", "  "]:
        if r.random() < 0.25:
            added.append({"id": vocab.get(t, next_id), "content": t, "single_word": r.random() < 0.3, "lstrip": r.random() < 0.3,
                          "rstrip": r.random() < 0.3, "normalized": r.random() < 0.5, "special": False})
            next_id += t not in vocab
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer(r) if r.random() < 0.7 else None,
            "pre_tokenizer": pre_tokenizer(r) if r.random() < 0.8 else None, "post_processor": post_processor(r, vocab) if r.random() < 0.7 else None,
            "decoder": decoder(r) if r.random() < 0.9 else None, "model": m}


def main():
    mop = os.path.abspath(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    last = int(sys.argv[3]) if len(sys.argv) > 3 else first + 200
    differ = refused = same = 0
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        for number in range(first, last):
            r = random.Random(number)
            data = make(r)
            texts = ["", " ", "a", "▁", " ab  ab", "ab ab\n", "<s> ab</s>ab", "a" * 40 + "▁b" * 30 + " c é" * 20] + [
                "".join(r.choice(POOL) for _ in range(r.randrange(1, 40))) for _ in range(12)]
            with open("tokenizer.json", "w") as f:
                json.dump(data, f)
            try:
                t = Tokenizer.from_str(json.dumps(data))
            except BaseException as e:
                print(number, "Hugging Face refuses:", str(e)[:150])
                refused += 1
                continue
            def of(text, specials):
                try:
                    return t.encode(text, add_special_tokens=specials).ids
                except BaseException:
                    return None
            ids = [of(x, False) for x in texts]
            whole = [of(x, True) for x in texts]
            keep = [i for i in range(len(texts)) if ids[i] is not None]
            texts, ids, whole = [[l[i] for i in keep] for l in (texts, ids, whole)]
            n = t.get_vocab_size()
            lists = ids + [[r.randrange(n) for _ in range(r.randrange(12))] for _ in range(8)] + [
                [data["model"]["vocab"].get("<0x%02X>" % b, 0) for b in pick(r, "é中".encode(), b"\xff\xfe", "😀".encode()[:3], b"a\xc3")] + [0] for _ in range(3)]
            decoded = []
            for x in lists:
                try:
                    decoded.append(t.decode(x, skip_special_tokens=False))
                except BaseException:
                    decoded.append(None)
            lists, decoded = [x for x, d in zip(lists, decoded) if d is not None], [d for d in decoded if d is not None]
            with open("in.jsonl", "w") as f:
                f.writelines(json.dumps({"text": x}) + "\n" for x in texts)
            with open("ids.jsonl", "w") as f:
                f.writelines(json.dumps({"ids": x}) + "\n" for x in lists)
            run = lambda *words: subprocess.run([mop, "tokenize", "tokenizer=tokenizer.json", "threads=1", *words],
                                                capture_output=True, text=True)
            a = run("in=in.jsonl", "ids=-")
            c = run("in=in.jsonl", "ids=-", "add_special_tokens=true") if "add_special_tokens" in HELP else None
            b = run("decode=ids.jsonl", "text=-")
            if "nothing is left of it once normalised" in a.stderr or "is there twice once normalised" in a.stderr:
                refused += 1  # Hugging Face then cuts the text at every character, or takes one of the two
                continue
            if a.returncode or b.returncode:
                print(number, "mop:", (a.stderr if a.returncode else b.stderr)[-300:])
                differ += 1
                continue
            got = [json.loads(x) for x in a.stdout.splitlines()]
            back = [json.loads(x) for x in b.stdout.splitlines()]
            bad = [(x, i, g) for x, i, g in zip(texts, ids, got) if i != g][:1] + [(x, i, g) for x, i, g in zip(lists, decoded, back) if i != g][:1]
            if c is not None:
                bad += [(x, i, g) for x, i, g in zip(texts, whole, [json.loads(x) for x in c.stdout.splitlines()]) if i is not None and i != g][:1]
            if bad or len(got) != len(texts) or len(back) != len(lists):
                differ += 1
                print(number, {k: v for k, v in data.items() if k in ("normalizer", "pre_tokenizer", "decoder", "post_processor")},
                      {k: v for k, v in data["model"].items() if k not in ("vocab", "merges")},
                      [{k: v for k, v in x.items() if v is not False} for x in data["added_tokens"][3:]])
                names = {v: k for k, v in t.get_vocab().items()}
                for x, want, is_ in bad:
                    print("   ", repr(x), "\n      wanted", want, "\n      got   ", is_)
                    if isinstance(x, str):
                        print("      wanted", [names.get(i) for i in want], "\n      got   ", [names.get(i) for i in is_])
            else:
                same += 1
    print(f"{same} the same, {differ} differ, {refused} refused")
    return differ != 0


if __name__ == "__main__":
    HELP = subprocess.run([sys.argv[1], "help", "tokenize"], capture_output=True, text=True).stdout
    sys.exit(main())
