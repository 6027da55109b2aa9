#!/bin/sh
# deps.sh GROUP...: install with apt-get what is missing of the groups' packages: build, demo, ci, peers. Where all is there
# nothing is run and no rights are needed.
set -eu

packages=
for group in "$@"; do
    case $group in
    build) packages="$packages gcc libc6-dev make pkg-config binutils libjansson-dev libyaml-dev libpcre2-dev libutf8proc-dev libxxhash-dev zlib1g-dev libzstd-dev libopenmpi-dev openmpi-bin" ;;
    demo) packages="$packages perl-doc" ;;
    peers) packages="$packages python3 python3-venv g++" ;; # g++: what torch.compile compiles with
    ci) packages="$packages clang clang-tidy clang-format libclang-rt-14-dev" ;;
    *)
        echo "deps.sh: no group $group; give build, demo, ci or peers" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    # not Debian: the libraries may be there all the same
    if pkg-config --exists jansson yaml-0.1 libpcre2-8 libutf8proc libxxhash zlib libzstd; then exit 0; fi
    echo "deps.sh: this is no Debian; install the equivalents of:$packages" >&2
    exit 1
fi

missing=
for p in $packages; do
    case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in
    *" installed") ;;
    *) missing="$missing $p" ;;
    esac
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "deps.sh: missing:$missing; run as root: apt-get install$missing" >&2
        exit 1
    fi
    sudo=sudo
fi
echo "deps.sh: installing with apt-get:$missing"
install() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing </dev/null; }
# the package lists may be old or not there at all
install || { $sudo apt-get update -q && install; }
