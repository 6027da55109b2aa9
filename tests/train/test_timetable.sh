#!/bin/bash
# The end of a run in ten lines and its tables on request: they count what a run did, shares are the whole step, and a run is the same
# whether they are asked for or not.
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
[ ! -s plain.log ]
ok $? "log.level=1 prints none: $(cat plain.log)"
train seen train.steps=5 train.valid_every=1 log.level=2 2>seen.log
ok $? "a run with a table"
cmp -s plain/model.safetensors seen/model.safetensors
ok $? "the table changes no bit of the model"
[ "$(sed -n '/^time: /,$p' seen.log | wc -l)" -le 10 ] && tail -n 1 seen.log | grep -q '^done: 5 steps; the model is in seen' && ! grep -q 'room and kernel' seen.log
ok $? "the end in ten lines: $(sed -n '/^time: /,$p' seen.log)"
for what in '^  of it .*outside kernels [0-9.]* %' '^beside the steps: validation' '^model work: .*MFU [0-9.]* %' '^memory: held as predicted' '^loss: [0-9.]* in step 5' \
    '^validation loss: [0-9.]*, the lowest [0-9.]* in step [1-5]' '^unigram entropy' '^tables of time and memory: mop report seen'; do
    grep -q "$what" seen.log
    ok $? "the end says $what"
done
"$MOP" report plain > plain.said && grep -q '^model work' plain.said && ! grep -q MFU plain.said
ok $? "a run without a log has its tables too, but for the peak, which was not measured: $(head -n 3 plain.said)"
"$MOP" report seen > seen.said
ok $? "mop report"

[ "$(grep -c 'time: 4 steps of .*the first step.*left out' seen.said)" -eq 1 ]
ok $? "four of five steps are counted, once: $(grep 'time: ' seen.said)"
awk '/share     ms\/step/ { on = 1; next } /beside the steps/ { on = 0 } on && $2 == "%" && ($NF ~ /^(experts|attention|vocab|dense|optim|copies)$/) { sum += $1; n++ }
     END { exit !(n == 6 && sum > 99.9 && sum < 100.1) }' seen.said
ok $? "five rooms and what is outside of kernels are the step: $(grep ' % ' seen.said)"
train pair train.steps=5 ranks=2 log.level=2 2>pair.log
ok $? "a run on two ranks"
"$MOP" report pair > pair.said
awk '/share     ms\/step/ { on = 1; next } /beside the steps/ { on = 0 } on && / communication: / { comm = $1 }
     on && $2 == "%" && ($NF ~ /^(experts|attention|vocab|dense|optim|ranks|copies)$/) { sum += $1; n++ } END { exit !(n == 7 && comm > 0 && sum > 99.9 && sum < 100.1) }' pair.said
ok $? "on ranks communication is one more: $(grep ' % ' pair.said)"
# 2 layers of one micro-batch, with three products forward (router, gate and up, down) and six backward (of each dW and dx); validation, which
# launches the forward ones too, is not in it
awk '/ matmul$/ && room == "experts" { calls = $4 } / % / && $NF ~ /^(experts|attention|vocab|dense|optim)$/ { room = $NF } END { exit calls != 18 }' seen.said
ok $? "the experts launch 9 products a layer and step: $(grep -A2 'experts$' seen.said)"
grep -q 'MFU: [0-9.]* % of [0-9.]* GFLOP/s' seen.said && grep -q 'model work: [0-9.]* GFLOP/s = [0-9]* tokens/s x [0-9.e+]* operations a token' seen.said
ok $? "MFU, its formula and its peak"
! grep -q 'NOT as predicted' seen.said && grep -q '   predicted        held  tier    life     room and what' seen.said
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
[ "$(grep -c 'room and kernel' asked.log)" -eq 1 ]
ok $? "a table when asked: $(grep -c 'room and kernel' asked.log)"
train unasked train.steps=400 log.level=1 ckpt.every=0 2>/dev/null
cmp -s asked/model.safetensors unasked/model.safetensors
ok $? "being asked changes no bit of the model"

# what a run that was killed leaves, and one that goes on
cp -r seen cut && rm cut/mop_report.json
"$MOP" report cut > said && grep -q '^cut: 5 steps, [0-9]* tokens' said && grep -q 'no tables: cut/mop_report.json is written' said
ok $? "without tables: $(cat said)"
MOP_FAULT=kill-rename:9 train killed train.steps=6 ckpt.every=2 log.level=1 2>/dev/null
"$MOP" report killed > said && grep -q 'the tables are of the steps up to [24]' said && grep -q 'room and kernel' said
ok $? "of a run that was killed, up to its checkpoint: $(head -n 5 said)"
train killed train.steps=6 ckpt.every=2 log.level=1 train.resume=auto 2>/dev/null && "$MOP" report killed > said && grep -q 'of the steps since [24], .* up to 6' said
ok $? "and of the one that went on: $(head -n 5 said)"
echo '{"format": "mop report 1"}' > cut/mop_report.json
"$MOP" report cut > said 2>&1
[ $? = 1 ] && grep -q 'cut/mop_report.json is no report of a run' said
ok $? "a file that is none: $(cat said)"
"$MOP" report none > said 2>&1
[ $? = 1 ] && grep -q 'none/log.jsonl: No such file\|none/log.jsonl.*does not exist' said
ok $? "no run: $(cat said)"
"$MOP" report > said 2>&1
[ $? = 2 ]
ok $? "no folder: $(cat said)"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
