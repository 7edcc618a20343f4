"""What transformers and PEFT compute of adapters on the tower for images of the tiny Qwen3-VL, and of AdamW's steps with them.

    python make_qwen3_vl_tower.py FIXTURES        (torch, transformers, peft, safetensors)

Reads FIXTURES/qwen3-vl-images (make_qwen3_vl.py). Writes FIXTURES/qwen3-vl-tower: the adapters linear/ (target_modules "all-linear"),
named/ (names of layers of the tower, its convolution of patches too) and merger/ (modules_to_save), expected.json and
expected.safetensors: logits and gradients of each, what "all-linear" and regular expressions select, and the factors of linear/
after steps with and without images.
"""
import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
import transformers as tf
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
FIXTURES = Path(sys.argv[1])
FROM, OUT = FIXTURES / "qwen3-vl-images", FIXTURES / "qwen3-vl-tower"
IMAGE = 386
SETTINGS = {
    "linear": dict(r=2, lora_alpha=3, target_modules="all-linear"),
    "named": dict(r=2, lora_alpha=4, target_modules=["qkv", "proj", "linear_fc1"]),
    "merger": dict(r=2, lora_alpha=3, target_modules=["q_proj"], modules_to_save=["merger"]),
}
EXPRESSIONS = [
    r".*visual.*\.(qkv|linear_fc2)",
    r".*language_model.*\.(q_proj|v_proj)",
    r"model\.visual\.(?:merger|deepstack_merger_list\.\d+)\.linear_fc[12]",
]


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
text = {key: value[2:] for key, value in inputs.items()}  # the row without images
expected, facts = {}, dict(losses={}, selected={})
for seed, (name, settings) in enumerate(SETTINGS.items()):
    model = get_peft_model(base(), LoraConfig(**settings, task_type="CAUSAL_LM")).eval()
    factors = [p for key, p in trained(model).items() if "lora_" in key]
    randomise(factors, torch.Generator().manual_seed(10 + seed), 0.2)
    model.save_pretrained(OUT / name)
    (OUT / name / "README.md").unlink()
    config = OUT / name / "adapter_config.json"
    config.write_text(config.read_text().replace(json.dumps(str(FROM / "base")), '"qwen3-vl-images"'))
    output = model(**call, labels=labels)
    output.loss.backward()
    facts["losses"][name] = output.loss.item()
    expected[f"{name}.logits"] = output.logits[:1]
    for key, p in trained(model).items():
        expected[f"{name}.grad.{key}"] = p.grad
    facts["selected"][name] = sorted(key.removesuffix(".lora_A.default") for key, _ in model.base_model.model.named_modules() if key.endswith("lora_A.default"))
for expression in EXPRESSIONS:
    model = get_peft_model(base(), LoraConfig(r=1, target_modules=expression))
    facts["selected"][expression] = sorted(key.removesuffix(".lora_A.default") for key, _ in model.base_model.model.named_modules() if key.endswith("lora_A.default"))

# AdamW passes over what has no gradient: the tower's factors in a step without images
model = PeftModel.from_pretrained(base(), OUT / "linear", is_trainable=True).eval()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1, betas=(0.9, 0.999), eps=1e-8)
for has_images in (True, False, True):
    optimizer.zero_grad()
    (model(**call, labels=labels) if has_images else model(**text, labels=labels[2:])).loss.backward()
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()
for key, p in trained(model).items():
    expected[f"stepped.{key}"] = p
save_file({name: value.detach().to(torch.float32).contiguous().clone() for name, value in expected.items()}, OUT / "expected.safetensors")
(OUT / "expected.json").write_text(json.dumps(facts, indent=1) + "\n")
print(facts["losses"], {key: len(value) for key, value in facts["selected"].items()})
