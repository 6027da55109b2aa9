#!/bin/bash
# The machine as it is: what control groups, quotas, affinity and the environment leave decides on threads and on what is refused, and
# ranks that share a limit share it. Control groups are written into a mount of this test's own, for which it must be able to make one.
set -u
MOP=$(realpath "${MOP:-build/mop}")
here=$(pwd)
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" # what Open MPI leaves allocated is not ours
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-machine-XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED: $2"
        tail -n 4 said
    fi
}
skip() {
    echo "SKIP $1"
    skipped=$((skipped + 1))
}
finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}
unset OMP_NUM_THREADS SLURM_CPUS_PER_TASK
cd "$work" || exit 2
awk 'BEGIN { for (i = 1; i < 800; i++) printf "%d squared is %d.\n", i, i * i }' >text.txt
"$MOP" tokenize tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" in=text.txt out=t.tok >said 2>&1
ok $? "a token file"
n=0
# run WORDS...: a tiny run, a folder of its own
run() {
    n=$((n + 1))
    "$MOP" train model.init=random model.layers=2 model.hidden=64 model.heads=4 model.experts=8 model.top_k=2 model.expert_width=32 data.train=t.tok \
        data.seq=64 train.batch=4 train.steps=1 ckpt.every=0 log.level=2 out="o$n" "$@" >said 2>&1
}
threads() { sed -n 's/^model: .*, \([0-9]*\) threads*$/\1/p' said; }

# ---- the environment ----
OMP_NUM_THREADS=1 run && [ "$(threads)" = 1 ]
ok $? "OMP_NUM_THREADS"
if [ "$(getconf _NPROCESSORS_ONLN)" -gt 1 ]; then
    grep -q '^threads: 1, of [0-9]* CPUs that the machine has (OMP_NUM_THREADS=1)$' said
    ok $? "what decides on the threads is said"
else skip "the machine has one CPU"; fi
SLURM_CPUS_PER_TASK=1 run && [ "$(threads)" = 1 ]
ok $? "SLURM_CPUS_PER_TASK"
OMP_NUM_THREADS=1 run threads=3 && [ "$(threads)" = 3 ] && ! grep -q '^threads:' said
ok $? "what is asked for stands"
if command -v taskset >/dev/null; then
    first=$(taskset -pc $$ | sed 's/.*: //; s/[-,].*//')
    n=$((n + 1))
    taskset -c "$first" "$MOP" train model.init=random data.train=t.tok train.steps=1 train.batch=1 data.seq=16 log.level=2 out="o$n" >said 2>&1 && [ "$(threads)" = 1 ]
    ok $? "affinity"
else skip "no taskset"; fi
run ranks=64 train.batch=64 && [ "$(threads)" = 1 ]
ok $? "more ranks than CPUs have a thread each"
if (ulimit -v 4000000 && "$MOP" version) >said 2>&1; then
    (ulimit -v 1000000 && run model.hidden=1024 model.expert_width=1024 data.seq=512)
    [ $? = 1 ] && grep -q 'GiB available (ulimit -v)' said
    ok $? "ulimit -v is a limit that is told"
else skip "this build does not start under ulimit -v"; fi

# ---- the stash's budget is that of all ranks on the machine ----
held() { awk '/^memory: .* MiB for the run/ { for (i = 2; i < NF; i++) if ($(i + 1) == "MiB") sum += $i; print sum }' said; }
run stash.strategy=keep
mib=$(held) # of the one rank
run ranks=4 stash.strategy=keep threads=1
four=$(held) # of one in four
one_in_four() { run ranks=4 threads=1 stash.budget="$(awk "BEGIN { print $four * $1 / 1024 }")"; }
one_in_four 2 && grep -q 'computed again: kept, the run would hold .* on the 4 ranks that share it' said
ok $? "four ranks do not keep what one would in the same budget"
one_in_four 5 && grep -q 'is kept: the run holds .* on the 4 ranks that share it' said
ok $? "four ranks keep in a budget for five"

# ---- control groups ----
if ! unshare -rm sh -c 'mount -t tmpfs none /sys/fs/cgroup' 2>/dev/null; then
    skip "a mount of its own is not to be had (unshare -rm)"
    finish
