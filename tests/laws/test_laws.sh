#!/bin/sh
# The laws hold here, and each script fails on a copy that breaks its law and names the file.
set -u
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0
root=$PWD
build=$(dirname "$MOP")

ok() { # ok WHAT RC: passed if RC is 0
    if [ "$2" -eq 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED $1"
        sed 's/^/    /' "$tmp/out"
    fi
}
# breaks SCRIPT PATTERN WHAT: SCRIPT fails on the copy and its output has a line with PATTERN
breaks() {
    "$root/tools/$1.sh" "$tmp/copy" build >"$tmp/out" 2>&1
    rc=$?
    [ "$rc" -ne 0 ] && grep -q "$2" "$tmp/out"
    ok "$1 must see $3 (exit status $rc)" $?
}
holds() { # holds SCRIPT WHAT
    "$root/tools/$1.sh" "$tmp/copy" build >"$tmp/out" 2>&1
    ok "$1: $2" $?
}
copy() { # a small tree that keeps every law
    rm -rf "$tmp/copy"
    mkdir -p "$tmp/copy/src/base" "$tmp/copy/src/model" "$tmp/copy/src/comm" "$tmp/copy/src/kernels/mul" "$tmp/copy/src/cli" "$tmp/copy/models" \
        "$tmp/copy/ref" "$tmp/copy/tests" "$tmp/copy/tools" "$tmp/copy/.ci" "$tmp/copy/docs" "$tmp/copy/build"
    cp ARCHITECTURE.md "$tmp/copy/"
    echo '#include "base/b.h"' >"$tmp/copy/src/base/b.c"
    echo '#include "base/b_int.h"' >>"$tmp/copy/src/base/b.c"
    echo '#include "base/b.h"' >"$tmp/copy/src/model/m.c"
    echo '#include <immintrin.h>' >"$tmp/copy/src/kernels/mul/mul_cpu_avx2.c"
    echo '#include "train/train.h"' >"$tmp/copy/src/cli/c.c"
    echo '#include "model/m.h"' >"$tmp/copy/models/f.c"
}
compile() { # compile FILE TEXT
    mkdir -p "$tmp/copy/build/obj/$(dirname "$1")"
    printf '%s\n' "$2" >"$tmp/copy/$1"
    "${CC:-gcc}" -O1 -fPIE -c "$tmp/copy/$1" -o "$tmp/copy/build/obj/${1%.c}.o" >"$tmp/out" 2>&1 || ok "compile $1" 1
}

copy
holds layers "a tree that keeps the law"
echo '#include "model/m.h"' >>"$tmp/copy/src/base/b.c"
breaks layers 'src/base/b.c:3: .*base may not include model' "base that includes model"
copy
echo '#include "cli/c.h"' >"$tmp/copy/src/cli/../model/m.c"
breaks layers 'model may not include cli' "model that includes cli"
copy
mkdir "$tmp/copy/src/train"
echo '#include "cli/c.h"' >"$tmp/copy/src/train/t.c"
breaks layers 'train may not include cli' "train that includes cli"
echo '#include "experts/e.h"' >"$tmp/copy/src/train/t.c"
holds layers "train includes a room"
echo '#include "base/b_int.h"' >"$tmp/copy/src/train/t.c"
breaks layers 'private to base' "a private header of another room"
copy
echo '#include "m.h"' >"$tmp/copy/src/model/m.c"
breaks layers 'without its room' "an include without its room"
copy
echo '#include <immintrin.h>' >"$tmp/copy/src/kernels/mul/mul_ref.c"
breaks layers 'mul_ref.c:1: .*immintrin.h' "intrinsics in a reference kernel"
copy
echo 'void f(void) { __builtin_ia32_pause(); }' >>"$tmp/copy/src/base/b.c"
breaks layers 'src/base/b.c:3: .*intrinsic by its builtin' "an intrinsic by its builtin"
copy
mkdir "$tmp/copy/src/vocab"
echo '    memset(x, 0, n); /* host: counts */' >"$tmp/copy/src/vocab/v.c"
holds device "the host's memory"
echo '    memcpy(x, y, n);' >>"$tmp/copy/src/vocab/v.c"
breaks device 'src/vocab/v.c:2: ' "memory moved without a task"
copy
echo '#include <mpi.h>' >"$tmp/copy/src/comm/comm.c"
breaks layers '<mpi.h>' "MPI outside comm_mpi.c"
copy
echo '# include <cuda_runtime.h>' >"$tmp/copy/src/comm/comm.c"
breaks layers '<cuda_runtime.h>' "CUDA outside *_cuda.cu"
copy
mkdir "$tmp/copy/src/attic"
echo 'int x;' >"$tmp/copy/src/attic/a.c"
breaks layers 'not in the table' "a room that the table does not have"
copy
echo '# nothing' >"$tmp/copy/ARCHITECTURE.md"
breaks layers 'no table' "a missing table"

copy
seq 500 | sed 's/^/int a/; s/$/;/' >"$tmp/copy/src/base/b.c"
holds sizes "500 lines need no reason"
echo 'int b;' >>"$tmp/copy/src/base/b.c"
breaks sizes 'b.c: .*501 lines' "501 lines"
sed -i '3s|^|/* LENGTH: one table */ |' "$tmp/copy/src/base/b.c"
holds sizes "501 lines with a reason"
seq 801 >"$tmp/copy/src/base/b.c"
sed -i '3s|^|/* LENGTH: one table */ |' "$tmp/copy/src/base/b.c"
breaks sizes 'b.c: .*801 lines' "801 lines even with a reason"

copy
breaks globals 'no objects' "a tree that is not built"
breaks exits 'no objects' "a tree that is not built"
compile src/model/g.c 'static const char *const names[] = {"a", "b"}; const char *name(int i) { return names[i]; } extern int other; int get(void) { return other; }'
holds globals "constants"
holds exits "no calls"
compile src/model/g.c 'static int n = 1; int next(void) { return n++; }'
breaks globals 'src/model/g.c: .* n can be written' "a variable in .data"
compile src/model/g.c 'int next(void) { static int n; return n++; }'
breaks globals 'src/model/g.c: .* n[.0-9]* can be written' "a variable in .bss"
compile src/model/g.c 'int n;'
breaks globals 'src/model/g.c: .* n can be written' "a public variable"
compile src/model/g.c '_Thread_local int n; int next(void) { return n++; }'
breaks globals 'src/model/g.c: .* n can be written' "a thread's variable"
compile src/model/g.c 'int zero(void) { return 0; }'
mkdir -p "$tmp/copy/src/base"
compile src/base/log.c 'int level;'
holds globals "base/log may keep state"
compile src/model/e.c '#include <stdlib.h>
void end(void) { exit(1); }'
breaks exits 'src/model/e.c: .*calls exit' "exit"
compile src/model/e.c '#include <stdlib.h>
void end(void) { abort(); }'
breaks exits 'src/model/e.c: .*calls abort' "abort"
compile src/model/e.c '#include <assert.h>
void end(int a) { assert(a); }'
breaks exits 'src/model/e.c: .*calls __assert_fail' "assert"
compile src/model/e.c 'int one(void) { return 1; }'
compile src/cli/x.c '#include <stdlib.h>
void end(void) { exit(1); }'
holds exits "cli may exit"

copy
printf '#!/bin/sh\necho options\n' >"$tmp/copy/build/mop"
chmod +x "$tmp/copy/build/mop"
echo options >"$tmp/copy/docs/options.md"
holds fresh "docs that are fresh"
echo more >>"$tmp/copy/docs/options.md"
breaks fresh 'run make docs' "docs that are not fresh"

# this tree; the laws of objects are for plain builds: sanitizers add state of their own
for law in layers sizes fresh globals exits; do
    case "$law $build" in globals\ */asan | globals\ */tsan | exits\ */asan | exits\ */tsan) continue ;; esac
    "tools/$law.sh" . "$build" >"$tmp/out" 2>&1
    ok "the law $law holds" $?
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
