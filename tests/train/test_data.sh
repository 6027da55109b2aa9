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
    fails 1 'the folder empty holds no' train $tiny tokenizer=tok out=x data.train=empty train.steps=1
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
ok 'more epochs go on' mop train $tiny tokenizer=tok out=one data.train=files/a.tok train.epochs=2 data.seq=64 train.resume=auto

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

# ---- text: tokens are made of it once, in OUT ----
ok 'text' train fresh data.train=all.jsonl train.steps=2 train.schedule=constant
says 'all.jsonl\|fresh/data/train.tok: [0-9]* tokens in 120 documents'
mop train model.init=random model.layers=1 model.hidden=32 model.heads=2 model.experts=2 model.top_k=1 model.expert_width=16 data.seq=16 train.batch=4 \
    tokenizer=tok data.train=all.tok train.steps=2 train.schedule=constant out=tokens
ok 'is what its token file is' cmp -s fresh/data/train.tok all.tok
ok 'and trains the same model' cmp -s fresh/model.safetensors tokens/model.safetensors
ok 'which verifies' mop verify fresh
more="$tiny tokenizer=tok out=fresh train.schedule=constant train.resume=auto"
# shellcheck disable=SC2086
{
    before=$(stat -c %Y.%i fresh/data/train.tok)
    ok 'going on' mop train $more data.train=all.jsonl train.steps=4
    says 'all.jsonl: its tokens are in fresh/data/train.tok already'
    touch all.jsonl
    ok 'a file that was only touched' mop train $more data.train=all.jsonl train.steps=5
    ok 'is not read into tokens again' test "$(stat -c %Y.%i fresh/data/train.tok)" = "$before"
    cp all.jsonl kept.jsonl
    sed 's/number 7 /number 8 /' kept.jsonl >all.jsonl
    fails 2 'all.jsonl has changed, of which this run made fresh/data/train.tok' train $more data.train=all.jsonl train.steps=6
    echo '{"text": "one more"}' >>all.jsonl
    fails 2 'all.jsonl has changed' train $more data.train=all.jsonl train.steps=6
    rm -rf branch && cp -r fresh branch
    ok 'a change that is asked for' mop train $tiny tokenizer=tok out=branch train.schedule=constant train.resume=auto data.train=all.jsonl train.steps=6 \
        train.resume_changes=data.train
    says 'branch/data/train.tok is made anew'
    cp kept.jsonl all.jsonl
    fails 2 'the list of files has changed at b.jsonl' train $more data.train=all.jsonl,b.jsonl train.steps=6
    fails 2 'how text is read has changed' train $more data.train=all.jsonl train.steps=6 data.document_end=file
    mv all.jsonl gone.jsonl
    ok 'text that is gone' mop train $more data.train=all.jsonl train.steps=6
    says 'warning: cannot open all.jsonl.*; the run goes on with the tokens in fresh/data/train.tok'
    mv gone.jsonl all.jsonl
    fails 2 'the tokenizer has changed' train ${more%% tokenizer*} tokenizer=other out=fresh train.schedule=constant train.resume=auto data.train=all.jsonl train.steps=7
    ok 'the same without a stop' train straight data.train=all.jsonl train.steps=6 train.schedule=constant
    ok 'is the same model' cmp -s fresh/model.safetensors straight/model.safetensors
    # without a checkpoint to go on from what has changed is made anew
    rm -rf anew && mkdir anew && cp -r straight/data anew
    ok 'tokens of a run that did not get far' mop train $tiny tokenizer=tok out=anew data.train=all.jsonl train.steps=1
    says 'its tokens are in anew/data/train.tok already'
    rm -rf anew && mkdir anew && cp -r straight/data anew
    ok 'of other text' mop train $tiny tokenizer=tok out=anew data.train=a.jsonl train.steps=1
    says 'anew/data/train.tok is made anew'
    ok 'are made anew' cmp -s anew/data/train.tok files/a.tok
    rm -rf anew && mkdir -p anew/data && cp straight/data/train.tok anew/data
    ok 'without their record too' mop train $tiny tokenizer=tok out=anew data.train=a.jsonl train.steps=1
    ok 'whatever they are' cmp -s anew/data/train.tok files/a.tok
}
printf 'A story.\n<|endoftext|>\nAnother one, of words.\n<|endoftext|>\n' >two.txt
cat two.txt two.txt two.txt two.txt >eight.txt
gzip -k b.jsonl
ok 'training and validation, packed text, the folder of a model' mop train model.init=want out=both data.train='[ab].jsonl*' data.valid=eight.txt \
    data.seq=16 train.epochs=1 train.batch=8 train.valid_sequences=0 log.level=2
