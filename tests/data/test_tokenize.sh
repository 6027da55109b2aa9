#!/bin/sh
# mop tokenize and mop tokenizer-train as their users call them.
set -u
passed=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
case $MOP in /*) ;; *) MOP=$PWD/$MOP ;; esac
cd "$dir" || exit 1

# ok WHAT COMMAND...: the command succeeds
ok() {
    what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED $what"
        tail -n 3 err 2>/dev/null
    fi
}
# fails STATUS TEXT WORDS...: mop WORDS exits with STATUS and says TEXT
fails() {
    status=$1 text=$2
    shift 2
    "$MOP" "$@" >res 2>err
    rc=$?
    ok "mop $* exits with $status, not $rc" test $rc -eq "$status"
    ok "mop $* says \"$text\"" grep -qF -- "$text" err
}
mop() { "$MOP" "$@" >res 2>err; }

# ---- something to work with ----
i=0
while [ $i -lt 200 ]; do
    echo "the tokenizer of line $i learns that the words the, token and line come often; and it's so"
    i=$((i + 1))
done >train.txt
mkdir -p hf
ok 'a tokenizer is made' mop tokenizer-train in=train.txt out=hf/tokenizer.json vocab=300
ok 'and is a whole file' grep -q '<|endoftext|>' hf/tokenizer.json
fails 2 'in= is missing' tokenizer-train out=x.json
fails 2 'out= is missing' tokenizer-train in=train.txt
fails 2 'an empty name in special=' tokenizer-train in=train.txt out=x.json special=a,,b
fails 2 'pattern' tokenizer-train in=train.txt out=x.json pattern=qwem
fails 1 'absent.txt' tokenizer-train in=absent.txt out=x.json
ok 'nothing is written where it failed' test ! -e x.json
mop tokenizer-train in=train.txt out=two.json vocab=300 special='<|a|>,<|b|>' pattern=qwen
ok 'both special tokens are in the file' grep -q '<|b|>' two.json
mop tokenizer-train in=train.txt out=comma.json vocab=300 special='<|a\,b|>'
ok 'a special token may hold a comma' grep -q '"<|a,b|>"' comma.json

# ---- ids and back ----
cat >in.jsonl <<'EOF'
{"text": "the tokenizer"}
{"id": 1, "text": ""}
{"text": "caf\u00E9 \uD83D\uDE00 a\u0000b\nnew \"line\" <|endoftext|> \u2028"}
EOF
cat >want <<'EOF'
"the tokenizer"
""
"caf\u00E9 \uD83D\uDE00 a\u0000b\nnew \"line\" <|endoftext|> \u2028"
EOF
ok 'ids=-' mop tokenize tokenizer=hf in=in.jsonl ids=-
ok 'one line a record' test "$(wc -l <res)" -eq 3
ok 'nothing but arrays on standard output' test "$(grep -cEx '\[([0-9]+(,[0-9]+)*)?\]' res)" -eq 3
ok 'an empty text is an empty array' test "$(sed -n 2p res)" = '[]'
ok 'nothing on standard error' test ! -s err
sed 's/.*/{"ids": &}/' res >ids.jsonl
cp res ids.want
ok 'ids=FILE' mop tokenize tokenizer=hf/tokenizer.json in=in.jsonl ids=ids.file
ok 'is the same' cmp ids.want ids.file
ok 'threads change nothing' mop tokenize tokenizer=hf in=in.jsonl ids=- threads=3
ok 'with three threads' cmp ids.want res
ok 'text=-' mop tokenize tokenizer=hf decode=ids.jsonl text=-
ok 'text comes back' cmp want res
ok 'text=FILE' mop tokenize tokenizer=hf decode=ids.jsonl text=text.file
ok 'text in a file comes back' cmp want text.file
for bad in '{"ids": 7}' '{}' '[1]' '{"ids": [1.0]}' '{"ids": ["1"]}' '{"ids": [-1]}' '{"ids": [1e3]}' '{"ids": [4294967297]}' '{"ids": [70000]}' '{"ids"'; do
    echo "$bad" >bad.jsonl
    fails 1 'bad.jsonl:1' tokenize tokenizer=hf decode=bad.jsonl text=-
done

