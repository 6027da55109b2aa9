#!/bin/sh
# The program's face: exit codes, what goes to which stream, help, config, run files and words, whatever the input.
set -u
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0
: >"$tmp/empty"

# is RC PATTERN-OF-STDERR WORDS...: exit status, a message (or "" for none) and, on failure, nothing on standard output
is() {
    want=$1 pattern=$2
    shift 2
    "$MOP" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    rc=$?
    good=1
    [ "$rc" -eq "$want" ] || good=0
    if [ -n "$pattern" ]; then grep -q -e "$pattern" "$tmp/err" || good=0; else [ ! -s "$tmp/err" ] || good=0; fi
    [ "$want" -eq 0 ] || [ ! -s "$tmp/out" ] || good=0
    count $good "mop $* gave $rc, not $want with \"$pattern\"; it said: $(head -c 300 "$tmp/err")"
}
says() { # says PATTERN: on the standard output of the last call
    grep -q -e "$1" "$tmp/out" && good=1 || good=0
    count $good "no \"$1\" in the output: $(head -c 300 "$tmp/out")"
}
count() {
    if [ "$1" -eq 1 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED $2"
    fi
}

is 2 'error: no command'
is 2 'did you mean train?' trian
is 2 'did you mean tokenizer-train?' tokenizertrain
is 2 'there is no command frobnicate; `mop help`' frobnicate
is 2 'there is no command' ''
is 2 'there is no command' --frobnicate
is 0 '' --version
says '^mop [0-9]'
is 0 '' version
says '^mop [0-9]'
is 2 'takes no words' version 2
is 0 '' help
for c in train eval generate tokenize template tokenizer-train parity verify config help version; do says "^  $c "; done
is 0 '' --help
is 0 '' -h
for c in train eval generate tokenize template tokenizer-train parity verify config help version; do
    is 0 '' help $c
    says "mop $c"
    is 0 '' $c --help
    says "mop $c"
    [ $c = verify ] || is 2 '.' $c --steps
done
is 2 'did you mean verify?' help verfiy
is 2 'one word' help train eval
is 0 '' help options
says '^  train.lr '
says 'default'
is 0 '' help markdown
says '^| `train.lr` |'

# the names that scripts use
is 0 '' config
for k in out model.init model.config model.dtype tokenizer data.train data.valid data.seq train.batch train.micro_batch train.steps train.lr train.warmup \
    train.schedule train.seed train.clip train.aux_coef train.resume ckpt.every ckpt.keep threads; do says "^$k: .*# default\$"; done

# origins, order, and that what is printed reads back
printf 'out: runs/a b\ntrain:\n  lr: 0.25\n  steps: 4k\n' >"$tmp/run.yaml"
printf 'train: {steps: 7}\n' >"$tmp/more.yml"
is 0 '' config "$tmp/run.yaml" train.lr=0.5
says '^train.lr: 0.5  # command line'
says '^train.steps: 4000  # .*run.yaml:4'
says '^out: "runs/a b"  # .*run.yaml:1'
cp "$tmp/out" "$tmp/printed.yaml"
is 0 '' config "$tmp/printed.yaml"
sed 's/  # .*//' "$tmp/printed.yaml" >"$tmp/a"
sed 's/  # .*//' "$tmp/out" >"$tmp/b"
cmp -s "$tmp/a" "$tmp/b" && good=1 || good=0
count $good 'what mop config prints reads back to the same'
is 0 '' config train.steps=9 "$tmp/run.yaml" "$tmp/more.yml"
says '^train.steps: 9  # command line'
is 0 '' config "$tmp/run.yaml" "$tmp/more.yml"
says '^train.steps: 7  # .*more.yml:1'
is 0 '' config train.steps=9 train.steps=10
says '^train.steps: 10 '
cp "$tmp/run.yaml" "$tmp/plain-name"
is 0 '' config "$tmp/plain-name"

# refused: exit code 2, with the nearest key, file and line
is 2 'nearest is train.steps ' config train.stepz=3
is 2 'nearest is train.lr ' config lr=3
is 2 'nearest is train.lr ' train lr=3
is 2 'nearest is model.init ' eval model.int=x
is 2 'train.lr=x is not a number' config train.lr=x
is 2 'is not a number' config train.lr=nan
is 2 'out of range' config train.batch=0
is 2 'out of range' config train.batch=-1
is 2 'not fit 64 bits' config train.steps=99999999999999999999
is 2 'fp32|bf16' config model.dtype=fp64
is 2 'does not exist' config "$tmp/none.yaml"
is 2 'neither a run file nor' config none
is 2 'neither a run file nor' config ''
is 2 'is a folder' config "$tmp"
is 2 'write threads=2' config --threads=2
is 2 'not an option' config -v
is 2 'nearest is train.lr (write train.lr=1e-5' train --lr 1e-5
is 2 'nearest is train.lr ' config optim.lr=3
is 2 'options have no dashes; write train.lr=1e-5' train --train.lr 1e-5
is 2 'learning_rate is called train.lr here; write train.lr=1e-5' train learning_rate=1e-5
is 2 'learning_rate is called train.lr here; write train.lr=1e-5' train --learning_rate=1e-5
is 2 'learning-rate is called train.lr here; write train.lr=1e-5' train --learning-rate 1e-5
is 2 'learning_rate is called train.lr here; write train.lr=VALUE' train --learning_rate --bf16
is 2 'bf16 is called model.dtype=bf16 here' train --bf16
is 2 'no option lora.r: mop trains all parameters' config lora.r=8
is 2 'learning_rate is called train.lr here, and is no option of this command' tokenize learning_rate=1
is 2 'max_new_tokens is called tokens here; write tokens=9' generate max_new_tokens=9
printf 'training:\n  local_batch_size: 4\n' >"$tmp/theirs.yaml"
is 2 'theirs.yaml:2: training.local_batch_size is called train.micro_batch' train "$tmp/theirs.yaml"
printf 'deepspeed:\n  stage: 3\n' >"$tmp/theirs.yaml"
is 2 'theirs.yaml:2: deepspeed.stage is called dense.strategy' train "$tmp/theirs.yaml"
is 2 'no command sft; mop calls it train' sft
is 2 'no command convert: mop reads and writes Hugging Face folders' convert
printf 'train:\n  lr: 1\n  stepz: 3\n' >"$tmp/bad.yaml"
is 2 'bad.yaml:3: there is no option train.stepz; the nearest is train.steps ' config "$tmp/bad.yaml"
is 2 'bad.yaml:3: there is no option' train "$tmp/bad.yaml"
printf 'train: {lr: 1' >"$tmp/bad.yaml"
is 2 'bad.yaml:.*not YAML' config "$tmp/bad.yaml"
head -c 2000 /dev/urandom >"$tmp/bad.yaml"
is 2 'bad.yaml' config "$tmp/bad.yaml"
printf 'a: &a [x,x]\nb: &b [*a,*a]\n' >"$tmp/bad.yaml"
is 2 'bad.yaml:1' config "$tmp/bad.yaml"
head -c 300000 /dev/zero | tr '\0' '[' >"$tmp/bad.yaml"
is 2 'bad.yaml' config "$tmp/bad.yaml"
is 2 'not UTF-8' config "out=$(printf '\377')"

# the environment of a launcher: what is no matter of ranks is done by the process called rank 0, and MPI is not asked
for c in --version version help config doctor\ speed=0; do
    # shellcheck disable=SC2086
    SLURM_STEP_NUM_TASKS=4 "$MOP" $c >"$tmp/out" 2>"$tmp/err" && [ -s "$tmp/out" ] && [ ! -s "$tmp/err" ] && good=1 || good=0
    count $good "mop $c in an interactive step of four tasks"
done
SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=2 "$MOP" version >"$tmp/out" 2>&1 && [ ! -s "$tmp/out" ] && good=1 || good=0
count $good 'the other tasks of a step have nothing to say'
OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 SLURM_PROCID=1 "$MOP" version >"$tmp/out" 2>&1 && [ -s "$tmp/out" ] && good=1 || good=0
count $good 'what mpirun says goes before the step that it runs in'
SLURM_PROCID=3 "$MOP" version >"$tmp/out" 2>&1 && [ -s "$tmp/out" ] && good=1 || good=0
count $good 'a process that is not one of several speaks'

# progress on a terminal: one line over the other without any escape sequence, and line by line where a terminal cannot
# shellcheck disable=SC2016
awk 'BEGIN { for (i = 0; i < 60000; i++) print "word" i % 700, "other" i % 300 }' >"$tmp/words.txt"
if command -v script >/dev/null; then
    for term in xterm dumb ''; do
        TERM=$term script -qec "stty cols 30; '$MOP' tokenizer-train in='$tmp/words.txt' out='$tmp/tokenizer.json' vocab=300" "$tmp/typescript" >/dev/null 2>&1
        ! grep -q "$(printf '\033')" "$tmp/typescript" && good=1 || good=0
        count $good "escape sequences on a terminal with TERM=$term"
        tr '\n' ' ' <"$tmp/typescript" | grep -q "$(printf '\r')counting" && over=1 || over=0
        if [ "$term" = xterm ]; then count $over 'progress goes over itself'; else count $((1 - over)) "progress goes over itself with TERM=$term"; fi
    done
else echo 'SKIP progress on a terminal: no script(1)'; fi

# a result that cannot be written is no success
"$MOP" help >/dev/full 2>"$tmp/err"
[ $? -eq 1 ] && grep -q 'No space' "$tmp/err" && good=1 || good=0
count $good 'a full disk on standard output is exit code 1'
"$MOP" help >&- 2>"$tmp/err"
[ $? -eq 1 ] && good=1 || good=0
count $good 'a closed standard output is exit code 1'
"$MOP" config 2>"$tmp/err" | true
grep -q 'signal\|Segm' "$tmp/err" && good=0 || good=1
count $good 'a reader that went away is no signal'
"$MOP" config >"$tmp/out" 2>&- </dev/null
count $((1 - $?)) 'a closed standard error is no failure'

mkfifo "$tmp/pipe"
timeout 20 "$MOP" config "$tmp/pipe" >"$tmp/out" 2>"$tmp/err"
[ $? -eq 1 ] && grep -q 'pipe is not an ordinary file' "$tmp/err" && good=1 || good=0
count $good 'a pipe without a writer is refused, not waited for'
(ulimit -f 2 && exec "$MOP" train model.init=random model.vocab=600 train.steps=0 out="$tmp/limited") >"$tmp/out" 2>"$tmp/err"
[ $? -eq 1 ] && grep -q 'File too large' "$tmp/err" && good=1 || good=0
count $good 'a file that may not grow is exit code 1, not a signal'

# fault points are armed from the environment
MOP_FAULT=frobnicate:1 "$MOP" help >"$tmp/out" 2>"$tmp/err"
[ $? -eq 2 ] && grep -q 'MOP_FAULT=frobnicate:1 is not understood' "$tmp/err" && good=1 || good=0
count $good 'MOP_FAULT is checked'
MOP_FAULT=open:1 "$MOP" config "$tmp/run.yaml" >"$tmp/out" 2>"$tmp/err"
[ $? -eq 1 ] && grep -q 'cannot open .*run.yaml' "$tmp/err" && good=1 || good=0
count $good 'a file that cannot be opened is exit code 1'

# commands without what they need
is 2 '.' train
is 2 '.' verify
is 2 '.' parity
is 2 '.' tokenize
is 2 '.' tokenizer-train
is 1 '.' verify "$tmp/none"
is 1 '.' verify "$tmp"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
