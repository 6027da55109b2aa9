#!/bin/bash
# The program under mpirun: the ranks are found without an option, what is not theirs is done once, and no way to fail leaves anyone
# behind. $MOP is the program.
set -u
MOP=$(realpath "${MOP:-build/mop}")
here=$(pwd)
# what Open MPI leaves allocated is not ours
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-mpirun-XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED: $2"
        tail -n 4 "$work/said"
    fi
}
skip() {
    echo "SKIP $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
command -v mpirun >/dev/null || skip "no mpirun; make deps installs Open MPI"
ldd "$MOP" 2>/dev/null | grep -q libmpi || skip "$MOP is built without MPI"

# ranks that wait must not keep the CPUs from those that work
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
on() { # on N SECONDS WORDS...: the program on N ranks; its status
    local n=$1 limit=$2
    shift 2
    timeout -k 5 "$limit" mpirun --oversubscribe --bind-to none -n "$n" "$MOP" "$@" >"$work/said" 2>&1 </dev/null
}
left_behind() { ls -d /dev/shm/*mop* /dev/shm/vader* "${TMPDIR:-/tmp}"/ompi.*/* 2>/dev/null | sort; }
left_behind >"$work/before"
cd "$work" || exit 2

# parity with transformers on four ranks, each strategy somewhere
for layout in "2 mesh.seq=2" "4 mesh.seq=2 mesh.expert=2 mesh.vocab=2" "4 preset=fsdp" "4 experts.strategy=llep experts.min_rows=2 vocab.strategy=dtp comm.check=1"; do
    # shellcheck disable=SC2086
    set -- $layout
    n=$1
    shift
    for family in olmoe mixtral; do
        on "$n" 120 parity "$here/tests/golden/$family" threads=1 "$@" && grep -q ' 0 over their bound' said
        ok $? "parity of $family on $n ranks: $*"
        [ "$(grep -c 'over their bound' said)" = 1 ]
        ok $? "parity of $family on $n ranks says so once"
    done
done

# more than 2^31 bytes
if [ -x "$(dirname "$MOP")/tests/comm/test_large" ]; then
    timeout -k 5 120 mpirun --oversubscribe --bind-to none -n 2 "$(dirname "$MOP")/tests/comm/test_large" >said 2>&1
    ok $? "bytes and places beyond 2^31"
fi

# what is not a matter of ranks happens once
awk 'BEGIN { for (i = 1; i < 2000; i++) printf "%d squared is %d, its half %d.\n%s", i, i * i, i / 2, i % 50 ? "" : "\n" }' >text.txt
on 3 60 tokenize tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" in=text.txt out=t.tok && [ -s t.tok ]
ok $? "tokenize"
on 3 60 config train.steps=7 && [ "$(grep -c '^train.steps: 7' said)" = 1 ]
ok $? "config is printed once"
on 3 60 --version && [ "$(grep -c '^mop ' said)" = 1 ]
ok $? "the version is printed once"
on 3 60 help && [ "$(grep -c 'mop train\|  train ' said)" = 1 ]
ok $? "help is printed once"
on 3 60 nonsense
[ $? -ne 0 ] && [ "$(grep -c 'nonsense' said)" -le 1 ]
ok $? "a wrong command fails, said once"

model="model.init=random model.layers=2 model.hidden=32 model.heads=4 model.kv_heads=2 model.head_dim=8 model.experts=12 model.top_k=2 model.expert_width=16"
common="$model data.train=t.tok data.seq=33 train.batch=6 train.micro_batch=3 train.lr=3e-3 train.schedule=constant threads=1 ckpt.every=2 log.level=2"
# shellcheck disable=SC2086
"$MOP" train $common train.steps=4 ranks=4 mesh.seq=2 mesh.expert=2 out=threads >said 2>&1
ok $? "four ranks as threads"
# shellcheck disable=SC2086
on 4 120 train $common train.steps=4 mesh.seq=2 mesh.expert=2 out=processes
ok $? "four ranks as processes"
"$MOP" verify threads processes >said 2>&1
ok $? "threads and processes give the same bits"
on 2 60 verify threads && [ "$(grep -c 'every byte is as it was written' said)" = 1 ]
ok $? "verify under mpirun, once"
# shellcheck disable=SC2086
on 2 120 train $common train.steps=6 out=processes train.resume=auto && [ -d processes/ckpt/step-00000006 ]
ok $? "what four processes wrote, two go on with"

# failing: an option that is wrong, a file that is not there
# shellcheck disable=SC2086
on 3 60 train $common train.steps=4 mesh.seq=2 out=wrong
[ $? -ne 0 ] && grep -q 'mesh.seq=2 does not divide ranks=3' said
ok $? "degrees that do not fit"
# shellcheck disable=SC2086
on 2 60 train $common train.steps=4 out=full data.train=none.tok
[ $? -ne 0 ] && grep -q 'none.tok' said
ok $? "a missing file ends the job"
# rank 0 alone fails: it is the one that writes
# shellcheck disable=SC2086
MOP_FAULT=write:40 on 2 60 train $common train.steps=40 out=fault
[ $? -ne 0 ] && [ "$(pgrep -cf "$work/fault\|out=fault")" = 0 ]
ok $? "a write that fails on one rank ends all"

# a rank is killed, and mpirun itself
steps() { for _ in $(seq 100); do
    [ -f "$1/log.jsonl" ] && [ "$(wc -l <"$1/log.jsonl")" -gt 2 ] && return 0
    sleep 0.2
done; return 1; }
ranks_of() { pgrep -f "mop train .*out=$1\$"; }
gone() { for _ in $(seq 75); do
    [ -z "$(ranks_of "$1")" ] && return 0
    sleep 0.2
done; return 1; }
end_by() { # end_by rank|mpirun: SIGKILL in the middle
    # shellcheck disable=SC2086
    on 2 120 train $common train.steps=1000000 ckpt.every=0 out="$1" &
    local job=$!
    steps "$1"
    ok $? "$1: training"
    case $1 in
    rank) kill -9 "$(ranks_of rank | grep -v "$(pgrep -f '^mpirun.*out=rank')" | tail -n 1)" ;;
    mpirun) pkill -9 -f '^mpirun.*out=mpirun' ;;
    esac
    gone "$1"
    ok $? "$1 killed: every rank is gone within seconds"
    wait $job
    [ $? -ne 0 ]
    ok $? "$1 killed: the job fails"
}
end_by rank

