#!/bin/sh
# device.sh [ROOT]: LAW of queued work: the rooms that compute touch device memory by tasks alone. Where memcpy, memset, memmove or dtype_convert moves
# the host's numbers, the line says so: /* host ... */.
set -eu
cd "${1:-$(dirname "$0")/..}"
bad=0
for room in units dense attention experts vocab stash optim; do
    for f in src/"$room"/*.c; do
        [ -e "$f" ] || continue
        lines=$(grep -nE '(^|[^A-Za-z0-9_])(memcpy|memset|memmove|dtype_convert)\(' "$f" | grep -v '/\* host' | cut -d: -f1 || true)
        for l in $lines; do
            echo "$f:$l: LAW device: moves memory without a task; queue a kernel, STREAM_COPY or STREAM_FILL, or say /* host */ where it is the host's"
            bad=1
        done
    done
done
exit $bad
