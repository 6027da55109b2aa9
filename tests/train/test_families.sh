#!/bin/sh
# Folders of other shapes and families under the commands: experts stacked train to the same bits as single ones and stay stacked, families
# that the rooms do not compute yet are refused by name, and a run says which load-balancing loss it has.
set -u
passed=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
here=$PWD
case $MOP in /*) ;; *) MOP=$PWD/$MOP ;; esac
cd "$dir" || exit 1

ok() {
    what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED $what"
        tail -n 3 err 2>/dev/null
    fi
}
mop() { "$MOP" "$@" >res 2>err; }
fails() {
    status=$1 text=$2
    shift 2
    "$MOP" "$@" >res 2>err
    rc=$?
    ok "mop $* exits with $status, not $rc" test $rc -eq "$status"
    ok "mop $* says \"$text\"" grep -qF -- "$text" err
}
says() { ok "it says $1" grep -qF -- "$1" err; }

i=0
while [ $i -lt 60 ]; do
    echo "the story of number $i begins, goes on for a while and ends as all of them do"
    i=$((i + 1))
done >text.txt
mkdir tok
mop tokenizer-train in=text.txt out=tok/tokenizer.json vocab=300 || exit 1
mop tokenize tokenizer=tok in=text.txt out=t.tok || exit 1
shape="model.layers=2 model.hidden=32 model.heads=2 model.expert_width=16 model.experts=4 model.top_k=2 model.max_positions=64"
run="data.train=t.tok data.seq=32 train.steps=3 train.batch=4 train.warmup=0 train.schedule=constant ckpt.every=2 threads=1"

# ---- experts, single and stacked ----
for family in qwen3_moe mixtral; do
    # shellcheck disable=SC2086
    ok "$family from keys" mop train model.init=random model.family=$family $shape tokenizer=tok out=$family
    ok "$family stacked" mop train model.init=$family model.expert_files=stacked out=$family-s
    ok "its experts are stacked" grep -q 'mlp.experts.gate_up_proj' $family-s/model.safetensors
    ok "and not single" test "$(grep -c 'experts.0' $family-s/model.safetensors)" -eq 0
    for kind in "" -s; do
        # shellcheck disable=SC2086
        ok "$family$kind is trained" mop train model.init=$family$kind out=out-$family$kind $run
        # shellcheck disable=SC2086
        ok "$family$kind stops" mop train model.init=$family$kind out=half-$family$kind $run train.steps=2
    done
    ok "what was stacked is written stacked" grep -q 'mlp.experts.gate_up_proj' out-$family-s/model.safetensors
    ok "its checkpoints too" grep -q 'mlp.experts.gate_up_proj' out-$family-s/ckpt/step-00000002/model.safetensors
    cp -r half-$family-s again-$family
    rm -rf again-$family/model.safetensors again-$family/manifest.json again-$family/config.json
    # shellcheck disable=SC2086
    ok "$family goes on from a checkpoint, written single from there" mop train model.init=$family-s out=again-$family $run train.resume=auto model.expert_files=single
    ok "to the same model" cmp out-$family/model.safetensors again-$family/model.safetensors
    ok "single again" mop train model.init=out-$family-s model.expert_files=single out=back-$family
    ok "and the same model as from single ones" mop verify out-$family back-$family
    ok "verifies" mop verify out-$family-s
    mop eval model.init=$family data.valid=t.tok data.seq=32
    cp res single
    mop eval model.init=$family-s data.valid=t.tok data.seq=32
    ok "$family: evaluation is the same" cmp -s single res
done

# ---- families ----
for family in gpt_oss glm4_moe deepseek_v3 glm4_moe_lite minimax_m2 qwen3_next qwen3_5_moe qwen2_moe; do
    fails 2 'is not supported in this one' parity "$here/tests/golden/$family"
    ok "$family is read and written" mop train model.init="$here/tests/golden/$family" out="copy-$family"
    ok "$family verifies" mop verify "copy-$family"
done
fails 2 'gpt_oss' generate model.init="$here/tests/golden/gpt_oss" ids='[5]' tokens=2 print=ids stop=none

# ---- the load-balancing loss ----
# shellcheck disable=SC2086
ok "keys" mop train model.init=random $shape tokenizer=tok out=keys $run
says 'load-balancing loss: coefficient 0.001 (model.aux_coef)'
ok "a model from keys has it on in its config.json" grep -q '"output_router_logits": true' keys/config.json
# shellcheck disable=SC2086
ok "its folder" mop train model.init=keys out=keys-2 $run
says 'load-balancing loss: coefficient 0.001 (router_aux_loss_coef of config.json)'
cp -r keys keys-off
rm -rf keys-off/ckpt keys-off/manifest.json
sed 's/"output_router_logits": true/"output_router_logits": false/; s/"router_aux_loss_coef": 0.001/"router_aux_loss_coef": 0.9/' keys/config.json >keys-off/config.json
# shellcheck disable=SC2086
ok "switched off" mop train model.init=keys-off out=keys-3 $run
says 'load-balancing loss: off, since output_router_logits is false in config.json; its router_aux_loss_coef is 0.9'
# shellcheck disable=SC2086
ok "given" mop train model.init=keys-off out=keys-4 $run train.aux_coef=0.01
says 'load-balancing loss: coefficient 0.01 (train.aux_coef)'

echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
