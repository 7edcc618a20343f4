"""Makes test/fixtures/diffusion/names.json.gz: modules of original checkpoints and those of Diffusers.

Checkpoints with the original names of SD 1, SDXL and Flux, whose rows are numbered, are converted by
Diffusers' own code. What its models call these rows is the expected map; for UNets it must be complete.

Needs accelerate, diffusers, torch, transformers. Usage: python test/scripts/make_diffusion_names.py
"""

import gzip
import json
import pathlib

import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from transformers import CLIPTextConfig

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "diffusion" / "names.json.gz"
UNET = "model.diffusion_model."
SD = dict(
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    block_out_channels=(320, 640, 1280, 1280),
    layers_per_block=2,
    cross_attention_dim=768,
    attention_head_dim=8,
)
SDXL = dict(
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    block_out_channels=(320, 640, 1280),
    layers_per_block=2,
    transformer_layers_per_block=(1, 2, 10),
    cross_attention_dim=2048,
    attention_head_dim=(5, 10, 20),
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)


def attention_of(prefix, depth):
    names = ["norm", "proj_in", "proj_out"]
    for block in range(depth):
        own = f"transformer_blocks.{block}"
        names += [f"{own}.norm{n}" for n in (1, 2, 3)] + [f"{own}.ff.net.0.proj", f"{own}.ff.net.2"]
        names += [f"{own}.attn{n}.{layer}" for n in (1, 2) for layer in ("to_q", "to_k", "to_v", "to_out.0")]
    return [f"{prefix}.{name}" for name in names]


def resnet_of(prefix, has_shortcut):
    names = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"]
    return [f"{prefix}.{name}" for name in names + ["skip_connection"] * has_shortcut]


def unet_modules(depths, middle, is_xl):
    """The modules of the original UNet; depths: transformer blocks by level, 0 for none."""
    names = ["time_embed.0", "time_embed.2", "input_blocks.0.0", "out.0", "out.2"]
    names += ["label_emb.0.0", "label_emb.0.2"] * is_xl
    levels, n = len(depths), 1
    widens = [False, True, True, False]
    for level, depth in enumerate(depths):
        for layer in range(2):
            names += resnet_of(f"input_blocks.{n}.0", layer == 0 and widens[level])
            names += attention_of(f"input_blocks.{n}.1", depth) if depth else []
            n += 1
        if level + 1 < levels:
            names.append(f"input_blocks.{n}.0.op")
            n += 1
    names += resnet_of("middle_block.0", False) + attention_of("middle_block.1", middle)
    names += resnet_of("middle_block.2", False)
    for n, level in enumerate(level for level in reversed(range(levels)) for _ in range(3)):
        depth = depths[level]
        names += resnet_of(f"output_blocks.{n}.0", True)
        names += attention_of(f"output_blocks.{n}.1", depth) if depth else []
        if n % 3 == 2 and level > 0:
            names.append(f"output_blocks.{n}.{2 if depth else 1}.conv")
    return names


def numbered(names, rows_of):
    """A checkpoint in which each row of each weight is a number of its own, and whose rows they are."""
    state, owners, n = {}, {}, 0
    for name in names:
        rows = rows_of(name)
        state[name] = torch.arange(n, n + rows, dtype=torch.float64)[:, None]
        owners[n] = name
        n += rows
    return state, owners


def places(original, owners, converted):
    """original module -> [[Diffusers' module, its first row there]]"""
    found = {}
    starts = sorted(owners)
    for name, weight in converted.items():
        first = int(weight.flatten()[0])
        start = max(s for s in starts if s <= first)
        found.setdefault(owners[start], []).append([name.removesuffix(".weight"), first - start])
    return {
        original(name): [path for path, _ in sorted(parts, key=lambda part: part[1])]
        for name, parts in found.items()
    }


def is_norm(path):
    return "norm" in path.split(".")[-1] or path.endswith(("in_layers.0", "out_layers.0", "model.out.0"))


