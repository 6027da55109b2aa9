#!/bin/sh
# sources.sh [c|tidy]: the project's source files, one a line: C sources and headers (c), sources that are compiled (tidy), or
# both and the scripts.
set -eu
cd "$(dirname "$0")/.."
case ${1:-} in
c) find src models ref tests -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' ;;
tidy) find src models ref -name '*.c' ;;
*) find src models ref tests tools .ci -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.sh' -o -path .ci/run ;;
esac | LC_ALL=C sort
