"""AdamW's steps with weight decay on adapters that have factors without a gradient: of MPNet's pooler and of the out_proj of SigLIP's head.

    python make_skipped_steps.py FIXTURES        (torch, transformers, peft, safetensors)

Reads FIXTURES/mpnet/features and FIXTURES/siglip. Writes FIXTURES/skipped-steps: siglip/ (an adapter) and expected.safetensors (the
factors after three steps).
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
OUT = FIXTURES / "skipped-steps"
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
expected = {}


def train(name, model, loss_of):
    model.eval()  # without dropout, as the runs here
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    without = [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert len(without) == 2, without
    for key, p in model.named_parameters():
        if p.requires_grad:
            expected[f"{name}.{key.replace('.default', '')}"] = p.detach().clone()
    print(name, without)


mpnet = FIXTURES / "mpnet"
known = json.loads((mpnet / "features" / "expected.json").read_text())["inputs"]
target = load_file(mpnet / "features" / "expected.safetensors")["inputs.target"]
inputs = {key: torch.tensor(known[key]) for key in ("input_ids", "attention_mask")}
mask = inputs["attention_mask"].bool()
encoder = tf.AutoModel.from_pretrained(mpnet / "base", dtype=torch.float32, attn_implementation="eager")
train("mpnet", PeftModel.from_pretrained(encoder, mpnet / "features" / "adapter", is_trainable=True),
      lambda model: ((model(**inputs).last_hidden_state - target)[mask] ** 2).mean())

siglip = FIXTURES / "siglip"
ids = torch.tensor(json.loads((siglip / "qv" / "expected.json").read_text())["inputs"]["input_ids"])
pixels = load_file(siglip / "qv" / "expected.safetensors")["inputs.pixel_values"]
both = tf.AutoModel.from_pretrained(siglip / "base", dtype=torch.float32, attn_implementation="eager")
model = get_peft_model(both, LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "out_proj"]))
generator = torch.Generator().manual_seed(4)
with torch.no_grad():
    for p in model.parameters():
        if p.requires_grad:
            p.copy_(torch.randn(p.shape, generator=generator) * 0.2)
model.save_pretrained(OUT / "siglip")
(OUT / "siglip" / "README.md").unlink()
config = OUT / "siglip" / "adapter_config.json"
config.write_text(config.read_text().replace(json.dumps(str(siglip / "base")), '"siglip-tiny"'))
train("siglip", model, lambda model: model(input_ids=ids, pixel_values=pixels, return_loss=True).loss)
save_file({name: value.contiguous() for name, value in expected.items()}, OUT / "expected.safetensors")
