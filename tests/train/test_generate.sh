#!/bin/bash
# mop generate and mop eval as they are called, on a small model that has learned a few sentences. $MOP is the program.
set -u
MOP=$(realpath "${MOP:-build/mop}")
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-generate-XXXXXX")
trap 'rm -rf "$work"' EXIT
here=$(pwd)
cd "$work" || exit 2
passed=0 failed=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $2"; fi
}
is() { # is WANTED GOT WHAT
    [ "$1" = "$2" ]
    ok $? "$3: '$2', not '$1'"
}
fails() { # fails STATUS PATTERN WORDS...: exit code and message
    local want=$1 pattern=$2
    shift 2
    "$MOP" "$@" > out.txt 2> message
    [ $? = "$want" ] && grep -q -- "$pattern" message
    ok $? "mop $* should end with $want and '$pattern': $(cat message)"
}

awk 'BEGIN { for (i = 1; i < 1500; i++) printf "The cat says miau\303\274\303\237. The dog says woof. The %s says %s.\n%s", i % 2 ? "cow" : "bird", i % 2 ? "moo" : "tweet", i % 40 ? "" : "\n" }' > text.txt
"$MOP" tokenizer-train in=text.txt out=tokenizer.json vocab=280 2>/dev/null && "$MOP" tokenize tokenizer=tokenizer.json in=text.txt out=t.tok 2>/dev/null
ok $? "tokenizer and token file"
"$MOP" train model.init=random model.layers=2 model.hidden=32 model.heads=2 model.kv_heads=1 model.experts=4 model.expert_width=16 data.train=t.tok \
    tokenizer=tokenizer.json data.seq=64 train.batch=4 train.lr=1e-2 train.steps=200 train.schedule=constant log.level=1 out=run 2>/dev/null
ok $? "a model trained"

generate() { "$MOP" generate model.init=run temperature=0 "$@" 2> message; }
text="The cat says miauüß. The dog says woof. The"
is "$text" "$(generate prompt="The cat" tokens=200 stop=" cow, bird")" "text ends before a stop string"
is "The cat" "$(generate prompt="The cat" tokens=200 stop=" says")" "a stop string at once"
is "The cat says miau" "$(generate prompt="The cat" tokens=200 stop="üß")" "a stop string of several bytes"
is "The cat says miau" "$(generate prompt="The cat" tokens=200 stop="miauüß. The elephant,ü")" "a short stop string inside the begin of a long one"
is "$text" "$(generate prompt="The cat" tokens=200 stop=" cow, bird, The cat" threads=3)" "the prompt holds no stop string"
is "[]" "$(generate prompt="The cat" tokens=200 stop=" says" print=ids)" "ids before a stop string"
is "$(generate prompt="The cat" tokens=60 stop=none)" "$(generate prompt="The cat" tokens=60 stop=none model.dtype=fp32 threads=1)" "threads do not matter"
for n in $(seq 1 24); do # wherever it ends, what came is the same text's begin, and valid
    generate prompt="The cat" tokens="$n" stop=none > part
    iconv -f utf-8 -t utf-8 part > /dev/null 2>&1
    ok $? "$n tokens: valid UTF-8"
done
a=$("$MOP" generate model.init=run prompt="The" tokens=30 temperature=2 seed=3 stop=none print=ids)
is "$a" "$("$MOP" generate model.init=run prompt="The" tokens=30 temperature=2 seed=3 stop=none print=ids)" "the same seed"
[ "$a" != "$("$MOP" generate model.init=run prompt="The" tokens=30 temperature=2 seed=4 stop=none print=ids)" ]
ok $? "another seed"
is "$(generate prompt=The tokens=30 print=ids)" "$("$MOP" generate model.init=run prompt=The tokens=30 temperature=2 top_k=1 print=ids)" "top_k=1 is greedy"

