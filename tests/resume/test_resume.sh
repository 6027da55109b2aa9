#!/bin/bash
# Resuming is exact: 10 steps == 4 + 6, killed anywhere and resumed again and again; faults; a full disk. $MOP is the program.
set -u
MOP=$(realpath "${MOP:-build/mop}")
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-resume-XXXXXX")
trap 'rm -rf "$work"' EXIT
here=$(pwd)
cd "$work" || exit 2
passed=0 failed=0 skipped=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $2"; fi
}

awk 'BEGIN { for (i = 1; i < 3000; i++) printf "%d squared is %d, its half %d.\n%s", i, i * i, i / 2, i % 50 ? "" : "\n" }' > text.txt
"$MOP" tokenize tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" in=text.txt out=t.tok 2>/dev/null
ok $? "token file from text"

model="model.init=random model.layers=2 model.hidden=32 model.heads=2 model.kv_heads=1 model.experts=4 model.expert_width=16"
train() { # train OUT [key=value ...]
    local out=$1
    shift
    # shellcheck disable=SC2086
    "$MOP" train $model data.train=t.tok data.seq=32 train.batch=4 train.micro_batch=2 train.lr=1e-2 train.schedule=constant log.level=1 out="$out" "$@"
}
same() { # same A B WHAT: the final models and the last checkpoints, byte for byte
    cmp -s "$1/model.safetensors" "$2/model.safetensors"
    ok $? "$3: final weights"
    for f in "$1"/ckpt/step-00000010/*; do
        cmp -s "$f" "$2/ckpt/step-00000010/$(basename "$f")"
        ok $? "$3: $(basename "$f") of the last checkpoint"
    done
    cut -d, -f1-6 "$1/log.jsonl" | cmp -s - <(cut -d, -f1-6 "$2/log.jsonl")
    ok $? "$3: log.jsonl"
}

for mode in "model.dtype=fp32" "model.dtype=bf16 experts.balance_rate=0.01" "model.dtype=bf16 stash.strategy=keep train.seed=5"; do
    rm -rf whole parts
    # shellcheck disable=SC2086
    train whole train.steps=10 $mode 2>/dev/null
    ok $? "$mode: ten steps at once"
    # shellcheck disable=SC2086
    train parts train.steps=4 $mode 2>/dev/null && train parts train.steps=10 train.resume=auto $mode 2>/dev/null
    ok $? "$mode: four steps, then six"
    same whole parts "$mode: 10 == 4 + 6"
    # shellcheck disable=SC2086
    train threads train.steps=10 threads=3 $mode 2>/dev/null
    same whole threads "$mode: three threads"
    rm -rf threads
done

# memory decides only where what backward needs comes from
rm -rf kept again
train kept train.steps=10 log.level=2 2>kept.log && grep -q "needs again is kept" kept.log
ok $? "much memory: kept"
train again train.steps=10 log.level=2 stash.budget=0.0001 2>again.log && grep -q "needs again is computed again" again.log
ok $? "a small stash.budget: computed again"
same kept again "kept and computed again"
rm -rf kept again

# SIGKILL anywhere, again and again: each try dies at a later write, fsync or rename, until one comes through
rm -rf whole
train whole train.steps=10 ckpt.every=3 ckpt.keep=2 2>/dev/null
for kind in write fsync rename; do
    for stride in 1 3; do
        rm -rf killed
        n=1 status=137 tries=0
        while [ "$status" != 0 ] && [ "$tries" -lt 80 ]; do
            MOP_FAULT=kill-$kind:$n train killed train.steps=10 ckpt.every=3 ckpt.keep=2 train.resume=auto 2>/dev/null
            status=$?
            n=$((n + stride)) tries=$((tries + 1))
        done 2>/dev/null
        ok "$status" "killed at $kind by $stride: comes through after $tries tries"
        same whole killed "killed at $kind by $stride"
        "$MOP" verify killed > /dev/null
        ok $? "killed at $kind by $stride: verifies"
        [ "$(ls killed/ckpt | wc -l)" = 2 ]
        ok $? "killed at $kind by $stride: two checkpoints stay"
    done
done 2>/dev/null

# a failure of the system is exit 1 with a message, and the last good checkpoint is intact
for kind in open write fsync rename reserve read thread; do
    for n in 1 2 3 5 8 13 21; do
        rm -rf broken
        train broken train.steps=3 2>/dev/null
        MOP_FAULT=$kind:$n train broken train.steps=6 ckpt.every=1 train.resume=auto 2> message
        status=$?
        { [ "$status" = 0 ] || { [ "$status" = 1 ] && grep -q '^error: .' message; }; }
        ok $? "$kind:$n gave $status: $(cat message)"
        "$MOP" verify broken > report
        ok $? "$kind:$n: verify after the failure: $(head -n 3 report)"
        train broken train.steps=6 train.resume=auto 2>/dev/null
        ok $? "$kind:$n: goes on afterwards"
    done
done

# what a resumed run may not change, and what is never overwritten
train whole train.steps=20 2> message
[ $? = 2 ] && grep -q 'train.resume=auto' message
ok $? "a folder that holds a run is refused"
train whole train.steps=20 train.resume=auto train.seed=9 2> message
[ $? = 2 ] && grep -q 'train.seed' message
ok $? "another seed is refused"
train whole train.steps=20 train.resume=auto data.seq=16 2> message
[ $? = 2 ] && grep -q 'data' message
ok $? "another packing is refused"
before=$(find whole -type f -exec md5sum {} + | sort)
train whole train.steps=10 train.resume=auto 2>/dev/null
ok $? "a finished run is left alone"
[ "$before" = "$(find whole -type f -exec md5sum {} + | sort)" ]
ok $? "a finished run keeps every byte"
"$MOP" train model.init=whole out=whole train.steps=0 2> message
[ $? = 2 ] && grep -q 'out' message
ok $? "out= that is model.init= is refused"

# a full disk
mkdir small
if mount -t tmpfs -o size=8m tmpfs small 2>/dev/null; then
    train small/run train.steps=20 ckpt.every=1 ckpt.keep=0 2> message
    [ $? = 1 ] && grep -q 'No space left' message
    ok $? "a full disk: $(cat message)"
    "$MOP" verify small/run > /dev/null
    ok $? "a full disk: what was saved is whole"
    umount small
else
    skipped=$((skipped + 1))
    echo "SKIP full disk: no right to mount a small one"
fi
echo file > inway
train inway/run train.steps=1 2> message
[ $? = 1 ] && grep -q inway message
ok $? "a file in the way: $(cat message)"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
