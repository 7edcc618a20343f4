"""What LoftQ (Li et al. 2023) begins with on a base in NF4.

    VENV/bin/python starts.py FOLDER --rank 16 --alpha 16 --iterations 1,5

FOLDER/base has the weights W. Writes FOLDER/loftq-T/adapter, the factors after T iterations, and
FOLDER/loftq-T/base, the weights that are to be quantized to NF4: W less the update of the iteration
before (none in the first, whose base is FOLDER/base). Prints the error of all linear layers' weights
at each start, ||W - (Q + BA)|| as a share of ||W - NF4(W)||, as JSON.
"""
import argparse
import json
import math
from pathlib import Path

import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from safetensors.torch import load_file, save_file

p = argparse.ArgumentParser()
p.add_argument("folder", type=Path)
p.add_argument("--rank", type=int, default=16)
p.add_argument("--alpha", type=int, default=16)
p.add_argument("--iterations", default="1,5")
p.add_argument("--threads", type=int, default=2)
args = p.parse_args()
torch.set_num_threads(args.threads)
asked = [int(t) for t in args.iterations.split(",")]
base = args.folder / "base"


def nf4(w):
    return dequantize_4bit(*quantize_4bit(w.contiguous(), blocksize=64, compress_statistics=True, quant_type="nf4"))


def factors(m):
    """[out, in] -> B [out, r], A [r, in]: BA is the best approximation of rank r."""
    wide = m.shape[1] > m.shape[0]
    tall = (m.T if wide else m).double()
    _, vectors = torch.linalg.eigh(tall.T @ tall)
    v = vectors[:, -args.rank:]  # [the shorter side, r]
    u = tall @ v
    root = u.norm(dim=0).sqrt()
    left, right = (u / root).float(), (v * root).T.float()
    return (right.T.contiguous(), left.T.contiguous()) if wide else (left, right)


weights = load_file(base / "model.safetensors")
linear = [name for name in weights if name.endswith("_proj.weight")]

bases = {t: {name: w.float() for name, w in weights.items()} for t in asked if t > 1}
adapters = {t: {} for t in asked}
errors = {t: 0.0 for t in [0, *asked]}
for name in linear:
    w = weights[name].float()
    update = torch.zeros_like(w)
    for t in range(1, max(asked) + 1):
        if t in bases:
            bases[t][name] = w - update
        q = nf4(w - update)
        if t == 1:
            errors[0] += (w - q).square().sum().item()
        b, a = factors(w - q)
        update = b @ a
        if t in adapters:
            errors[t] += (w - q - update).square().sum().item()
            share = math.sqrt(args.rank / args.alpha)  # s·BA is the update, s = alpha / r
            path = f"base_model.model.{name.removesuffix('.weight')}"
            adapters[t] |= {f"{path}.lora_A.weight": share * a, f"{path}.lora_B.weight": share * b}

for t, tensors in adapters.items():
    own = args.folder / f"loftq-{t}" / "adapter"
    own.mkdir(parents=True)
    save_file(tensors, own / "adapter_model.safetensors", {"format": "pt"})
    targets = sorted({name.split(".")[-2] for name in linear})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": args.rank,
        "lora_alpha": args.alpha,
        "target_modules": targets,
    }
    (own / "adapter_config.json").write_text(json.dumps(config))
    if t in bases:
        changed = own.parent / "base"
        changed.mkdir()
        for other in base.iterdir():
            if other.suffix == ".json" or other.suffix == ".jinja":
                (changed / other.name).write_bytes(other.read_bytes())
        own_weights = {name: w.contiguous() for name, w in bases[t].items()}
        save_file(own_weights, changed / "model.safetensors", {"format": "pt"})
print(json.dumps({t: math.sqrt(error / errors[0]) for t, error in errors.items()}))
