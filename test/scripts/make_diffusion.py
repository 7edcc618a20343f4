"""Makes test/fixtures/diffusion: tiny parts of SD 1, SDXL and Flux with adapters, and merged weights.

A few modules of each model, with their real names and made-up shapes, as a single file (original
names) and as a folder of Diffusers. The merged weights are reckoned in float64 with NumPy alone, from
the formulas of each method; those of LyCORIS are compared with its own code first. Which modules are
the same is read from names.json.gz (make_diffusion_names.py).

Needs lycoris-lora, numpy, safetensors, torch. Usage: python test/scripts/make_diffusion.py
"""

import gzip
import json
import pathlib
import shutil

import numpy as np
import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "diffusion"
NAMES = {
    original: paths
    for names in json.loads(gzip.decompress((OUT / "names.json.gz").read_bytes())).values()
    for original, paths in names.items()
}
UNET = "model.diffusion_model."
C, TIME, CONTEXT, TEXT = 4, 6, 5, 6
BLOCK = "transformer_blocks.0"


def sd_modules(is_xl):
    one = () if is_xl else (1, 1)
    at = 4 if is_xl else 1
    own = {
        "time_embed.0": (TIME, C),
        "input_blocks.0.0": (C, 3, 3, 3),
        "input_blocks.1.0.in_layers.2": (C, C, 3, 3),
        "input_blocks.1.0.emb_layers.1": (C, TIME),
        "input_blocks.4.0.skip_connection": (6, C, 1, 1),
        "input_blocks.3.0.op": (C, C, 3, 3),
        f"input_blocks.{at}.1.proj_in": (C, C, *one),
        f"input_blocks.{at}.1.{BLOCK}.attn1.to_q": (C, C),
        f"input_blocks.{at}.1.{BLOCK}.attn1.to_out.0": (C, C),
        f"input_blocks.{at}.1.{BLOCK}.attn2.to_k": (C, CONTEXT),
        f"input_blocks.{at}.1.{BLOCK}.ff.net.0.proj": (8 * C, C),
        f"input_blocks.{at}.1.{BLOCK}.ff.net.2": (C, 4 * C),
        "middle_block.1.proj_out": (C, C, *one),
        f"output_blocks.5.1.{BLOCK}.attn2.to_v": (C, CONTEXT),
        f"output_blocks.2.{2 if is_xl else 1}.conv": (C, C, 3, 3),
        "out.2": (3, C, 3, 3),
    }
    if is_xl:
        own["input_blocks.4.1.transformer_blocks.1.attn1.to_v"] = (C, C)
        own["label_emb.0.0"] = (TIME, 7)
    return {UNET + name: shape for name, shape in own.items()}


def clip_modules(prefix):
    layer = f"{prefix}text_model.encoder.layers.0"
    return {f"{layer}.self_attn.q_proj": (TEXT, TEXT), f"{layer}.mlp.fc1": (8, TEXT)}


OPEN_CLIP = "conditioner.embedders.1.model.transformer.resblocks.0."
MODELS = {
    "sd": {**sd_modules(False), **clip_modules("cond_stage_model.transformer.")},
    "sdxl": {
        **sd_modules(True),
        **clip_modules("conditioner.embedders.0.transformer."),
        f"{OPEN_CLIP}attn.in_proj": (3 * TEXT, TEXT),
        f"{OPEN_CLIP}attn.out_proj": (TEXT, TEXT),
        f"{OPEN_CLIP}mlp.c_fc": (8, TEXT),
    },
    "flux": {
        "img_in": (C, 3),
        "time_in.in_layer": (C, TIME),
        "double_blocks.0.img_mod.lin": (6 * C, C),
        "double_blocks.0.img_attn.qkv": (3 * C, C),
        "double_blocks.0.txt_attn.qkv": (3 * C, C),
        "double_blocks.0.img_attn.proj": (C, C),
        "double_blocks.0.img_mlp.0": (4 * C, C),
        "double_blocks.0.txt_mlp.2": (C, 4 * C),
        "single_blocks.0.linear1": (7 * C, C),
        "single_blocks.0.linear2": (C, 5 * C),
        "single_blocks.1.linear1": (7 * C, C),
        "final_layer.adaLN_modulation.1": (2 * C, C),
    },
}
OTHERS = {
    "sd": {
        f"{UNET}input_blocks.1.0.in_layers.0.weight": (C,),
        f"{UNET}time_embed.0.bias": (TIME,),
        "first_stage_model.decoder.conv_in.weight": (C, 3, 3, 3),
    },
    "sdxl": {
        f"{UNET}input_blocks.1.0.in_layers.0.weight": (C,),
        f"{OPEN_CLIP}attn.in_proj_bias": (3 * TEXT,),
        "first_stage_model.decoder.conv_in.weight": (C, 3, 3, 3),
    },
    "flux": {"double_blocks.0.img_attn.norm.query_norm.scale": (C,), "img_in.bias": (C,)},
}
DTYPES = {"sd": torch.float16, "sdxl": torch.float32, "flux": torch.bfloat16}
CLASSES = {
    "unet": ("UNet2DConditionModel", "diffusion_pytorch_model.safetensors"),
    "transformer": ("FluxTransformer2DModel", "diffusion_pytorch_model.safetensors"),
    "text_encoder": ("CLIPTextModel", "model.safetensors"),
    "text_encoder_2": ("CLIPTextModelWithProjection", "model.safetensors"),
}
PIPELINES = {
    "sd": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "flux": "FluxPipeline",
}
random = np.random.default_rng(7)


