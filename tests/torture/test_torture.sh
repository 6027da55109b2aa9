#!/bin/sh
# Fault injection over the program: the n-th reserve, open, read, write, fsync, rename, mkdir, removal, lock or thread of each command fails, for
# every n (MOP_TORTURE=all) or a growing sample. What must hold: the exit code is 1 with a message, or 0 where the
# failure does not matter; a result is whole or not there; no temporary file stays; what was saved verifies; the command works afterwards.
# (tests/resume has the same for kills while training.)
set -u
MOP=$(realpath "$MOP")
root=$PWD
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
passed=0 failed=0
count() { # count GOOD WHAT
    if [ "$1" -eq 1 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED $2"
    fi
}

# The next n: every one, or 1 2 3 4 6 9 13 19 ...
next() { if [ "${MOP_TORTURE:-}" = all ]; then echo $(($1 + 1)); else echo $(($1 + 1 + $1 / 2)); fi; }

# walk NAME CHECK COMMAND...: CHECK is a function that is given the exit code after each failure and fails where something
# is not as it must be. It stops where n is past the last point: three times in a row nothing failed.
walk() {
    name=$1 check=$2
    shift 2
    for kind in reserve open read write fsync rename mkdir remove lock thread; do
        n=1 calm=0 points=0
        while [ "$calm" -lt 3 ] && [ "$n" -lt 100000 ]; do
            MOP_FAULT=$kind:$n "$MOP" "$@" >out.txt 2>err.txt </dev/null
            rc=$?
            if [ $rc -eq 0 ]; then calm=$((calm + 1)); else calm=0 points=$((points + 1)); fi
            if [ $rc -eq 0 ] || { [ $rc -eq 1 ] && grep -q '^error: ...' err.txt; }; then good=1; else good=0; fi
            count $good "$name, $kind:$n gave $rc: $(head -c 300 err.txt)"
            $check $rc >why.txt 2>&1 && good=1 || good=0
            count $good "$name, $kind:$n (exit code $rc: $(head -c 200 err.txt)) left: $(head -c 300 why.txt)"
            n=$(next "$n")
        done
        echo "$name: $kind, $points failures"
    done
    "$MOP" "$@" >out.txt 2>err.txt </dev/null
    count $((1 - $?)) "$name works afterwards: $(head -c 300 err.txt)"
}

no_parts() { # nothing temporary below the folder
    parts=$(find . -name '*.part*' -o -name '*-part*' | head -n 3)
    [ -z "$parts" ] || { echo "temporary files stay: $parts"; return 1; }
}
same_or_absent() { # same_or_absent RC FILE GOOD: exit 0 and the whole file, or no file
    if [ -e "$2" ]; then cmp "$2" "$3" || return 1; else [ "$1" -ne 0 ] || { echo "exit code 0 and no $2"; return 1; }; fi
    rm -f "$2"
    no_parts
}

i=0
while [ $i -lt 300 ]; do
    i=$((i + 1))
    echo "Line $i of a text about $((i * i)) things, some of them of $((i % 7)) kinds."
done >text.txt
tok=$root/tests/golden/tokenizers/gpt2/tokenizer.json
model="model.init=random model.layers=2 model.hidden=32 model.heads=2 model.kv_heads=1 model.experts=4 model.expert_width=16"
run="data.seq=32 train.batch=2 train.lr=1e-2 train.schedule=constant threads=2 log.level=1"

"$MOP" tokenize tokenizer="$tok" in=text.txt out=good.tok log.level=1 2>/dev/null || "$MOP" tokenize tokenizer="$tok" in=text.txt out=good.tok 2>err.txt
count $((1 - $?)) "a token file: $(head -c 300 err.txt)"
check_tok() { same_or_absent "$1" new.tok good.tok; }
walk "tokenize out=" check_tok tokenize tokenizer="$tok" in=text.txt out=new.tok threads=2

"$MOP" tokenizer-train in=text.txt out=good.json vocab=300 2>err.txt
count $((1 - $?)) "a tokenizer: $(head -c 300 err.txt)"
check_tokenizer() { same_or_absent "$1" new.json good.json; }
walk "tokenizer-train" check_tokenizer tokenizer-train in=text.txt out=new.json vocab=300

# shellcheck disable=SC2086
"$MOP" train $model $run data.train=good.tok train.steps=2 out=good 2>err.txt
count $((1 - $?)) "a run: $(head -c 300 err.txt)"
# what a failure left goes on to the same end
check_run() {
    good=0
    # shellcheck disable=SC2086
    "$MOP" train $model $run data.train=good.tok train.steps=2 ckpt.every=1 out=new train.resume=auto || good=1
    cmp new/model.safetensors good/model.safetensors && "$MOP" verify new || good=1
    [ -z "$(find new -name '*.part*' -o -name '*-part*' -o -name '*.commit*')" ] || { find new; good=1; }
    rm -rf new
    return $good
}
# shellcheck disable=SC2086
walk "train" check_run train $model $run data.train=good.tok train.steps=2 ckpt.every=1 out=new

check_copy() {
    good=0
    cmp good/model.safetensors keep.safetensors || good=1
    "$MOP" train model.init=good train.steps=0 out=copy train.resume=auto log.level=1 || good=1
    cmp copy/model.safetensors good/model.safetensors && "$MOP" verify copy || good=1
    rm -rf copy
    return $good
}
cp good/model.safetensors keep.safetensors
walk "train train.steps=0" check_copy train model.init=good train.steps=0 out=copy log.level=1

same() { # exit code 0: the words that there are without faults
    [ "$1" -ne 0 ] || cmp out.txt want.txt
}
"$MOP" verify good >want.txt
walk "verify" same verify good
"$MOP" eval model.init=good data.valid=good.tok data.seq=32 log.level=1 >want.txt
walk "eval" same eval model.init=good data.valid=good.tok data.seq=32 threads=2 log.level=1
printf 'train: {steps: 3}\n' >run.yaml
"$MOP" config run.yaml >want.txt
walk "config" same config run.yaml

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