# asked to stop, it saves: SIGTERM and SIGUSR1 to mpirun, SIGHUP to one rank
for signal in TERM USR1 HUP; do
    # shellcheck disable=SC2086
    on 2 120 train $common train.steps=1000000 ckpt.every=0 out=stopped-$signal &
    job=$!
    steps stopped-$signal
    launcher=$(pgrep -f "^mpirun.*out=stopped-$signal")
    if [ $signal = HUP ]; then kill -HUP "$(ranks_of stopped-$signal | grep -v "$launcher" | tail -n 1)"; else kill -$signal "$launcher"; fi
    gone stopped-$signal
    ok $? "SIG$signal: every rank ends"
    wait $job
    [ "$(ls stopped-$signal/ckpt 2>/dev/null | wc -l)" = 1 ] && "$MOP" verify stopped-$signal >said 2>&1
    ok $? "SIG$signal: with a checkpoint"
done

# one run, one folder
# shellcheck disable=SC2086
on 2 120 train $common train.steps=1000000 ckpt.every=0 out=locked &
job=$!
steps locked
# shellcheck disable=SC2086
on 2 60 train $common train.steps=4 out=locked
[ $? -ne 0 ] && grep -q 'a run is at work in out=locked' said
ok $? "a second job in the same folder is refused"
pkill -USR1 -f "^mpirun.*out=locked"
wait $job
[ "$(ls locked/ckpt | wc -l)" = 1 ]
ok $? "and the first does not mind"

# what a kill left is put right once
cp -r processes killed && cp -r killed/ckpt/step-00000006 killed/ckpt/step-00000008.part && mv killed/ckpt/step-00000006 killed/ckpt/step-00000006.old
# shellcheck disable=SC2086
on 3 120 train $common train.steps=8 out=killed train.resume=auto && [ "$(ls killed/ckpt | tr '\n' ' ')" = "step-00000006 step-00000008 " ]
ok $? "three processes go on at the first try: $(ls killed/ckpt)"

fresh() { left_behind | grep -vxFf before; } # what was there before may be others', and go
for _ in $(seq 50); do # another test's ranks may be at work
    [ -z "$(fresh)" ] && break
    sleep 0.2
done
[ -z "$(fresh)" ]
ok $? "nothing is left in /dev/shm or the temporary folder: $(fresh | head -n 3)"

# Open MPI's own segments outlive an mpirun that is killed outright; the ranks do not
end_by mpirun
fresh | xargs -r rm -rf

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
