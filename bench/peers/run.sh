#!/bin/sh
# run.sh MOP FOLDER: mop beside PyTorch, the same models on the same tokens, in turn, in one run. Python and PyTorch are
# installed in FOLDER and nowhere else. PEERS_QUICK=1 takes few steps of a tiny model: it shows that all parts work.
set -eu

mop=$1
folder=$2
here=$(dirname "$0")

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
missing=
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3 python3-venv"
command -v g++ >/dev/null || missing="$missing g++" # what torch.compile compiles with
if [ -n "$missing" ]; then
    echo "run.sh: installing with apt-get:$missing"
    install() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing </dev/null; }
    install || { $sudo apt-get update -q && install; }
fi

mkdir -p "$folder"
if ! [ -e "$folder/venv/installed" ]; then
    echo "run.sh: installing PyTorch in $folder/venv"
    rm -rf "$folder/venv"
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install -q -r "$here/requirements.txt"
    touch "$folder/venv/installed"
fi
exec "$folder/venv/bin/python" "$here/peers.py" --mop "$mop" --folder "$folder"
