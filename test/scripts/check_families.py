"""Merged models and trained adapters of all families in transformers and PEFT.

    python check_families.py FIXTURES FOLDER        (torch, transformers, peft; see check_families.mjs)

FOLDER/"FAMILY CASE" has merged/, trained/ (an adapter) and trained.f32 (its logits). Prints for each the largest differences of
logits, relative to the largest one, and how far the adapter moves them; ends with 1 where one is larger than 5e-5 (of merges in
bf16: than 0.03).
"""
import json
import os
import sys
import warnings

import numpy as np
import torch
import transformers as tf
from peft import PeftModel
from safetensors.torch import load_file

warnings.filterwarnings("ignore")
tf.utils.logging.set_verbosity_error()
tf.utils.logging.disable_progress_bar()
fixtures, folder = sys.argv[1:]


def load(path):
    """The class that config.json names; keys that are missing or left over are faults."""
    config = json.load(open(os.path.join(path, "config.json")))
    model, info = getattr(tf, config["architectures"][0]).from_pretrained(path, attn_implementation="eager", dtype=torch.float32, output_loading_info=True)
    return model.eval(), [key for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in info[kind]]


def logits(model, inputs, pixels):
    own = {key: torch.tensor(rows) for key, rows in inputs.items() if key in ("input_ids", "attention_mask", "token_type_ids")}
    if pixels is not None:
        own["pixel_values"] = pixels
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    if base.config.is_encoder_decoder:
        own["labels"] = torch.tensor(inputs["labels"])
    with torch.no_grad():
        out = model(**own)
    for name in ("logits_per_image", "logits", "last_hidden_state"):
        if getattr(out, name, None) is not None:
            return getattr(out, name).float().numpy()


def gap(have, want, mask):
    have, want = have.reshape(want.shape), want
    if mask is not None and want.ndim == 3 and want.shape[:2] == mask.shape:
        have, want = have[mask], want[mask]
    return float(np.abs(have - want).max() / max(1, np.abs(want).max()))


bad = []
for case in sorted(os.listdir(folder)):
    family, name = case.split(" ")
    expected = json.load(open(os.path.join(fixtures, family, name, "expected.json")))
    tensors = load_file(os.path.join(fixtures, family, name, "expected.safetensors"))
    inputs, pixels = expected["inputs"], tensors.get("inputs.pixel_values")
    mask = np.array(inputs["attention_mask"]) > 0 if "attention_mask" in inputs and expected.get("task") != "seq2seq_lm" else None
    base, adapter = tensors["base.logits"].float().numpy(), tensors["adapter.logits"].float().numpy()
    # bf16 weights are rounded by a merge; test/parity/merge.test.ts compares them with PEFT's bit for bit
    rounding = 3e-2 if "bf16" in name else 0
    facts = []
    try:
        model, keys = load(os.path.join(folder, case, "merged"))
        facts.append(("merged", gap(logits(model, inputs, pixels), adapter, mask)))
        if not os.path.exists(os.path.join(folder, case, "trained.f32")):
            print(f"{case}: merged {facts[0][1]:.1e}", *keys[:3], flush=True)
            if keys or facts[0][1] > 5e-5:
                bad.append(case)
            continue
        model, _ = load(os.path.join(fixtures, family, "base"))
        model = PeftModel.from_pretrained(model, os.path.join(folder, case, "trained")).eval()
        ours = np.fromfile(os.path.join(folder, case, "trained.f32"), "<f4")
        # of an encoder-decoder, the answer is one longer than its labels
        ours = ours.reshape(adapter.shape) if ours.size == adapter.size else ours.reshape(adapter.shape[0], -1, adapter.shape[-1])[:, :adapter.shape[1]]
        facts.append(("trained", gap(logits(model, inputs, pixels), ours, mask)))
        effect, step = gap(adapter, base, mask), gap(ours, adapter, mask)
        line = ", ".join(f"{what} {value:.1e}" for what, value in facts) + f" (the adapter moves them by {effect:.1e}, the step by {step:.1e})"
        if keys:
            line += f"; keys {keys[:3]}"
        if keys or any(value > max(5e-5, rounding if what == 'merged' else 0) for what, value in facts):
            bad.append(case)
    except Exception as error:
        line = f"{type(error).__name__}: {str(error)[:300]}"
        bad.append(case)
    print(f"{case}: {line}", flush=True)
print(f"{len(os.listdir(folder)) - len(bad)} of {len(os.listdir(folder))} as wanted; not: {bad}")
sys.exit(1 if bad else 0)