golden=model.init=$here/tests/golden/olmoe
is "[41,41,58,75,75,112,82,56]" "$("$MOP" generate "$golden" ids='[5,9,2]' tokens=8 temperature=0 stop=none print=ids)" "ids as one JSON array"
fails 2 'tokenizer' generate "$golden" ids='[5]' tokens=2
fails 2 'tokenizer' generate "$golden" ids='[5]' tokens=2 print=ids stop=x
fails 2 'JSON array' generate "$golden" ids='[]' print=ids
fails 2 'JSON array' generate "$golden" ids='[5' print=ids
fails 2 'element 1' generate "$golden" ids='[5,100000]' print=ids
fails 2 'element 0' generate "$golden" ids='[-1]' print=ids
fails 2 'element 0' generate "$golden" ids='[1.5]' print=ids
fails 2 'more than one of' generate model.init=run ids='[5]' prompt=x
fails 2 'nothing to continue' generate model.init=run
fails 2 'nothing to continue' generate model.init=run prompt=
fails 2 'empty string' generate model.init=run prompt=x stop=a,,b
fails 2 'temperature' generate model.init=run prompt=x temperature=-1
fails 2 'top_p' generate model.init=run prompt=x top_p=1.5
# what ends a text: generation_config.json, else config.json, else the tokenizer; a list is a list
cp -r "$here/tests/golden/olmoe" ends
ends() { # ends WANTED GENERATION EOS: with that text of generation_config.json (none: no file) and that eos_token_id of config.json
    rm -f ends/generation_config.json
    [ "$2" = none ] || echo "$2" > ends/generation_config.json
    sed 's/"eos_token_id": [^,]*,/"eos_token_id": '"$3"',/' "$here/tests/golden/olmoe/config.json" > ends/config.json
    is "$1" "$("$MOP" generate model.init=ends ids='[5,9,2]' tokens=8 temperature=0 print=ids 2> message)" "generation_config.json $2, eos_token_id $3: $(cat message)"
}
grep -q '"eos_token_id": [^,]*,' ends/config.json
ok $? "the golden config names its end"
ends '[41,41,58,75,75,112,82,56]' none null
ends '[41,41]' none 58
ends '[41,41,58]' none '[82, 75, 112]'
ends '[41,41]' '{"eos_token_id": 58}' 82
ends '[41,41]' '{"eos_token_id": [75, 58, 58, -1, 100000], "max_length": 1e999, "x": null}' '[41]'
ends '[41,41,58,75,75,112]' '{"eos_token_id": null, "temperature": NaN}' '[82]'
ends '[41,41,58,75,75,112]' '{"top_p": 0.5}' '[82]'
ends '[41,41,58,75,75,112,82,56]' '{"eos_token_id": []}' 58
echo '{"eos_token_id": 99999999999999999999}' > ends/generation_config.json
fails 1 'generation_config.json: key eos_token_id is 99999999999999999999' generate model.init=ends ids='[5,9,2]' print=ids
is '[41,41,58,75,75,112,82,56]' "$("$MOP" generate model.init=ends ids='[5,9,2]' tokens=8 temperature=0 print=ids stop=none)" "stop=none asks for no end"
echo '{"eos_token_id": [5, true]}' > ends/generation_config.json
fails 1 'generation_config.json: key eos_token_id is \[5,true\]' generate model.init=ends ids='[5,9,2]' print=ids
echo '{"eos_token_id": 5' > ends/generation_config.json
fails 1 'generation_config.json:2: not JSON' generate model.init=ends ids='[5,9,2]' print=ids

MOP_FAULT=reserve:1 "$MOP" generate "$golden" ids='[5]' print=ids > out.txt 2> message
[ $? = 1 ] && [ ! -s out.txt ] && grep -q '^error: ' message
ok $? "no memory: $(cat message)"

number() { sed -n "s/^$1 \([0-9.]*\)$/\1/p"; }
"$MOP" eval model.init=run data.valid=t.tok data.seq=64 > report
awk -v l="$(number loss < report)" -v p="$(number perplexity < report)" -v b="$(number bits_per_byte < report)" -v n="$(number targets < report)" -v y="$(number bytes < report)" \
    'BEGIN { e = exp(l) - p; f = l * n / log(2) / y - b; exit !(l > 0 && e * e < 1e-8 && f * f < 1e-10) }'
