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
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
FIXTURES = Path(sys.argv[1])
OUT = FIXTURES / "tokens"
ROWS = [7, 3, 40]

# case: (base, task, target_modules, trainable_token_indices, dtype)
CASES = {
    "tied-list": ("llama", "causal_lm", ["q_proj", "v_proj"], ROWS, torch.float32),
    "tied-both": ("llama", "causal_lm", ["q_proj", "v_proj"], {"embed_tokens": ROWS, "lm_head": ROWS}, torch.float32),
    "tied-bf16": ("llama", "causal_lm", ["q_proj", "v_proj"], ROWS, torch.bfloat16),
    "untied-list": ("llama3", "causal_lm", ["q_proj", "v_proj"], ROWS, torch.float32),
    "untied-both": ("llama3", "causal_lm", ["q_proj"], {"model.embed_tokens": ROWS, "lm_head": [3, 50]}, torch.float32),
    "untied-head": ("llama3", "causal_lm", ["q_proj"], {"lm_head": [3, 50]}, torch.float32),
    "scaled": ("gemma", "causal_lm", ["q_proj"], ROWS, torch.float32),
    "conv1d": ("gpt2", "causal_lm", ["c_attn"], ROWS, torch.float32),
    "classifier": ("bert", "seq_cls", ["query"], ROWS, torch.float32),
}


def load(base, task, dtype):
    cls = tf.AutoModelForCausalLM if task == "causal_lm" else tf.AutoModelForSequenceClassification
    kwargs = dict(num_labels=3) if task == "seq_cls" else {}
    return cls.from_pretrained(FIXTURES / base / "base", attn_implementation="eager", dtype=dtype, **kwargs)


def named(key):
    return key.replace(".default", "").replace(".modules_to_save", "")


def make(name, base, task, targets, indices, dtype):
    seed = sum(map(ord, name))
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=list(targets), trainable_token_indices=indices,
                        fan_in_fan_out=base == "gpt2", task_type="CAUSAL_LM" if task == "causal_lm" else "SEQ_CLS")
    model = get_peft_model(load(base, task, dtype), config).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.requires_grad and "modules_to_save" not in key:
                p.add_((torch.randn(p.shape, generator=generator) * 0.2).to(p.dtype))
    folder = OUT / name
    model.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink()
    text = (folder / "adapter" / "adapter_config.json").read_text()
    (folder / "adapter" / "adapter_config.json").write_text(text.replace(json.dumps(str(FIXTURES / base / "base")), json.dumps(f"{base}/base")))
    ids = torch.randint(5, model.config.vocab_size, (2, 9), generator=generator)
    ids[0, 2], ids[0, 5], ids[1, 1], ids[1, 7] = 7, 3, 40, 7
    labels = ids.clone() if task == "causal_lm" else torch.tensor([2, 0])
    out = model(input_ids=ids, labels=labels)
    out.loss.backward()
    tensors = {"adapter.logits": out.logits.detach().float()}
    tensors |= {f"grad.{named(key)}": p.grad.float() for key, p in model.named_parameters() if p.grad is not None}
    again = PeftModel.from_pretrained(load(base, task, dtype), folder / "adapter").eval()
    with torch.no_grad():
        # a classifier is new in each model, but saved
        assert torch.allclose(again(input_ids=ids).logits.float(), out.logits.float(), atol=1e-5), name
    before = {key: p.float().clone() for key, p in load(base, task, dtype).state_dict().items()}
    merged = again.merge_and_unload()
    with torch.no_grad():
        assert torch.allclose(merged(input_ids=ids).logits.float(), out.logits.float(), atol=1e-4 if dtype == torch.float32 else 0.1), name
    for key, p in merged.state_dict().items():
        if p.ndim == 2 and p.shape[0] == model.config.vocab_size:
            changed = (p.float() != before[key]).any(1).nonzero().flatten()
            if len(changed):
                tensors[f"merged.{key}"] = torch.cat([changed[:, None].float(), p.float()[changed]], 1)
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "expected.safetensors")
    facts = dict(base=base, task=task, base_dtype=str(dtype).split(".")[1], loss=out.loss.item(), inputs=dict(input_ids=ids.tolist(), labels=labels.tolist()))
    (folder / "expected.json").write_text(json.dumps(facts) + "\n")
    print(name, out.loss.item(), sorted(key for key in tensors if "lora_" not in key))


shutil.rmtree(OUT, ignore_errors=True)
for name, case in CASES.items():
    make(name, *case)