# ---- token files ----
tokens() { sed -n 's/.*: \([0-9]*\) tokens in \([0-9]*\) documents.*/\1 \2/p' err; }
ok 'out=FILE' mop tokenize tokenizer=hf in=in.jsonl out=a.tok
with=$(tokens)
ok 'three documents' test "${with#* }" = 3
ok 'out=FILE with threads=3' mop tokenize tokenizer=hf in=in.jsonl out=b.tok threads=3
ok 'is the same file' cmp a.tok b.tok
ok 'eos=false' mop tokenize tokenizer=hf in=in.jsonl out=c.tok eos=false
without=$(tokens)
ok 'has a token less for each document' test $((${with% *} - ${without% *})) -eq 3
ok 'ids are those of ids=- and the end of document' test $((${with% *} - 3)) -eq "$(tr -cd '0-9\n,' <ids.want | tr ',' '\n' | grep -c .)"
echo '{"prompt": "the words", "completion": " come often"}' >ft.jsonl
echo '{"prompt": "the line", "completion": " learns"}' >>ft.jsonl
echo '{"prompt": "third", "completion": "is not shown"}' >>ft.jsonl
ok 'fine-tuning samples' mop tokenize tokenizer=hf in=ft.jsonl out=ft.tok
ok 'the first is shown with its mask' grep -qxF 'the words« come often<|endoftext|>»' err
ok 'the second is shown with its mask' grep -qxF 'the line« learns<|endoftext|>»' err
ok 'two are shown' test "$(grep -c '«.*»$' err)" -eq 2
mkdir -p folder/sub
cp train.txt folder/b.txt
cp in.jsonl folder/sub/a.jsonl
echo x >folder/other.c
ok 'a folder' mop tokenize tokenizer=hf in=folder out=d.tok
ok 'all its documents' test "$(tokens | cut -d' ' -f2)" = 4
ok 'what was passed over is said' grep -q 'other.c' err

