#!/bin/sh
# results.sh MOP: the figures of README.md and docs/results/, measured here and now: a demo run from its beginning in
# out/results, drawn by mop plot, every kernel beside the roofline, and what ranks give. What lies between the marks in README.md is written anew.
set -eu

mop=$1
run=out/results/demo
data=out/results/data
docs=docs/results
log=out/results/train.log

mkdir -p out/results "$docs"
rm -rf "$run" "$data"
start=$(date +%s)
echo "results.sh: the demo, some minutes; what it says goes to $log"
tools/demo.sh "$mop" "$run" "$data" >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    echo "results.sh: the demo failed; nothing was written" >&2
    exit 1
}
took=$(($(date +%s) - start))
"$mop" plot "$run" out="$docs/demo.svg"
"$mop" bench kernels >"$docs/kernels.txt"
for what in dispatch vocab attention step; do "$mop" bench $what; done >"$docs/ranks.txt"

machine=$("$mop" doctor speed=false | sed -n 's/^CPU  *//p; s/^flags  */with /p' | paste -sd ' ')
speed=$(sed -n 's/.*"tokens_per_s": \([0-9]*\).*/\1/p' "$run/log.jsonl" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
memory=$(sed -n 's/.*  \([0-9.]*\) GiB$/\1/p' "$log" | sort -n | tail -n 1)
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
model=$(grep -o 'model: .*' "$log" | head -n 1)

figures() {
    echo "\`make demo\` took $((took / 60)) min $((took % 60)) s without building, $speed tokens/s in the median step, $memory GiB; it printed among others:"
    echo
    echo "    $model"
    grep -o 'step [0-9]*: validation loss.*' "$log" | sed 's/^/    /'
    grep -o 'unigram entropy.*' "$log" | sed 's/^/    /'
    echo
    echo "Measured by \`make results\` on: $machine; mop $commit; the machine may have been shared."
}
{
    echo "# The demo's run"
    echo
    figures
    echo
    echo "![loss, throughput and balance](demo.svg)"
    echo
    echo "The sample, after \"=head1 DESCRIPTION\":"
    echo
    sed -n '/^== 5\/5/,/^The model is in/p' "$log" | sed '1d;$d' | sed 's/^/    /'
    echo "Where its time went:"
    echo
    "$mop" report "$run" | sed -n '/^time: .* steps of/,/^matrix products:/p' | sed 's/^/    /'
} >"$docs/demo.md"
figures >out/results/figures
awk -v file=out/results/figures '
    /<!-- results -->/ { print; while ((getline line < file) > 0) print line; skip = 1 }
    /<!-- end of results -->/ { skip = 0 }
    !skip && !/<!-- results -->/ { print }' README.md >out/results/README.md
cp out/results/README.md README.md
echo "written: README.md, $docs/demo.md, $docs/demo.svg, $docs/kernels.txt, $docs/ranks.txt"
