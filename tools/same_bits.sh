#!/bin/bash
# same_bits.sh OLD NEW-PROGRAM: builds the commit OLD in build/old and runs a table of runs with both programs: families, dtypes, ranks as threads and
# under mpirun, strategies, accumulation, fine-tuning, resuming (what OLD saved, too), kernel sets. Final weights, moments and the losses in the logs
# must be equal bit for bit. One line a run; the last line counts. Needs git, and what the build needs.
set -u
old=${1:?same_bits.sh OLD NEW: give a commit} new=$(realpath "${2:?same_bits.sh OLD NEW: give the program}")
cd "$(dirname "$0")/.." || exit 2
here=$(pwd)
commit=$(git rev-parse --short "$old^{commit}") || exit 2
oldmop=$(tools/old_tree.sh "$old") || exit 2
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-bits-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
passed=0 failed=0 skipped=0

awk 'BEGIN { for (i = 1; i < 4000; i++) printf "%d squared is %d, its half %d.\n%s", i, i * i, i / 2, i % 50 ? "" : "\n" }' >text.txt
"$oldmop" tokenize tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" in=text.txt out=t.tok 2>/dev/null || exit 2
echo "old $commit, new $(cd "$here" && git rev-parse --short HEAD)$(cd "$here" && git diff --quiet HEAD || echo ' and changes'), $(nproc) CPUs"

# what a log says of each step, less what depends on time
steps() { grep -o '"step": *[0-9]*\|"loss": *[^,}]*\|"aux[a-z_]*": *[^,}]*\|"grad_norm": *[^,}]*\|"lr": *[^,}]*\|"valid[a-z_]*": *[^,}]*' "$1/log.jsonl"; }

compare() { # compare NAME: folders a (old) and b (new)
    local why=
    cmp -s a/model.safetensors b/model.safetensors || why="weights"
    for f in a/ckpt/*/*.safetensors; do
        [ "$(basename "$f")" = run.safetensors ] && continue
        cmp -s "$f" "b/${f#a/}" || why="$why ${f#a/}"
    done
    cmp -s <(steps a) <(steps b) || why="$why log"
    if [ -z "$why" ]; then passed=$((passed + 1)); echo "same    $1"; else failed=$((failed + 1)); echo "DIFFERS $1:$why"; fi
}

base="model.init=random model.layers=2 model.hidden=64 model.heads=4 model.kv_heads=2 model.experts=8 model.top_k=2 model.expert_width=32
  data.train=t.tok data.seq=48 train.batch=8 train.steps=4 train.lr=1e-2 ckpt.every=2 log.level=0"
run() { # run NAME [key=value ...]
    local name=$1
    shift
    rm -rf a b
    # shellcheck disable=SC2086
    if ! "$oldmop" train $base out=a "$@" 2>a.err; then skipped=$((skipped + 1)); echo "SKIP    $name: $(tail -n 1 a.err)"; return; fi
    # shellcheck disable=SC2086
    if ! "$new" train $base out=b "$@" 2>b.err; then failed=$((failed + 1)); echo "FAILED  $name: $(tail -n 1 b.err)"; return; fi
    compare "$name"
}

for dtype in fp32 bf16; do
    for family in olmoe qwen3_moe mixtral; do run "$family $dtype" model.family=$family model.dtype=$dtype; done
    run "$dtype, micro-batches, clip, warmup" model.dtype=$dtype train.micro_batch=2 train.clip=0.1 train.warmup=2
    run "$dtype, kept" model.dtype=$dtype stash.strategy=keep
    run "$dtype, recomputed, one thread" model.dtype=$dtype stash.strategy=recompute threads=1
    run "$dtype, bias balancing, tied" model.dtype=$dtype experts.balance_rate=0.01 model.tied=1
    for s in "experts.strategy=ep" "experts.strategy=llep experts.min_rows=4" "experts.strategy=pipelined experts.chunk=16 experts.min_rows=4" "experts.strategy=gather" \
        "mesh.expert=2" "mesh.seq=2 mesh.expert=2 mesh.vocab=2" "vocab.strategy=dtp mesh.vocab=2" "vocab.strategy=dense_logits" "vocab.travel=weights mesh.vocab=2" \
        "dense.strategy=replicate" "preset=fsdp" "mesh.seq=4 attention.head_chunks=1 train.micro_batch=2"; do
        # shellcheck disable=SC2086
        run "$dtype, 4 ranks, $s" model.dtype=$dtype ranks=4 threads=1 $s
    done
    run "$dtype, 3 ranks" model.dtype=$dtype ranks=3 threads=1
done

# sets of kernels, by what a run says of itself
for isa in portable avx2 avx512; do
    "$new" parity "$here/tests/golden/olmoe" isa=$isa >n.txt 2>/dev/null || { skipped=$((skipped + 1)); echo "SKIP    kernels of $isa: not on this CPU"; continue; }
    "$oldmop" parity "$here/tests/golden/olmoe" isa=$isa >o.txt 2>/dev/null
    if cmp -s o.txt n.txt; then passed=$((passed + 1)); echo "same    parity's table, kernels of $isa"; else failed=$((failed + 1)); echo "DIFFERS parity's table, kernels of $isa"; fi
done

# fine-tuning, and going on where OLD stopped
rm -rf base
# shellcheck disable=SC2086
"$oldmop" train $base out=base 2>/dev/null
rm -rf a b
for p in a b; do
    m=$oldmop
    [ $p = b ] && m=$new
    "$m" train model.init=base data.train=t.tok data.seq=48 train.batch=8 train.steps=3 train.lr=1e-3 log.level=0 out=$p 2>/dev/null
done
compare "fine-tuning"
for how in "" "ranks=3 threads=1"; do
    rm -rf a b
    # shellcheck disable=SC2086
    "$oldmop" train $base train.steps=2 train.schedule=constant out=a 2>/dev/null
    cp -r a b
    # shellcheck disable=SC2086
    "$oldmop" train $base train.steps=4 train.schedule=constant train.resume=auto out=a $how 2>/dev/null
    # shellcheck disable=SC2086
    "$new" train $base train.steps=4 train.schedule=constant train.resume=auto out=b $how 2>b.err || tail -n 1 b.err
    compare "going on from what $commit saved${how:+, $how}"
done
if command -v mpirun >/dev/null; then
    rm -rf a b
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    # shellcheck disable=SC2086
    mpirun --oversubscribe -n 2 "$oldmop" train $base threads=1 out=a >/dev/null 2>&1
    # shellcheck disable=SC2086
    mpirun --oversubscribe -n 2 "$new" train $base threads=1 out=b >/dev/null 2>&1
    compare "two processes under mpirun"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
