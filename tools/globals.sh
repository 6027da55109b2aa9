#!/bin/sh
# globals.sh [ROOT] [BUILD]: LAW of state: no mutable data with a life of its own (file scope or static in a function)
# outside base/err, log, fault and trace: ranks are threads of one process. Read from the objects of a plain build, where
# .data, .bss and their thread-local twins hold what can be written; constants lie elsewhere (.rodata, .data.rel.ro).
set -eu
cd "${1:-$(dirname "$0")/..}"
build=${2:-build}
objects=$(find "$build/obj" -name '*.o' 2>/dev/null | LC_ALL=C sort)
if [ -z "$objects" ]; then
    echo "globals.sh: no objects in $build/obj; run make first" >&2
    exit 1
fi
bad=0
for o in $objects; do
    case $o in */base/err.o | */base/log.o | */base/fault.o | */base/trace.o) continue ;; esac
    names=$(objdump -t "$o" | awk '
        $1 ~ /^[0-9a-f]+$/ {
            section = ""
            for (i = 2; i < NF; i++) if ($i ~ /^(\.(data|bss|tdata|tbss)|\*COM\*)/) section = $i
            if (section == "" || section ~ /^\.data\.rel\.ro/ || $NF == section) next
            if ($(NF - 1) ~ /^0+$/) next # labels
            print $NF
        }')
    for n in $names; do
        src=${o#"$build"/obj/}
        echo "${src%.o}.c: LAW globals: $n can be written and outlives its function; put it into a struct that the caller owns, or make it const"
        bad=1
    done
done
exit $bad
