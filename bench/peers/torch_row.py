"""One row of PyTorch, in a process of its own: python torch_row.py '{"init": DIR, "ids": FILE.npy, ...}' prints a line of JSON.

Keys: init, ids (batch, seq) int64, mode (fp32, autocast, pure), experts (eager, grouped_mm), compile, ranks, steps, checkpoint
(activation checkpointing), chunked (the loss in checkpointed chunks), lr.
"""

import json
import os
import socket
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM

LOSS_CHUNK = 1024


def peak_bytes():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def chunk_loss(head, hidden, targets):
    return torch.nn.functional.cross_entropy(head(hidden).float(), targets, ignore_index=-100, reduction="sum")


def loss_in_chunks(model, ids):
    hidden = model.model(input_ids=ids).last_hidden_state
    targets = torch.nn.functional.pad(ids, (0, 1), value=-100)[:, 1:].reshape(-1)
    hidden = hidden.reshape(-1, hidden.shape[-1])
    total = hidden.new_zeros((), dtype=torch.float32)
    for at in range(0, hidden.shape[0], LOSS_CHUNK):
        total = total + checkpoint(
            chunk_loss, model.lm_head, hidden[at : at + LOSS_CHUNK], targets[at : at + LOSS_CHUNK], use_reentrant=False
        )
    return total / (ids.shape[0] * (ids.shape[1] - 1))


def build(row, rank):
    model = AutoModelForCausalLM.from_pretrained(
        row["init"],
        dtype=torch.bfloat16 if row["mode"] == "pure" else torch.float32,
        attn_implementation="sdpa",
        experts_implementation=row["experts"],
    )
    model.train()
    if row.get("checkpoint"):
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if row.get("ranks", 1) > 1:
        from torch.distributed.fsdp import fully_shard

        for layer in model.model.layers:
            fully_shard(layer)
        fully_shard(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=row["lr"], betas=(0.9, 0.95), eps=1e-8, weight_decay=0, fused=row.get("ranks", 1) == 1
    )
    return model, torch.compile(model) if row.get("compile") else model, optimizer


def train(row, rank, queue=None):
    ranks = row.get("ranks", 1)
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks))
    if ranks > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(row["port"]), RANK=str(rank), WORLD_SIZE=str(ranks))
        dist.init_process_group("gloo")
    ids = torch.from_numpy(np.load(row["ids"]))
    ids = ids[rank * len(ids) // ranks : (rank + 1) * len(ids) // ranks]
    torch.manual_seed(1)
    model, call, optimizer = build(row, rank)
    losses, seconds = [], []
    for _ in range(row["steps"]):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=row["mode"] == "autocast"):
            loss = loss_in_chunks(model, ids) if row.get("chunked") else call(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        seconds.append(time.perf_counter() - start)
    out = {"losses": losses, "seconds": seconds, "peak": peak_bytes()}
    if ranks > 1:
        dist.barrier()
        dist.destroy_process_group()
        queue.put(out)
    return out


def main():
    row = json.loads(sys.argv[1])
    if row.get("ranks", 1) == 1:
        print(json.dumps(train(row, 0)))
        return
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        row["port"] = s.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    workers = [context.Process(target=train, args=(row, r, queue)) for r in range(row["ranks"])]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    if any(w.exitcode for w in workers):
        sys.exit(1)
    outs = [queue.get() for _ in workers]
    print(json.dumps({"losses": outs[0]["losses"], "seconds": outs[0]["seconds"], "peak": sum(o["peak"] for o in outs)}))


if __name__ == "__main__":
    main()
