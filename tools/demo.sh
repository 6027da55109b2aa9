#!/bin/sh
# demo.sh MOP [OUT DATA]: from text to a trained mixture-of-experts model and a sample of what it writes. Every part that is there already is
# left as it is, so a second call goes on where the first ended.
set -eu

mop=$1
data=${3:-out/demo-data}
out=${2:-out/demo}

mkdir -p "$data/text"
if ! ls "$data"/text/train/*.txt >/dev/null 2>&1; then
    echo "== 1/5  the text: Perl's documentation (Debian's perl-doc)"
    pods=$(dpkg -L perl-doc | grep '\.pod$')
    rm -rf "$data/text" && mkdir -p "$data/text/train.part" "$data/text/valid"
    n=0
    for f in $pods; do # every twentieth document is held out
        n=$((n + 1))
        if [ $((n % 20)) = 0 ]; then to=$data/text/valid; else to=$data/text/train.part; fi
        cp "$f" "$to/$(basename "$f" .pod).txt"
    done
    mv "$data/text/train.part" "$data/text/train"
    echo "   $n documents, $(cat "$data"/text/*/*.txt | wc -c) bytes; every twentieth is held out for validation"
fi

if ! [ -e "$data/tokenizer.json" ]; then
    echo "== 2/5  a tokenizer of 4,096 tokens made from it"
    "$mop" tokenizer-train in="$data/text/train" out="$data/tokenizer.json" vocab=4096 pattern=qwen data.invalid_utf8=replace
fi

for part in train valid; do
    if ! [ -e "$data/$part.tok" ]; then
        echo "== 3/5  token file $data/$part.tok"
        "$mop" tokenize tokenizer="$data/tokenizer.json" in="$data/text/$part" out="$data/$part.tok" data.invalid_utf8=replace
    fi
done

echo "== 4/5  training (runs/demo.yaml); Ctrl-C saves and stops, make demo goes on from there"
"$mop" train runs/demo.yaml out="$out" tokenizer="$data/tokenizer.json" data.train="$data/train.tok" data.valid="$data/valid.tok" train.resume=auto

echo "== 5/5  a sample"
"$mop" generate model.init="$out" model.dtype=bf16 prompt="=head1 DESCRIPTION" tokens=160 temperature=0.7 log.level=1

cat <<END

The model is in $out, a Hugging Face folder: transformers' AutoModelForCausalLM.from_pretrained("$out") loads it.
The losses of every step are in $out/log.jsonl, checkpoints in $out/ckpt. Try next:
  $mop generate model.init=$out prompt="How do I" tokens=200 temperature=0.9 seed=7
  $mop eval model.init=$out data.valid=$data/valid.tok data.seq=512
  $mop verify $out
  $mop train runs/demo.yaml out=out/longer data.train=$data/train.tok data.valid=$data/valid.tok train.steps=10000
  $mop config runs/demo.yaml        every option, its value and where it came from
END
