#!/bin/bash
# One run, one folder: a second run is refused, readers beside a run see it whole, a model of somebody's is never replaced, and after a kill
# anywhere, on any number of ranks, the first restart goes on and leaves nothing too many. $MOP is the program.
set -u
MOP=$(realpath "${MOP:-build/mop}")
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-folder-XXXXXX")
pid=
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null; umount "$work/ro" 2>/dev/null; rm -rf "$work"' EXIT
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
    $run "$MOP" train $model data.train=t.tok data.seq=32 train.batch=4 train.lr=1e-2 train.schedule=constant threads=1 log.level=1 out="$out" "$@"
}
run=
state() { find "$1" -type f -exec md5sum {} + 2>/dev/null | sort; find "$1" | sort; }
lines() { # lines OUT N: its log has N lines
    for _ in $(seq 600); do
        [ "$(cat "$1/log.jsonl" 2>/dev/null | wc -l)" -ge "$2" ] && return 0
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}
begin() { # a run in the background; $pid is the program's
    run=exec
    (train "$@") 2> begun.said &
    pid=$!
    run=
}

# ---- a second run
begin first train.steps=1000000 ckpt.every=20 ckpt.keep=1
lines first 50
ok $? "a run is at work"
kill -STOP "$pid"
before=$(state first)
newest=$(ls first/ckpt | grep -v 'part$' | tail -n 1) # it may have been stopped while it removes an older one
for resume in no auto; do
    train first train.steps=1000000 ckpt.every=1 train.resume=$resume 2> message
    [ $? = 2 ] && grep -q "a run is at work in out=first: process $pid on host" message
    ok $? "a second run, train.resume=$resume: $(cat message)"
done
# shellcheck disable=SC2086
"$MOP" train $model model.vocab=600 train.steps=0 out=first 2> message
[ $? = 2 ] && grep -q "a run is at work in out=first" message
ok $? "a second run that would only copy: $(cat message)"
[ "$before" = "$(state first)" ]
ok $? "nothing is touched by them"
for command in "verify first" "plot first out=plot.svg" "eval model.init=first/ckpt/$newest data.valid=t.tok data.seq=32"; do
    # shellcheck disable=SC2086
    "$MOP" $command > said 2>&1
    ok $? "$command beside a run: $(tail -n 2 said)"
done
[ "$before" = "$(state first)" ]
ok $? "nor by those who read"