says 'both/data/train.tok: .* in 180 documents'
says 'both/data/valid.tok: .* in 8 documents'
printf 'A story without an end, which is one document.\n' >one.txt
fails 1 'documents are held out whole, so part the text into more' train model.init=want out=x data.train=one.txt data.valid_fraction=0.5 data.seq=8 train.steps=1
ok 'held out of one text file' mop train model.init=want out=part data.train=eight.txt data.valid_fraction=0.4 data.seq=8 train.steps=1 train.batch=2
ok 'text for training, tokens for validation' mop train model.init=want out=mixed data.train=eight.txt data.valid=all.tok data.seq=16 train.steps=1 \
    train.batch=2 train.valid_sequences=4
"$MOP" train model.init=want out=piped data.train=- data.seq=16 train.steps=1 train.batch=2 ckpt.every=1 <a.jsonl >res 2>err
ok 'text through a pipe' cmp -s piped/data/train.tok files/a.tok
"$MOP" train model.init=want out=piped data.train=- data.seq=16 train.steps=2 train.batch=2 train.resume=auto </dev/null >res 2>err
ok 'is not asked for again' grep -q 'warning: - is a pipe.*goes on with the tokens' err
# shellcheck disable=SC2086
{
    fails 2 'names 1 token files and 1 files of text' train $tiny tokenizer=tok out=x data.train=all.tok,all.jsonl train.steps=1
    fails 2 'all.jsonl is text, and there is no tokenizer' train $tiny model.vocab=300 out=x data.train=all.jsonl train.steps=1
    fails 1 'table.csv is a table' train $tiny tokenizer=tok out=x data.train=table.csv train.steps=1
    fails 1 'cannot open none.jsonl' train $tiny tokenizer=tok out=x data.train=none.jsonl train.steps=1
}
rm bare/manifest.json bare/data -rf
fails 2 'is text, and there is no tokenizer to read it with in bare' train model.init=bare out=x data.train=all.jsonl train.steps=1
# whatever fails or is killed while tokens are made, the next start has them
train straight data.train=a.jsonl train.steps=1
for fault in write kill-write rename kill-rename fsync kill-fsync; do
    n=1
    while [ $n -le 2 ]; do
        # shellcheck disable=SC2086
        {
            rm -rf faulty
            MOP_FAULT=$fault:$n "$MOP" train $tiny tokenizer=tok out=faulty data.train=a.jsonl train.steps=1 >res 2>err
            ok "$fault:$n ends it" test $? -ne 0
            ok "it goes on behind $fault:$n" mop train $tiny tokenizer=tok out=faulty data.train=a.jsonl train.steps=1 train.resume=auto
            ok "with all of the tokens" cmp -s straight/data/train.tok faulty/data/train.tok
            ok "to the same model" cmp -s straight/model.safetensors faulty/model.safetensors
        }
        n=$((n + 1))
    done
done
ok 'ranks wait for the tokens' train ranks data.train=all.jsonl train.steps=2 train.schedule=constant ranks=3
ok 'and have the same data' cmp -s ranks/data/train.tok all.tok

echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
