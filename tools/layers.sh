#!/bin/sh
# layers.sh [ROOT]: LAW of who may include whom. The table is the one in ARCHITECTURE.md whose head is
# "| room | may include |"; a row may name several rooms, "everything" and "everything but X" are understood.
# Also: a room's *_int.h is its own, and libraries' headers stand only in the files of their back-end.
set -eu
cd "${1:-$(dirname "$0")/..}"

table=$(awk -F'|' '
    /^\| *room *\| *may include *\|/ { on = 1; getline; next }
    on && !/^\|/ { exit }
    on { print $2 "|" $3 }' ARCHITECTURE.md)
if [ -z "$table" ]; then
    echo "layers.sh: no table \"| room | may include |\" in ARCHITECTURE.md; put it back" >&2
    exit 1
fi

find src models -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | LC_ALL=C sort | xargs awk -v table="$table" '
    function room_of(path, part) {
        split(path, part, "/")
        return part[1] == "src" ? part[2] : part[1]
    }
    function broken(what, mend) {
        printf "%s:%d: LAW layers: %s; %s\n", FILENAME, FNR, what, mend
        bad = 1
    }
    BEGIN {
        lines = split(table, row, "\n")
        for (i = 1; i <= lines; i++) {
            split(row[i], side, "|")
            n = split(side[1], from, /[ ,]+/)
            for (j = 1; j <= n; j++) {
                if (from[j] == "") continue
                known[from[j]] = 1
                if (side[2] ~ /everything/) {
                    all[from[j]] = 1
                    if (side[2] ~ /but/) { except = side[2]; sub(/.*but */, "", except); gsub(/ /, "", except); never[from[j], except] = 1 }
                    continue
                }
                m = split(side[2], to, /[ ,]+/)
                for (k = 1; k <= m; k++) may[from[j], to[k]] = 1
            }
        }
    }
    FNR == 1 {
        room = room_of(FILENAME)
        file = FILENAME
        sub(/.*\//, "", file)
        if (!(room in known)) broken("the room " room " is not in the table of ARCHITECTURE.md", "add its row")
    }
    /^[ \t]*#[ \t]*include[ \t]*</ {
        h = $0
        sub(/.*</, "", h); sub(/>.*/, "", h)
        if (h == "mpi.h" && file != "comm_mpi.c") broken("<mpi.h>", "only comm_mpi.c may include it")
        if (h == "nccl.h" && file != "comm_nccl.cu") broken("<nccl.h>", "only comm_nccl.cu may include it")
        if (h ~ /^(cuda|cublas|curand|cooperative_groups)/ && file !~ /_cuda\.cu$/ && file != "comm_nccl.cu") broken("<" h ">", "only *_cuda.cu may include it")
        if ((h ~ /intrin\.h$/ || h == "omp.h" || h == "arm_neon.h") && file !~ /_cpu(_[a-z0-9]+)?\.[ch]$/) broken("<" h ">", "only *_cpu.c and *_cpu_ISA.c, and headers named so, may include it")
    }
    /__builtin_(ia32|arm|aarch64)_/ {
        if (file !~ /_cpu(_[a-z0-9]+)?\.[ch]$/ && FILENAME != "src/base/relax.h") broken("an intrinsic by its builtin", "only *_cpu.c and *_cpu_ISA.c may use it; to wait there is cpu_relax")
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        h = $0
        sub(/[^"]*"/, "", h); sub(/".*/, "", h)
        if (h !~ /\//) { broken("\"" h "\" without its room", "write \"ROOM/" h "\""); next }
        if (h ~ /\.\./) { broken("\"" h "\" goes up", "write \"ROOM/FILE.h\""); next }
        to_room = room_of("src/" h)
        if (to_room == room) next
        if (h ~ /_int\.h$/) broken("\"" h "\" is private to " to_room, "go through its public header")
        ok = ((room, to_room) in may) || ((room in all) && !((room, to_room) in never))
        if (!ok) broken(room " may not include " to_room " (\"" h "\")", "pass what is needed in, or let train (the corridor) call both")
    }
    END { exit bad }'
