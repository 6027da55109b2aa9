#!/bin/bash
# old_tree.sh COMMIT: build the commit in build/old/COMMIT, unless it is there; prints the program's path.
set -u
cd "$(dirname "$0")/.." || exit 2
commit=$(git rev-parse --short "${1:?old_tree.sh COMMIT}^{commit}") || exit 2
tree=$(pwd)/build/old/$commit
if [ ! -x "$tree/build/mop" ]; then
    mkdir -p build/old
    rm -rf "$tree"
    git worktree prune
    git worktree add -q --detach "$tree" "$commit" >&2 || exit 2
    make -s -C "$tree" -j"$(nproc)" ${CC:+CC="$CC"} all >/dev/null || { echo "old_tree.sh: $commit does not build" >&2; exit 2; }
fi
echo "$tree/build/mop"
