"""Time and memory of merging an adapter into SDXL's UNet: LoRA Workbench, and PyTorch.

The UNet has its real names and shapes with made-up numbers in bf16 (5.1 GB); the adapter is of rank
16 on the 722 linear layers of attention, in kohya's format. Both are made first, in the folder.
PyTorch's merge reads the file whole, adds in float32 tensor by tensor, and writes it.

Needs accelerate, diffusers, torch, transformers, and a build.
Usage: python test/bench/image_merge.py FOLDER [RUNS [PART]]; PART: only tensors with it in their name
"""

import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "test" / "scripts"))


# torch is imported late: a child's largest memory is not below that of its parent


def numbers(block, shape):
    import torch

    count = torch.Size(shape).numel()
    return block.repeat(-(-count // block.numel()))[:count].reshape(shape).clone()


def make(base, adapter, part):
    import make_diffusion_names
    import torch
    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    names = json.loads(gzip.decompress(make_diffusion_names.OUT.read_bytes()))["sdxl"]
    original = {paths[0].removeprefix("unet."): name for name, paths in names.items()}
    with torch.device("meta"):
        model = UNet2DConditionModel(**make_diffusion_names.SDXL)
    generator = torch.Generator().manual_seed(0)
    block = (torch.randn(1 << 24, generator=generator) * 0.02).to(torch.bfloat16)
    weights, lora = {}, {}
    for name, value in model.state_dict().items():
        path, leaf = name.rsplit(".", 1)
        own = original.get(path)
        if part not in (own or path):
            continue
        weights[f"{own}.{leaf}" if own else f"model.diffusion_model.{name}"] = numbers(block, value.shape)
        if own and leaf == "weight" and value.dim() == 2 and "attentions" in path:
            key = "lora_unet_" + own.removeprefix("model.diffusion_model.").replace(".", "_")
            rows, columns = value.shape
            lora[f"{key}.lora_down.weight"] = torch.randn(16, columns, generator=generator).half() * 0.02
            lora[f"{key}.lora_up.weight"] = torch.randn(rows, 16, generator=generator).half() * 0.02
            lora[f"{key}.alpha"] = torch.tensor(8.0)
    save_file(weights, base)
    save_file(lora, adapter)


def with_torch(base, adapter, output):
    from safetensors.torch import load_file, save_file

    weights, lora = load_file(base), load_file(adapter)
    by_key = {
        "lora_unet_" + name.removeprefix("model.diffusion_model.").removesuffix(".weight").replace(".", "_"): name
        for name in weights
    }
    for key in {name.split(".")[0] for name in lora}:
        down, up = lora[f"{key}.lora_down.weight"].float(), lora[f"{key}.lora_up.weight"].float()
        scale = lora[f"{key}.alpha"].item() / down.shape[0]
        name = by_key[key]
        weights[name] = (weights[name].float() + scale * (up @ down)).to(weights[name].dtype)
    save_file(weights, output)


def measured(command, output):
    if os.path.exists(output):
        os.remove(output)
    start = time.time()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, status
    return time.time() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024**2


def largest_gap(a, b):
    from safetensors.torch import load_file

    a, b = load_file(a), load_file(b)
    return max((a[name].float() - b[name].float()).abs().max().item() for name in b)


def main():
    folder, runs, part = [*sys.argv[1:], *[None, "3", ""][len(sys.argv) - 1 :]]
    folder = pathlib.Path(folder)
    base, adapter = str(folder / "sdxl-unet.safetensors"), str(folder / "lora.safetensors")
    if not os.path.exists(base):
        subprocess.run([sys.executable, __file__, "--make", base, adapter, part], check=True)
    ours, theirs = str(folder / "merged.safetensors"), str(folder / "torch.safetensors")
    programs = {
        "LoRA Workbench": (["node", str(ROOT / "dist" / "cli.js"), "merge", "--base", base]
                           + ["--adapter", adapter, "--output", ours], ours),
        "PyTorch": ([sys.executable, __file__, "--torch", base, adapter, theirs], theirs),
    }  # fmt: skip
    results = {name: [] for name in programs}
    for _ in range(int(runs)):
        for name, (command, output) in programs.items():
            results[name].append(measured(command, output))
    for name, own in results.items():
        wall, cpu, memory = (statistics.median(column) for column in zip(*own))
        print(f"{name}: {wall:.0f} s, {cpu:.0f} s of the processor, {memory:.2f} GiB")
    print(f"largest difference {largest_gap(ours, theirs):.1e}")


if __name__ == "__main__":
    if sys.argv[1] == "--torch":
        with_torch(*sys.argv[2:])
    elif sys.argv[1] == "--make":
        make(*sys.argv[2:])
    else:
        main()
