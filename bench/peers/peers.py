"""mop beside PyTorch: the same models from the same weights on the same random tokens, in turn, in one run.

Every row is a process of its own. tokens/s is that of the median step without the first; peak is the process's largest resident
memory (VmHWM, of both ranks together for FSDP2; mop's by wait4, which is never below this program's own, some 60 MiB). FSDP2's
AdamW is not the fused one, and its ratio is of the first round. Model GFLOP/s counts, for both alike, 6 times the weights that a token meets (no
embedding) + 6 * layers * seq * heads' width a token. The last lines are `ratio MODEL ROW VALUE`, with the floor each is held to;
exit status 1 if one is missed or the losses of the two programs differ.
"""

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import time
from importlib.metadata import version

import numpy as np
import xxhash

QUICK = os.environ.get("PEERS_QUICK") == "1"
TIME_LIMIT = 1100  # seconds after which no optional row is begun
ROW_LIMIT = 300  # seconds of one row
LOSS_BOUND = 1e-5  # relative; that of mop parity for the losses of ten steps in fp32
BEGUN = time.monotonic()

MODELS = {
    "demo": dict(layers=6, hidden=256, heads=4, kv_heads=2, head_dim=64, experts=16, top_k=4, expert_width=256, vocab=8192, batch=8),
    "mid": dict(layers=8, hidden=512, heads=8, kv_heads=4, head_dim=64, experts=32, top_k=4, expert_width=512, vocab=32768, batch=4),
}
SEQ = 512
LR = 1e-4
# how mop is run: what is kept for backward, and sequences at a time
MOP = {"demo": ["stash.strategy=keep", "train.micro_batch=4"], "mid": ["stash.strategy=keep"]}
MOP_CONTEXT = ["stash.strategy=recompute"]
CONTEXTS = (4096, 16384)
if QUICK:
    for m in MODELS.values():
        m.update(layers=2, hidden=64, expert_width=64, vocab=512, batch=4)
    SEQ, CONTEXTS = 64, (128, 512)


def params(m, active):
    experts = m["top_k"] if active else m["experts"]
    q, kv = m["heads"] * m["head_dim"], m["kv_heads"] * m["head_dim"]
    layer = m["hidden"] * (2 * q + 2 * kv + m["experts"]) + 3 * experts * m["hidden"] * m["expert_width"]
    return m["layers"] * layer + (1 if active else 2) * m["vocab"] * m["hidden"]


def flops(m, seq):
    return 6 * params(m, True) + 6 * m["layers"] * seq * m["heads"] * m["head_dim"]


def write_tokens(path, ids, vocab):
    """A token file (docs/formats/tokens.md) in which each sequence is a document: no target crosses a border, as in transformers."""
    data = ids.astype("<i4").tobytes()
    data += b"\0" * (-len(data) % 8)
    borders = (np.arange(ids.shape[0] + 1, dtype="<u8") * ids.shape[1]).tobytes()
    digest = lambda b: xxhash.xxh3_64_intdigest(b)
    head = b"MOPTOKEN" + struct.pack("<IIQQQQQQQ", 1, 0, vocab, 0, ids.size, ids.shape[0], digest(data), digest(borders), 0) + b"\0" * 48
    with open(path, "wb") as f:
        f.write(head + struct.pack("<Q", digest(head)) + data + borders)


class Row:
    def __init__(self, name, tokens, seconds, peak, losses=(), note=""):
        self.name, self.peak, self.losses, self.note = name, peak, losses, note
        self.rate = tokens / statistics.median(seconds[1:] or seconds)


