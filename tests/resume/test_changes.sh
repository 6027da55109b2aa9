#!/bin/bash
# A run goes on as the run that it was: what would change its results is refused by name with both values, or allowed by name and logged.
# $MOP is the program.
set -u
MOP=$(realpath "${MOP:-build/mop}")
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-changes-XXXXXX")
trap 'rm -rf "$work"' EXIT
here=$(pwd)
cd "$work" || exit 2
passed=0 failed=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $2"; fi
}

awk 'BEGIN { for (i = 1; i < 200; i++) printf "{\"text\": \"%d squared is %d, its half %d, and so it goes on from there.\"}\n", i, i * i, i / 2 }' > text.jsonl
awk 'BEGIN { for (i = 1; i < 200; i++) printf "{\"text\": \"%d times three is %d, which is not what it was before that.\"}\n", i, i * 3 }' > other.jsonl
for name in text other; do
    "$MOP" tokenize tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" in=$name.jsonl out=$name.tok 2>/dev/null
    ok $? "token file from $name.jsonl"
done
data="data.train=text.tok data.seq=32"
keys="model.init=random model.layers=2 model.hidden=16 model.heads=2 model.experts=4 model.expert_width=8 model.top_k=1"
# shellcheck disable=SC2086
train() { # train OUT WORDS...
    local out=$1
    shift
    "$MOP" train $data train.batch=4 train.lr=1e-2 train.schedule=linear threads=1 log.level=2 out="$out" "$@" 2> said
}
state() { find "$1" -type f -exec md5sum {} + | sort; }

# a run that was cut off after two steps of three
# shellcheck disable=SC2086
train whole $keys train.steps=3 ckpt.every=2 ckpt.keep=0
ok $? "a run: $(cat said)"
begun() { # begun OUT
    rm -rf "$1"
    mkdir "$1"
    mkdir "$1/ckpt"
    cp -r whole/ckpt/step-00000002 "$1/ckpt/"
}
record=whole/ckpt/step-00000002/mop_run.json
[ -s $record ] && cmp -s <(grep -v '"step"' $record) <(grep -v '"step"' whole/mop_run.json)
ok $? "the record of a checkpoint, and of the model at the end"

# every option of which the tables say that another value is another result
cases="
model.dtype bf16 fp32
model.extra_tensors drop keep
data.seq 16 32
data.pack across document
data.valid_fraction 0.3 0
data.long truncate error
train.batch 2 4
train.micro_batch 2 0
train.lr 0.02 0.01
train.warmup 1 0
train.schedule cosine linear
train.lr_floor 0.2 0.1
train.decay_steps 2 0
train.clip 2 1
train.aux_coef 0.5 -1
train.seed 2 1
optim.beta1 0.8 0.9
optim.beta2 0.9 0.95
optim.eps 1e-06 1e-08
optim.weight_decay 0.2 0.1
experts.balance_rate 0.1 0
"
begun changed
before=$(state changed)
while read -r key is was; do
    [ -n "$key" ] || continue
    # shellcheck disable=SC2086
    train changed $keys train.steps=3 train.resume=auto "$key=$is"
    [ $? = 2 ] && grep -q "^error: out=changed: this run differs from the one there: $key $was, now $is; .* train.resume_changes=$key\$" said &&
        [ "$before" = "$(state changed)" ]
    ok $? "another $key is refused: $(grep error said)"
done <<< "$cases"
# the other way round: what is recorded has its case here, or its table says that it may change
may="ranks mesh.seq mesh.expert mesh.vocab dense.strategy attention.head_chunks experts.strategy experts.alpha experts.min_rows experts.lambda
experts.chunk experts.chunks_max vocab.strategy vocab.travel train.steps"
for key in $(sed -n '1,/"options"/d; s/^ *"\([a-z0-9_.]*\)": .*/\1/p' $record); do
    case $key in model.*) grep -q "^$key " <<< "$cases" || continue ;; esac
    grep -q "^$key " <<< "$cases" || grep -qw "$key" <<< "$may"
    ok $? "$key: an option of which nobody says whether it may change; give it a case here, or mark its row in its table (.resume)"
done

# what describes the model: by the key that was given
for change in "model.top_k 2 1" "model.rope_theta 500000 10000" "model.max_positions 4096 2048" "model.aux_coef 0.5 0.001" "model.family olmoe qwen3_moe"; do
    read -r key is was <<< "$change"
    # shellcheck disable=SC2086
    train changed $keys train.steps=3 train.resume=auto "$key=$is"
    [ $? = 2 ] && grep -q "differs from the one there: $key $was, now $is" said
    ok $? "another $key is refused: $(grep error said)"
