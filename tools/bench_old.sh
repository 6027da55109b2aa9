#!/bin/bash
# bench_old.sh OLD NEW-PROGRAM [ROUNDS]: seconds of a training step of the commit OLD and of this tree, the models demo and mid of bench/peers in both
# dtypes, run in turn, ROUNDS (3) times each. A row's figure is the median of all steps but each run's first; ratio above 1: this tree is faster.
set -u
old=${1:?bench_old.sh OLD NEW} new=$(realpath "${2:?bench_old.sh OLD NEW}") rounds=${3:-3}
cd "$(dirname "$0")/.." || exit 2
here=$(pwd)
oldmop=$(tools/old_tree.sh "$old") || exit 2
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
awk 'BEGIN { for (i = 1; i < 8000; i++) printf "%d squared is %d, its half %d, and its root about %d.\n%s", i, i * i, i / 2, sqrt(i), i % 50 ? "" : "\n" }' >text.txt
"$oldmop" tokenize tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" in=text.txt out=t.tok >/dev/null 2>&1 || exit 2
echo "old $(basename "$(dirname "$(dirname "$oldmop")")"), new $(git -C "$here" rev-parse --short HEAD)$(git -C "$here" diff --quiet HEAD || echo ' and changes')"
"$new" doctor 2>/dev/null | grep -i 'cpu\|copy\|GFLOP' | head -n 8
seconds() { grep -o '"seconds": *[0-9.e-]*' "$1/log.jsonl" | tail -n +2 | grep -o '[0-9.e-]*$'; }
median() { sort -g | awk '{ v[NR] = $1 } END { print NR ? (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) : "nan" }'; }
demo="model.layers=6 model.hidden=256 model.heads=4 model.kv_heads=2 model.head_dim=64 model.experts=16 model.top_k=4 model.expert_width=256
  model.vocab=8192 train.batch=8 train.micro_batch=4 train.steps=5"
mid="model.layers=8 model.hidden=512 model.heads=8 model.kv_heads=4 model.head_dim=64 model.experts=32 model.top_k=4 model.expert_width=512
  model.vocab=32768 train.batch=4 train.steps=3"
for m in demo mid; do
    for dtype in bf16 fp32; do
        : >a.s
        : >b.s
        for ((r = 0; r < rounds; r++)); do
            for p in a b; do
                prog=$oldmop
                [ $p = b ] && prog=$new
                rm -rf out
                # shellcheck disable=SC2086
                "$prog" train model.init=random model.family=qwen3_moe model.dtype=$dtype ${!m} data.train=t.tok data.seq=512 stash.strategy=keep \
                    ckpt.every=0 log.level=0 out=out >/dev/null 2>err || { tail -n 1 err; exit 1; }
                seconds out >>$p.s
            done
        done
        a=$(median <a.s) b=$(median <b.s)
        echo "ratio $m $dtype $(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.3f   old %.4f s, new %.4f s a step", a / b, a, b }')"
    done
done
