#!/bin/bash
# The manual page names every command and option and is clean roff; the bash completion completes what the program takes.
set -u
mop=$(realpath "$MOP")
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED $2"; fi
}
skip() { skipped=$((skipped + 1)); echo "SKIP $1"; }

# ---- the page ----
"$mop" help man >"$tmp/mop.1"
ok $? "mop help man"
grep -q '^\.TH MOP 1 ' "$tmp/mop.1"
ok $? "it has a head"
! grep '^\.' "$tmp/mop.1" | grep -qvx -e '\.\(TH\|SH\|SS\|B\|I\|TP\|PP\|nf\|fi\|\\"\)\( .*\)*' && ! grep -q "^'" "$tmp/mop.1"
ok $? "no text is taken for a request"
grep -qF '\fBmop tokenizer\-train\fR in=PATHS' "$tmp/mop.1"
ok $? "a minus is a minus, so that what is copied from the page works"
if command -v mandoc >/dev/null; then
    mandoc -T lint "$tmp/mop.1" >"$tmp/lint" 2>&1
    ok $? "mandoc: $(head -n 3 "$tmp/lint")"
else skip "mandoc is not installed"; fi
if command -v groff >/dev/null; then
    groff -man -ww -Tascii -rLL=400n "$tmp/mop.1" 2>"$tmp/lint" | sed 's/\x1b\[[0-9;]*m//g; s/.\x08//g' >"$tmp/page"
    [ ! -s "$tmp/lint" ]
    ok $? "groff: $(head -n 3 "$tmp/lint")"
    "$mop" config | sed -n 's/^\([a-z_.]*\): .*/\1/p' >"$tmp/keys"
    missing=$(while read -r k; do grep -q "^ *$k=" "$tmp/page" || echo "$k"; done <"$tmp/keys")
    [ -s "$tmp/keys" ] && [ -z "$missing" ]
    ok $? "options that the page lacks: $missing"
    missing=$("$mop" help | sed -n 's/^  \([a-z-]*\)  .*/\1/p' | while read -r c; do grep -q "^ *mop $c\( \|$\)" "$tmp/page" || echo "$c"; done)
    [ -z "$missing" ]
    ok $? "commands that the page lacks: $missing"
    grep -q 'Default: <|endoftext|>\.' "$tmp/page" && grep -q '{"ids": \[\.\.\.\]}' "$tmp/page"
    ok $? "signs come out as they are"
else skip "groff is not installed"; fi

# ---- completion ----
"$mop" help completion >"$tmp/mop.bash"
ok $? "mop help completion"
bash -n "$tmp/mop.bash"
ok $? "bash reads it"
# shellcheck disable=SC1091
. "$tmp/mop.bash"
complete -p mop | grep -q -e '-F _mop'
ok $? "it is registered"
mkdir -p "$tmp/w/data dir" "$tmp/w/sub" "$tmp/w/train"
cd "$tmp/w" || exit 1
touch run.yaml other.yml notes.txt 'a b.tok' 'train run.yaml'

# gives WANTED WORDS...: what is offered for the last word, sorted, as one line
gives() {
    local want=$1
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _mop
    got=$(printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort | tr '\n' ' ')
    [ "$got" = "$want" ]
    ok $? "${*@Q} gives \"$got\", not \"$want\""
}
offers() { # offers WANTED WORDS...: among others
    local want=$1
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _mop
    printf '%s\n' "${COMPREPLY[@]}" | grep -qxF -e "$want"
    ok $? "${*@Q} does not offer $want"
}
gives 'template tokenize tokenizer-train train ' mop t # both begin with it
gives 'verify version ' mop v
gives ' ' mop frobnicate
gives '--version ' mop --v
gives 'train.schedule= ' mop train train.sch
gives 'train.warmup= ' mop train run.yaml train.w
gives 'constant cosine ' mop train train.schedule = co
gives 'linear ' mop train train.schedule = cosine train.schedule = l
offers wsd mop train train.schedule =
gives 'train.schedule=cosine ' mop train train.schedule=cos
gives 'false true ' mop train model.tied =
gives 'auto ' mop train train.resume = a
gives ' ' mop train train.steps = 1
gives ' ' mop train no.such = x
gives 'a b.tok ' mop train data.train = a
gives 'out=sub ' mop train out=s
gives 'sub ' mop train out = s
offers notes.txt mop generate prompt =
gives 'ids ' mop generate print = i
gives 'text ' mop eval print = t
gives ' ' mop train print = t
gives 'prompt= prompt_file= ' mop generate pro
gives ' ' mop train pro
gives 'run.yaml ' mop config run
gives 'out= ' mop config ou
gives 'other.yml ' mop config ot
offers 'train\ run.yaml' mop train train
offers 'train/' mop train train
offers 'train.lr=' mop train train
gives 'sub ' mop verify s
gives 'data dir sub train ' mop verify ''
gives 'out= ' mop plot o
gives 'sub ' mop plot s
offers dispatch mop bench d
gives 'completion config ' mop help co
offers man mop help m
offers tokenize mop help tok
offers in= mop tokenize ''
gives 'gpt2 ' mop tokenizer-train pattern = g
missing=$("$mop" help | sed -n 's/^  \([a-z-]*\)  .*/\1/p' | while read -r c; do
    COMP_WORDS=(mop "$c") COMP_CWORD=1
    _mop
    printf '%s\n' "${COMPREPLY[@]}" | grep -qx -e "$c" || echo "$c"
done)
[ -z "$missing" ]
ok $? "commands that are not completed: $missing"
missing=$("$mop" config | sed -n 's/^\([a-z_.]*\): .*/\1/p' | while read -r k; do
    COMP_WORDS=(mop train "$k") COMP_CWORD=2
    _mop
    printf '%s\n' "${COMPREPLY[@]}" | grep -qx -e "$k=" || echo "$k"
done)
[ -z "$missing" ]
ok $? "keys that are not completed: $missing"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
