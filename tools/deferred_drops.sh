#!/bin/bash
# deferred_drops.sh MOP: every place where one stream waits for another, left out in turn. Small runs on the deferred device, rank 0's waits listed by
# place; of each place the first and the last wait that orders something is dropped. A line a place: caught by the race check (both sites named),
# caught by bits, or NOT caught; a place whose waits never order anything in any run is redundant and does not belong in the code. Exit status 0:
# every place is caught.
set -u
mop=$(realpath "${1:?deferred_drops.sh MOP}")
cd "$(dirname "$0")/.." || exit 2
here=$(pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-drops-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
awk 'BEGIN { for (i = 1; i < 600; i++) printf "%d squared is %d, its half %d.\n%s", i, i * i, i / 2, i % 20 ? "" : "\n" }' >text.txt
"$mop" tokenize tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" in=text.txt out=t.tok >/dev/null 2>&1 || exit 2
base="model.init=random model.layers=2 model.hidden=32 model.heads=4 model.kv_heads=2 model.experts=4 model.top_k=2 model.expert_width=16
  data.train=t.tok data.valid=t.tok train.valid_sequences=2 data.seq=24 train.batch=4 train.micro_batch=2 train.steps=2 train.lr=1e-2 train.valid_every=1 ckpt.every=1 threads=1"
runs=("" "ranks=2 experts.min_rows=2" "ranks=4 mesh.seq=2 mesh.expert=2 mesh.vocab=2 experts.chunk=4 experts.min_rows=2"
    "ranks=2 mesh.seq=2 experts.strategy=llep experts.min_rows=2 vocab.travel=activations" "ranks=2 dense.strategy=replicate experts.strategy=gather vocab.strategy=dtp"
    "ranks=4 mesh.expert=2 mesh.vocab=2 experts.strategy=gather vocab.strategy=dense_logits" "ranks=2 vocab.travel=weights mesh.expert=1"
    "model.dtype=bf16 ranks=4 mesh.seq=2 mesh.vocab=2 vocab.travel=activations experts.strategy=ep")
: >redundant
: >orders
missed=0
for i in "${!runs[@]}"; do
    rm -rf whole
    # shellcheck disable=SC2086
    "$mop" train $base ${runs[$i]} device=deferred device.seed=$i log.level=5 out=whole 2>log || { tail -n 2 log; exit 1; }
    grep '^deferred: [0-9]* tasks' log | head -n 1 | sed "s/^/run $i: /"
    # the place and number of each of rank 0's waits
    sed -n 's/^deferred: await \([0-9]*\) at \([^ ]*\) orders$/\2 \1/p' log >some
    sed -n 's/^deferred: await [0-9]* at \([^ ]*\) is ordered already$/\1/p' log | sort -u >>redundant
    cut -d' ' -f1 some | sort -u >>orders
    for site in $(cut -d' ' -f1 some | sort -u); do
        grep -qxF "$site" done-sites 2>/dev/null && continue
        echo "$site" >>done-sites
        for k in $(awk -v s="$site" '$1 == s { if (!first) first = $2; last = $2 } END { print first; if (last != first) print last }' some); do
            rm -rf less
            # shellcheck disable=SC2086
            if "$mop" train $base ${runs[$i]} device=deferred device.seed=$i device.drop="$k" log.level=0 out=less 2>err; then
                if cmp -s whole/model.safetensors less/model.safetensors; then
                    echo "$site: wait $k of run $i: NOT caught"
                    missed=$((missed + 1))
                else
                    echo "$site: wait $k of run $i: caught by bits"
                fi
            elif grep -q 'race on the device' err; then
                echo "$site: wait $k of run $i: caught by the race check: $(grep -o 'race on the device: .*and no event' err | head -n 1 | sed 's/race on the device: //; s/, and no event//')"
            else
                echo "$site: wait $k of run $i: NOT caught: $(tail -n 1 err)"
                missed=$((missed + 1))
            fi
        done
    done
done
for site in $(sort -u redundant | grep -vxFf <(sort -u orders)); do
    echo "$site: redundant in every run"
    missed=$((missed + 1))
done
echo "$(sort -u orders | wc -l) places, $missed not caught or redundant"
[ $missed -eq 0 ]