class Bench:
    def __init__(self, mop, folder):
        self.mop, self.folder = os.path.abspath(mop), os.path.abspath(folder)
        self.missed = 0

    def prepare(self, name, seq, batch, tag):
        m = MODELS[name]
        ids = np.random.default_rng(1).integers(0, m["vocab"], (batch, seq))
        base = os.path.join(self.folder, f"{name}-{tag}")
        np.save(base + ".npy", ids)
        write_tokens(base + ".tok", ids, m["vocab"])
        return base

    def init(self, name):
        """Weights at random, by mop, as a Hugging Face folder: where both begin."""
        out = os.path.join(self.folder, name + "-init")
        shutil.rmtree(out, ignore_errors=True)
        keys = [f"model.{k}={v}" for k, v in MODELS[name].items() if k != "batch"]
        self.run([self.mop, "train", "model.init=random", "model.family=qwen3_moe", f"model.max_positions={max(CONTEXTS)}", *keys, "out=" + out])
        return out

    def run(self, command, limit=ROW_LIMIT):
        """Standard output and error, and the peak of the process itself in bytes."""
        log = os.path.join(self.folder, "log")
        with open(log, "w+b") as f:
            p = subprocess.Popen(command, stdout=f, stderr=subprocess.STDOUT, start_new_session=True)
            end = time.monotonic() + limit
            while True:
                pid, status, usage = os.wait4(p.pid, os.WNOHANG)
                if pid:
                    break
                if time.monotonic() > end:
                    os.killpg(p.pid, 9)
                    os.wait4(p.pid, 0)
                    p.returncode = -9
                    raise RuntimeError(f"more than {limit} seconds")
                time.sleep(0.05)
            p.returncode = os.waitstatus_to_exitcode(status)
            f.seek(0)
            text = f.read().decode(errors="replace")
        if p.returncode:
            raise RuntimeError((text.strip().splitlines() or ["?"])[-1][:160])
        return text, usage.ru_maxrss * 1024

    def show(self, model, seq, row):
        gflops = row.rate * flops(MODELS[model], seq) / 1e9
        print(f"  {model:5s} {row.name:34s} {row.rate:9.0f} tokens/s  {gflops:7.1f} GFLOP/s  {row.peak / 2**30:6.2f} GiB  {row.note}", flush=True)

    def row_mop(self, model, name, base, init, seq, batch, options, steps):
        out = os.path.join(self.folder, "mop-out")
        shutil.rmtree(out, ignore_errors=True)
        text, peak = self.run(
            [self.mop, "train", "model.init=" + init, f"data.train={base}.tok", f"data.seq={seq}", f"train.batch={batch}", f"train.steps={steps}"]
            + [f"train.lr={LR}", "train.schedule=constant", "train.clip=0", "train.aux_coef=0", "optim.weight_decay=0", "ckpt.every=0", "out=" + out]
            + options
        )
        with open(os.path.join(out, "log.jsonl")) as f:
            log = [json.loads(line) for line in f]
        memory = next((line for line in text.splitlines() if "memory:" in line), "")
        row = Row("mop " + name, seq * batch, [s["seconds"] for s in log], peak, [s["loss"] for s in log])
        row.memory = memory.split("memory:")[-1].strip()
        self.show(model, seq, row)
        return row

    def row_torch(self, model, name, base, init, seq, batch, steps, optional=True, limit=ROW_LIMIT, **keys):
        if optional and time.monotonic() - BEGUN > TIME_LIMIT:
            print(f"  {model:5s} {'torch ' + name:34s} left out: the time is up", flush=True)
            return None
        row = dict(init=init, ids=base + ".npy", steps=steps, lr=LR, mode="fp32", experts="grouped_mm")
        row.update(keys)
        try:
            text, _ = self.run([sys.executable, os.path.join(os.path.dirname(__file__), "torch_row.py"), json.dumps(row)], limit)
        except RuntimeError as e:
            print(f"  {model:5s} {'torch ' + name:34s} failed: {e}", flush=True)
            return None
        out = json.loads(text.strip().splitlines()[-1])
        row = Row("torch " + name, seq * batch, out["seconds"], out["peak"], out["losses"])
        row.keys = dict(base=base, init=init, seq=seq, batch=batch, steps=steps, **keys)
        self.show(model, seq, row)
        return row

    def check(self, model, ours, theirs):
        """fp32 against fp32 from the same weights: three losses."""
        pairs = list(zip(ours.losses[:3], theirs.losses[:3]))
        off = [abs(a - b) / abs(b) for a, b in pairs]
        worst = max(off) if len(pairs) == 3 and all(map(math.isfinite, off)) else math.inf
        print(f"check {model} loss torch {theirs.losses[0]:.6f} mop {ours.losses[0]:.6f}, three steps within {worst:.1e} (at most {LOSS_BOUND})", flush=True)
        self.missed += not worst < LOSS_BOUND

    def ratio(self, model, row, value, floor, below=False):
        floor = None if QUICK else floor  # too small to mean anything
        bad = floor is not None and not (value <= floor if below else value >= floor)
        self.missed += bad
        bound = "" if floor is None else f"  ({'at most' if below else 'at least'} {floor:.3g}{': MISSED' if bad else ''})"
        return f"ratio {model} {row} {value:.3g}{bound}"

    def models(self):
        lines, demo = [], None
        for model, m in MODELS.items():
            init, batch = self.init(model), m["batch"]
            base = self.prepare(model, SEQ, batch, "steps")
            big = model == "mid"
            steps = 3 if big else 4
            ours = {d: self.row_mop(model, d, base, init, SEQ, batch, ["model.dtype=" + d] + MOP[model], 8) for d in ("fp32", "bf16")}
            common = dict(base=base, init=init, seq=SEQ, batch=batch, steps=steps)
            fp32 = [self.row_torch(model, "fp32, grouped experts", optional=False, **common)]
            masters = [self.row_torch(model, "bf16 autocast, grouped", optional=False, mode="autocast", **common)]
            fp32.append(self.row_torch(model, "fp32, grouped, compiled", compile=True, **common))
            masters.append(self.row_torch(model, "bf16 autocast, grouped, compiled", mode="autocast", compile=True, **common))
            fp32.append(self.row_torch(model, "fp32, eager experts", experts="eager", **common))
            masters.append(self.row_torch(model, "bf16 autocast, eager", experts="eager", mode="autocast", **common))
            pure = self.row_torch(model, "pure bf16, grouped", mode="pure", **common)
            del pure  # shown, not compared: it keeps no fp32 masters
            ranks = None if big else self.row_torch(model, "FSDP2, two gloo ranks, autocast", mode="autocast", ranks=2, **common)
            # beside it: ranks share each sequence, experts and vocabulary; each process of PyTorch has a thread, and so has each rank
            two = ranks and self.row_mop(model, "bf16, two ranks", base, init, SEQ, batch, ["model.dtype=bf16", "ranks=2"] + MOP[model], 8)
            fp32, masters = [r for r in fp32 if r], [r for r in masters if r]
            if not fp32 or not masters:
                raise RuntimeError("no row of PyTorch to compare with")
            self.check(model, ours["fp32"], fp32[0])
            memory = ours["bf16"].peak / min(r.peak for r in fp32 + masters)
            # a second round of those that count, in turn: the better of two on both sides
            best = {d: [ours[d].rate] for d in ours}
            theirs = {"fp32": max(fp32, key=lambda r: r.rate), "bf16": max(fp32 + masters, key=lambda r: r.rate)}
            for d in ours:
                best[d].append(self.row_mop(model, d + ", again", base, init, SEQ, batch, ["model.dtype=" + d] + MOP[model], 8).rate)
                row = self.row_torch(model, theirs[d].name.removeprefix("torch ") + ", again", **theirs[d].keys)
                best[d] = max(best[d]) / max([theirs[d].rate] + ([row.rate] if row else []))
            lines.append(self.ratio(model, "bf16", best["bf16"], 2.5))
            lines.append(self.ratio(model, "fp32", best["fp32"], 2.0))
            lines.append(self.ratio(model, "memory", memory, None if big else 0.34, below=True))
            if big:
                lines.append(self.ratio(model, "bytes_per_param", ours["bf16"].peak / params(m, False), None))
                print(f"  mid   mop's ledger: {ours['bf16'].memory}; 18 bytes a parameter are {18 * params(m, False) / 2**20:.1f} MiB", flush=True)
            elif ranks:
                lines.append(self.ratio(model, "fsdp2", two.rate / ranks.rate, 2.5))
            demo = demo or init
        return lines, demo

    def contexts(self, init):
        slopes = {}
        for name in ("mop", "default", "chunked"):
            peaks = []
            for seq in CONTEXTS:
                base = self.prepare("demo", seq, 1, f"context-{seq}")
                if name == "mop":
                    row = self.row_mop("demo", f"bf16, {seq} tokens", base, init, seq, 1, ["model.dtype=bf16"] + MOP_CONTEXT, 2)
                else:
                    row = self.row_torch(
                        "demo", f"autocast, {name} loss, {seq} tokens", base, init, seq, 1, 2, optional=name == "chunked",
                        mode="autocast", checkpoint=True, chunked=name == "chunked",
                    )
                peaks.append(row.peak if row else None)
            if all(peaks):
                slopes[name] = (peaks[1] - peaks[0]) / (CONTEXTS[1] - CONTEXTS[0])
                print(f"  demo  {name}: {slopes[name] / 1000:.1f} KB a token of context", flush=True)
        ratio = lambda to: slopes["mop"] / slopes[to] if to in slopes else math.nan  # not measured: missed
        return [
            self.ratio("demo", "context", ratio("default"), 1 / 8, below=True),
            self.ratio("demo", "context_chunked", ratio("chunked"), 1 / 3, below=True),
        ]


def machine(mop):
    with open("/proc/cpuinfo") as f:
        text = f.read()
    field = lambda key: next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(key)), "?")
    flags = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in field("flags").split()]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
    print(f"{field('model name')}, {' '.join(flags)}, {len(os.sched_getaffinity(0))} CPUs; Python {platform.python_version()}, torch {version('torch')}, "
          f"transformers {version('transformers')}; mop {commit}. The machine may be shared: compare rows of one run only.", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--mop", required=True)
    p.add_argument("--folder", required=True)
    a = p.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    machine(a.mop)
    bench = Bench(a.mop, a.folder)
    lines, init = bench.models()
    lines += bench.contexts(init)
    print(f"{time.monotonic() - BEGUN:.0f} seconds")
    print("\n".join(lines))
    return bench.missed > 0


if __name__ == "__main__":
    sys.exit(main())
