"""What PEFT computes of DoRA and rsLoRA on the tower for images of the tiny Qwen3-VL, and how PiSSA and OLoRA start there.

    python make_qwen3_vl_variants.py FIXTURES        (torch, transformers, peft, safetensors)

Reads FIXTURES/qwen3-vl-images (make_qwen3_vl.py). Writes FIXTURES/qwen3-vl-variants: the adapters dora/ (also on the convolution of
patches) and rslora/, expected.json (losses) and expected.safetensors: their logits and gradients, the magnitudes of a new DoRA
adapter, and the updates s * B * A that PiSSA and OLoRA start with.
"""
import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
import transformers as tf
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
FIXTURES = Path(sys.argv[1])
FROM, OUT = FIXTURES / "qwen3-vl-images", FIXTURES / "qwen3-vl-variants"
IMAGE = 386
LINEAR = ["qkv", "attn.proj", "linear_fc1", "linear_fc2"]
SETTINGS = {
    "dora": dict(r=2, lora_alpha=3, use_dora=True, target_modules=["qkv", "proj", "linear_fc1", "linear_fc2", "q_proj"]),
    "rslora": dict(r=2, lora_alpha=3, use_rslora=True, rank_pattern={"linear_fc1": 3}, target_modules=[*LINEAR, "v_proj"]),
}
STARTS = ["pissa", "olora"]


def randomise(parameters, generator, scale):
    with torch.no_grad():
        for p in parameters:
            p.copy_(torch.randn(p.shape, generator=generator) * scale)


def base():
    return tf.Qwen3VLForConditionalGeneration.from_pretrained(FROM / "base", dtype=torch.float32, attn_implementation="eager").eval()


def trained(model):
    return {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}


shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
known = json.loads((FROM / "expected.json").read_text())
inputs = {key: torch.tensor(value) for key, value in known["inputs"].items()}
labels = inputs.pop("labels")
inputs["mm_token_type_ids"] = (inputs["input_ids"] == IMAGE).to(torch.int32)
grids = torch.tensor([grid for row in known["grids"] for grid in row])
call = dict(**inputs, pixel_values=load_file(FROM / "expected.safetensors")["pixel_values"], image_grid_thw=grids)
expected, losses = {}, {}
for seed, (name, settings) in enumerate(SETTINGS.items()):
    model = get_peft_model(base(), LoraConfig(**settings, task_type="CAUSAL_LM")).eval()
    for key, p in trained(model).items():
        if "magnitude" in key:
            expected[f"{name}.start.{key}"] = p.detach().clone()
    randomise([p for key, p in trained(model).items() if "lora_A" in key or "lora_B" in key], torch.Generator().manual_seed(20 + seed), 0.2)
    with torch.no_grad():
        for key, p in trained(model).items():
            if "magnitude" in key:
                p.mul_(1.0 + 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(30)))
    model.save_pretrained(OUT / name)
    (OUT / name / "README.md").unlink()
    config = OUT / name / "adapter_config.json"
    config.write_text(config.read_text().replace(json.dumps(str(FROM / "base")), '"qwen3-vl-images"'))
    output = model(**call, labels=labels)
    output.loss.backward()
    losses[name] = output.loss.item()
    expected[f"{name}.logits"] = output.logits[:1]
    for key, p in trained(model).items():
        expected[f"{name}.grad.{key}"] = p.grad
for start in STARTS:
    torch.manual_seed(0)
    model = get_peft_model(base(), LoraConfig(r=3, lora_alpha=5, init_lora_weights=start, target_modules=LINEAR)).eval()
    output = model(**call, labels=labels)
    losses[start] = output.loss.item()
    for key, module in model.base_model.model.named_modules():
        if hasattr(module, "lora_A") and "default" in module.lora_A:
            update = module.scaling["default"] * module.lora_B["default"].weight @ module.lora_A["default"].weight
            expected[f"{start}.update.{key}"] = update
save_file({name: value.detach().to(torch.float32).contiguous().clone() for name, value in expected.items()}, OUT / "expected.safetensors")
(OUT / "expected.json").write_text(json.dumps(dict(losses=losses), indent=1) + "\n")
print(losses, known["base_loss"], len(expected))