ok $? "loss, perplexity and bits per byte agree: $(cat report)"
first=$("$MOP" tokenize tokenizer=tokenizer.json in=text.txt ids=- 2>/dev/null | sed 's/^\[\([0-9]*\),.*/{"ids": [\1]}/')
echo "$first" > first.jsonl
first=$("$MOP" tokenize tokenizer=tokenizer.json decode=first.jsonl text=- 2>/dev/null | tr -d '"\n' | wc -c)
is "$(($(wc -c < text.txt) - first))" "$(number bytes < report)" "all bytes but the first token's are predicted"
is "$(number loss < report)" "$("$MOP" eval model.init=run data.valid=t.tok data.seq=64 threads=1 | number loss)" "threads do not matter to eval"
"$MOP" eval model.init=run data.valid=t.tok data.seq=64 print=json | grep -q '^{"loss":[0-9.]*,"perplexity":[0-9.]*,"bits_per_byte":[0-9.]*,"targets":[0-9]*,"bytes":[0-9]*}$'
ok $? "eval as JSON"
mkdir bare && cp run/config.json run/model.safetensors bare
"$MOP" eval model.init=bare data.valid=t.tok data.seq=64 | grep -q '^bits_per_byte unknown: no tokenizer'
ok $? "without a tokenizer bits per byte are not known"
"$MOP" eval model.init=run data.valid=t.tok data.seq=64 tokenizer="$here/tests/golden/tokenizers/gpt2" | grep -q "^bits_per_byte unknown: the tokens are another"
ok $? "with another tokenizer neither"

cat > q.jsonl << 'END'
{"context": "The cat says", "choices": [" woof.", " miauüß.", " moo."], "answer": 1}
{"context": "The dog says", "choices": [" woof.", " miauüß."], "answer": 1}

{"context": "The dog says woof. The cow says ", "choices": ["tweet.", "moo.", "woof. The cow says moo."], "answer": 1, "id": "x"}
{"context": "", "choices": ["The cat says", "woof The says"], "answer": 0}
END
is "accuracy 0.7500" "$("$MOP" eval model.init=run data.valid=q.jsonl | cut -d, -f1)" "three of four, one has the wrong answer"
is "$("$MOP" eval model.init=run data.valid=q.jsonl)" "$("$MOP" eval model.init=run data.valid=q.jsonl data.seq=32)" "the batch does not matter"
"$MOP" eval model.init=run data.valid=q.jsonl,q.jsonl print=json | grep -q '^{"accuracy":0.75,"accuracy_per_byte":[0-9.]*,"questions":8}$'
ok $? "two files, as JSON"
fails 2 'data.long=truncate' eval model.init=run data.valid=q.jsonl data.seq=6
fails 2 'no tokenizer' eval model.init=bare data.valid=q.jsonl
fails 2 'data.valid' eval model.init=run
fails 1 'nowhere.jsonl' eval model.init=run data.valid=nowhere.jsonl
# a prompt out of a file, a pipe
one=$("$MOP" generate model.init=run prompt='The cat' tokens=5 temperature=0)
printf 'The cat' > prompt.txt
is "$("$MOP" generate model.init=run prompt_file=prompt.txt tokens=5 temperature=0)" "$one" "a prompt from a file"
is "$(echo 'The cat' | "$MOP" generate model.init=run prompt_file=- tokens=5 temperature=0)" "$one" "a prompt from standard input, without the line's end"
printf 'The cat\n\n' > prompt.txt
is "$("$MOP" generate model.init=run prompt_file=prompt.txt tokens=5 temperature=0 | head -n 1)" 'The cat' "an empty line before it stays"
: > prompt.txt
fails 2 'the prompt is empty' generate model.init=run prompt_file=prompt.txt
fails 2 'more than one of prompt=, prompt_file= and ids=' generate model.init=run prompt_file=prompt.txt prompt=x
fails 1 'cannot open absent' generate model.init=run prompt_file=absent

# Git LFS pointers in the place of files
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12345\n' 7 > pointer
for f in config.json model.safetensors tokenizer.json tokenizer_config.json; do
    rm -rf lfs && cp -r run lfs && cp pointer lfs/$f
    fails 1 "lfs/$f is a Git LFS pointer" generate model.init=lfs prompt=The
