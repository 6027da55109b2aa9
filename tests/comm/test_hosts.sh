#!/bin/bash
# Two hosts, which are network namespaces joined by a cable: ranks on both compute what they must, and when the cable is cut in the middle the
# job ends with a message and nobody waits. $MOP is the program.
set -u
MOP=$(realpath "${MOP:-build/mop}")
here=$(pwd)
# what Open MPI leaves allocated is not ours
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
work=$(mktemp -d "${TMPDIR:-/tmp}/mop-hosts-XXXXXX")
a=mop$$a b=mop$$b
trap 'ip netns del $a 2>/dev/null; ip netns del $b 2>/dev/null; rm -rf "$work"' EXIT
passed=0 failed=0
ok() { # ok STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED: $2"
        tail -n 5 "$work/said"
    fi
}
skip() {
    echo "SKIP $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
command -v mpirun >/dev/null && mpirun --version 2>/dev/null | grep -q 'Open MPI' || skip "no Open MPI"
ldd "$MOP" 2>/dev/null | grep -q libmpi || skip "$MOP is built without MPI"
command -v ip >/dev/null || skip "no ip (iproute2)"
ip netns add $a 2>/dev/null && ip netns add $b 2>/dev/null || skip "network namespaces may not be made here"
{ ip link add v$$a type veth peer name v$$b && ip link set v$$a netns $a && ip link set v$$b netns $b &&
    ip netns exec $a ip addr add 10.77.0.1/24 dev v$$a && ip netns exec $b ip addr add 10.77.0.2/24 dev v$$b &&
    ip netns exec $a ip link set lo up && ip netns exec $b ip link set lo up &&
    ip netns exec $a ip link set v$$a up && ip netns exec $b ip link set v$$b up; } 2>/dev/null || skip "no veth pair here"

# what ssh would be
cat >"$work/agent" <<AGENT
#!/bin/sh
while [ "\${1#-}" != "\$1" ]; do shift; done
shift
exec ip netns exec $b unshare -u sh -c "hostname hostb; \$*"
AGENT
chmod +x "$work/agent"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
# the recipe of docs/clusters.md
export OMPI_MCA_oob_tcp_keepalive_time=3 OMPI_MCA_oob_tcp_keepalive_intvl=2 OMPI_MCA_oob_tcp_keepalive_probes=3
over() { # over SECONDS WORDS...: on two ranks, one on each host
    local limit=$1
    shift
    timeout -k 5 "$limit" ip netns exec $a unshare -u sh -c "hostname hosta; exec mpirun --host 10.77.0.1:1,10.77.0.2:1 --mca plm_rsh_agent $work/agent \
        --mca btl tcp,self --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 --bind-to none -n 2 $MOP $*" >"$work/said" 2>&1 </dev/null
}
cd "$work" || exit 2

over 60 parity "$here/tests/golden/qwen3_moe" threads=1 mesh.seq=2 && grep -q ' 0 over their bound' said
ok $? "parity over two hosts"

awk 'BEGIN { for (i = 1; i < 2000; i++) printf "%d squared is %d, its half %d.\n%s", i, i * i, i / 2, i % 50 ? "" : "\n" }' >text.txt
"$MOP" tokenize tokenizer="$here/tests/golden/tokenizers/gpt2/tokenizer.json" in=text.txt out=t.tok 2>said
common="model.init=random model.layers=2 model.hidden=32 model.heads=4 model.kv_heads=2 model.head_dim=8 model.experts=12 model.top_k=2 \
model.expert_width=16 data.train=$work/t.tok data.seq=33 train.batch=6 train.lr=3e-3 threads=1 ckpt.every=0"
# shellcheck disable=SC2086
over 200 train $common train.steps=1000000 out="$work/cut" &
job=$!
for _ in $(seq 150); do
    [ -f cut/log.jsonl ] && [ "$(wc -l <cut/log.jsonl)" -gt 2 ] && break
    sleep 0.2
done
[ -f cut/log.jsonl ]
ok $? "training over two hosts"
ip netns exec $a ip link set v$$a down
wait $job
rc=$?
[ $rc -ne 0 ] && [ $rc -ne 124 ] && [ $rc -ne 137 ]
ok $? "cut off: the job ends by itself (status $rc)"
grep -q "lost communication" said
ok $? "cut off: it says so"
for _ in $(seq 100); do
    pgrep -f "out=$work/cut" >/dev/null || break
    sleep 0.2
done
! pgrep -f "out=$work/cut" >/dev/null
ok $? "cut off: no rank is left on either host"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
