#!/bin/sh
# laws.sh [BUILD]: all laws; the last line counts them like a test.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
passed=0 failed=0
for law in layers device sizes globals exits fresh; do
    if tools/$law.sh . "$build"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