done
# shellcheck disable=SC2086
train changed $keys train.steps=3 train.resume=auto train.seed=2 train.lr=0.5 model.top_k=2
[ $? = 2 ] && grep -q 'model.top_k 1, now 2; train.lr 0.01, now 0.5; train.seed 1, now 2; .*train.resume_changes=model.top_k,train.lr,train.seed$' said
ok $? "several at once: $(grep error said)"
# shellcheck disable=SC2086
train changed $keys train.steps=3 train.resume=auto data.train=other.tok
[ $? = 2 ] && grep -q 'differs from the one there: data.train [0-9a-f]*, now [0-9a-f]*;' said
ok $? "other tokens are refused: $(grep error said)"
[ "$before" = "$(state changed)" ]
ok $? "nothing has changed by then"

# allowed by name: goes on and says so, and the next time there is no difference
# shellcheck disable=SC2086
train changed $keys train.steps=4 train.resume=auto train.lr=0.5 train.seed=2 data.train=other.tok train.resume_changes=train.lr,train.seed,data.train
[ $? = 0 ] && grep -q '^warning: this run differs .* allows: train.lr 0.01, now 0.5$' said && grep -q 'allows: train.seed 1, now 2$' said
ok $? "allowed: $(grep warning said)"
grep -q '^train.steps was 3, is now 4$' said
ok $? "more steps are logged: $(cat said)"
# shellcheck disable=SC2086
train changed $keys train.steps=5 train.resume=auto train.lr=0.5 train.seed=2 data.train=other.tok
ok $? "the checkpoint has the values that were allowed: $(cat said)"
begun named
# shellcheck disable=SC2086
train named $keys train.steps=3 train.resume=auto train.resume_changes=train.lrr
[ $? = 2 ] && grep -q 'train.resume_changes: train.lrr is neither an option' said
ok $? "a name that is none: $(cat said)"
begun fewer
# shellcheck disable=SC2086
train fewer $keys train.steps=2 train.resume=auto
[ $? = 2 ] && grep -q 'train.steps 3, now 2' said
ok $? "fewer steps: $(cat said)"
# shellcheck disable=SC2086
train fewer $keys train.steps=2 train.resume=auto train.resume_changes=train.steps
[ $? = 0 ] && cmp -s fewer/model.safetensors whole/ckpt/step-00000002/model.safetensors
ok $? "fewer steps, allowed: $(cat said)"

# what may change: no result depends on it, or only the rounding of sums
begun free
# shellcheck disable=SC2086
train free $keys train.steps=3 train.resume=auto threads=2 ckpt.every=1 stash.strategy=recompute data.verify=false train.valid_every=1 data.valid=other.tok
[ $? = 0 ] && ! grep -q 'differ\|was' said && cmp -s free/model.safetensors whole/model.safetensors
ok $? "threads and the like: $(cat said)"
begun ranks
# shellcheck disable=SC2086
train ranks $keys train.steps=3 train.resume=auto ranks=2 mesh.seq=2
[ $? = 0 ] && grep -q '^ranks was 1, is now 2: results differ by the rounding of sums$' said && grep -q '^mesh.seq was 1, is now 2' said
ok $? "ranks: $(cat said)"
begun same
# shellcheck disable=SC2086
train same $keys train.steps=3 train.resume=auto train.lr=0.01 optim.eps=0.00000001 model.vocab="$(sed -n 's/ *"vocab_size": \([0-9]*\).*/\1/p' whole/config.json)"
[ $? = 0 ] && ! grep -q 'differ' said && cmp -s same/model.safetensors whole/model.safetensors
ok $? "the same in other words: $(cat said)"

# a finished run is that run, or is refused
before=$(state whole)
# shellcheck disable=SC2086
train whole $keys train.steps=3 train.resume=auto train.seed=2
[ $? = 2 ] && grep -q 'train.seed 1, now 2' said
ok $? "finished, with another seed: $(cat said)"
rm -r whole/ckpt
# shellcheck disable=SC2086
train whole $keys train.steps=3 train.resume=auto && rm whole/log.jsonl && train whole $keys train.steps=3 train.resume=auto ranks=3 && grep -q 'is finished (3 steps)' said
ok $? "finished, without checkpoints and log: $(cat said)"

