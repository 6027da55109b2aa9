#!/bin/sh
# sizes.sh [ROOT]: LAW of length: more than 500 lines need a reason in the file's head (a line with "LENGTH: why" among
# the first 10), more than 800 fail.
set -eu
cd "${1:-$(dirname "$0")/..}"
bad=0
for f in $(find src models ref tests tools .ci -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.sh' -o -path .ci/run | LC_ALL=C sort); do
    n=$(wc -l <"$f")
    if [ "$n" -gt 800 ]; then
        echo "$f: LAW sizes: $n lines, more than 800; split it by what its parts are for"
        bad=1
    elif [ "$n" -gt 500 ] && ! head -n 10 "$f" | grep -q 'LENGTH: *[^ ]'; then
        echo "$f: LAW sizes: $n lines, more than 500 without a reason; split it, or say why not in its head (LENGTH: ...)"
        bad=1
    fi
done
exit $bad