def unet(settings, depths, middle, is_xl):
    names = [f"{UNET}{name}.weight" for name in unet_modules(depths, middle, is_xl)]
    state, owners = numbered(names, lambda name: 2)
    state |= {name.replace(".weight", ".bias"): weight for name, weight in state.items()}
    with torch.device("meta"):
        model = UNet2DConditionModel(**settings)
    converted = single_file_utils.convert_ldm_unet_checkpoint(dict(state), dict(model.config))
    converted = {name: weight for name, weight in converted.items() if name.endswith(".weight")}
    expected = {name for name in model.state_dict() if name.endswith(".weight")}
    assert set(converted) == expected, set(converted) ^ expected
    found = places(lambda name: name.removesuffix(".weight"), owners, converted)
    return {
        name: [f"unet.{path}" for path in paths] for name, paths in found.items() if not is_norm(name)
    }


FLUX_ROWS = {"qkv": 3 * 3072, "linear1": 7 * 3072, "adaLN_modulation.1": 2 * 3072}


def flux():
    names = ["img_in", "txt_in", "final_layer.linear", "final_layer.adaLN_modulation.1"]
    names += [f"{a}_in.{b}_layer" for a in ("time", "vector", "guidance") for b in ("in", "out")]
    for n in range(19):
        for side in ("img", "txt"):
            parts = ["mod.lin", "attn.qkv", "attn.proj", "mlp.0", "mlp.2"]
            names += [f"double_blocks.{n}.{side}_{part}" for part in parts]
    names += [f"single_blocks.{n}.{part}" for n in range(38) for part in ("modulation.lin", "linear1", "linear2")]
    names = [f"{name}.weight" for name in names]
    rows = lambda name: next((rows for end, rows in FLUX_ROWS.items() if name.endswith(f"{end}.weight")), 2)
    state, owners = numbered(names, rows)
    norms = [f"double_blocks.{n}.{side}_attn" for n in range(19) for side in ("img", "txt")]
    norms += [f"single_blocks.{n}" for n in range(38)]
    others = {f"{name}.norm.{part}_norm.scale": torch.zeros(1) for name in norms for part in ("query", "key")}
    biases = {name.replace(".weight", ".bias"): torch.zeros(rows(name)) for name in names}
    converted = single_file_utils.convert_flux_transformer_checkpoint_to_diffusers(
        {**state, **biases, **others}
    )
    with torch.device("meta"):
        model = FluxTransformer2DModel(guidance_embeds=True)
    expected = {name for name in model.state_dict() if name.endswith(".weight") and "norm_" not in name.split(".")[-2]}
    weights = {name: value for name, value in converted.items() if name in expected}
    assert set(weights) == expected, set(weights) ^ expected
    found = places(lambda name: UNET + name.removesuffix(".weight"), owners, weights)
    return {name: [f"transformer.{path}" for path in paths] for name, paths in found.items()}


class TextModel:
    config = CLIPTextConfig(hidden_size=1280)


def open_clip():
    prefix = "conditioner.embedders.1.model."
    blocks = [f"{prefix}transformer.resblocks.{n}" for n in range(32)]
    parts = ["attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"]
    state, owners = numbered(
        [f"{block}.{part}" for block in blocks for part in parts],
        lambda name: 3 * 1280 if "in_proj" in name else 2,
    )
    converted = single_file_utils.convert_open_clip_checkpoint(TextModel, state, prefix)
    found = places(
        lambda name: name.removesuffix(".weight").removesuffix("_weight"), owners, converted
    )
    full = lambda path: f"text_encoder_2.{path if path.startswith('text_model.') else 'text_model.' + path}"
    return {name: [full(path) for path in paths] for name, paths in found.items()}


def main():
    OUT.parent.mkdir(exist_ok=True)
    names = {
        "sd": unet(SD, [1, 1, 1, 0], 1, False),
        "sdxl": unet(SDXL, [0, 2, 10], 10, True),
        "flux": flux(),
        "open_clip": open_clip(),
    }
    for architecture, found in names.items():
        print(architecture, len(found))
    OUT.write_bytes(gzip.compress(json.dumps(names).encode(), mtime=0))


if __name__ == "__main__":
    main()
