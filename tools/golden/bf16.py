#!/usr/bin/env python3
"""How far bf16 is from a golden file: transformers' bf16 and mop's, tensor by tensor.

    python3 tools/golden/bf16.py [--mop build/mop] [--isa NAME] [--draws N] [--all] [--json FILE] DIR...

Needs PyPI's torch, transformers, safetensors, numpy. Both sides start from bf16 weights, keep fp32 masters and moments, and
route every token of every step as an fp32 run of the same model does: a flipped route is another function, not a rounding.
transformers is run twice, with attention/experts eager/eager and sdpa/grouped_mm, and a ratio is ours over the smaller error of
the two: the stricter reading of "transformers in bf16". (grouped_mm wants rows of 16 bytes; where widths are no multiple of 8
it is batched_mm, which rounds alike.) Errors are |x - golden|_2 / |golden|_2, of `losses` the largest absolute difference.

One run is one draw of rounding errors: a scalar's error is a signed sum and may be near zero by luck, an expert with one row has
one such draw in all its gradients. So each side is run on N models, the folder's and others whose weights are moved by up to 2^-8
of themselves (which draws every rounding anew), each held against transformers' fp32 on the same weights, and the errors shown
are root mean squares; --draws 1 compares the folder as it is.
"""
import argparse
import collections
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from trajectory import trajectory
from transformers import AutoConfig, AutoModelForCausalLM

PATHS = {"eager": ("eager", "eager"), "grouped": ("sdpa", "grouped_mm")}
TOPK = torch.topk
FP32 = 1e-6  # errors below are fp32's own: of an expert without rows, say, whose weights only decay


class Routing:
    """Records what every torch.topk of a pass chose, or makes the calls choose that: a router's call takes the probabilities
    at the given indices, so weights, renormalisation and gradients stay the model's own."""

    def __init__(self):
        self.steps, self.given, self.call = [], None, 0

    def __call__(self, x, k, dim=-1, **kw):
        if self.given is None:
            out = TOPK(x, k, dim=dim, **kw)
            self.steps[-1].append(out.indices)
            return out
        ids = self.given[self.call]
        self.call += 1
        return torch.return_types.topk((x.gather(-1, ids), ids))

    def record(self):
        self.steps.append([])
        self.given = None
        return self

    def replay(self, step):
        self.given, self.call = self.steps[step], 0
        return self

    def __enter__(self):
        torch.topk = self

    def __exit__(self, *_):
        torch.topk = TOPK


def metadata(path):
    with safe_open(path, "np") as f:
        return f.metadata()


def moved(folder, into, draw):
    """A copy of the folder with its weights moved a little; draw 0 not at all. Its golden file only gives ids and settings."""
    for name in ("config.json", "golden.safetensors"):
        shutil.copy(os.path.join(folder, name), into)
    rng = np.random.default_rng(draw)
    weights = load_file(os.path.join(folder, "model.safetensors"))
    for n, w in weights.items():
        weights[n] = (w * (1 + (draw > 0) * rng.uniform(-(2.0**-8), 2.0**-8, w.shape))).astype(np.float32)
    save_file(weights, os.path.join(into, "model.safetensors"), metadata={"format": "pt"})


def run(folder, ids, meta, dtype, path, around):
    """All that a golden file holds, by transformers in `dtype` with fp32 masters and moments."""
    attention, experts = PATHS[path]
    config = AutoConfig.from_pretrained(folder)
    width = getattr(config, "moe_intermediate_size", None) or config.intermediate_size
    if experts == "grouped_mm" and (width % 8 or config.hidden_size % 8):
        experts = "batched_mm"
    kinds = {"attn_implementation": attention, "experts_implementation": experts}
    exact = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **kinds)
    masters = {n: p.detach().clone() for n, p in exact.named_parameters()}
    model = exact if dtype == torch.float32 else AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **kinds)
    for name, buffer in model.named_buffers():
        assert "inv_freq" not in name or buffer.dtype == torch.float32, name
    model.train()
    return trajectory(model, masters, ids, meta, around)


def distance(name, x, golden):
    x, golden = np.asarray(x, np.float64).reshape(-1), np.asarray(golden, np.float64).reshape(-1)
    if name == "losses":
        return float(np.abs(x - golden).max())
    norm = np.linalg.norm(golden)
    return float(np.linalg.norm(x - golden) / (norm if norm >= 1e-12 else 1))


