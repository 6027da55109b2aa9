#!/bin/sh
# mop verify as a command, and a model carried from folder to folder. $MOP is the program.
set -u
MOP=$(realpath "${MOP:-build/mop}")
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-verify-XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $2"; fi
}
is() { # is CODE WHAT COMMAND...: what it prints goes to $work/said
    code=$1 what=$2
    shift 2
    "$@" >"$work/said" 2>"$work/errors"
    rc=$?
    [ $rc = "$code" ]
    ok $? "$what: exit code $rc, not $code: $(cat "$work/errors")"
}

for family in olmoe qwen3_moe mixtral; do
    a=$work/$family-a b=$work/$family-b
    is 0 "$family carried over" "$MOP" train model.init=tests/golden/$family train.steps=0 out="$a" log.level=1
    is 0 "$family carried on" "$MOP" train model.init="$a" train.steps=0 out="$b" log.level=1
    for f in config.json model.safetensors manifest.json; do
        cmp -s "$a/$f" "$b/$f"
        ok $? "$family: $f is the same byte for byte"
    done
    cmp -s "tests/golden/$family/config.json" "$a/config.json"
    ok $? "$family: config.json as it was"
    is 0 "$family verified" "$MOP" verify "$a"
    grep -q ' 3 files, [0-9]* tensors: every byte' "$work/said"
    ok $? "$family: the summary says what was checked"
done

size=$(wc -c <"$a/model.safetensors")
printf '\177' | dd of="$a/model.safetensors" bs=1 seek=$((size - 1)) conv=notrunc 2>/dev/null
is 1 "a flipped byte" "$MOP" verify "$a"
grep -q "^$a/model.safetensors: tensor lm_head.weight: " "$work/said"
ok $? "a flipped byte names file and tensor"
cp "$b/model.safetensors" "$a/model.safetensors"
is 0 "as it was" "$MOP" verify "$a"
printf ' ' >>"$a/manifest.json"
is 1 "a byte behind the manifest" "$MOP" verify "$a"
cp "$b/manifest.json" "$a/manifest.json"
rm "$a/config.json"
is 1 "a file gone" "$MOP" verify "$a"
grep -q "^$a/config.json: missing" "$work/said"
ok $? "a file gone is named"

mkdir "$work/empty"
is 1 "nothing to verify" "$MOP" verify "$work/empty"
is 1 "no folder" "$MOP" verify "$work/nowhere"
is 1 "a file" "$MOP" verify "$work/said"
is 2 "no word" "$MOP" verify
is 2 "three words" "$MOP" verify "$a" "$b" "$b"

# two folders held against each other
cp "$b/config.json" "$a/config.json"
is 0 "the same model twice" "$MOP" verify "$a" "$b"
grep -q "tensors, every bit the same" "$work/said"
ok $? "the same model twice: every bit"
printf '\177' | dd of="$a/model.safetensors" bs=1 seek=$((size - 1)) conv=notrunc 2>/dev/null
is 1 "another number" "$MOP" verify "$a" "$b"
grep -q "^model lm_head.weight: differs by" "$work/said"
ok $? "another number: the tensor is named"
is 1 "within little" "$MOP" verify "$a" "$b" tolerance=1e-30
is 2 "no number" "$MOP" verify "$a" "$b" tolerance=x
is 1 "another family" "$MOP" verify "$work/olmoe-a" "$b"
cp "$b/model.safetensors" "$a/model.safetensors"
is 2 "an empty word" "$MOP" verify ""

# what a command that fails leaves: nothing
cp -r tests/golden/olmoe "$work/bad"
printf 'x' >>"$work/bad/model.safetensors"
is 1 "surplus bytes in the weights" "$MOP" train model.init="$work/bad" train.steps=0 out="$work/c" log.level=1
[ ! -e "$work/c/model.safetensors" ] && [ ! -e "$work/c/model.part" ] && [ ! -e "$work/c/manifest.json" ]
ok $? "nothing half-written"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
