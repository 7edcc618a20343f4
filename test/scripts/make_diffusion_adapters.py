"""Makes test/fixtures/diffusion-adapters: adapters of an SD 1 UNet and of Flux in every form that is read.

Each file has another form of update on modules with their real names and made-up shapes. What each
stands for, as NumPy reckons it in float64 from the formula of its method alone, is in
expected.safetensors: the update of each module of Diffusers (FILE/PATH), DoRA's magnitudes
(magnitude/FILE/PATH), weights with DoRA (merged/FILE/MODULE), sums of two files (sum/FILES/PATH) and
truncated updates (resized/FILE/PATH). names.json has the modules of Diffusers that each name of kohya's
scripts stands for, measures.json what a comparison of two files measures.

Needs numpy, safetensors, torch. Usage: python test/scripts/make_diffusion_adapters.py
"""

import json
import pathlib
import shutil

import numpy as np
import torch

import make_diffusion as parts

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "diffusion-adapters"
parts.random = np.random.default_rng(11)
C, D = 8, 8
BLOCK = "transformer_blocks.0"
SD = {
    f"{parts.UNET}input_blocks.1.1.{BLOCK}.attn1.to_q": (C, C),
    f"{parts.UNET}input_blocks.1.1.{BLOCK}.attn2.to_k": (C, 12),
    f"{parts.UNET}input_blocks.1.1.{BLOCK}.ff.net.0.proj": (8 * C, C),
    f"{parts.UNET}input_blocks.1.1.proj_in": (C, C, 1, 1),
    f"{parts.UNET}input_blocks.4.0.skip_connection": (2 * C, C, 1, 1),
    f"{parts.UNET}input_blocks.1.0.in_layers.2": (C, C, 3, 3),
    f"{parts.UNET}output_blocks.11.0.out_layers.3": (C, C, 3, 3),
    f"{parts.UNET}input_blocks.3.0.op": (C, C, 3, 3),
}
FLUX = {
    "img_in": (D, 6),
    "double_blocks.0.img_attn.qkv": (3 * D, D),
    "double_blocks.0.txt_attn.qkv": (3 * D, D),
    "double_blocks.0.txt_attn.proj": (D, D),
    "double_blocks.0.img_mlp.0": (4 * D, D),
    "single_blocks.0.linear1": (7 * D, D),
    "single_blocks.0.linear2": (D, 5 * D),
    "final_layer.adaLN_modulation.1": (2 * D, D),
}
MODELS = {"sd": SD, "flux": FLUX}


def is_kernel(shape):
    return shape[2:] == (3, 3)


def lora(shape, n):
    r = 1 + n % 3
    down, up, update = parts.low_rank(shape, r)
    return {"lora_down.weight": down, "lora_up.weight": up}, update, r


def tucker(shape, n):
    return parts.lora_mid(shape, 2) if is_kernel(shape) else lora(shape, n)


def loha(shape, n):
    return parts.loha(shape, 2, is_kernel(shape) and n % 2 == 0)


def lokr(shape, n):
    """w1 whole or in factors, w2 in factors, with a core where there is a kernel."""
    w1 = ["full", "low"][n % 2]
    return parts.lokr(shape, 2, 2, w1, "tucker" if is_kernel(shape) and n % 3 != 1 else "low")


def lokr_t1(shape, n):
    """As early versions of LyCORIS stored it: w2 whole beside w1 in factors, so that alpha counts."""
    return parts.lokr(shape, 2, 2, "low", "full")


MAKERS = {"lora": lora, "tucker": tucker, "loha": loha, "lokr": lokr, "lokr-dense": lokr_t1}
ALPHAS = [1.0, 1.5, 4.0, 0.5]
EXPECTED = {}
BASES = {module: parts.numbers(*shape) for own in MODELS.values() for module, shape in own.items()}


def kohya_name(module):
    return parts.kohya_name(module, not module.startswith(parts.UNET))


def expect(start, module, update):
    for path, part in parts.to_diffusers(module, update).items():
        EXPECTED[f"{start}/{path}"] = part


def expect_magnitude(name, module, magnitude, update):
    """W' = m / |W + dW| (W + dW), for each row; the base is as stored."""
    shape = update.shape
    rows = np.broadcast_to(magnitude[:, None], (shape[0], np.prod(shape[1:])))
    for path, part in parts.to_diffusers(module, rows).items():
        EXPECTED[f"magnitude/{name}/{path}"] = part[:, 0]
    whole = BASES[module].astype(np.float64) + update
    norm = np.linalg.norm(whole.reshape(shape[0], -1), axis=1)
    EXPECTED[f"merged/{name}/{module}"] = whole * (magnitude / norm).reshape(-1, *[1] * (len(shape) - 1))


