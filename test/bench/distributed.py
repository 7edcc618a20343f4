"""What a step of two workers takes and sends: LoRA next to full fine-tuning.

    unshare --net python test/bench/distributed.py MODEL      (torch, transformers, peft)

MODEL is a Hugging Face folder. Two processes with a thread each train on 4 rows of 128 tokens, by
DistributedDataParallel over gloo, as engine/ray/worker.py does. A network of its own has no other
traffic: the bytes are those of its loopback interface. Times are those of the processor, of all
threads of a worker, so that other work on the machine does not count.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import statistics
import struct
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from peft import LoraConfig, get_peft_model
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM

WORKERS, ROWS, LENGTH = 2, 2, 128
WARM, STEPS = 1, int(os.environ.get("BENCH_STEPS", "3"))
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1


def bring_up_loopback() -> None:
    """A new network has a loopback interface that is down."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh14s", b"lo", 0, b"")
        flags = struct.unpack("16sh14s", fcntl.ioctl(any_socket, GET_FLAGS, request))[1]
        if not flags & UP:
            fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14s", b"lo", flags | UP, b""))


def loopback_bytes() -> int:
    line = next(x for x in Path("/proc/net/dev").read_text().splitlines() if "lo:" in x)
    return int(line.split(":")[1].split()[8])


def model_of(folder: str, method: str) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if method == "full":
        return model
    return get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"))


def measure(rank: int, folder: str, method: str, out: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29533", GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=WORKERS)
    torch.manual_seed(rank)
    model = model_of(folder, method)
    trained = [p for p in model.parameters() if p.requires_grad]
    forward = DistributedDataParallel(model, init_sync=False, broadcast_buffers=False)
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    ids = torch.randint(0, 1000, (ROWS, LENGTH))

    def step(joins: bool) -> tuple[float, int, float]:
        dist.barrier()
        before, began, started = loopback_bytes(), time.perf_counter(), time.process_time()
        forward.require_backward_grad_sync = joins
        logits = forward(input_ids=ids, use_cache=False).logits[:, :-1]
        labels = ids[:, 1:].flatten()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds, elapsed = time.process_time() - started, time.perf_counter() - began
        dist.barrier()
        return seconds, loopback_bytes() - before, elapsed

    for _ in range(WARM):
        step(True)
    joined = [step(True) for _ in range(STEPS)]
    alone = [step(False) for _ in range(STEPS)]
    if rank == 0:
        count = sum(p.numel() for p in trained)
        with_all, without = (statistics.median(s for s, _, _ in x) for x in (joined, alone))
        sent = statistics.median(b for _, b, _ in joined) - statistics.median(
            b for _, b, _ in alone
        )
        facts = {
            "method": method,
            "parameters": count,
            "elapsed_s": round(statistics.median(e for _, _, e in joined), 3),
            "step_s": round(with_all, 3),
            "without_all_reduce_s": round(without, 3),
            "all_reduce_share": round(1 - without / with_all, 3),
            "sent_by_a_worker_bytes": round(sent / WORKERS),
            "ring_bytes": round(2 * (WORKERS - 1) / WORKERS * 4 * count),
        }
        Path(out).write_text(json.dumps(facts))
    dist.destroy_process_group()


def main() -> None:
    bring_up_loopback()
    for method in ("lora", "full"):
        out = f"/tmp/distributed-{os.getpid()}.json"
        mp.spawn(measure, (sys.argv[1], method, out), WORKERS)
        print(Path(out).read_text(), flush=True)
        Path(out).unlink()


if __name__ == "__main__":
    main()