# ---- as it comes: pipes, patterns, packed, parted ----
printf '{"text": "the token"}\n' >1.part.jsonl
printf '{"text": "the line"}\n' >2.part.jsonl
gzip -c 2.part.jsonl >3.part.ndjson.gz
mop tokenize tokenizer=hf in=1.part.jsonl,2.part.jsonl,2.part.jsonl ids=-
cp res want
ok 'a pattern' mop tokenize tokenizer=hf in='*.part.*' ids=-
ok 'is its files' cmp -s res want
cat ./*.part.jsonl 2.part.jsonl | "$MOP" tokenize tokenizer=hf in=- ids=- >res 2>err
ok 'standard input' cmp -s res want
cat ./*.part.jsonl 2.part.jsonl | gzip | "$MOP" tokenize tokenizer=hf in=/dev/stdin ids=- >res 2>err
ok 'a packed pipe' cmp -s res want
mv 3.part.ndjson.gz 'a,b.jsonl.gz'
ok 'a comma in a name' mop tokenize tokenizer=hf in='a,b.jsonl.gz' ids=-
ok 'gives its document' test "$(cat res)" = "$(tail -n 1 want)"
printf 'the token\n<|endoftext|>\nthe line\n<|endoftext|>\n' >ends.txt
ok 'a text file with end tokens' mop tokenize tokenizer=hf in=ends.txt out=ends.tok
ok 'is so many documents' grep -q 'in 2 documents' err
printf '{"text": "the token\\n"}\n{"text": "the line\\n"}\n' >ends.jsonl
mop tokenize tokenizer=hf in=ends.jsonl out=lines.tok
ok 'of the same tokens as from JSON lines' cmp -s ends.tok lines.tok
mop tokenize tokenizer=hf in=ends.txt ids=- data.document_end=file
ok 'or one' test "$(wc -l <res)" = 1
printf 'the token\n--\nthe line\n' >line.txt
mop tokenize tokenizer=hf in=line.txt ids=- data.document_end=line:--
ok 'or as many as a line parts' test "$(wc -l <res)" = 2
mop tokenizer-train in=ends.txt out=trained.json vocab=300
mop tokenizer-train in=ends.jsonl out=lines.json vocab=300
ok 'nothing is learned from the end token' cmp -s trained.json lines.json

# ---- refusals: the message, the exit status, and nothing half-written ----
fails 2 'tokenizer= is missing' tokenize in=in.jsonl ids=-
fails 2 'give one of out=, ids= and text=' tokenize tokenizer=hf in=in.jsonl
fails 2 'give one of out=, ids= and text=' tokenize tokenizer=hf in=in.jsonl ids=- out=x.tok
fails 2 'decode= with text=' tokenize tokenizer=hf in=in.jsonl text=-
fails 2 'decode= with text=' tokenize tokenizer=hf decode=ids.jsonl ids=-
fails 2 'eos=true goes with out=' tokenize tokenizer=hf in=in.jsonl ids=- eos=true
fails 2 'tokenizer' tokenize tokeniser=hf in=in.jsonl ids=-
fails 1 'absent.jsonl' tokenize tokenizer=hf in=absent.jsonl out=x.tok
fails 1 'absent' tokenize tokenizer=absent in=in.jsonl out=x.tok
echo '{"messages": [{"role": "user", "content": "hi"}]}' >chat.jsonl
fails 1 'chat.jsonl:1 has "messages"' tokenize tokenizer=hf in=chat.jsonl out=x.tok
fails 1 'a.txt.xz is a compressed file' tokenize tokenizer=hf in=a.txt.xz out=x.tok
printf 'good\377bad' >latin.txt
fails 1 'latin.txt is not UTF-8: byte 0xff at byte 4 of the file' tokenize tokenizer=hf in=latin.txt out=x.tok
: >empty.jsonl
fails 1 'holds no text' tokenize tokenizer=hf in=empty.jsonl out=x.tok
fails 1 '/nonexistent/x.tok' tokenize tokenizer=hf in=in.jsonl out=/nonexistent/x.tok
ok 'none of these wrote a file' test ! -e x.tok -a ! -e x.tok.mop-part
cp in.jsonl kept.jsonl
fails 2 'is not a token file; it is not replaced' tokenize tokenizer=hf in=in.jsonl out=in.jsonl
ok 'a text named as out= by mistake stays' cmp -s in.jsonl kept.jsonl
# whatever is named as the place for a result, only such a result is replaced
precious() { # FILE WORDS...: mop WORDS is refused and FILE stays
    file=$1
    shift
    cp "$file" kept
    fails 2 'it is not replaced' "$@"
    ok "mop $* leaves $file" cmp -s "$file" kept
}
echo 'a thesis, unpublished' >thesis
echo '{"ids": [5, 6]}' >five.jsonl
mkdir -p mine model
echo '{"a": 1}' >mine/tokenizer.json
cp hf/tokenizer.json mine/good.json
precious thesis tokenize tokenizer=hf in=in.jsonl ids=thesis
precious in.jsonl tokenize tokenizer=hf in=in.jsonl ids=in.jsonl
precious thesis tokenize tokenizer=hf decode=five.jsonl text=thesis
precious five.jsonl tokenize tokenizer=hf decode=five.jsonl text=five.jsonl
precious thesis tokenizer-train in=train.txt out=thesis vocab=300
precious train.txt tokenizer-train in=train.txt out=train.txt vocab=300
precious mine/tokenizer.json tokenizer-train in=train.txt out=mine/tokenizer.json vocab=300
mv mine/good.json mine/tokenizer.json
echo '{"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "mine"}' >mine/tokenizer_config.json
precious mine/tokenizer_config.json tokenizer-train in=train.txt out=mine/tokenizer.json vocab=300
ok 'nor is the tokenizer beside it replaced' cmp -s mine/tokenizer.json hf/tokenizer.json
cp hf/* model
echo '{}' >model/config.json
precious model/tokenizer.json tokenizer-train in=train.txt out=model/tokenizer.json vocab=290
cp hf/* mine
ok 'one of its own is replaced' mop tokenizer-train in=train.txt out=mine/tokenizer.json vocab=290
echo 'somebody'\''s' >x.ids.part
ok 'and ids are' mop tokenize tokenizer=hf in=in.jsonl ids=x.ids
ok 'by ids' mop tokenize tokenizer=hf in=in.jsonl ids=x.ids
sed 's/.*/{"ids": &}/' x.ids >x.jsonl
ok 'and texts' mop tokenize tokenizer=hf decode=x.jsonl text=x.txt
ok 'by texts' mop tokenize tokenizer=hf decode=x.jsonl text=x.txt
ok 'what is written on the way lies beside no name of others' grep -q somebody x.ids.part
ok 'log.level=0 says nothing' mop tokenize tokenizer=hf in=ft.jsonl out=quiet.tok log.level=0
ok 'at all' test ! -s err
mkfifo pipe
fails 1 'is not an ordinary file' tokenize tokenizer=hf in=in.jsonl ids=pipe
ok 'a pipe named as ids= stays one' test -p pipe
printf '%s\n' '{"id": 123456789012345678901234567890, "text": "a"}' >large.jsonl
ok 'a number beyond 64 bits beside the text' mop tokenize tokenizer=hf in=large.jsonl ids=-
echo '{"ids": [123456789012345678901234567890]}' >large.jsonl
fails 1 'is not an id' tokenize tokenizer=hf decode=large.jsonl text=-
ok 'with data.invalid_utf8=replace' mop tokenize tokenizer=hf in=latin.txt ids=- data.invalid_utf8=replace
sed 's/.*/{"ids": &}/' res >latin.jsonl
mop tokenize tokenizer=hf decode=latin.jsonl text=-
ok 'U+FFFD takes its place' test "$(cat res)" = '"good\uFFFDbad"'
if [ -c /dev/full ]; then
    "$MOP" tokenize tokenizer=hf in=in.jsonl ids=- >/dev/full 2>err
    ok 'a full disk under standard output is exit 1' test $? -eq 1
fi

# ---- every open, read, write, fsync and rename may fail: exit 1, and the file that stood there is as it was ----
cp a.tok keep
for kind in open read write fsync rename; do
    n=1
    while [ $n -lt 40 ]; do
        cp keep a.tok
        MOP_FAULT=$kind:$n "$MOP" tokenize tokenizer=hf in=ft.jsonl out=a.tok >res 2>err
        rc=$?
        [ $rc -eq 0 ] && break
        # the second fsync is the folder's, behind the rename: the new file is there, whole
        if [ $kind = fsync ] && [ $n -eq 2 ]; then kept=ft.tok; else kept=keep; fi
        if [ $rc -ne 1 ] || ! cmp -s $kept a.tok || [ -e a.tok.mop-part ] || ! [ -s err ]; then
            ok "$kind:$n exits with 1 and leaves the file ($rc)" false
        else
            passed=$((passed + 1))
        fi
        n=$((n + 1))
    done
    ok "$kind has fault points in mop tokenize, and an end of them" test $n -gt 1 -a $n -lt 40
done

echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
