"""Makes test/fixtures/diffusion/text-projection: an SDXL whose text projection is adapted.

The projection behind the second text encoder is `text_projection.weight` [out, in] in Diffusers, and the
matrix of x·W, [in, out], in the original checkpoint (Diffusers' convert_open_clip_checkpoint transposes
it). One module of the UNet says that it is SDXL. The adapter has kohya's names, as OneTrainer writes
them, with an alpha. expected.safetensors: W + alpha / r · BA by NumPy in float64, in both forms.

Needs numpy, safetensors. Usage: python test/scripts/make_text_projection.py
"""

import json
import pathlib

import numpy as np
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "diffusion" / "text-projection"
random = np.random.default_rng(23)
IN, ROWS, R, ALPHA = 6, 4, 3, 2.0
UNET = {"original": "model.diffusion_model.label_emb.0.0", "diffusers": "add_embedding.linear_1"}
PROJECTION = {"original": "conditioner.embedders.1.model.text_projection", "diffusers": "text_projection.weight"}


def numbers(*shape):
    return random.standard_normal(shape).astype(np.float32)


def save(file, tensors):
    file.parent.mkdir(parents=True, exist_ok=True)
    # the bytes of an array as it lies in memory are what is stored
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, file)


def write_json(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n")


weight, embedding = numbers(ROWS, IN), numbers(5, 7)
down, up = numbers(R, IN), numbers(ROWS, R)
merged = weight.astype(np.float64) + ALPHA / R * up.astype(np.float64) @ down.astype(np.float64)

save(OUT / "model.safetensors", {PROJECTION["original"]: weight.T, f"{UNET['original']}.weight": embedding})
folder = OUT / "diffusers"
save(folder / "text_encoder_2" / "model.safetensors", {PROJECTION["diffusers"]: weight})
save(folder / "unet" / "diffusion_pytorch_model.safetensors", {f"{UNET['diffusers']}.weight": embedding})
write_json(folder / "unet" / "config.json", {"_class_name": "UNet2DConditionModel"})
write_json(folder / "text_encoder_2" / "config.json", {"architectures": ["CLIPTextModelWithProjection"]})
write_json(folder / "model_index.json", {
    "_class_name": "StableDiffusionXLPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
})
name = "lora_te2_text_projection"
save(OUT / "adapter.safetensors", {
    f"{name}.lora_down.weight": down,
    f"{name}.lora_up.weight": up,
    f"{name}.alpha": np.float32(ALPHA).reshape(()),
})
save(OUT / "expected.safetensors", {"original": merged.T.astype(np.float32), "diffusers": merged.astype(np.float32)})