fi
own() { sed -n "s/^[0-9]*:\([a-z_,]*,\)*$1\(,[a-z_,]*\)*://p" /proc/self/cgroup | head -n 1; }
# in_group COMMANDS WORDS...: a run beside a control group that the commands, in /sys/fs/cgroup, write
export -f run
export MOP n
in_group() {
    local write=$1
    shift
    n=$((n + 1))
    unshare -rm bash -c "mount -t tmpfs none /sys/fs/cgroup && cd /sys/fs/cgroup && $write; cd '$work' && n=$n && run $*" 2>>said
}
in_group "echo 100000 100000 >cpu.max" && [ "$(threads)" = 1 ]
ok $? "v2: a quota of one CPU"
in_group "echo 30000 100000 >cpu.max" && [ "$(threads)" = 1 ]
ok $? "v2: a quota of less than one CPU"
cpu=$(own cpu)
in_group "mkdir -p cpu$cpu; echo 100000 >cpu/cpu.cfs_quota_us; echo 100000 >cpu/cpu.cfs_period_us" && [ "$(threads)" = 1 ]
ok $? "v1: a quota of an ancestor"
bytes() { awk "BEGIN { printf \"%d\", $mib * $1 * 1048576 }"; }
in_group "echo $(bytes 0.5) >memory.max; echo 0 >memory.current"
[ $? = 1 ] && grep -q 'GiB available (memory.max of the control group /)' said
ok $? "v2: half of what the run needs is refused"
in_group "echo $(bytes 8) >memory.max; echo $(bytes 7.9) >memory.current"
[ $? = 1 ]
ok $? "v2: what is used is not there"
in_group "echo $(bytes 8) >memory.max; echo $(bytes 7.9) >memory.current; echo inactive_file $(bytes 6) >memory.stat"
ok $? "v2: the page cache is"
memory=$(own memory)
in_group "mkdir -p memory$memory; echo $(bytes 0.5) >memory$memory/memory.limit_in_bytes; echo 0 >memory$memory/memory.usage_in_bytes"
[ $? = 1 ] && grep -q 'memory.limit_in_bytes of the control group' said
ok $? "v1: the process's own group"
in_group "mkdir -p memory$memory; echo $(bytes 0.5) >memory/memory.limit_in_bytes"
[ $? = 1 ] && grep -q 'memory.limit_in_bytes of the control group /)' said
ok $? "v1: its ancestor"
in_group "echo $(bytes 8) >memory.max; echo $(bytes 5) >memory.current; echo inactive_file $(bytes 4) >memory.stat" stash.strategy=auto
grep -q 'memory: \|is kept' said
ok $? "auto goes by the group's limit"

# ranks that share a group: half of what they need together, four times what one needs is too little for sixteen
in_group "echo $(awk "BEGIN { printf \"%d\", $four * 2 * 1048576 }") >memory.max" ranks=4 threads=1 stash.strategy=keep
[ $? = 1 ] && grep -q 'GiB in all, .*(memory.max of the control group /, shared by 4 ranks)' said
ok $? "threads of one process share its group"
in_group "echo $(awk "BEGIN { printf \"%d\", $four * 5 * 1048576 }") >memory.max" ranks=4 threads=1 stash.strategy=keep
ok $? "and have what it has"
if command -v mpirun >/dev/null && ldd "$MOP" 2>/dev/null | grep -q libmpi; then
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    cat >mop4 <<X
#!/bin/sh
exec timeout -k 5 100 mpirun --oversubscribe --bind-to none -n 4 "$MOP" "\$@" </dev/null
X
    chmod +x mop4
    MOP=$work/mop4 in_group "echo $(awk "BEGIN { printf \"%d\", $four * 2 * 1048576 }") >memory.max" threads=1 stash.strategy=keep
    [ $? != 0 ] && grep -q 'shared by 4 ranks)' said
    ok $? "processes of one host share a group"
    MOP=$work/mop4 in_group "echo $(awk "BEGIN { printf \"%d\", $four * 4.5 * 1048576 }") >memory.max" threads=1
    ok $? "auto finds the way that fits them all"
    grep -q 'computed again: kept, the run would hold .* on the 4 ranks that share it' said
    ok $? "and says why"
else skip "no mpirun, or a build without MPI"; fi
finish
