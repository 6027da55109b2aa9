#!/bin/sh
# mop doctor and mop bench kernels: what they say of this machine, that what they cannot do is an error, and that no number is none.
set -u
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0

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
says() { # says PATTERN...: each stands at the beginning of a line of the output
    for p in "$@"; do
        grep -q -e "^$p" "$tmp/out"
        count $? "no line \"$p\" in: $(head -n 40 "$tmp/out")"
    done
}
numbers() { # numbers WHAT: every number in a table of kernels is one
    ! grep -q -i -w -e '-\{0,1\}nan' -e '-\{0,1\}inf' "$tmp/out"
    count $? "$1: a number that is none: $(grep -i -w -m 1 -e nan -e inf "$tmp/out")"
}
column() { sed -n "/^$1/,/^\$/p" "$tmp/out" | sed '1d; /^$/d'; } # column HEAD: the lines under it, up to an empty one
refuses() { # refuses FAULT PATTERN WORDS...: the fault is an error that says so
    export MOP_FAULT="$1"
    shift
    is 1 "$@"
    unset MOP_FAULT
}

is 0 '' doctor speed=false
says 'CPU  *[^ ].* 1*[0-9] CPUs* for this process' 'flags ' 'memory  *[0-9.]* GiB' 'limits ' 'libraries jansson [0-9.]*, libyaml [0-9.]*, pcre2 [0-9.]*,' \
    'sets of kernels' 'checks: ' 'all is well$'
[ "$(column 'sets of kernels' | grep -c .)" -eq 5 ] && [ "$(column 'sets of kernels' | grep -c 'in use: ')" -eq 1 ]
count $? "five sets of which one is in use: $(column 'sets of kernels')"
! column 'sets of kernels' | grep -q -v -e 'in use' -e 'has no' -e 'does not grant'
count $? "a set is used, could be, or lacks something that is named: $(column 'sets of kernels')"
! grep -q -e WRONG -e roofline "$tmp/out"
count $? "with speed=false nothing is measured, and nothing is wrong"

# every set that runs is checked in both types, one that does not in neither
ran=$(column 'sets of kernels' | grep -c 'in use')
[ "$(column 'checks: ' | grep -c ' \([0-9]*\) of \1 right$')" -eq $((2 * ran)) ]
count $? "$ran sets run, checked are: $(column 'checks: ')"

# what /proc/cpuinfo says of the flags is what doctor says
if [ -r /proc/cpuinfo ] && grep -q '^flags' /proc/cpuinfo; then
    for f in avx2 fma avx512f avx512_bf16 amx_tile; do
        grep -m 1 '^flags' /proc/cpuinfo | grep -q -w "$f"
        want=$?
        grep '^flags' "$tmp/out" | grep -q -w "$f"
        [ $? -eq $want ]
        count $? "flag $f"
    done
else
    skipped=$((skipped + 5))
fi

is 0 '' doctor speed=false threads=1
says 'CPU .* 1 thread$'
is 0 '' doctor threads=2
says 'roofline, 2 threads' '  a copy of ' '  matmul  *[0-9]' '  adamw  *[0-9]' 'all is well$'
numbers doctor
of_kernels=$(grep -c '^  [a-z].* \(compute\|memory\)$' "$tmp/out")
[ "$(grep -c '^  kernel  ' "$tmp/out")" -eq 2 ] && [ "$of_kernels" -eq "$(($(sed -n 's/.* of \([0-9]*\) right$/\1/p' "$tmp/out" | head -n 1) * 2))" ]
count $? "a line per kernel and type: $of_kernels"
says 'with a window of 128, sinks$' '    attention_backward  *[0-9]'
is 0 '' bench kernels isa=portable threads=1
says 'date  *20' 'CPU .* 1 thread$' 'roofline, 1 thread: ' '  portable  *[0-9]' 'portable, fp32: ' 'portable, bf16: ' \
    'portable, fp32: the rooms' '  experts gate, up  *[0-9]' '  logits  *[0-9]'
numbers 'bench kernels'
! grep -q -e '^  avx' -e '^avx' -e '^amx' "$tmp/out"
count $? "isa=portable measures another set: $(grep -m 1 -e '^  avx' -e '^avx' -e '^amx' "$tmp/out")"

is 2 'there is no set of kernels named sse' bench kernels isa=sse
is 2 'nearest is isa' bench kernels isb=avx2
is 2 'threads' bench kernels threads=many
is 2 'threads' bench kernels threads=1025
is 2 'threads' doctor threads=-1
is 2 'nearest is speed' doctor sped=false
is 2 "speed" doctor speed=perhaps
is 2 'did you mean kernels' bench kernel
is 2 'did you mean doctor' doctr

# memory or threads that are refused: an error that says so, wherever it is
for n in 1 2 3 7; do
    refuses reserve:$n 'cannot reserve' doctor speed=false
done
refuses reserve:1 'cannot reserve' bench kernels isa=portable
refuses thread:1 'thread' doctor speed=false threads=2
refuses thread:1 'thread' bench kernels isa=portable threads=2

"$MOP" doctor speed=false >/dev/full 2>"$tmp/err"
[ $? -eq 1 ] && grep -q 'standard output' "$tmp/err"
count $? "a full disk is an error: $(cat "$tmp/err")"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