done
cp pointer pointer.tok && cp pointer pointer.txt && cp pointer pointer.jsonl
fails 1 'pointer.tok is a Git LFS pointer' train model.init=run data.train=pointer.tok data.seq=64 train.steps=1 train.batch=1 out=lfs.out
fails 1 'pointer.txt is a Git LFS pointer' tokenize tokenizer=run in=pointer.txt ids=-
fails 1 'pointer.jsonl is a Git LFS pointer' tokenize tokenizer=run in=pointer.jsonl ids=-
fails 1 'pointer.jsonl is a Git LFS pointer' eval model.init=run data.valid=pointer.jsonl
rm -rf lfs && cp -r run lfs && cp pointer lfs/merges.txt && rm -f lfs/manifest.json
"$MOP" train model.init=lfs data.train=t.tok data.seq=64 train.batch=1 train.steps=1 out=lfs.out 2> message && cmp -s pointer lfs.out/merges.txt
ok $? "one that nobody reads goes along: $(cat message)"

# a tokenizer that cannot be read stops only what needs one
cp -r run broken && echo '{"model": {"type": "Unigram"}}' > broken/tokenizer.json
fails 1 'broken/tokenizer.json: model' generate model.init=broken prompt=The
fails 1 'broken/tokenizer.json: model' generate model.init=broken ids='[5]'
fails 1 'broken/tokenizer.json: model' generate model.init=broken ids='[5]' print=ids stop=x
is "$("$MOP" generate model.init=run ids='[5,6]' tokens=5 print=ids temperature=0)" "$("$MOP" generate model.init=broken ids='[5,6]' tokens=5 print=ids temperature=0 2> message)" "ids without a tokenizer"
grep -q '^warning: .*broken/tokenizer.json: model' message
ok $? "it is said: $(cat message)"
"$MOP" eval model.init=broken data.valid=t.tok data.seq=64 2> message > report && grep -q '^bits_per_byte unknown: no tokenizer' report
ok $? "eval of a token file: $(cat message)"
fails 1 'broken/tokenizer.json: model' eval model.init=broken data.valid=q.jsonl
"$MOP" train model.init=broken data.train=t.tok data.seq=64 train.batch=1 train.steps=1 out=more 2> message && cmp -s broken/tokenizer.json more/tokenizer.json
ok $? "training: $(cat message)"
"$MOP" train model.init=random model.layers=1 model.hidden=32 model.heads=2 model.experts=2 model.expert_width=16 tokenizer=broken data.train=t.tok data.seq=64 \
    train.batch=1 train.steps=1 out=fresh 2> message && grep -q '"vocab_size": 280' fresh/config.json
ok $? "training from nothing: $(cat message)"

bad() { # bad PATTERN RECORD
    printf '%s\n%s\n' '{"context": "a", "choices": ["b", "c"], "answer": 0}' "$2" > bad.jsonl
    fails 1 "bad.jsonl:2.*$1" eval model.init=run data.valid=bad.jsonl
}
bad 'not JSON' '{"context": '
bad 'context' '{"choices": ["b", "c"], "answer": 0}'
bad 'context' '{"context": 5, "choices": ["b", "c"], "answer": 0}'
bad 'choices' '{"context": "a", "choices": ["b"], "answer": 0}'
bad 'choices' '{"context": "a", "choices": "bc", "answer": 0}'
bad 'choice 1' '{"context": "a", "choices": ["b", ""], "answer": 0}'
bad 'choice 0' '{"context": "a", "choices": [1, "b"], "answer": 0}'
bad 'answer' '{"context": "a", "choices": ["b", "c"], "answer": 2}'
bad 'answer' '{"context": "a", "choices": ["b", "c"], "answer": "0"}'
bad 'answer' '{"context": "a", "choices": ["b", "c"], "answer": -1}'
bad 'answer' '{"context": "a", "choices": ["b", "c"]}'
: > none.jsonl
fails 1 'no question' eval model.init=run data.valid=none.jsonl

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
