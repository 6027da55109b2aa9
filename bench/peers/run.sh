#!/bin/sh
# run.sh MOP FOLDER: mop beside PyTorch, the same models on the same tokens, in turn, in one run. Python and PyTorch are
# installed in FOLDER and nowhere else. PEERS_QUICK=1 takes few steps of a tiny model: it shows that all parts work.
set -eu

mop=$1
folder=$2
here=$(dirname "$0")

mkdir -p "$folder"
if ! [ -e "$folder/venv/installed" ]; then
    echo "run.sh: installing PyTorch in $folder/venv"
    rm -rf "$folder/venv"
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install -q -r "$here/requirements.txt"
    touch "$folder/venv/installed"
fi
exec "$folder/venv/bin/python" "$here/peers.py" --mop "$mop" --folder "$folder"