def kind(name):
    """The tensor's name without layer and expert."""
    return re.sub(r"\.\d+\.", ".", re.sub(r"layers\.\d+\.", "", name))


def compare(folder, args):
    path = os.path.join(folder, "golden.safetensors")
    golden, meta = load_file(path), metadata(path)
    ids = torch.from_numpy(golden["input_ids"])
    names = [n for n in golden if n != "input_ids"]
    errors = {n: collections.defaultdict(list) for n in names}
    bounds = {}
    for draw in range(args.draws):
        routing = Routing()
        with tempfile.TemporaryDirectory() as tmp, tempfile.TemporaryDirectory() as beside:
            moved(folder, tmp, draw)
            exact = run(tmp, ids, meta, torch.float32, "eager", lambda step: routing.record())
            sides = {p: run(tmp, ids, meta, torch.bfloat16, p, routing.replay) for p in PATHS}
            dump = os.path.join(beside, "dump.safetensors")
            command = [args.mop, "parity", tmp, "model.dtype=bf16", "dump=" + dump] + (["isa=" + args.isa] if args.isa else [])
            done = subprocess.run(command, capture_output=True, text=True)
            if not os.path.exists(dump):
                sys.exit(" ".join(command) + f" ({folder}): " + done.stderr)
            sides["mop"] = load_file(dump)
        if draw == 0:
            worst = max(distance(n, exact[n], golden[n]) for n in names)
            assert worst < 1e-4, f"transformers in fp32 is {worst:.1e} off {path}: that file is of another model"
            bounds = {m[1]: float(m[2]) for m in re.finditer(r"^(\S+) +\S+ +bound +(\S+)", done.stdout, re.M)}
        for n in names:
            for side, x in sides.items():
                errors[n][side].append(distance(n, x[n], exact[n]))
    rows = []
    for n in names:
        e = {side: float(np.sqrt(np.mean(np.square(x)))) for side, x in errors[n].items()}
        rows.append({"name": n, **e, "worst": max(errors[n]["mop"]), "bound": bounds[n],
                     "ratio": e["mop"] / max(min(e[p] for p in PATHS), FP32)})
    return rows


def line(what, r):
    print(f"{what:66s} mop {r['mop']:.2e}  eager {r['eager']:.2e}  grouped {r['grouped']:.2e}  ratio {r['ratio']:5.2f}"
          f"  worst {r['worst']:.2e}  bound {r['bound']:.1e}")


def report(rows, each):
    kinds = collections.defaultdict(list)
    for r in rows:
        kinds[kind(r["name"])].append(r)
        if each:
            line(r["name"], r)
    for k, of in kinds.items():
        top = max(of, key=lambda r: r["ratio"])
        line(k if len(of) == 1 else f"{k} ({len(of)}, median ratio {statistics.median(r['ratio'] for r in of):.2f})", top)
    for part in ("grad/", "after10/"):
        of = [r for r in rows if r["name"].startswith(part)]
        top = max(of, key=lambda r: r["ratio"])
        most = {side: max(r[side] for r in of) for side in ("mop", *PATHS, "worst")}
        nearest = max(of, key=lambda r: r["worst"] / r["bound"])
        print(f"{part} {len(of)} tensors: ratio median {statistics.median(r['ratio'] for r in of):.2f}, worst {top['ratio']:.2f} ({top['name']}); "
              f"largest error mop {most['mop']:.2e}, eager {most['eager']:.2e}, grouped {most['grouped']:.2e}, mop's of any run {most['worst']:.2e}; "
              f"nearest to its bound {nearest['worst']:.2e} of {nearest['bound']:.1e} ({nearest['name']})", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mop", default="build/mop")
    p.add_argument("--isa", help="mop's kernels")
    p.add_argument("--draws", type=int, default=8, help="runs of each side")
    p.add_argument("--all", action="store_true", help="a line for every tensor, not only for the one of the worst ratio of each kind")
    p.add_argument("--json", help="every figure, as JSON")
    p.add_argument("folders", nargs="+", metavar="DIR")
    args = p.parse_args()
    torch.set_num_threads(1)  # the models are tiny
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    everything = {}
    for folder in args.folders:
        everything[folder] = compare(folder, args)
        print(f"== {folder}")
        report(everything[folder], args.all)
        if args.json:
            with open(args.json, "w", encoding="utf-8") as f:
                json.dump(everything, f, indent=1)


if __name__ == "__main__":
    main()
