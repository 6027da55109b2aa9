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
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.core_model_loading import revert_weight_conversion

PATHS = {"eager": ("eager", "eager"), "grouped": ("sdpa", "grouped_mm")}
TOPK = torch.topk


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


def hub(model, tensors):
    """Parameter name -> value under the names and shapes of the Hub's files."""
    out = revert_weight_conversion(model, dict(tensors))
    return {n: v.detach().float().numpy() for n, v in out.items()}


def moved(folder, into, draw):
    """A copy of the folder with its weights moved a little; draw 0 not at all. Its golden file only gives ids and settings."""
    for name in ("config.json", "golden.safetensors"):
        shutil.copy(os.path.join(folder, name), into)
    rng = np.random.default_rng(draw)
    weights = load_file(os.path.join(folder, "model.safetensors"))
    for n, w in weights.items():
        weights[n] = (w * (1 + (draw > 0) * rng.uniform(-(2.0**-8), 2.0**-8, w.shape))).astype(np.float32)
    save_file(weights, os.path.join(into, "model.safetensors"), metadata={"format": "pt"})


def trajectory(folder, golden, meta, dtype, path, routing, record):
    """All that a golden file holds, by transformers in `dtype`."""
    attention, experts = PATHS[path]
    config = AutoConfig.from_pretrained(folder)
    width = getattr(config, "moe_intermediate_size", None) or config.intermediate_size
    if experts == "grouped_mm" and (width % 8 or config.hidden_size % 8):
        experts = "batched_mm"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention, experts_implementation=experts)
    model.config.use_cache = False
    coef = float(meta["router_aux_loss_coef"])
    model.train()
    for name, buffer in model.named_buffers():
        assert "inv_freq" not in name or buffer.dtype == torch.float32, name
    # the golden start is the file's fp32 weights: masters are those, the model holds their rounding
    start = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    masters = {n: p.detach().clone() for n, p in start.named_parameters()}
    hp = {k: float(meta[k]) for k in ("lr", "beta1", "beta2", "eps", "weight_decay", "clip")}
    ids = torch.from_numpy(golden["input_ids"])
    vocab = model.config.vocab_size
    params = list(model.named_parameters())
    mom = {n: (torch.zeros_like(masters[n]), torch.zeros_like(masters[n])) for n, _ in params}
    out, losses = {}, []
    for t in range(1, int(meta["steps"]) + 1):
        for n, p in params:
            p.data.copy_(masters[n])
            p.grad = None
        with routing.record() if record else routing.replay(t - 1):
            o = model(input_ids=ids, labels=ids, use_cache=False)
        aux = getattr(o, "aux_loss", None)
        aux = torch.zeros(()) if aux is None or not torch.is_tensor(aux) else aux
        o.loss.backward()
        g = {n: (torch.zeros_like(p) if p.grad is None else p.grad).float() for n, p in params}
        norm = torch.sqrt(sum((x.double() ** 2).sum() for x in g.values())).item()
        ce = torch.nn.functional.cross_entropy(o.logits[:, :-1].float().reshape(-1, vocab), ids[:, 1:].reshape(-1)).item()
        total = ce + coef * aux.item()
        losses.append(total)
        if t == 1:
            out = {"logits": o.logits.detach().float().numpy(), "loss": ce, "aux_loss": aux.item(), "total_loss": total, "grad_norm": norm}
            out.update({"grad/" + n: v for n, v in hub(model, g).items()})
        scale = min(1.0, hp["clip"] / (norm + 1e-6))
        for n, p in params:
            (m, v), x, w = mom[n], g[n] * scale, masters[n]
            m.mul_(hp["beta1"]).add_(x, alpha=1 - hp["beta1"])
            v.mul_(hp["beta2"]).addcmul_(x, x, value=1 - hp["beta2"])
            if p.ndim > 1:
                w.mul_(1 - hp["lr"] * hp["weight_decay"])
            w.sub_(hp["lr"] * (m / (1 - hp["beta1"] ** t)) / ((v / (1 - hp["beta2"] ** t)).sqrt() + hp["eps"]))
    out.update({"after10/" + n: v for n, v in hub(model, masters).items()}, losses=np.array(losses))
    return out


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
    names = [n for n in golden if n != "input_ids"]
    errors = {n: collections.defaultdict(list) for n in names}
    bounds = {}
    for draw in range(args.draws):
        routing = Routing()
        with tempfile.TemporaryDirectory() as tmp:
            moved(folder, tmp, draw)
            exact = trajectory(tmp, golden, meta, torch.float32, "eager", routing, True)
            sides = {p: trajectory(tmp, golden, meta, torch.bfloat16, p, routing, False) for p in PATHS}
            dump = os.path.join(tmp, "dump.safetensors")
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
        rows.append({"name": n, **e, "worst": max(errors[n]["mop"]), "bound": bounds.get(n), "ratio": e["mop"] / max(min(e[p] for p in PATHS), 1e-30)})
    return rows


def line(what, r):
    bound = "" if r["bound"] is None else f"  bound {r['bound']:.1e}"
    print(f"{what:64s} mop {r['mop']:.2e}  eager {r['eager']:.2e}  grouped {r['grouped']:.2e}  ratio {r['ratio']:5.2f}{bound}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mop", default="build/mop")
    p.add_argument("--isa", help="mop's kernels")
    p.add_argument("--draws", type=int, default=8, help="runs of each side")
    p.add_argument("--all", action="store_true", help="a line for every tensor, not only the worst of each kind")
    p.add_argument("--json", help="every figure, as JSON")
    p.add_argument("folders", nargs="+", metavar="DIR")
    args = p.parse_args()
    torch.set_num_threads(2)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    everything = {}
    for folder in args.folders:
        rows = everything[folder] = compare(folder, args)
        print(f"== {folder}")
        if args.all:
            for r in rows:
                line(r["name"], r)
        kinds = collections.defaultdict(list)
        for r in rows:
            kinds[kind(r["name"])].append(r)
        for k, of in kinds.items():
            top = max(of, key=lambda r: r["ratio"])
            line(k if len(of) == 1 else f"{k} (worst of {len(of)}, median ratio {statistics.median(r['ratio'] for r in of):.2f})", top)
        for part in ("grad/", "after10/"):
            of = [r for r in rows if r["name"].startswith(part)]
            top = max(of, key=lambda r: r["ratio"])
            print(f"{part}: {len(of)} tensors, ratio median {statistics.median(r['ratio'] for r in of):.2f}, worst {top['ratio']:.2f} ({top['name']}), "
                  f"error of the worst tensor mop {max(r['mop'] for r in of):.2e}, eager {max(r['eager'] for r in of):.2e}, grouped {max(r['grouped'] for r in of):.2e}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(everything, f, indent=1)


if __name__ == "__main__":
    main()