def numbers(*shape, scale=1.0):
    return (random.standard_normal(shape) * scale).astype(np.float32)


def in_names(module):
    """The module's name in names.json.gz."""
    return module if module.startswith(("model.", "cond", "first")) else UNET + module


def paths_of(module):
    clip = {"cond_stage_model.transformer.": "text_encoder.", "conditioner.embedders.0.transformer.": "text_encoder."}
    for prefix, model in clip.items():
        if module.startswith(prefix):
            return [model + module.removeprefix(prefix)]
    return NAMES[in_names(module)]


def rows_of(module, shape):
    count = len(paths_of(module))
    if count == 4:
        return [shape[1]] * 3 + [shape[0] - 3 * shape[1]]
    return [shape[0] // count] * count


def to_diffusers(module, weight):
    """The weights of Diffusers' modules that an original weight is."""
    if module.endswith("adaLN_modulation.1"):
        half = weight.shape[0] // 2
        weight = np.concatenate([weight[half:], weight[:half]])
    first, found = 0, {}
    for path, rows in zip(paths_of(module), rows_of(module, weight.shape)):
        found[path] = weight[first : first + rows]
        first += rows
    return found


def weight_name(module):
    return f"{module}_weight" if module.endswith("in_proj") else f"{module}.weight"


def save(file, tensors, dtype=None, metadata=None):
    as_torch = {name: torch.from_numpy(np.ascontiguousarray(own)) for name, own in tensors.items()}
    as_torch = {
        name: own.to(dtype) if dtype and own.is_floating_point() else own for name, own in as_torch.items()
    }
    save_file(as_torch, file, metadata or {})


def make_base(name, folder):
    """Writes the model in both forms; returns its weights as they are stored."""
    dtype = DTYPES[name]
    rounded = lambda own: torch.from_numpy(own).to(dtype).float().numpy()
    weights = {module: rounded(numbers(*shape)) for module, shape in MODELS[name].items()}
    others = {own: rounded(numbers(*shape)) for own, shape in OTHERS[name].items()}
    single = {weight_name(module): weight for module, weight in weights.items()} | others
    if name != "flux":
        position_ids = "text_model.embeddings.position_ids"
        prefix = "cond_stage_model" if name == "sd" else "conditioner.embedders.0"
        single[f"{prefix}.transformer.{position_ids}"] = np.arange(3, dtype=np.int64)[None]
    save(folder / "model.safetensors", single, dtype, {"modelspec.title": f"tiny {name}"})
    components = {}
    for module, weight in weights.items():
        for path, part in to_diffusers(module, weight).items():
            model, inner = path.split(".", 1)
            components.setdefault(model, {})[f"{inner}.weight"] = part
    index = {"_class_name": PIPELINES[name], "_diffusers_version": "0.42.1"}
    for model, tensors in components.items():
        own = folder / "diffusers" / model
        own.mkdir(parents=True)
        class_name, file = CLASSES[model]
        save(own / file, tensors, dtype, {"format": "pt"})
        (own / "config.json").write_text(json.dumps({"_class_name": class_name}) + "\n")
        index[model] = ["diffusers" if "diffusion" in file else "transformers", class_name]
    (folder / "diffusers" / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    return weights


def kohya_name(module, has_original_names):
    [first, *more] = paths_of(module)
    model, inner = first.split(".", 1)
    if model in ("unet", "transformer"):
        own = module.removeprefix(UNET) if has_original_names else inner
        return "lora_unet_" + own.replace(".", "_")
    encoders = {"text_encoder": "lora_te1_" if has_original_names else "lora_te_", "text_encoder_2": "lora_te2_"}
    return None if more else encoders[model] + inner.replace(".", "_")


def low_rank(shape, r):
    out, inner, *kernel = shape
    down = numbers(r, inner, *kernel, scale=0.5)
    up = numbers(out, r, *[1] * len(kernel), scale=0.5)
    update = up.reshape(out, r).astype(np.float64) @ down.reshape(r, -1).astype(np.float64)
    return down, up, update.reshape(shape)


def kohya_adapter(name, weights):
    """LoRA of kohya's scripts with alphas; the updates by original module."""
    tensors, updates = {}, {}
    for n, (module, weight) in enumerate(weights.items()):
        own = kohya_name(module, name != "sd")
        if own is None:
            continue
        r, alpha = 1 + n % 3, [1.5, 2.0, 4.0][n % 3]
        down, up, update = low_rank(weight.shape, r)
        tensors |= {f"{own}.lora_down.weight": down, f"{own}.lora_up.weight": up}
        tensors[f"{own}.alpha"] = np.float32(alpha).reshape(())
        updates[module] = alpha / r * update
    return tensors, updates


def diffusers_adapter(weights, has_magnitudes=False):
    """LoRA with Diffusers' names on parts of the fused weights; the updates by Diffusers' module."""
    tensors, updates, magnitudes = {}, {}, {}
    for module, weight in weights.items():
        for n, (path, part) in enumerate(to_diffusers(module, weight).items()):
            if n == 1 and not has_magnitudes:
                continue
            down, up, update = low_rank(part.shape, 1 + n % 2)
            tensors |= {f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up}
            updates[path] = update
            if has_magnitudes:
                magnitudes[path] = np.abs(numbers(part.shape[0])) + 0.5
                tensors[f"{path}.lora_magnitude_vector"] = magnitudes[path]
    return tensors, updates, magnitudes


def tucker(core, up, down):
    """Sum over m, n of up[i, m] core[m, n, ...] down[n, j]: [i, j, ...]"""
    return np.einsum("mn...,im,nj->ij...", *(own.astype(np.float64) for own in (core, up, down)))


def loha(shape, r, is_tucker):
    out, inner, *kernel = shape
    a, b, cores = [], [], []
    for n in (1, 2):
        if is_tucker:
            cores.append(numbers(r, r, *kernel, scale=0.7))
            a.append(numbers(r, out, scale=0.7))
            b.append(numbers(r, inner, scale=0.7))
        else:
            a.append(numbers(out, r, scale=0.7))
            b.append(numbers(r, inner * int(np.prod(kernel)), scale=0.7))
    own = {"hada_w1_a": a[0], "hada_w1_b": b[0], "hada_w2_a": a[1], "hada_w2_b": b[1]}
    if is_tucker:
        own |= {"hada_t1": cores[0], "hada_t2": cores[1]}
        parts = [tucker(cores[n], a[n].T, b[n]) for n in (0, 1)]
    else:
        parts = [a[n].astype(np.float64) @ b[n] for n in (0, 1)]
    return own, (parts[0] * parts[1]).reshape(shape), r


def lokr(shape, r, factor, w1, w2):
    """w1: full, low; w2: full, low, tucker"""
    out, inner, *kernel = shape
    (a, c), (b, d) = (factor, out // factor), (1 if inner % factor else factor, 0)
    d = inner // b
    own = {}
    if w1 == "full":
        own["lokr_w1"] = left = numbers(a, b)
    else:
        own |= {"lokr_w1_a": numbers(a, r), "lokr_w1_b": numbers(r, b)}
        left = own["lokr_w1_a"].astype(np.float64) @ own["lokr_w1_b"]
    if w2 == "full":
        own["lokr_w2"] = right = numbers(c, d, *kernel)
    elif w2 == "tucker":
        own |= {"lokr_t2": numbers(r, r, *kernel), "lokr_w2_a": numbers(r, c), "lokr_w2_b": numbers(r, d)}
        right = tucker(own["lokr_t2"], own["lokr_w2_a"].T, own["lokr_w2_b"])
    else:
        own |= {"lokr_w2_a": numbers(c, r), "lokr_w2_b": numbers(r, d * int(np.prod(kernel)))}
        right = (own["lokr_w2_a"].astype(np.float64) @ own["lokr_w2_b"]).reshape(c, d, *kernel)
    update = np.kron(left.astype(np.float64).reshape(a, b, *[1] * len(kernel)), right.astype(np.float64))
    return own, update.reshape(shape), None if (w1, w2) == ("full", "full") else r


def lora_mid(shape, r):
    out, inner, *kernel = shape
    own = {
        "lora_mid.weight": numbers(r, r, *kernel),
        "lora_up.weight": numbers(out, r, 1, 1),
        "lora_down.weight": numbers(r, inner, 1, 1),
    }
    up, down = own["lora_up.weight"][:, :, 0, 0], own["lora_down.weight"][:, :, 0, 0]
    return own, tucker(own["lora_mid.weight"], up, down), r


def check_with_lycoris(own, shape, update, scale):
    """Whether LyCORIS' own functions compute the same update."""
    from lycoris.functional import locon, loha, lokr

    values = {name: torch.from_numpy(np.asarray(value)) for name, value in own.items()}
    if "hada_w1_a" in own:
        names = ["w1_b", "w1_a", "w2_b", "w2_a", "t1", "t2"]
        weights = [values.get(f"hada_{name}") for name in names]
        found = loha.diff_weight(*weights, gamma=scale, backend="torch")
    elif "lora_mid.weight" in own:
        weights = [values[f"lora_{name}.weight"] for name in ("down", "up", "mid")]
        found = locon.diff_weight(*weights, gamma=scale, backend="torch")
    else:
        names = ["w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2"]
        weights = [values.get(f"lokr_{name}") for name in names]
        if weights[4] is not None and weights[6] is None and len(shape) == 4:
            weights[5] = weights[5].reshape(weights[5].shape[0], -1, *shape[2:])
        found = lokr.kron_weight(*weights, scale=scale, backend="torch")
    found, want = found.reshape(shape).double().numpy(), scale * update
    assert np.abs(found - want).max() < 1e-5 * np.abs(want).max(), (sorted(own), np.abs(found - want).max())


def lycoris_adapter(weights):
    """LoHa, LoKr and Tucker in one file; the updates by original module."""
    tensors, updates = {}, {}
    makers = [
        lambda shape: loha(shape, 2, False),
        lambda shape: lokr(shape, 2, 2, "full", "low"),
        lambda shape: lokr(shape, 1, 2, "full", "full"),
        lambda shape: lokr(shape, 2, 2, "low", "low"),
    ]
    of_kernels = [
        lambda shape: lora_mid(shape, 2),
        lambda shape: loha(shape, 2, True),
        lambda shape: lokr(shape, 2, 2, "full", "tucker"),
        *makers,
    ]
    counts = {False: 0, True: 0}
    for module, weight in weights.items():
        has_kernel = weight.shape[2:] == (3, 3)
        if weight.shape[0] % 2 and has_kernel:
            continue
        own_makers = of_kernels if has_kernel else makers
        own, update, r = own_makers[counts[has_kernel] % len(own_makers)](weight.shape)
        counts[has_kernel] += 1
        alpha = 1.5
        scale = 1.0 if r is None else alpha / r
        own["alpha"] = np.float32(alpha)
        check_with_lycoris(own, weight.shape, update, scale)
        name = kohya_name(module, True)
        if name is None:
            continue
        tensors |= {f"{name}.{key}": np.asarray(value) for key, value in own.items()}
        updates[module] = scale * update
    return tensors, updates


def merged(weights, updates, magnitudes=None):
    """W + dW in float64, rows scaled to the magnitudes; by original module and by Diffusers'."""
    found = {}
    for module, weight in weights.items():
        parts = to_diffusers(module, weight.astype(np.float64))
        own = to_diffusers(module, updates[module]) if module in updates else updates
        if not any(path in own for path in parts):
            continue
        result = {path: part + own[path] if path in own else part for path, part in parts.items()}
        for path in parts:
            if magnitudes and path in magnitudes:
                norm = np.linalg.norm(result[path].reshape(result[path].shape[0], -1), axis=1)
                factor = (magnitudes[path] / norm).reshape(-1, *[1] * (result[path].ndim - 1))
                result[path] = result[path] * factor
        whole = np.concatenate(list(result.values()))
        if module.endswith("adaLN_modulation.1"):
            half = whole.shape[0] // 2
            whole = np.concatenate([whole[half:], whole[:half]])
        found[f"original/{weight_name(module)}"] = whole
        found |= {f"diffusers/{path}.weight": part for path, part in result.items() if path in own}
    return found


def main():
    for name in MODELS:
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        weights = make_base(name, folder)
        tensors, updates = kohya_adapter(name, weights)
        save(folder / "kohya.safetensors", tensors, metadata={"ss_network_module": "networks.lora"})
        expected = {f"kohya/{k}": v for k, v in merged(weights, updates).items()}
        tensors, updates, _ = diffusers_adapter(weights)
        save(folder / "diffusers.safetensors", tensors)
        expected |= {f"diffusers/{k}": v for k, v in merged(weights, updates).items()}
        tensors, updates, magnitudes = diffusers_adapter(weights, True)
        save(folder / "dora.safetensors", tensors)
        expected |= {f"dora/{k}": v for k, v in merged(weights, updates, magnitudes).items()}
        tensors, updates = lycoris_adapter(weights)
        save(folder / "lycoris.safetensors", tensors)
        expected |= {f"lycoris/{k}": v for k, v in merged(weights, updates).items()}
        save(folder / "expected.safetensors", {k: v.astype(np.float32) for k, v in expected.items()})


if __name__ == "__main__":
    main()