# a model from a folder: its config.json edited meanwhile, and another model in its place
# shellcheck disable=SC2086
"$MOP" train ${keys/init=random/init=random tokenizer=$here/tests/golden/tokenizers/gpt2/tokenizer.json} train.steps=0 out=base log.level=1
# shellcheck disable=SC2086
"$MOP" train $keys tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" train.steps=0 train.seed=7 out=else log.level=1
rm -f base/manifest.json else/manifest.json
train whole2 model.init=base train.steps=2
ok $? "from a folder: $(cat said)"
rm whole2/model.safetensors whole2/config.json whole2/manifest.json
edited() { # edited SED WHAT: the folder `edited` with this change
    rm -rf edited tuned
    cp -r base edited
    cp -r whole2 tuned
    sed -i "$1" edited/config.json
    cmp -s base/config.json edited/config.json
    [ $? = 1 ] || echo "FAILED: $1 changes nothing"
    train tuned model.init=edited train.steps=3 train.resume=auto
}
for change in "num_experts_per_tok 1 2" "rope_theta 10000.0 500000.0" "rms_norm_eps 1e-6 1e-5" "router_aux_loss_coef 0.001 0.5" "norm_topk_prob true false"; do
    read -r key was is <<< "$change"
    edited "s/\"$key\": $was/\"$key\": $is/"
    [ $? = 2 ] && grep -q "differs from the one there: config.json ($key \(${was%.0}\|1e-06\), now \(${is%.0}\|1e-05\))" said
    ok $? "$key edited: $(grep 'error' said)"
done
edited 's/"num_experts_per_tok": 1/"num_experts_per_tok": 2/'
train tuned model.init=edited train.steps=3 train.resume=auto train.resume_changes=config.json
[ $? = 0 ] && grep -q 'allows: config.json (num_experts_per_tok 1, now 2)' said && grep -q '"num_experts_per_tok": 2' tuned/config.json
ok $? "edited, and allowed: $(grep warning said)"
edited 's/"use_cache": true/"use_cache": false/'
[ $? = 0 ] && grep -q 'config.json is written as it is now, which computes the same: use_cache true, now false' said
ok $? "an edit without an effect: $(cat said)"
rm -rf moved && cp -r base moved && cp -r whole2 tuned2 && train tuned2 model.init=moved train.steps=2 train.resume=auto
ok $? "the same folder at another place: $(cat said)"
cp -r whole2 tuned3 && train tuned3 model.init=else train.steps=3 train.resume=auto
[ $? = 2 ] && grep -q 'differs from the one there: model.init [0-9a-f]*, now [0-9a-f]*;' said
ok $? "another model of the same shape: $(grep error said)"

# a checkpoint from before there were records: its weights bit for bit, and what could not be checked is said
old="$here/tests/resume/before_records"
oldkeys="model.init=random model.layers=1 model.hidden=8 model.heads=2 model.experts=2 model.expert_width=8 model.top_k=1 train.schedule=constant"
data="data.train=$old/t.tok data.seq=16 train.batch=2"
train() { # train OUT WORDS...
    local out=$1
    shift
    # shellcheck disable=SC2086
    "$MOP" train train.lr=1e-2 threads=1 log.level=2 out="$out" $data "$@" 2> said
}
again() { rm -rf "$1" && mkdir "$1" && cp -r "$old/ckpt" "$1/"; }
again old
# shellcheck disable=SC2086
train old $oldkeys train.steps=4 train.resume=auto
[ $? = 0 ] && cmp -s old/model.safetensors "$old/ckpt/step-00000004/model.safetensors"
ok $? "the weights, bit for bit: $(cat said)"
grep -q '^warning: the checkpoint of step 4 in old was written before options were recorded: .* could not be checked: .*model.dtype.*train.lr.*optim.beta1' said
ok $? "what could not be checked: $(grep warning said)"
again old
# shellcheck disable=SC2086
train old $oldkeys train.steps=6 train.resume=auto && train old $oldkeys train.steps=7 train.resume=auto && ! grep -q 'before options' said
ok $? "its next checkpoint has a record: $(cat said)"
for change in "train.seed=2 train.seed 1, now 2" "train.batch=4 train.batch 2, now 4" "data.seq=32 data.train" "model.top_k=2 config.json (intermediate_size 8, now 16, num_experts_per_tok 1, now 2"; do
    again old
    # shellcheck disable=SC2086
    train old $oldkeys train.steps=6 train.resume=auto ${change%% *}
    [ $? = 2 ] && grep -qF "differs from the one there: ${change#* }" said
    ok $? "${change%% *}: $(grep error said)"
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
