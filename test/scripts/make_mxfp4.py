"""A tiny gpt-oss whose experts are packed in MXFP4, as its published files are, and what transformers reads of them.

    python make_mxfp4.py FOLDER        (torch, transformers, safetensors, accelerate)

Writes FOLDER/base (packed), FOLDER/unpacked.safetensors (the experts' parameters as transformers dequantises them, all
exponents included) and FOLDER/expected.json, FOLDER/expected.safetensors (inputs, logits in f32 of the dequantised model).
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GptOssConfig, GptOssForCausalLM
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

OUT = Path(sys.argv[1])
config = GptOssConfig(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16, num_local_experts=3,
                      num_experts_per_tok=2, sliding_window=6, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2, attn_implementation="eager",
                      rope_parameters=dict(rope_type="yarn", rope_theta=150000.0, factor=4.0, beta_fast=32.0, beta_slow=1.0, truncate=False, original_max_position_embeddings=16))
generator = torch.Generator().manual_seed(5)
model = GptOssForCausalLM(config).eval()
tensors, unpacked = {}, {}
with torch.no_grad():
    for name, p in model.named_parameters():
        if name.endswith(("gate_up_proj", "down_proj")):
            experts, width, rows = p.shape
            blocks = torch.randint(0, 256, (experts, rows, width // 32, 16), generator=generator, dtype=torch.uint8)
            scales = torch.randint(120, 125, (experts, rows, width // 32), generator=generator, dtype=torch.uint8)
            tensors[name + "_blocks"], tensors[name + "_scales"] = blocks, scales
            values = convert_moe_packed_tensors(blocks, scales)
            unpacked[name] = values.contiguous()
            p.copy_(values.float())
        else:
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3 + (1.0 if "norm" in name else 0.0))
            tensors[name] = p.detach().clone().to(torch.bfloat16)
            p.copy_(tensors[name].float())
(OUT / "base").mkdir(parents=True, exist_ok=True)
written = json.loads(config.to_json_string())
written["architectures"] = ["GptOssForCausalLM"]
written["dtype"] = "bfloat16"
written["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}
(OUT / "base/config.json").write_text(json.dumps(written, indent=2) + "\n")
save_file(tensors, OUT / "base/model.safetensors", metadata={"format": "pt"})
save_file(unpacked, OUT / "unpacked.safetensors")
ids = torch.randint(3, 64, (2, 9), generator=generator)
with torch.no_grad():
    logits = model(ids).logits
save_file({"base.logits": logits}, OUT / "expected.safetensors")
(OUT / "expected.json").write_text(json.dumps({"inputs": {"input_ids": ids.tolist(), "attention_mask": torch.ones_like(ids).tolist(), "labels": ids.tolist()}}) + "\n")
# the folder as a user would load it
loaded = AutoModelForCausalLM.from_pretrained(OUT / "base", attn_implementation="eager").float().eval()
for name, values in unpacked.items():
    assert torch.equal(dict(loaded.named_parameters())[name], values.float()), name
with torch.no_grad():
    print((loaded(ids).logits - logits).abs().max().item())
