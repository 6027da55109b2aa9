#!/bin/sh
# mop template as its users call it: where templates are found, what comes out, what is refused.
set -u
passed=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
case $MOP in /*) ;; *) MOP=$PWD/$MOP ;; esac
golden=$PWD/tests/golden/chat
cd "$dir" || exit 1

ok() { # ok WHAT COMMAND...: the command succeeds
    what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED $what"
        tail -n 3 err out 2>/dev/null
    fi
}
template() { "$MOP" template "$@" >out 2>err; }
gives() { # gives TEXT WORDS...: the one line that comes out holds TEXT
    text=$1
    shift
    ok "template $*" template "$@"
    ok "template $* gives $text" grep -qF -- "$text" out
    ok "template $* gives one line" test "$(wc -l <out)" -eq 1
}
fails() { # fails STATUS TEXT WORDS...
    status=$1 text=$2
    shift 2
    template "$@"
    rc=$?
    ok "template $* exits with $status, not $rc" test $rc -eq "$status"
    ok "template $* says \"$text\"" grep -qF -- "$text" err
    ok "template $* prints nothing" test ! -s out
}

echo '{"messages": [{"role": "user", "content": "hé"}]}' >one.jsonl
printf '{{ messages[0].content }}{{ eos_token }}' >t.jinja
gives '{"text": "h\u00E9"}' template=t.jinja in=one.jsonl text=-
ok 'text=FILE' template template=t.jinja in=one.jsonl text=there
ok 'text=FILE prints nothing' test ! -s out
ok 'text=FILE has the line' grep -qF '{"text": "h\u00E9"}' there
printf '{{ x' >bad.jinja
cat one.jsonl one.jsonl >two.jsonl
ok 'a template that is refused' template template=bad.jinja in=two.jsonl text=-
ok 'a template that is refused gives an error a record' test "$(grep -c '^{"error": "bad.jinja:1: ' out)" -eq 2
echo '{"messages": []}' >empty.jsonl
gives '{"error": ' template=t.jinja in=empty.jsonl
printf 'a{%% generation %%}\303\251b{%% endgeneration %%}' >spans.jinja
gives '{"text": "a\u00E9b", "spans": [[1, 3]]}' template=spans.jinja in=one.jsonl

# folders
mkdir folder
fails 1 'has no chat template' template=folder in=one.jsonl
cat >folder/tokenizer_config.json <<'END'
{"eos_token": {"content": "<e>"}, "chat_template": [{"name": "default", "template": "D{{ eos_token }}"}, {"name": "tool_use", "template": "T"}]}
END
gives '{"text": "D<e>"}' template=folder in=one.jsonl
gives '{"text": "D<e>"}' template=folder/tokenizer_config.json in=one.jsonl
echo '{"messages": [{"role": "user"}], "tools": []}' >tools.jsonl
gives '{"text": "T"}' template=folder in=tools.jsonl
echo '{"messages": [{"role": "user"}], "kwargs": {"eos_token": "mine"}}' >kwargs.jsonl
gives '{"text": "Dmine"}' template=folder in=kwargs.jsonl
printf 'F{{ eos_token }}' >folder/chat_template.jinja
gives '{"text": "F<e>"}' template=folder in=tools.jsonl
echo '{"eos_token": "<e>", "bos_token": null, "chat_template": "S"}' >folder/tokenizer_config.json
rm folder/chat_template.jinja
gives '{"text": "S"}' template=folder in=one.jsonl

fails 2 'template=FILE is missing' in=one.jsonl
fails 2 'in=FILE.jsonl is missing' template=t.jinja
fails 1 'nowhere' template=nowhere in=one.jsonl
fails 1 'nowhere' template=t.jinja in=nowhere
echo '{"messages": [' >broken.jsonl
fails 1 'broken.jsonl:1' template=t.jinja in=broken.jsonl

# every record of the golden folders, through the program: as many lines as records, texts and errors where they must be
for f in "$golden"/*/; do
    ok "$f" template template="$f/template.jinja" in="$f/conversations.jsonl" text=-
    ok "$f: lines" test "$(wc -l <out)" -eq "$(wc -l <"$f/conversations.jsonl")"
    grep -c '"error": true' "$f/conversations.jsonl" >want
    grep -c '^{"error": ' out >got
    ok "$f: errors" cmp -s want got
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
