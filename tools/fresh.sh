#!/bin/sh
# fresh.sh [ROOT] [BUILD]: LAW of fresh docs: docs/options.md is what `make docs` makes.
set -eu
cd "${1:-$(dirname "$0")/..}"
build=${2:-build}
"$build/mop" help markdown | diff -u docs/options.md - && exit 0
echo "docs/options.md: LAW fresh: it is not what \`$build/mop help markdown\` prints; run make docs and commit it"
exit 1
