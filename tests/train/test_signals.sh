#!/bin/bash
# Signals that ask a run to stop, alone and together, on one rank and on threads; stacks of any size. $MOP is the program.
set -u
MOP=$(realpath "${MOP:-build/mop}")
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-signals-XXXXXX")
trap 'rm -rf "$work"' EXIT
here=$(pwd)
cd "$work" || exit 2
passed=0 failed=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $2"; fi
}

awk 'BEGIN { for (i = 1; i < 3000; i++) printf "%d squared is %d, its half %d.\n", i, i * i, i / 2 }' > text.txt
"$MOP" tokenize tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" in=text.txt out=t.tok 2>/dev/null
ok $? "token file from text"
model="model.init=random model.layers=2 model.hidden=32 model.heads=2 model.kv_heads=1 model.experts=4 model.expert_width=16"
# a run without an end in the background, past its first steps; $pid is the program's
begin() { # begin OUT [key=value ...]
    local out=$1
    shift
    # a script's background jobs ignore SIGINT, and what is ignored stays so
    # shellcheck disable=SC2086
    env --default-signal "$MOP" train $model data.train=t.tok data.seq=32 train.batch=4 train.steps=1000000 ckpt.every=0 log.level=2 out="$out" \
        train.schedule=constant "$@" 2> "$out.said" &
    pid=$!
    lines "$out" 2
}
lines() { # lines OUT N: the log has N lines more than now, or than none
    local from now n
    from=$(cat "$1/log.jsonl" 2>/dev/null | wc -l)
    for n in $(seq 600); do
        now=$(cat "$1/log.jsonl" 2>/dev/null | wc -l)
        [ "$now" -ge $((from + $2)) ] && return 0
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}
saved() { # saved OUT WHAT
    wait "$pid"
    ok $? "$2: exit 0"
    [ "$(ls "$1/ckpt" 2>/dev/null | wc -l)" = 1 ] && "$MOP" verify "$1" > /dev/null
    ok $? "$2: one checkpoint, whole"
}

for signal in TERM INT HUP USR1 XCPU; do
    for ranks in 1 2; do
        begin $signal-$ranks ranks=$ranks threads=1
        kill -$signal "$pid"
        saved $signal-$ranks "SIG$signal, $ranks ranks"
        grep -q "SIG$signal: stopping after this step" $signal-$ranks.said
        ok $? "SIG$signal, $ranks ranks: it says so: $(tail -n 3 $signal-$ranks.said)"
    done
done

# a launcher signals the process and its group, and signals of several kinds come together
begin double
kill -TERM "$pid"
kill -TERM "$pid" 2>/dev/null
saved double "SIGTERM twice at once"
begin mixed
for signal in HUP TERM USR1 XCPU HUP XCPU; do kill -$signal "$pid" 2>/dev/null; done
saved mixed "six signals at once"

# a step of minutes: what systems send, however often, is waited for; SIGTERM again after a second is not
begin_long() {
    # shellcheck disable=SC2086
    "$MOP" train $model data.train=t.tok data.seq=256 train.batch=40000 train.micro_batch=8 train.steps=10 log.level=2 out=long threads=1 2> long.said &
    pid=$!
    for _ in $(seq 600); do
        grep -q '^memory: ' long.said && return
        sleep 0.05
    done
}
begin_long
kill -HUP "$pid"
sleep 1.1
kill -XCPU "$pid"
kill -USR1 "$pid"
kill -TERM "$pid"
sleep 0.2
kill -0 "$pid"
ok $? "a first SIGTERM after other signals is a request"
sleep 1.1
kill -TERM "$pid"
wait "$pid"
status=$?
[ $status = 1 ] && [ ! -e long/ckpt ]
ok $? "SIGTERM again after a second: at once, without a checkpoint: $status"

# what was ignored when the program began
(
    trap '' HUP
    exec "$MOP" train $model data.train=t.tok data.seq=32 train.batch=4 train.steps=1000000 ckpt.every=0 log.level=2 out=nohup 2> nohup.said
) &
pid=$!
lines nohup 2
kill -HUP "$pid"
lines nohup 3
ok $? "nohup: SIGHUP does not end it"
kill -TERM "$pid"
saved nohup "nohup, then SIGTERM"
! grep -q SIGHUP nohup.said
ok $? "nohup: $(tail -n 2 nohup.said)"

# a limit on CPU time: the soft one asks, each second again
(
    ulimit -S -t 2
    # shellcheck disable=SC2086
    exec "$MOP" train $model data.train=t.tok data.seq=32 train.batch=4 train.steps=1000000 ckpt.every=0 log.level=2 out=limit threads=1 2> limit.said
) &
pid=$!
saved limit "two seconds of CPU time"

# stacks: threads have their own
# shellcheck disable=SC2086
for stack in 64 256 2048 unlimited; do
    (
        ulimit -s $stack
        "$MOP" train $model data.train=t.tok data.seq=300 train.batch=4 train.steps=2 log.level=1 out=stack-$stack threads=2 ranks=2
    )
    ok $? "ulimit -s $stack"
    cmp -s stack-64/model.safetensors stack-$stack/model.safetensors
    ok $? "ulimit -s $stack: the same bits"
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
