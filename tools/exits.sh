#!/bin/sh
# exits.sh [ROOT] [BUILD]: LAW of ends: nothing below src/cli calls exit, abort or assert: a fallible function returns
# err_t, and a rank that ends the process would leave the others hanging. Read from the objects of a plain build.
set -eu
cd "${1:-$(dirname "$0")/..}"
build=${2:-build}
objects=$(find "$build/obj" -name '*.o' 2>/dev/null | grep -v '/src/cli/' | LC_ALL=C sort || true)
if [ -z "$objects" ]; then
    echo "exits.sh: no objects in $build/obj; run make first" >&2
    exit 1
fi
bad=0
for o in $objects; do
    for n in $(nm -u "$o" | awk '$2 ~ /^(exit|_exit|_Exit|quick_exit|abort|__assert_fail|__assert|err|errx|verr|verrx)$/ { print $2 }'); do
        src=${o#"$build"/obj/}
        echo "${src%.o}.c: LAW exits: calls $n; return an err_t (FAIL, ENSURE) instead"
        bad=1
    done
done
exit $bad
