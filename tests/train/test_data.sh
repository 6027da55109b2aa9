#!/bin/sh
# What mop train and mop eval make of the data they are given: lists of token files, lengths in epochs, tokens of another tokenizer.
set -u
passed=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
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
# fails STATUS TEXT WORDS...: mop WORDS exits with STATUS and says TEXT
fails() {
    status=$1 text=$2
    shift 2
    "$MOP" "$@" >res 2>err
    rc=$?
    ok "mop $* exits with $status, not $rc" test $rc -eq "$status"
    ok "mop $* says \"$text\"" grep -qF -- "$text" err
}
says() { ok "it says $1" grep -q -- "$1" err; }

i=0
while [ $i -lt 120 ]; do
    echo "{\"text\": \"the story of number $i begins, goes on for a while and ends as all of them do\"}"
    i=$((i + 1))
done >all.jsonl
mkdir tok other files
mop tokenizer-train in=all.jsonl out=tok/tokenizer.json vocab=300
mop tokenizer-train in=all.jsonl out=other/tokenizer.json vocab=290
head -n 60 all.jsonl >a.jsonl
tail -n 60 all.jsonl >b.jsonl
mop tokenize tokenizer=tok in=a.jsonl out=files/a.tok
mop tokenize tokenizer=tok in=b.jsonl out='files/b,c.tok'
mop tokenize tokenizer=tok in=all.jsonl out=all.tok
cp files/a.tok old.name
tiny="model.init=random model.layers=1 model.hidden=32 model.heads=2 model.experts=2 model.top_k=1 model.expert_width=16 data.seq=16 train.batch=4 log.level=2"
train() { # OUT WORDS...
    out=$1
    shift
    rm -rf "$out"
    # shellcheck disable=SC2086
    mop train $tiny tokenizer=tok out="$out" "$@"
}

# ---- lists of token files: the same data in every way to name it ----
ok 'two files' train want data.train='files/a.tok,files/b\,c.tok' train.steps=2
n=0
for list in files 'files/*.tok' 'files/{a,b,c}*' 'old.name,files/b\,c.tok' './files'; do
    n=$((n + 1))
    ok "data.train=$list" train "got$n" data.train="$list" train.steps=2
    ok "data.train=$list is the same data" cmp -s want/model.safetensors "got$n/model.safetensors"
done
cat >run.yaml <<'YAML'
data:
  train: [files/a.tok, "files/b,c.tok"]
YAML
ok 'a list in a run file' train yaml run.yaml train.steps=2
ok 'is the same data' cmp -s want/model.safetensors yaml/model.safetensors
ok 'a name with a comma, alone' train comma data.train='files/b,c.tok' train.steps=1
mkdir empty
# shellcheck disable=SC2086
{
    fails 1 'holds no token file' train $tiny tokenizer=tok out=x data.train=empty train.steps=1
    fails 1 'no file matches the pattern' train $tiny tokenizer=tok out=x data.train='f*/z*.tok' train.steps=1
    fails 1 'cannot open none.tok' train $tiny tokenizer=tok out=x data.train=none.tok train.steps=1
}
ok 'and nothing is left behind' test ! -e x/log.jsonl

# ---- how long ----
# shellcheck disable=SC2086
{
    fails 2 'neither train.steps nor train.epochs' train $tiny tokenizer=tok out=x data.train=all.tok
    fails 2 'neither train.steps nor train.epochs' train $tiny tokenizer=tok out=x data.train=all.tok train.steps=0
    fails 2 'two lengths of one run' train $tiny tokenizer=tok out=x data.train=all.tok train.steps=3 train.epochs=1
    fails 2 'data.train is not given' train $tiny tokenizer=tok out=x train.epochs=1
}
ok 'nothing was written' test ! -e x
steps() { sed -n 's/^done: \([0-9]*\) steps.*/\1/p' err; }
ok 'an epoch' train one data.train=files/a.tok train.epochs=1 data.seq=64
n=$(sed -n 's/.* \([0-9]*\) sequences of 64 an epoch.*/\1/p' err)
ok "of $n sequences in batches of 4 is so many steps" test "$(steps)" = $(((n + 3) / 4))
ok 'the same as those steps' train steps data.train=files/a.tok train.steps=$(((n + 3) / 4)) data.seq=64
ok 'bit for bit' cmp -s one/model.safetensors steps/model.safetensors
ok 'two and a half of them' train half data.train=files/a.tok train.epochs=2.5 data.seq=64
ok 'are rounded up' test "$(steps)" = $(((5 * n + 7) / 8))
# shellcheck disable=SC2086
mop train $tiny tokenizer=tok out=one data.train=files/a.tok train.epochs=1 data.seq=64 train.resume=auto
says 'one is finished'
# shellcheck disable=SC2086
ok 'more epochs go on' mop train $tiny tokenizer=tok out=one data.train=files/a.tok train.epochs=2 data.seq=64 train.resume=auto train.schedule=constant

# ---- whose tokens ----
mop tokenize tokenizer=other in=a.jsonl out=other.tok
fails 2 'other.tok was made by another tokenizer than want/tokenizer.json' train model.init=want out=x data.train=other.tok data.seq=16 train.steps=1 train.batch=4
fails 2 'other.tok was made by another tokenizer' train model.init=want out=x data.train=all.tok data.valid=other.tok data.seq=16 train.steps=1 train.batch=4
ok 'taken where asked for' mop train model.init=want out=any data.train=other.tok data.seq=16 train.steps=1 train.batch=4 data.tokenizer=any
says 'warning: other.tok was made by another tokenizer'
ok 'and in eval, with a warning too' mop eval model.init=want data.valid=other.tok data.seq=16
says 'warning: other.tok was made by another tokenizer'
ok 'which knows no bytes then' grep -q 'bits_per_byte unknown' res
# shellcheck disable=SC2086
fails 2 'other.tok was made by another tokenizer than all.tok' train $tiny model.vocab=300 out=x data.train=all.tok,other.tok train.steps=1
cp -r want broken
rm broken/manifest.json
echo '{"model": {"type": "Unigram"}}' >broken/tokenizer.json
ok 'a tokenizer that cannot be read' mop train model.init=broken out=broke data.train=all.tok data.seq=16 train.steps=1 train.batch=4
says 'warning: all.tok was made by another tokenizer than broken/tokenizer.json'
cp -r want bare
rm bare/tokenizer.json bare/manifest.json
ok 'a model without a tokenizer' mop train model.init=bare out=barely data.train=all.tok data.seq=16 train.steps=1 train.batch=4 log.level=2
says 'bare has no tokenizer.json'

# ---- the tokenizer that goes out ----
ok 'tokenizer= goes before the folder' mop train model.init=want tokenizer=other out=swap data.train=other.tok data.seq=16 train.steps=1 train.batch=4
ok 'into the model' cmp -s swap/tokenizer.json other/tokenizer.json
says 'warning: tokenizer=other is another than that of want'
cp want/tokenizer.json alone.json
ok 'its own, from elsewhere' mop train model.init=want tokenizer=alone.json out=same data.train=all.tok data.seq=16 train.steps=1 train.batch=4
ok 'keeps what lies beside it' cmp -s same/tokenizer_config.json want/tokenizer_config.json
fails 1 'nowhere.json' train model.init=want tokenizer=nowhere.json out=x data.train=all.tok data.seq=16 train.steps=1 train.batch=4

echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
