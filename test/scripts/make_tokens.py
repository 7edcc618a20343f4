"""Adapters that train rows of tokens (PEFT's trainable_token_indices), and what PEFT computes with them.

    python make_tokens.py FIXTURES        (torch, transformers, peft, safetensors)

Writes FIXTURES/tokens/<case>/adapter, expected.json and expected.safetensors: logits, gradients (grad.), the rows after a merge (merged.).
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
OUT = FIXTURES / "tokens"
ROWS = [7, 3, 40]

# case: (base, task, target_modules, trainable_token_indices)
CASES = {
    "tied-list": ("llama", "causal_lm", ["q_proj", "v_proj"], ROWS),
    "tied-both": ("llama", "causal_lm", ["q_proj", "v_proj"], {"embed_tokens": ROWS, "lm_head": ROWS}),
    "untied-list": ("llama3", "causal_lm", ["q_proj", "v_proj"], ROWS),
    "untied-both": ("llama3", "causal_lm", ["q_proj"], {"model.embed_tokens": ROWS, "lm_head": [3, 50]}),
    "untied-head": ("llama3", "causal_lm", ["q_proj"], {"lm_head": [3, 50]}),
    "resized": ("llama3", "causal_lm", ["q_proj"], [384, 386, 385]),
    "resized-tied": ("llama", "causal_lm", ["q_proj"], [384, 386, 385]),
    "scaled": ("gemma", "causal_lm", ["q_proj"], ROWS),
    "conv1d": ("gpt2", "causal_lm", ["c_attn"], ROWS),
    "classifier": ("bert", "seq_cls", ["query"], ROWS),
}


def load(base, task, added=0):
    cls = tf.AutoModelForCausalLM if task == "causal_lm" else tf.AutoModelForSequenceClassification
    kwargs = dict(num_labels=3) if task == "seq_cls" else {}
    model = cls.from_pretrained(FIXTURES / base / "base", attn_implementation="eager", dtype=torch.float32, **kwargs)
    if added:
        torch.manual_seed(5)
        model.resize_token_embeddings(model.config.vocab_size + added, mean_resizing=False)
    return model


def named(key):
    return key.replace(".default", "").replace(".modules_to_save", "")


def make(name, base, task, targets, indices):
    seed = sum(map(ord, name))
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=list(targets), trainable_token_indices=indices,
                        fan_in_fan_out=base == "gpt2", task_type="CAUSAL_LM" if task == "causal_lm" else "SEQ_CLS")
    added = 3 if "resized" in name else 0
    model = get_peft_model(load(base, task, added), config).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.requires_grad and "modules_to_save" not in key:
                p.add_(torch.randn(p.shape, generator=generator) * 0.2)
    folder = OUT / name
    model.save_pretrained(folder / "adapter", save_embedding_layers=bool(added) or "auto")
    (folder / "adapter" / "README.md").unlink()
    text = (folder / "adapter" / "adapter_config.json").read_text()
    (folder / "adapter" / "adapter_config.json").write_text(text.replace(json.dumps(str(FIXTURES / base / "base")), json.dumps(f"{base}/base")))
    ids = torch.randint(5, model.config.vocab_size, (2, 9), generator=generator)
    ids[0, 2], ids[0, 5], ids[1, 1], ids[1, 7] = (384, 385, 386, 384) if added else (7, 3, 40, 7)
    labels = ids.clone() if task == "causal_lm" else torch.tensor([2, 0])
    out = model(input_ids=ids, labels=labels)
    out.loss.backward()
    tensors = {"adapter.logits": out.logits.detach()}
    tensors |= {f"grad.{named(key)}": p.grad for key, p in model.named_parameters() if p.grad is not None}
    again = PeftModel.from_pretrained(load(base, task, added), folder / "adapter").eval()
    with torch.no_grad():
        # a classifier is new in each model, but saved
        assert torch.allclose(again(input_ids=ids).logits, out.logits, atol=1e-5), name
    before = {key: p.clone() for key, p in load(base, task, added).state_dict().items()}
    merged = again.merge_and_unload()
    with torch.no_grad():
        assert torch.allclose(merged(input_ids=ids).logits, out.logits, atol=1e-4), name
    for key, p in merged.state_dict().items():
        if p.ndim == 2 and p.shape[0] == model.config.vocab_size:
            changed = (p != before[key]).any(1).nonzero().flatten()
            if len(changed):
                tensors[f"merged.{key}"] = torch.cat([changed[:, None].float(), p[changed]], 1)
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "expected.safetensors")
    facts = dict(base=base, task=task, loss=out.loss.item(), inputs=dict(input_ids=ids.tolist(), labels=labels.tolist()))
    (folder / "expected.json").write_text(json.dumps(facts) + "\n")
    print(name, out.loss.item(), sorted(key for key in load_file(folder / "adapter" / "adapter_model.safetensors") if "lora_" not in key))


shutil.rmtree(OUT, ignore_errors=True)
for name, case in CASES.items():
    make(name, *case)
