"""Makes test/fixtures/lora-files: LoRA files as Diffusers, kohya's scripts and ai-toolkit write them.

A tiny UNet and two tiny text encoders get LoRA layers by PEFT; Diffusers' own pipeline classes and
converters write them. expected.json has each module's rank and scaling, expected.safetensors the
updates that PEFT computes for some of them.

Needs diffusers, peft, torch, transformers. Usage: python test/scripts/make_lora_files.py
"""

import json
import pathlib

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "lora-files"
PATTERNS = {"rank_pattern": {"conv_in": 3}, "alpha_pattern": {"conv_in": 5, "attn2.to_v": 7}}


def fill(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1


def unet():
    model = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=12,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=2,
    )
    return model, LoraConfig(
        r=2, lora_alpha=6, target_modules=["to_q", "to_v", "to_out.0", "conv_in", "proj_in"], **PATTERNS
    )


def encoder():
    config = CLIPTextConfig(
        hidden_size=12, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        vocab_size=20, max_position_embeddings=8,
    )  # fmt: skip
    return CLIPTextModel(config), LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "out_proj"])


def adapted(make, seed):
    model, config = make()
    inject_adapter_in_model(config, model)
    fill(model, seed)
    return model, config


def facts(model, prefix):
    modules, updates = {}, {}
    for name, module in model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        modules[f"{prefix}.{name}"] = {"r": module.r["default"], "scaling": module.scaling["default"]}
        updates[f"{prefix}.{name}"] = module.get_delta_weight("default").detach().contiguous()
    return modules, updates


def main():
    OUT.mkdir(exist_ok=True)
    models = {
        "unet": adapted(unet, 1),
        "text_encoder": adapted(encoder, 2),
        "text_encoder_2": adapted(encoder, 3),
    }
    states = {name: get_peft_model_state_dict(model) for name, (model, _) in models.items()}
    modules, updates = {}, {}
    for name, (model, _) in models.items():
        own, deltas = facts(model, name)
        modules |= own
        updates |= deltas
    StableDiffusionXLPipeline.save_lora_weights(
        OUT,
        unet_lora_layers=states["unet"],
        text_encoder_lora_layers=states["text_encoder"],
        text_encoder_2_lora_layers=states["text_encoder_2"],
        **{f"{name}_lora_adapter_metadata": config.to_dict() | {
            "target_modules": sorted(config.target_modules), "peft_type": "LORA"
        } for name, (_, config) in models.items()},
    )
    flat = {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}
    kohya = convert_state_dict_to_kohya(flat)
    scales = {f"{key}.alpha": own["r"] * own["scaling"] for key, own in modules.items()}
    alphas = convert_state_dict_to_kohya(
        {key.replace(".alpha", ".lora_A.weight"): torch.tensor([value]) for key, value in scales.items()}
    )
    for key, value in alphas.items():
        if key.endswith(".lora_down.weight"):
            kohya[key.replace(".lora_down.weight", ".alpha")] = torch.tensor(float(value))
    save_file(kohya, OUT / "sdxl-kohya.safetensors", {"ss_network_module": "networks.lora"})
    save_file(updates, OUT / "expected.safetensors")
    (OUT / "expected.json").write_text(json.dumps(modules, indent=1, sort_keys=True) + "\n")


main()
