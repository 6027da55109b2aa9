"""What a golden file holds, computed by transformers: one pass with gradients and ten steps of AdamW. Used by make.py and bf16.py."""
import contextlib

import torch
from transformers.core_model_loading import revert_weight_conversion


def hub(model, tensors):
    """Parameter name -> value, as the names and shapes of the Hub's files -> float64 or float32 arrays."""
    out = revert_weight_conversion(model, dict(tensors))
    return {n: (v if v.dtype == torch.float64 else v.float()).detach().numpy() for n, v in out.items()}


def trajectory(model, masters, ids, settings, around=lambda step: contextlib.nullcontext()):
    """Name -> array or number, all but input_ids.

    The model computes with `masters` rounded to its own dtype; they and the moments have the masters' dtype, and are stepped in
    place. `settings` are a golden file's metadata. `around(step)` is entered for each forward pass.
    """
    s = {k: float(settings[k]) for k in ("lr", "beta1", "beta2", "eps", "weight_decay", "clip", "router_aux_loss_coef")}
    moments = {n: (torch.zeros_like(w), torch.zeros_like(w)) for n, w in masters.items()}
    out, losses = {}, []
    for step in range(int(settings["steps"])):
        for n, p in model.named_parameters():
            p.data.copy_(masters[n])
            p.grad = None
        with around(step):
            o = model(input_ids=ids, labels=ids, use_cache=False)
        logits = o.logits if o.logits.dtype == torch.float64 else o.logits.float()
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()
        aux = getattr(o, "aux_loss", None)
        aux = aux.item() if torch.is_tensor(aux) else 0.0
        losses.append(loss + s["router_aux_loss_coef"] * aux)
        assert abs(o.loss.item() - losses[-1]) < (1e-12 if logits.dtype == torch.float64 else 1e-2), "what is differentiated is not the total loss"
        o.loss.backward()
        grad = {n: (torch.zeros_like(p) if p.grad is None else p.grad).to(masters[n].dtype) for n, p in model.named_parameters()}
        norm = sum((g.double() ** 2).sum().item() for g in grad.values()) ** 0.5
        if step == 0:
            out = {"logits": logits.detach().numpy(), "loss": loss, "aux_loss": aux, "total_loss": losses[0], "grad_norm": norm}
            out.update({"grad/" + n: g for n, g in hub(model, grad).items()})
        scale = min(1.0, s["clip"] / (norm + 1e-6))
        for n, w in masters.items():
            (m, v), g = moments[n], grad[n] * scale
            m.lerp_(g, 1 - s["beta1"])
            v.lerp_(g * g, 1 - s["beta2"])
            if w.ndim > 1:
                w.mul_(1 - s["lr"] * s["weight_decay"])
            update = (m / (1 - s["beta1"] ** (step + 1))) / ((v / (1 - s["beta2"] ** (step + 1))).sqrt() + s["eps"])
            w.sub_(s["lr"] * update)
    out.update({"after10/" + n: w for n, w in hub(model, masters).items()}, losses=losses)
    return out
