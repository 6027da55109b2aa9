#!/bin/bash
# Checkpoints and ranks: what n ranks write, any other number reads; the same number goes on bit for bit, and the same run gives the same bits.
# $MOP is the program.
set -u
MOP=$(realpath "${MOP:-build/mop}")
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-ranks-XXXXXX")
trap 'rm -rf "$work"' EXIT
here=$(pwd)
cd "$work" || exit 2
passed=0 failed=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED: $2"
        tail -n 3 said
    fi
}

awk 'BEGIN { for (i = 1; i < 2000; i++) printf "%d squared is %d, its half %d.\n%s", i, i * i, i / 2, i % 50 ? "" : "\n" }' > text.txt
"$MOP" tokenize tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" in=text.txt out=t.tok 2>said
ok $? "token file from text"

model="model.init=random model.layers=2 model.hidden=32 model.heads=4 model.kv_heads=2 model.head_dim=8 model.experts=12 model.top_k=2 model.expert_width=16"
train() { # train OUT [key=value ...]
    local out=$1
    shift
    # shellcheck disable=SC2086
    "$MOP" train $model data.train=t.tok data.seq=33 train.batch=6 train.micro_batch=3 train.lr=3e-3 train.schedule=constant log.level=1 \
        experts.min_rows=4 experts.chunk=16 out="$out" "$@" > said 2>&1
}
# fp32: weights after six steps of AdamW with the gradient bounds of docs/formats/golden.md on both sides
near=6e-5

for dtype in fp32 bf16; do
    meshes=("ranks=1" "ranks=2" "ranks=3 mesh.expert=3" "ranks=4 mesh.seq=2 mesh.expert=2 mesh.vocab=2" "ranks=4 mesh.seq=4 experts.strategy=llep"
        "ranks=6 mesh.seq=2 mesh.expert=3 mesh.vocab=2 dense.strategy=replicate" "ranks=4 preset=fsdp mesh.seq=2")
    n=0
    for mesh in "${meshes[@]}"; do
        n=$((n + 1))
        # shellcheck disable=SC2086
        train whole-$n train.steps=6 ckpt.every=3 model.dtype=$dtype $mesh
        ok $? "$dtype $mesh: six steps"
        # shellcheck disable=SC2086
        train again-$n train.steps=6 ckpt.every=3 model.dtype=$dtype $mesh threads=2
        "$MOP" verify whole-$n again-$n > said 2>&1
        ok $? "$dtype $mesh: the same run, the same bits, with two threads a rank"
        # shellcheck disable=SC2086
        train parts-$n train.steps=3 ckpt.every=3 model.dtype=$dtype $mesh &&
            train parts-$n train.steps=6 ckpt.every=3 model.dtype=$dtype train.resume=auto $mesh
        ok $? "$dtype $mesh: three steps and three"
        "$MOP" verify whole-$n parts-$n > said 2>&1
        ok $? "$dtype $mesh: 6 == 3 + 3, bit for bit"
        "$MOP" verify whole-$n > said 2>&1
        ok $? "$dtype $mesh: verifies"
        [ $dtype = fp32 ] || continue
        # moments of the first micro-steps are as small as the gradients' errors: weights are what is compared, in the final model
        rm -rf model-1 model-n && mkdir model-1 model-n
        cp whole-1/model.safetensors whole-1/config.json model-1/ && cp whole-$n/model.safetensors whole-$n/config.json model-n/
        "$MOP" verify model-1 model-n tolerance=$near > said 2>&1
        ok $? "$mesh: as on one rank"
    done
    # from each to others
    for from in 1 4 6; do
        for to in 1 2 5; do
            rm -rf moved
            cp -r parts-$from moved && rm -rf moved/model.safetensors moved/manifest.json moved/config.json moved/ckpt/step-00000006
            # shellcheck disable=SC2086
            train moved train.steps=6 ckpt.every=3 train.resume=auto model.dtype=$dtype ${meshes[$((to - 1))]}
            ok $? "$dtype: from ${meshes[$((from - 1))]} to ${meshes[$((to - 1))]}"
            [ $dtype = fp32 ] || continue
            rm -rf model-1 model-n && mkdir model-1 model-n
            cp whole-1/model.safetensors whole-1/config.json model-1/ && cp moved/model.safetensors moved/config.json model-n/
            "$MOP" verify model-1 model-n tolerance=$near > said 2>&1
            ok $? "from ${meshes[$((from - 1))]} to ${meshes[$((to - 1))]}: as on one rank throughout"
        done
    done
    rm -rf whole-* again-* parts-*
done

# balancing biases travel too
train bias train.steps=3 ckpt.every=3 ranks=4 experts.balance_rate=0.01 train.aux_coef=0
ok $? "balancing bias on four ranks"
train bias train.steps=6 ckpt.every=3 ranks=2 experts.balance_rate=0.01 train.aux_coef=0 train.resume=auto
ok $? "balancing bias: on two"
train bias-1 train.steps=6 ckpt.every=3 experts.balance_rate=0.01 train.aux_coef=0
rm -rf model-1 model-n && mkdir model-1 model-n
cp bias-1/model.safetensors bias-1/config.json model-1/ && cp bias/model.safetensors bias/config.json model-n/
"$MOP" verify model-1 model-n tolerance=$near > said 2>&1
ok $? "balancing bias: as on one rank"

# one rank fails in the n-th collective of all: the job ends with its message, and no other rank reads what is gone. Around 333
# tokens go round in the vocabulary with two operations under way on a rank
for n in 7 40 75 130 200 $(seq 321 3 399) 480; do
    MOP_FAULT=collective:$n train failing train.steps=3 ranks=4 mesh.seq=2 mesh.expert=2
    [ $? = 1 ] && grep -q "injected" said
    ok $? "a failure in collective $n"
    rm -rf failing
done

# what cannot be is said
train wrong train.steps=1 ranks=4 mesh.seq=3
grep -q "mesh.seq=3 does not divide ranks=4; set it to one of 1, 2, 4" said
ok $? "mesh.seq that does not divide the ranks"
train wrong train.steps=1 ranks=8 mesh.seq=8
grep -q "mesh.seq=8 does not divide the model's 4 query heads; set it to one of 1, 2, 4" said
ok $? "mesh.seq that does not divide the heads"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
