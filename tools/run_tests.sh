#!/bin/sh
# run_tests.sh BUILD...: run every test of the builds: the programs BUILD/tests/*/test_* and fuzz_*, and the scripts
# tests/*/test_*.sh with MOP=BUILD/mop. Each must print "N passed, N failed, N skipped" as its last line; one that
# crashes, hangs or prints no such line counts as one failed. The last line printed here is the sum.
#   TEST_JOBS   how many run at once (all CPUs)
#   TEST_ONLY   a pattern of names, such as 'data/*'
set -u
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

for build in "$@"; do
    case $build in /*) abs=$build ;; *) abs=$PWD/$build ;; esac
    for t in "$abs"/tests/*/test_* "$abs"/tests/fuzz/fuzz_* tests/*/test_*.sh; do
        case $t in *.d | *.o | *.dSYM) continue ;; esac
        [ -x "$t" ] || [ "${t##*.}" = sh ] || continue
        name=${t#"$abs"/tests/}
        name=${name#tests/}
        # one thread alone has no races: under ThreadSanitizer these are minutes for nothing
        case ${abs##*/}/$name in
        tsan/fuzz/* | tsan/laws/* | tsan/cli/* | tsan/ckpt/* | tsan/model/* | tsan/ref/* | tsan/torture/*) continue ;;
        tsan/base/test_opt | tsan/data/test_*[!h]) continue ;; # data: test_tokenize.sh has threads
        esac
        # shellcheck disable=SC2254
        case $name in ${TEST_ONLY:-*}) echo "$abs $name $t" ;; esac
    done
done >"$work/list"

cat >"$work/one" <<'ONE'
build=$1 name=$2 test=$3
id=$(echo "$build/$name" | tr '/' '_')
TMPDIR=$WORK/tmp-$id
mkdir -p "$TMPDIR"
export TMPDIR
MOP=$build/mop
export MOP
start=$(date +%s%N)
case $test in
*.sh) shell=sh
    head -n 1 "$test" | grep -q bash && shell=bash
    timeout -k 10 1200 $shell "$test" >"$WORK/out-$id" 2>&1 </dev/null ;;
*) timeout -k 10 1200 "$test" >"$WORK/out-$id" 2>&1 </dev/null ;;
esac
rc=$?
ms=$((($(date +%s%N) - start) / 1000000))
last=$(tail -n 1 "$WORK/out-$id")
if ! echo "$last" | grep -Eqx '[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped'; then
    last="0 passed, 1 failed, 0 skipped"
    echo "FAILED $name: no closing line; exit status $rc" >>"$WORK/out-$id"
fi
set -- $last
p=$1 f=$3 s=$5
if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
    echo "FAILED $name: exit status $rc" >>"$WORK/out-$id"
    f=1
fi
echo "$p $f $s" >"$WORK/sum-$id"
rm -rf "$TMPDIR"
label=$name
[ "$build" = "$FIRST" ] || label="$name [${build##*/}]"
line=$(printf '%-44s %5d passed %3d failed %3d skipped %7d.%01d s' "$label" "$p" "$f" "$s" $((ms / 1000)) $((ms % 1000 / 100)))
if [ "$f" -ne 0 ]; then
    printf '%s\n%s\n' "$line" "$(tail -n 60 "$WORK/out-$id" | sed 's/^/    | /')"
else
    printf '%s\n' "$line"
    grep '^SKIP' "$WORK/out-$id" | sed 's/^/    | /'
fi
exit 0
ONE
WORK=$work
FIRST=
read -r FIRST _ <"$work/list"
export WORK FIRST
xargs -P "${TEST_JOBS:-$(nproc)}" -L 1 sh "$work/one" <"$work/list"

if ! ls "$work"/sum-* >/dev/null 2>&1; then
    echo "run_tests.sh: no tests found under: $*; build them first (make tests)" >&2
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
# a test that left no sum (killed with its shell, say) is one failed
wanted=$(wc -l <"$work/list")
cat "$work"/sum-* | awk -v wanted="$wanted" '
    { p += $1; f += $2; s += $3; n++ }
    END { f += wanted - n; printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f != 0 }'