# ---- the lock of a killed run is none
kill -9 "$pid"
wait "$pid" 2>/dev/null
done=$((10#${newest#step-}))
train first train.steps=$((done + 2)) ckpt.keep=1 train.resume=auto 2> message
ok $? "goes on after a kill: $(cat message)"
[ ! -e first/run.lock ] && "$MOP" verify first > said
ok $? "the end of a run removes the lock: $(tail -n 1 said)"

# ---- readers while a model is put in the place of another: they wait, and call nothing damage
cp -r first moving
begin moving train.steps=1000000 ckpt.every=0 train.resume=auto
lines moving $((done + 3))
kill -STOP "$pid"
mkdir moving/model.commit
mv moving/model.safetensors moving/manifest.json moving/model.commit/
"$MOP" verify moving > said 2>&1 &
reader=$!
"$MOP" eval model.init=moving data.valid=t.tok data.seq=32 threads=1 > evaluated 2>&1 &
other=$!
sleep 0.5
kill -0 $reader && kill -0 $other
ok $? "they wait"
mv moving/model.commit/model.safetensors moving/
mv moving/model.commit/manifest.json moving/
rmdir moving/model.commit
wait $reader
ok $? "verify while a model moves: $(cat said)"
wait $other
ok $? "eval while a model moves: $(cat evaluated)"
kill -9 "$pid"
wait "$pid" 2>/dev/null
mkdir moving/model.commit
mv moving/manifest.json moving/model.commit/
"$MOP" verify moving > said 2>&1
[ $? = 1 ] && grep -q 'a save was cut off' said
ok $? "without a run at work it is one that was cut off: $(cat said)"

# ---- and while checkpoints come and go
begin busy train.steps=150 ckpt.every=1 ckpt.keep=1
reads=0 bad=0
while kill -0 "$pid" 2>/dev/null; do
    if [ "$(ls busy/ckpt 2>/dev/null | grep -cv part)" -gt 0 ]; then
        "$MOP" verify busy > said 2>&1 || ! grep -q 'problem\|DAMAGED\|checksum' said || { bad=$((bad + 1)); cat said; }
        reads=$((reads + 1))
    fi
done
wait "$pid"
ok $? "the run ends well"
[ $bad = 0 ]
ok $? "verify beside it found damage $bad of $reads times"
"$MOP" verify busy > said
ok $? "it verifies at the end"

# ---- a file system without locks is told of, and a lock's file that is something else stays
MOP_FAULT=lock:1 train nolocks train.steps=2 2> message
[ $? = 0 ] && grep -q 'warning: out=nolocks: its file system has no locks (No locks available)' message && [ ! -e nolocks/run.lock ]
ok $? "no locks: $(cat message)"
mkdir taken && echo mine > taken/run.lock
train taken train.steps=2 2> message
[ $? = 2 ] && grep -q 'taken/run.lock is in the way' message && [ "$(cat taken/run.lock)" = mine ]
ok $? "a file of somebody's: $(cat message)"

# ---- what a run that cannot begin leaves
train new/and/deep train.steps=2 model.heads=3 2> message
[ $? = 2 ] && [ ! -e new ]
ok $? "nothing: $(find new 2>/dev/null)"
mkdir -p old
train old/and/deep train.steps=2 data.train=none.tok 2> message
[ $? = 1 ] && [ -d old ] && [ ! -e old/and ]
ok $? "not even folders: $(find old)"

# ---- finished runs, with and without their checkpoints
train whole train.steps=4 ckpt.every=2 2> message
for what in "as it is" "without its checkpoints"; do
    [ "$what" != "without its checkpoints" ] || rm -r whole/ckpt
    before=$(state whole)
    train whole train.steps=4 train.resume=auto log.level=2 2> message
    [ $? = 0 ] && grep -q 'nothing to do' message && [ "$before" = "$(state whole)" ]
    ok $? "finished, $what: left alone: $(cat message)"
    [ "$what" = "as it is" ] && continue
    train whole train.steps=8 train.resume=auto 2> message
    [ $? = 2 ] && grep -q 'no checkpoint to go on from for train.steps=8' message && [ "$before" = "$(state whole)" ]
    ok $? "more steps, $what: $(cat message)"
done
cp -r first/. theirs
rm -r theirs/manifest.json theirs/ckpt theirs/log.jsonl
before=$(state theirs)
for resume in no auto; do
    train theirs train.steps=4 train.resume=$resume 2> message
    [ $? = 2 ] && grep -q 'a model that no run of mop wrote' message && [ "$before" = "$(state theirs)" ]
    ok $? "somebody's model, train.resume=$resume: $(cat message)"
done
cp -r first replaced
cp nolocks/model.safetensors replaced/
before=$(state replaced)
train replaced train.steps=$((done + 4)) train.resume=auto 2> message
[ $? -ne 0 ] && grep -q 'not as it was written' message && [ "$before" = "$(state replaced)" ]
ok $? "somebody's weights beside our checkpoints: $(cat message)"
train first train.steps=$((done - 10)) train.resume=auto 2> message
[ $? = 0 ]
ok $? "fewer steps than a finished run has: nothing to do"
rm first/model.safetensors first/config.json first/manifest.json
train first train.steps=$((done - 10)) train.resume=auto 2> message
[ $? = 2 ] && grep -q "holds a run of $((done + 2)) steps already, more than train.steps=$((done - 10))" message
ok $? "fewer steps than a checkpoint: $(cat message)"

# ---- where nothing can be written
mkdir ro
if mount -t tmpfs none ro 2>/dev/null; then
    cp -r nolocks ro/finished && mkdir ro/begun && cp -r nolocks/ckpt nolocks/log.jsonl ro/begun
    mount -o remount,ro ro
    train ro/finished train.steps=2 train.resume=auto log.level=2 2> message
    [ $? = 0 ] && grep -q 'nothing to do' message
    ok $? "read-only: a finished run is one: $(cat message)"
    train ro/begun train.steps=4 train.resume=auto 2> message
    [ $? = 1 ] && grep -q 'Read-only file system' message
    ok $? "read-only: $(cat message)"
    train ro/new/run train.steps=4 2> message
    [ $? = 1 ] && grep -q 'cannot make the folder ro/new: Read-only file system' message
    ok $? "read-only: $(cat message)"
    umount ro
else
    skipped=$((skipped + 1))
    echo "SKIP a read-only folder: no right to mount one"
fi

# ---- killed anywhere, on one rank and on four: the first restart goes on to the same end, with nothing too many
next() { if [ "${MOP_TORTURE:-}" = all ]; then echo $(($1 + 1)); else echo $(($1 + 1 + $1 / 2)); fi; }
for ranks in 1 4; do
    rm -rf good begun
    train good train.steps=6 ckpt.every=2 ckpt.keep=2 ranks=$ranks 2> message
    ok $? "a run on $ranks: $(cat message)"
    train begun train.steps=2 ckpt.every=2 ckpt.keep=2 ranks=$ranks 2> message
    rm begun/model.safetensors begun/config.json begun/manifest.json
    for kind in mkdir write fsync rename remove; do
        n=1 status=137
        while [ $status = 137 ]; do
            rm -rf killed
            cp -r begun killed
            MOP_FAULT=kill-$kind:$n train killed train.steps=6 ckpt.every=2 ckpt.keep=2 ranks=$ranks train.resume=auto 2> message
            status=$?
            [ $status = 0 ] || train killed train.steps=6 ckpt.every=2 ckpt.keep=2 ranks=$ranks train.resume=auto 2> message
            ok $? "$ranks ranks, killed at $kind $n: goes on: $(cat message)"
            cmp -s good/model.safetensors killed/model.safetensors && "$MOP" verify killed > said
            ok $? "$ranks ranks, killed at $kind $n: the same end: $(tail -n 1 said)"
            [ "$(find killed | grep -v tfevents | sort | sed s/killed/good/)" = "$(find good | grep -v tfevents | sort)" ]
            ok $? "$ranks ranks, killed at $kind $n: nothing too many: $(find killed | tr '\n' ' ')"
            n=$(next $n)
        done
    done 2>/dev/null
done

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
