"""Checkpoints of a tiny Llama with weights of 4 bits as GPTQ and AWQ store them, with their values and logits.

    pip install torch transformers==5.24.0
    python test/scripts/make_packed.py test/fixtures/quantized        (after make_quantized.py)

The integers are rounded to nearest in groups of 32, with zero points; the values are scale · (integer - zero) in f16, computed before
anything is packed. gptq-order has groups of columns that are not neighbours (desc_act).
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

folder = Path(sys.argv[1])
GROUP = 32
SHOWN = ["model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.down_proj.weight"]
ids = torch.arange(4, 36).reshape(2, 16) * 7 % 96


def words(nibbles):
    """[..., 8] -> [...]: the first of eight in the lowest bits of an int32."""
    packed = sum(nibbles[..., i].to(torch.int64) << 4 * i for i in range(8))
    return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)


def along_rows(matrix):  # [n, m] -> [n / 8, m]
    return words(matrix.reshape(-1, 8, matrix.shape[1]).transpose(1, 2))


def along_columns(matrix, order=range(8)):  # [n, m] -> [n, m / 8]
    return words(matrix.reshape(matrix.shape[0], -1, 8)[..., list(order)])


def quantized(weight, groups):
    """weight [out, in] -> integers [in, out], zeros and scales [groups, out], values [out, in]"""
    count = int(groups.max()) + 1
    w = weight.float().T
    low = torch.stack([w[groups == g].min(0).values for g in range(count)]).clamp(max=0)
    high = torch.stack([w[groups == g].max(0).values for g in range(count)]).clamp(min=0)
    scales = ((high - low) / 15).half()
    zeros = (-low / scales.float()).round().clamp(1, 15)
    integers = (w / scales.float()[groups] + zeros[groups]).round().clamp(0, 15)
    values = (scales[groups] * (integers - zeros[groups]).half()).T.contiguous()
    return integers.int(), zeros.int(), scales, values


def checkpoint(name, settings, order=None):
    base = load_file(folder / "base/model.safetensors")
    tensors, plain = {}, {}
    for key, weight in base.items():
        path = key.removesuffix(".weight")
        if not key.endswith("_proj.weight"):
            tensors[key] = plain[key] = weight.half()
            continue
        width = weight.shape[1]
        groups = torch.arange(width) // GROUP
        if order:
            groups = groups[torch.randperm(width, generator=torch.Generator().manual_seed(3))]
        integers, zeros, scales, plain[key] = quantized(weight, groups)
        if settings["quant_method"] == "gptq":
            parts = {"qweight": along_rows(integers), "qzeros": along_columns(zeros - 1), "g_idx": groups.int()}
        else:
            awq = [0, 2, 4, 6, 1, 3, 5, 7]
            parts = {"qweight": along_columns(integers, awq), "qzeros": along_columns(zeros, awq)}
        tensors |= {f"{path}.{part}": value.contiguous() for part, value in {**parts, "scales": scales}.items()}
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    config = json.loads((folder / "base/config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "dtype": "float16", "quantization_config": settings}, indent=2) + "\n")
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    model = LlamaForCausalLM(LlamaConfig.from_dict(config)).float().eval()
    model.load_state_dict({key: value.float() for key, value in plain.items()})
    with torch.no_grad():
        logits = model(ids).logits
    save_file({"ids": ids.to(torch.int32), "logits": logits} | {key: plain[key].float() for key in SHOWN}, target / "expected.safetensors")


gptq = {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": False, "checkpoint_format": "gptq"}
checkpoint("gptq", gptq)
checkpoint("gptq-order", {**gptq, "desc_act": True}, order=True)
checkpoint("awq", {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"})
