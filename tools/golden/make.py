#!/usr/bin/env python3
"""Makes golden folders (docs/formats/golden.md): a small random model and what transformers computes from it, in float64.

    python3 tools/golden/make.py SPECS.json OUT [NAME...]      folders OUT/NAME for the specs of the file, or those named
    python3 tools/golden/make.py --again DIR FILE              only the golden file of a folder that is there, as FILE

Needs PyPI's torch, transformers (5 or later), safetensors, numpy. SPECS.json: {NAME: {"model_type", "config": {keys of the
family's configuration}, "seed", "rows", "tokens" (of a row), and optionally "words": 4 for a config.json in the words of
transformers 4, "weight_std", "router_std"}}; tools/golden/specs.json has examples.
"""
import json
import os
import re
import sys

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode
from trajectory import hub, trajectory
from transformers import AutoConfig, AutoModelForCausalLM

SETTINGS = {"lr": "0.003", "beta1": "0.9", "beta2": "0.95", "eps": "1e-06", "weight_decay": "0.1", "clip": "1.0", "steps": "10",
            "decay": "tensors of two or more dimensions"}


class Float64(TorchDispatchMode):
    """Whatever asks for float32 gets float64. transformers does so by name in norms, the router's softmax and the rotary angles;
    the numbers are to be those of the mathematics."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") == torch.float32:
            kwargs["dtype"] = torch.float64
        return func(*args, **kwargs)


def new_folder(spec, folder):
    """config.json and model.safetensors. Norms and biases are away from one and zero, so that leaving one out shows; routers are
    wide, so that the last expert chosen and the first one not are apart."""
    config = AutoConfig.for_model(spec["model_type"], **spec["config"])
    model = AutoModelForCausalLM.from_config(config)
    rng = np.random.default_rng(spec["seed"])
    with torch.no_grad():
        for n, p in model.named_parameters():
            if p.ndim == 1:
                centre, spread = float("norm" in n and not n.endswith("bias")), 0.3
            else:
                centre = 0.0
                spread = spec.get("router_std", 0.3) if re.search(r"(gate|router)\.weight$", n) else spec.get("weight_std", 0.08)
            p.copy_(torch.from_numpy(centre + spread * rng.standard_normal(tuple(p.shape))))
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "generation_config.json"))
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as f:
        words = json.load(f)
    del words["transformers_version"]
    if spec.get("words", 5) == 4:
        rope = words.pop("rope_parameters")
        words["rope_theta"] = rope.pop("rope_theta")
        words["rope_scaling"] = None if rope["rope_type"] == "default" else rope
        words["torch_dtype"] = words.pop("dtype")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(words, f, indent=2, sort_keys=True)
        f.write("\n")


def finite_difference_error(model, ids, masters, rng):
    """The worst relative difference between a gradient along a random direction, of each tensor, and the loss's own change. The
    padding id's row of the embedding stays: look-ups give it no gradient."""

    def loss():
        with Float64():
            return model(input_ids=ids, labels=ids, use_cache=False).loss

    step, worst = 1e-7, 0.0
    for n, p in model.named_parameters():
        p.data.copy_(masters[n])
        p.grad = None
    loss().backward()
    for n, p in model.named_parameters():
        way = torch.from_numpy(rng.standard_normal(tuple(p.shape)))
        if n.endswith("embed_tokens.weight") and model.config.pad_token_id is not None:
            way[model.config.pad_token_id] = 0
        slope = 0.0 if p.grad is None else (p.grad * way).sum().item()
        with torch.no_grad():
            high, low = (p.copy_(masters[n] + side * way) is not None and loss().item() for side in (step, -step))
            p.copy_(masters[n])
        worst = max(worst, abs((high - low) / (2 * step) - slope) / (abs(slope) + 1e-3))
    return worst


def golden(folder, ids, settings, path):
    """The golden file of a folder."""
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))  # imports every module before the mode is on
    with Float64():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager")
    for n, t in [*model.named_parameters(), *model.named_buffers()]:
        assert t.dtype == torch.float64, f"{n} is {t.dtype}"
    model.train()
    coef = getattr(model.config, "router_aux_loss_coef", None) or 0.0
    settings = {**settings, "router_aux_loss_coef": repr(float(coef if getattr(model.config, "output_router_logits", False) else 0.0))}
    margins = []

    def watch(module, inputs, outputs):
        best = torch.topk(outputs[0].detach(), module.top_k + 1, dim=-1).values if outputs[0].shape[-1] > module.top_k else None
        if best is not None:
            margins.append((best[..., -2] - best[..., -1]).min().item())

    for m in model.modules():
        if type(m).__name__.endswith("TopKRouter"):
            m.register_forward_hook(watch)
    masters = {n: p.detach().clone() for n, p in model.named_parameters()}
    start = {n: w.clone() for n, w in masters.items()}
    out = trajectory(model, masters, ids, settings, lambda step: Float64())
    settings = {**settings, "router_margin": repr(min(margins)) if margins else "none",
                "made_by": f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, float64",
                "finite_difference_error": repr(finite_difference_error(model, ids, start, np.random.default_rng(7)))}
    out = {n: np.atleast_1d(np.asarray(x)).astype(np.float32) for n, x in out.items()}
    save_file({"input_ids": ids.numpy(), **out}, path, metadata=settings)
    print(f"{path}: loss {out['loss'][0]:.5f}, after ten steps {out['losses'][-1]:.5f}; router margin {settings['router_margin']}, "
          f"finite differences {settings['finite_difference_error']}")


def main():
    torch.set_num_threads(1)  # the models are tiny
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if len(sys.argv) == 4 and sys.argv[1] == "--again":
        old = load_file(os.path.join(sys.argv[2], "golden.safetensors"))
        return golden(sys.argv[2], torch.from_numpy(old["input_ids"]), SETTINGS, sys.argv[3])
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as f:
        specs = json.load(f)
    for name in sys.argv[3:] or specs:
        spec, folder = specs[name], os.path.join(sys.argv[2], name)
        os.makedirs(folder)
        new_folder(spec, folder)
        rng = np.random.default_rng(spec["seed"] + 1)
        ids = torch.from_numpy(rng.integers(0, spec["config"]["vocab_size"], (spec["rows"], spec["tokens"])))
        golden(folder, ids, SETTINGS, os.path.join(folder, "golden.safetensors"))


if __name__ == "__main__":
    main()
