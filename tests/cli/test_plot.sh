#!/bin/sh
# mop plot: a picture that is well-formed, complete in itself and small, of any log that a run can leave; other logs are refused by line.
set -u
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0

count() { # count RC WHAT
    if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED $2"
    fi
}
is() { # is RC PATTERN-OF-STDERR WORDS...
    want=$1 pattern=$2
    shift 2
    "$MOP" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    rc=$?
    [ "$rc" -eq "$want" ] && if [ -n "$pattern" ]; then grep -q -e "$pattern" "$tmp/err"; else [ ! -s "$tmp/err" ]; fi
    count $? "mop $* gave $rc, not $want with \"$pattern\"; it said: $(head -c 300 "$tmp/err")"
}
draws() { # draws RUN: no error, well-formed, nothing from elsewhere, no number that is none
    "$MOP" plot "$1" out="$tmp/p.svg" >"$tmp/out" 2>"$tmp/err"
    count $? "plot $1: $(cat "$tmp/err")"
    ! grep -q -i 'nan\|inf[^o]\|<script\|<image\|@import\|href' "$tmp/p.svg"
    count $? "$1: a number that is none, or something from elsewhere: $(grep -o -i '.\{20\}nan.\{9\}' "$tmp/p.svg" | head -n 1)"
    # every element that is opened is closed; every path begins with a move
    awk 'BEGIN { RS = "<" } NR > 1 {
            tag = $1; sub(/[>\/].*/, "", tag); body = $0; sub(/>.*/, "", body)
            if ($0 ~ /^\//) { sub(/^\//, "", $0); split($0, w, ">"); if (stack[n--] != w[1]) bad = 1 }
            else if (body !~ /\/$/) stack[++n] = tag
            if (tag == "path" && body !~ / d="M/) bad = 1
        }
        END { exit bad || n }' "$tmp/p.svg"
    count $? "$1: is not well-formed"
}
has() { grep -q -e "$1" "$tmp/p.svg"; count $? "no \"$1\" in the picture"; }

# log STEPS FIRST JITTER EVERY EXPERTS: lines as a run writes them, the validation loss every EVERY steps
log() {
    awk -v n="$1" -v first="$2" -v jitter="$3" -v every="$4" -v experts="$5" 'BEGIN {
        srand(7)
        for (i = first; i < first + n; i++) {
            loss = 3 + 5 * exp(-i / 100) + jitter * rand()
            printf "{\"step\": %d, \"loss\": %.6g, \"total_loss\": %.6g, \"lr\": 0.001, \"grad_norm\": 1, \"tokens\": 2048, \"tokens_per_s\": %.1f, \"seconds\": 0.2",
                i, loss, loss, 9000 + 100 * rand()
            if (experts) printf ", \"aux_loss\": 4, \"expert_balance\": 0.9, \"expert_max_over_mean\": 1.25, \"dead_experts\": 2"
            if (i % every == 0) printf ", \"valid_loss\": %.6g", loss + 0.1
            print "}"
        }
    }'
}

mkdir "$tmp/run"
log 600 1 0.2 200 1 >"$tmp/run/log.jsonl"
is 0 '' plot "$tmp/run"
grep -q 'plot.svg: steps 600, validations 3$' "$tmp/out"
count $? "it says what it drew: $(cat "$tmp/out")"
draws "$tmp/run"
cmp -s "$tmp/run/plot.svg" "$tmp/p.svg"
count $? "the same log gives the same picture, beside the log unless out= says where"
for word in '>run</text>' 'Loss' 'nats per token' 'Throughput' 'tokens per second' 'Expert balance' '1 = perfect' '600 steps, 1.23M tokens' '>step</text>' \
    'mean and range of 3 steps each' 'validation, last 3\.' '2 experts idle' 'step 400: ' '>200</text>' '>5,000</text>' '>0.9</text>'; do has "$word"; done
[ "$(grep -o '<circle' "$tmp/p.svg" | wc -l)" -eq 3 ]
count $? "a mark for each validation"
! grep -q 'neighbours' "$tmp/p.svg"
count $? "marks of their own are not called means"

is 0 '' plot "$tmp/run" out="$tmp/p.html"
head -n 1 "$tmp/p.html" | grep -q '^<!DOCTYPE html>$' && grep -q '<svg' "$tmp/p.html" && grep -q '</html>' "$tmp/p.html" && ! grep -q '<script' "$tmp/p.html"
count $? "a page"

# awkward runs
log 1 1 0 1 0 >"$tmp/run/log.jsonl"
draws "$tmp/run"
has '>1 step, '
! grep -q 'Expert' "$tmp/p.svg"
count $? "no panel of experts in a model without"
log 5 1 0 9 1 >"$tmp/run/log.jsonl"
draws "$tmp/run"
! grep -q 'validation' "$tmp/p.svg"
count $? "no validation where there was none"
sed 's/"loss": [0-9.]*/"loss": 2/; s/"tokens_per_s": [0-9.]*/"tokens_per_s": 0/' "$tmp/run/log.jsonl" >"$tmp/flat"
mv "$tmp/flat" "$tmp/run/log.jsonl"
draws "$tmp/run"
for loss in 0 1e30 -1e30 1e-300; do
    log 3 1 0 9 1 | sed "2s/\"loss\": [0-9.]*/\"loss\": $loss/; 2s/\"tokens_per_s\": [0-9.]*/\"tokens_per_s\": $loss/" >"$tmp/run/log.jsonl"
    draws "$tmp/run"
