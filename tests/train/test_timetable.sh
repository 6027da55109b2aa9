#!/bin/bash
# The time table: it counts what a run did, its shares are the whole step, and a run is the same whether it is asked for or not.
set -u
MOP=$(realpath "${MOP:-build/mop}")
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-timetable-XXXXXX")
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
run=
train() { # train OUT [key=value ...]; with run=exec it takes the shell's place, so that $! is the program's
    local out=$1
    shift
    $run "$MOP" train model.init=random model.layers=2 model.hidden=32 model.heads=2 model.kv_heads=1 model.experts=4 model.expert_width=16 \
        data.train=t.tok data.valid=t.tok data.seq=32 train.batch=4 train.valid_sequences=4 train.lr=1e-2 train.schedule=constant out="$out" "$@"
}

train plain train.steps=5 log.level=1 2>plain.log
ok $? "a run without a table"
! grep -q 'time: ' plain.log
ok $? "log.level=1 prints none: $(cat plain.log)"
train seen train.steps=5 train.valid_every=1 log.level=2 2>seen.log
ok $? "a run with a table"
cmp -s plain/model.safetensors seen/model.safetensors
ok $? "the table changes no bit of the model"

[ "$(grep -c 'time: 4 steps of .*the first step.*left out' seen.log)" -eq 1 ]
ok $? "four of five steps are counted, once: $(grep 'time: ' seen.log)"
awk '/share     ms\/step/ { on = 1; next } /beside the steps/ { on = 0 } on && $2 == "%" && ($NF ~ /^(experts|attention|vocab|dense|optim|copies)$/) { sum += $1; n++ }
     END { exit !(n == 6 && sum > 99.9 && sum < 100.1) }' seen.log
ok $? "five rooms and what is outside of kernels are the step: $(grep ' % ' seen.log)"
train pair train.steps=5 ranks=2 log.level=2 2>pair.log
ok $? "a run on two ranks"
awk '/share     ms\/step/ { on = 1; next } /beside the steps/ { on = 0 } on && / communication: / { comm = $1 }
     on && $2 == "%" && ($NF ~ /^(experts|attention|vocab|dense|optim|ranks|copies)$/) { sum += $1; n++ } END { exit !(n == 7 && comm > 0 && sum > 99.9 && sum < 100.1) }' pair.log
ok $? "on ranks communication is one more: $(grep ' % ' pair.log)"
# 2 layers of one micro-batch, with three products forward (router, gate and up, down) and six backward (of each dW and dx); validation, which
# launches the forward ones too, is not in it
awk '/ matmul$/ && room == "experts" { calls = $4 } / % / && $NF ~ /^(experts|attention|vocab|dense|optim)$/ { room = $NF } END { exit calls != 18 }' seen.log
ok $? "the experts launch 9 products a layer and step: $(grep -A2 'experts$' seen.log)"
grep -q 'MFU: [0-9.]* % of [0-9.]* GFLOP/s' seen.log && grep -q 'model work: [0-9.]* GFLOP/s = [0-9]* tokens/s x [0-9.e+]* operations a token' seen.log
ok $? "MFU, its formula and its peak"
! grep -q 'NOT as predicted' seen.log && grep -q '   predicted        held  tier    life     room and what' seen.log
ok $? "the ledger beside it, held as predicted"

# asked for while it runs: behind a step, and the run goes on to the same end
(run="exec" && train asked train.steps=400 log.level=2 ckpt.every=0 2>asked.log) &
pid=$!
n=0
while [ "$(grep -c '"step"' asked/log.jsonl 2>/dev/null || true)" = "" ] || [ "$(grep -c '"step"' asked/log.jsonl 2>/dev/null || true)" -lt 2 ]; do
    sleep 0.02
    n=$((n + 1))
    if [ "$n" -gt 3000 ] || ! kill -0 "$pid" 2>/dev/null; then break; fi
done
kill -USR2 "$pid"
ok $? "the run is there to be asked"
wait "$pid"
ok $? "and comes to its end"
[ "$(grep -c 'room and kernel' asked.log)" -eq 2 ]
ok $? "a table when asked, and one at the end: $(grep -c 'room and kernel' asked.log)"
train unasked train.steps=400 log.level=1 ckpt.every=0 2>/dev/null
cmp -s asked/model.safetensors unasked/model.safetensors
ok $? "being asked changes no bit of the model"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
