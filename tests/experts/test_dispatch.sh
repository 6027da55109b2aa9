#!/bin/sh
# `mop bench dispatch`: the eight ratios of the paper, and plans of counts given as JSON. $MOP is the program.
MOP=${MOP:-build/mop}
passed=0 failed=0
check() { # check WHAT GOT WANTED
    if [ "$2" = "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); printf 'FAILED %s: got "%s", not "%s"\n' "$1" "$2" "$3"; fi
}
plan=$("$MOP" bench dispatch plan=1)
ratio() { echo "$plan" | awk -v p="$1" '$1 == p { print $2 "/" $3 }'; }
check "balanced" "$(ratio balanced)" 1.00/1.02
check "95/16" "$(ratio 95/16)" 1.35/2.63
check "80/16" "$(ratio 80/16)" 2.40/4.00
check "50/4" "$(ratio 50/4)" 2.29/6.00
ask() { echo "$1" | "$MOP" bench dispatch in=- 2>&1; }
head='"ranks": 2, "experts": 4, "alpha": 1.0, "min_rows": 2, "lambda": 1.3'
check "nothing routed" "$(ask "{$head, \"counts\": [[0,0,0,0],[0,0,0,0]]}")" '{"plan": [], "migrations": [], "send": [[0, 0], [0, 0]]}'
check "a hot expert spills" "$(ask "{$head, \"counts\": [[10,0,1,0],[12,1,0,0]]}")" \
    '{"plan": [{"expert": 0, "rank": 0, "from": 0, "to": 11}, {"expert": 0, "rank": 1, "from": 11, "to": 22}, {"expert": 1, "rank": 0, "from": 0, "to": 1}, {"expert": 2, "rank": 1, "from": 0, "to": 1}], "migrations": [{"expert": 0, "from": 0, "to": 1}], "send": [[10, 1], [2, 11]]}'
refuse() { # refuse WHAT JSON PART
    if echo "$2" | "$MOP" bench dispatch in=- >/dev/null 2>message.$$; then s=0; else s=$?; fi
    check "$1: exit" $s 1
    if grep -q -- "$3" message.$$; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED $1: $(cat message.$$)"; fi
    rm -f message.$$
}
refuse "not JSON" '{' 'not JSON'
refuse "a negative count" "{$head, \"counts\": [[0,-1,0,0],[0,0,0,0]]}" 'counts'
refuse "a fraction" "{$head, \"counts\": [[0,1.5,0,0],[0,0,0,0]]}" 'counts'
refuse "a row too few" "{$head, \"counts\": [[0,0,0,0]]}" 'counts'
refuse "ranks that do not divide" '{"ranks": 3, "experts": 4, "alpha": 1, "min_rows": 1, "lambda": 1, "counts": []}' 'divide'
refuse "no alpha" '{"ranks": 2, "experts": 4, "min_rows": 1, "lambda": 1, "counts": []}' 'alpha'
refuse "too many rows" "{$head, \"counts\": [[4611686018427387904,1,0,0],[0,0,0,0]]}" '2^62'
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