def make_file(model, method, *, has_magnitudes=False):
    """A file with an alpha for each module; returns its updates by original module."""
    name = f"{model}-{method}{'-dora' if has_magnitudes else ''}"
    tensors, updates = {}, {}
    for n, (module, shape) in enumerate(MODELS[model].items()):
        own, update, r = MAKERS[method](shape, n)
        alpha = ALPHAS[n % len(ALPHAS)]
        own["alpha"] = np.float32(alpha).reshape(())
        scaled = update * (1.0 if r is None else alpha / r)
        expect(name, module, scaled)
        if has_magnitudes:
            magnitude = np.abs(parts.numbers(shape[0])) + 0.5
            own["dora_scale"] = magnitude.reshape(-1, *[1] * (len(shape) - 1))
            expect_magnitude(name, module, magnitude, scaled)
        updates[module] = scaled
        tensors |= {f"{kohya_name(module)}.{key}": np.asarray(value) for key, value in own.items()}
    parts.save(OUT / f"{name}.safetensors", tensors, metadata={"ss_network_module": "lycoris.kohya"})
    return updates


def make_xlabs():
    """XLabs' processors: separate updates of q, k and v of both streams, without alpha."""
    name, tensors = "flux-xlabs", {}
    own = {
        "double_blocks.0.processor.qkv_lora1": ("double_blocks.0.img_attn.qkv", (3 * D, D)),
        "double_blocks.0.processor.qkv_lora2": ("double_blocks.0.txt_attn.qkv", (3 * D, D)),
        "double_blocks.0.processor.proj_lora1": ("double_blocks.0.img_attn.proj", (D, D)),
        "double_blocks.0.processor.proj_lora2": ("double_blocks.0.txt_attn.proj", (D, D)),
        "single_blocks.0.processor.proj_lora": ("single_blocks.0.linear2", (D, 5 * D)),
    }
    for module, (original, shape) in own.items():
        down, up, update = parts.low_rank(shape, 2)
        tensors |= {f"{module}.down.weight": down, f"{module}.up.weight": up}
        expect(name, original, update)
    down, up, update = parts.low_rank((3 * D, D), 2)
    module = "single_blocks.0.processor.qkv_lora"
    tensors |= {f"{module}.down.weight": down, f"{module}.up.weight": up}
    for n, path in enumerate("qkv"):
        path = f"transformer.single_transformer_blocks.0.attn.to_{path}"
        EXPECTED[f"{name}/{path}"] = update[n * D : (n + 1) * D]
    parts.save(OUT / f"{name}.safetensors", tensors)


def truncated(update, rank):
    rows = update.reshape(update.shape[0], -1)
    u, s, v = np.linalg.svd(rows, full_matrices=False)
    return ((u[:, :rank] * s[:rank]) @ v[:rank]).reshape(update.shape)


def measure(a, b):
    """Norms, cosine and norm of the difference of two adapters, over all modules."""
    dot = sum(float((a[module] * b[module]).sum()) for module in a)
    norm = lambda own: float(np.sqrt(sum(float((x**2).sum()) for x in own.values())))
    gap = {module: a[module] - b[module] for module in a}
    return {"norms": [norm(a), norm(b)], "cosine": dot / norm(a) / norm(b), "difference": norm(gap)}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    measures = {}
    for model in MODELS:
        updates = {}
        for method in MAKERS:
            updates[method] = make_file(model, method)
        make_file(model, "lora", has_magnitudes=True)
        make_file(model, "loha", has_magnitudes=True)
        make_file(model, "lokr", has_magnitudes=True)
        for a, b in [("lora", "tucker"), ("loha", "lokr")]:
            for module in MODELS[model]:
                total = 0.75 * updates[a][module] - 0.5 * updates[b][module]
                expect(f"sum/{model}-{a}-{b}", module, total)
            measures[f"{model}-{a}-{b}"] = measure(updates[a], updates[b])
        for method in ("loha", "lokr"):
            for module, update in updates[method].items():
                expect(f"resized/{model}-{method}", module, truncated(update, 2))
        base = {f"{module}.weight": BASES[module] for module in MODELS[model]}
        parts.save(OUT / f"{model}-base.safetensors", base)
    make_xlabs()
    modules = [*BASES, "double_blocks.0.img_attn.proj"]
    names = {kohya_name(module): parts.paths_of(module) for module in modules}
    (OUT / "names.json").write_text(json.dumps(names, indent=2) + "\n")
    parts.save(OUT / "expected.safetensors", {k: v.astype(np.float32) for k, v in EXPECTED.items()})
    (OUT / "measures.json").write_text(json.dumps(measures, indent=2) + "\n")


if __name__ == "__main__":
    main()
