#!/bin/sh
# clang-tidy over every source file, as .clang-tidy says; prints what it finds and fails if that is anything.
set -eu
cd "$(dirname "$0")/.."
flags="-std=c11 -D_GNU_SOURCE -Isrc -I. $(pkg-config --cflags jansson yaml-0.1 libpcre2-8 libutf8proc libxxhash zlib libzstd)"
isa="-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mamx-tile -mamx-bf16"
export flags isa
# shellcheck disable=SC2016
tools/sources.sh tidy | xargs -P "$(nproc)" -n 1 sh -c '
    case $1 in *_avx2.c | *_avx512.c | *_bf16.c | *_amx.c) flags="$flags $isa" ;; esac
    out=$(clang-tidy --quiet "$1" -- $flags 2>&1) && exit 0
    printf "%s\n" "$out"
    exit 1
' lint
