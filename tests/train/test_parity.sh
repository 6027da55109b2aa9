#!/bin/bash
# `mop parity` holds this program to transformers' numbers, sees what is wrong, says where, and writes nothing but its dump.
# $MOP is the program; each tensor compared is a case.
set -u
MOP=${MOP:-build/mop}
golden=tests/golden
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-parity-XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $2"; fi
}

# parity DIR [key=value ...]: what it prints to $work/out, messages to $work/err
parity() {
    "$MOP" parity "$@" >"$work/out" 2>"$work/err"
}
# holds WHAT DIR [key=value ...]: every tensor is within its bound, exit 0
holds() {
    local what=$1 status good bad said
    shift
    parity "$@"
    status=$?
    good=$(grep -c ' bound .* ok' "$work/out")
    bad=$(grep -c ' EXCESS' "$work/out")
    said=$(sed -n 's/^\([0-9]*\) compared.*/\1/p' "$work/out")
    passed=$((passed + good)) failed=$((failed + bad))
    sed -n "/ EXCESS/s|^|FAILED: $what: |p" "$work/out"
    [ "$status" = 0 ] && [ "$good" -gt 50 ] && [ "$said" = "$good" ]
    ok $? "$what: exit $status, $good lines, \"$said compared\": $(cat "$work/err")"
}
# refuses WHAT STATUS PATTERN DIR [key=value ...]: that exit status and a message of that pattern
refuses() {
    local what=$1 want=$2 pattern=$3 status
    shift 3
    parity "$@"
    status=$?
    [ "$status" = "$want" ] && grep -q "^error: .*$pattern" "$work/err"
    ok $? "$what: exit $status, not $want with \"$pattern\": $(cat "$work/err")"
}
folder() { # folder NAME: a copy of a golden folder, to be spoilt
    rm -rf "$work/copy"
    cp -r "$golden/$1" "$work/copy"
    chmod -R u+w "$work/copy"
}
# extent FILE TENSOR: first byte and length of a tensor's data in a safetensors file
extent() {
    local header
    header=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
    head -c $((8 + header)) "$1" | tail -c "$header" |
        awk -v name="\"$2\":" -v base=$((8 + header)) '{
            at = index($0, name)
            if (!at || !match(rest = substr($0, at), /"data_offsets": *\[[0-9]+, *[0-9]+/)) exit 1
            split(substr(rest, RSTART, RLENGTH), o, /[^0-9]+/)
            print base + o[2], o[3] - o[2]
        }'
}
# turn_sign FILE TENSOR: of its first number
turn_sign() {
    local at byte
    at=$(($(extent "$1" "$2" | cut -d' ' -f1) + 3))
    byte=$(od -An -t u1 -j $at -N 1 "$1")
    # shellcheck disable=SC2059
    printf "\\$(printf %o $((byte ^ 128)))" | dd of="$1" bs=1 seek=$at conv=notrunc 2>/dev/null
}
# all_ones FILE TENSOR: as if the program left that norm's weight out
all_ones() {
    local at length
    read -r at length < <(extent "$1" "$2")
    for ((i = 0; i < length; i += 4)); do printf '\0\0\200\77'; done | dd of="$1" bs=1 seek="$at" conv=notrunc 2>/dev/null
}

sums() { find "$golden" -type f -exec md5sum {} + | sort; }
before=$(sums)

for model in olmoe qwen3_moe mixtral; do
    holds "$model in fp32" $golden/$model
    holds "$model in bf16" $golden/$model model.dtype=bf16
    for isa in portable reference; do
        holds "$model in fp32, isa=$isa" $golden/$model isa=$isa
        holds "$model in bf16, isa=$isa" $golden/$model isa=$isa model.dtype=bf16
    done

    # what was dumped is a golden file, of these very numbers, for any number of threads and however boundaries are kept
    for dtype in fp32 bf16; do
        for run in "threads=1" "threads=3" "stash.strategy=keep" "stash.strategy=recompute"; do
            parity $golden/$model model.dtype=$dtype "dump=$work/$run.safetensors" $run
            ok $? "$model in $dtype, $run: $(cat "$work/err")"
            cmp -s "$work/threads=1.safetensors" "$work/$run.safetensors"
            ok $? "$model in $dtype: threads=1 and $run give other numbers"
        done
        folder $model
        cp "$work/threads=1.safetensors" "$work/copy/golden.safetensors"
        holds "$model with its own dump in $dtype" "$work/copy" model.dtype=$dtype
        ! grep ' bound ' "$work/out" | grep -qv ' 0.00e+00 '
        ok $? "$model in $dtype differs from its own dump"
    done

    # a flipped sign in what transformers computed
    for tensor in logits grad/model.norm.weight losses after10/model.embed_tokens.weight; do
        folder $model
        turn_sign "$work/copy/golden.safetensors" $tensor
        refuses "$model, a sign in $tensor" 1 '1 numbers' "$work/copy"
        [ "$(grep ' EXCESS' "$work/out" | cut -d' ' -f1)" = $tensor ]
        ok $? "$model: a sign in $tensor: $(grep ' EXCESS' "$work/out")"
    done

    # the bf16 bounds see a norm without its weight, in the last layer and in the first
    for norm in 2.post_attention_layernorm 0.input_layernorm 2.self_attn.q_norm; do
        tensor=model.layers.$norm.weight
        extent "$golden/$model/model.safetensors" $tensor >/dev/null || continue # Mixtral has no QK norm
        folder $model
        all_ones "$work/copy/model.safetensors" $tensor
        refuses "$model in bf16 without $norm" 1 'numbers' "$work/copy" model.dtype=bf16
        grep -q "^grad/.*$norm.* EXCESS" "$work/out"
        ok $? "$model in bf16 without $norm: its gradient is within the bound"
    done
done

# files that are no golden files
folder olmoe
head -c 5000 "$golden/olmoe/golden.safetensors" >"$work/copy/golden.safetensors"
refuses "a golden file cut short" 1 golden.safetensors "$work/copy"
rm "$work/copy/golden.safetensors"
refuses "no golden file" 1 golden.safetensors "$work/copy"
cp "$golden/mixtral/golden.safetensors" "$work/copy/"
refuses "the golden file of another model" 1 'golden.safetensors.*grad/' "$work/copy"
for name in input_ids logits grad_norm '"lr"' '"steps"'; do
    cp "$golden/olmoe/golden.safetensors" "$work/copy/"
    LC_ALL=C sed -i "1,/./s|$name|$(echo "$name" | tr '[:lower:]' 'n-za-m')|" "$work/copy/golden.safetensors"
    refuses "a golden file without $name" 1 "golden.safetensors.*no .*${name//\"/}" "$work/copy"
done
refuses "no folder" 2 folder
refuses "a dump that cannot be written" 1 nowhere $golden/olmoe "dump=$work/nowhere/dump"
folder olmoe
refuses "a dump into the folder itself" 2 'lies in the folder' "$work/copy" "dump=$work/copy/./golden.safetensors"
cmp -s "$work/copy/golden.safetensors" $golden/olmoe/golden.safetensors
ok $? "a dump into the folder itself changed it"
mkdir "$work/a=b"
cp -r $golden/olmoe "$work/a=b/"
holds "a folder with = in its path" "$work/a=b/olmoe"
refuses "unknown kernels" 2 abacus $golden/olmoe isa=abacus

[ "$before" = "$(sums)" ]
ok $? "parity changed something in $golden"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
