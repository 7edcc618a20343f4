"""Writes test/fixtures/dinov2/sizes.safetensors: what transformers computes for images of other sizes than
the config's, whose positions are interpolated.

    python test/scripts/make_dinov2_sizes.py
"""

import pathlib

import torch
from safetensors.torch import save_file
from transformers import Dinov2ForImageClassification

folder = pathlib.Path(__file__).parent.parent / "fixtures" / "dinov2"
model = Dinov2ForImageClassification.from_pretrained(folder / "base", attn_implementation="eager")
labels = torch.tensor([1, 4])
tensors = {}
for side in (12, 28):
    torch.manual_seed(side)
    pixels = torch.randn(2, 3, side, side)
    model.zero_grad()
    output = model(pixel_values=pixels, labels=labels)
    output.loss.backward()
    positions = model.dinov2.embeddings.position_embeddings
    tensors[f"{side}.pixels"] = pixels
    tensors[f"{side}.logits"] = output.logits.detach().clone()
    tensors[f"{side}.loss"] = output.loss.detach().reshape(1)
    tensors[f"{side}.positions"] = positions.grad.clone()
    tensors[f"{side}.scale"] = model.dinov2.encoder.layer[0].layer_scale1.lambda1.grad.clone()
save_file(tensors, folder / "sizes.safetensors")
