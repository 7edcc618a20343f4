"""Adapters for a base whose vocabulary was made larger before the training, as people do who add tokens.

    python make_resized.py FIXTURES        (torch, transformers, peft, safetensors)

Writes FIXTURES/resized/<name>/adapter and expected.*: whole (embedding and output layer in modules_to_save), saved (save_embedding_layers).
"""
import json
import sys
from pathlib import Path

import torch
import transformers as tf
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

FIXTURES = Path(sys.argv[1])


def make(name, base, options, **saving):
    torch.manual_seed(11)
    generator = torch.Generator().manual_seed(11)
    model = tf.AutoModelForCausalLM.from_pretrained(FIXTURES / base / "base", attn_implementation="eager", dtype=torch.float32)
    vocab = model.config.vocab_size + 6
    model.resize_token_embeddings(vocab, mean_resizing=False)
    peft = get_peft_model(model, LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", **options)).eval()
    with torch.no_grad():
        for key, p in peft.named_parameters():
            if "lora_" in key or "modules_to_save" in key:
                p.add_(torch.randn(p.shape, generator=generator) * 0.2)
    folder = FIXTURES / "resized" / name
    peft.save_pretrained(folder / "adapter", **saving)
    (folder / "adapter" / "README.md").unlink()
    ids = torch.randint(3, vocab, (2, 9), generator=generator)
    ids[0, 4] = vocab - 1
    with torch.no_grad():
        out = peft(input_ids=ids, labels=ids)
    save_file({"adapter.logits": out.logits.contiguous()}, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(dict(base=base, adapter_loss=out.loss.item(), inputs=dict(input_ids=ids.tolist(), labels=ids.tolist()))) + "\n")
    print(name, out.loss.item(), sorted(k for k in __import__("safetensors").safe_open(folder / "adapter" / "adapter_model.safetensors", "pt").keys() if "lora_" not in k))


make("whole", "llama3", dict(modules_to_save=["embed_tokens", "lm_head"]))
make("saved", "llama3", {}, save_embedding_layers=True)
make("saved-tied", "llama", {}, save_embedding_layers=True)