done
log 2000 1 0.1 500 1 | awk 'NR < 20 { sub(/"loss": [0-9.]*/, "\"loss\": 90") } { print }' >"$tmp/run/log.jsonl"
draws "$tmp/run"
has '; [1-9][0-9]* steps higher'
! grep -q '>80</text>' "$tmp/p.svg"
count $? "a high beginning does not press the rest flat"
log 50000 1000001 0.1 100 1 >"$tmp/run/log.jsonl"
draws "$tmp/run"
[ "$(wc -c <"$tmp/p.svg")" -lt 100000 ]
count $? "a long run is a small picture: $(wc -c <"$tmp/p.svg") bytes"
has '>1,050,000</text>'
has 'validation, means of neighbours, last'
log 4 1 0 9 1 >"$tmp/run/log.jsonl"
printf '{"step": 5, "loss": 4.' >>"$tmp/run/log.jsonl"
draws "$tmp/run"
has '>4 steps, '

# a name of any bytes
odd="$tmp/$(printf 'a <b> & "c" \303\251 \377\001')"
mkdir "$odd" && cp "$tmp/run/log.jsonl" "$odd/"
is 0 '' plot "$odd"
cp "$odd/plot.svg" "$tmp/p.svg"
has '>a &lt;b&gt; &amp; &quot;c&quot; é ??</text>'
mkdir "$tmp/k=v" && cp "$tmp/run/log.jsonl" "$tmp/k=v/"
(cd "$tmp" && "$MOP" plot k=v >/dev/null 2>&1 && [ -s k=v/plot.svg ])
count $? "a folder whose name looks like an option"
(cd "$tmp/run" && "$MOP" plot . >/dev/null 2>&1 && grep -q '>run</text>' plot.svg)
count $? "the folder . has a name"

# refused
is 2 'no folder' plot
# only a picture of ours is replaced
echo '<svg xmlns="http://www.w3.org/2000/svg" width="5"><path d="M0 0"/></svg>' >"$tmp/mine.svg"
cp "$tmp/mine.svg" "$tmp/kept.svg"
is 2 'is not a picture of mop plot; it is not replaced' plot "$tmp/run" out="$tmp/mine.svg"
cmp -s "$tmp/mine.svg" "$tmp/kept.svg"
count $? "a picture that somebody else drew stays"
is 0 '' plot "$tmp/run" out="$tmp/page.html"
is 0 '' plot "$tmp/run" out="$tmp/page.html"

is 2 'no folder' plot out=x.svg
is 2 'ends neither in .svg' plot "$tmp/run" out="$tmp/p.png"
is 2 'nearest is out' plot "$tmp/run" ouch=1
is 2 'not an option' plot "$tmp/run" -v
is 1 'none/log.jsonl does not exist; name the folder' plot "$tmp/none"
is 1 'cannot write' plot "$tmp/run" out="$tmp/none/p.svg"
bad() { # bad PATTERN LINE: as the third line
    log 2 1 0 9 1 >"$tmp/run/log.jsonl"
    printf '%s\n' "$2" >>"$tmp/run/log.jsonl"
    rm -f "$tmp/p.svg"
    is 1 "log.jsonl:3: $1" plot "$tmp/run" out="$tmp/p.svg"
    [ ! -e "$tmp/p.svg" ]
    count $? "no picture of a bad log"
}
rest='"total_loss": 1, "tokens": 1, "tokens_per_s": 1'
bad 'not JSON' 'nonsense'
bad 'not JSON' ''
bad '"loss" is no number' '{"step": 3, "loss": NaN, '"$rest}"
bad 'not JSON' '{"step": 3, "step": 4, "loss": 1, '"$rest}"
bad '"step" must' '[1, 2]'
bad '"step" must' '{"loss": 1, '"$rest}"
bad '"step" must be a whole number above 2' '{"step": 2, "loss": 1, '"$rest}"
bad '"step" must' '{"step": 3.5, "loss": 1, '"$rest}"
bad '"step" must' '{"step": 9007199254740993, "loss": 1, '"$rest}"
bad '"loss" is missing' '{"step": 3, '"$rest}"
bad '"loss" is no number' '{"step": 3, "loss": "1", '"$rest}"
bad '"loss" is no number' '{"step": 3, "loss": 1e31, '"$rest}"
bad '"tokens_per_s" is missing' '{"step": 3, "loss": 1, "tokens": 1}'
bad '.*no maximum is below its mean' '{"step": 3, "loss": 1, "expert_max_over_mean": 0, '"$rest}"
: >"$tmp/run/log.jsonl"
is 1 'no step is done yet' plot "$tmp/run"
log 3 1 0 9 1 >"$tmp/run/log.jsonl"
for kind in open read write fsync rename; do
    rm -f "$tmp/p.svg"
    MOP_FAULT=$kind:1 "$MOP" plot "$tmp/run" out="$tmp/p.svg" >"$tmp/out" 2>"$tmp/err"
    [ $? -eq 1 ] && grep -q '^error: .' "$tmp/err" && { [ ! -e "$tmp/p.svg" ] || tail -n 1 "$tmp/p.svg" | grep -q '</svg>'; }
    count $? "$kind that fails: $(cat "$tmp/err")"
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
