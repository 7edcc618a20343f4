"""Writes test/fixtures/losses: losses and gradients with transformers' label smoothing and with
weights of rows, for models and adapters of the other fixtures.

    python test/scripts/make_losses.py
"""

import json
import pathlib

import torch
import transformers as tf
from peft import PeftModel
from safetensors.torch import save_file
from transformers.trainer_pt_utils import LabelSmoother

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
TARGET = FIXTURES / "losses"
#: a tied output layer, one that trains, one with a softcap, and one of classes
CASES = ["llama/lora-qv", "mistral/modules-to-save-lm-head", "gemma2/lora", "bert/seq-cls"]
SMOOTHING = 0.2


def weighted_loss(logits, labels, weights, smoothing):
    """The weighted mean over the labels, each with the weight of its row."""
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), reduction="none", label_smoothing=smoothing
    )
    per_label = weights.reshape(-1, *[1] * (labels.dim() - 1)).expand_as(labels).flatten()
    per_label = per_label * (labels.flatten() != -100)
    return (losses * per_label).sum() / per_label.sum()


def named_gradients(model):
    """By the names of the adapter's file."""
    return {
        key.replace(".default", "").replace(".modules_to_save", ""): p.grad.clone().contiguous()
        for key, p in model.named_parameters()
        if p.grad is not None
    }


def make(case):
    family = case.split("/")[0]
    is_lm = family != "bert"
    cls = tf.AutoModelForCausalLM if is_lm else tf.AutoModelForSequenceClassification
    base = cls.from_pretrained(FIXTURES / family / "base", attn_implementation="eager")
    model = PeftModel.from_pretrained(base, FIXTURES / case / "adapter", is_trainable=True).eval()
    given = json.loads((FIXTURES / case / "expected.json").read_text())["inputs"]
    batch = {key: torch.tensor(value) for key, value in given.items()}
    labels = batch.pop("labels")
    weights = torch.linspace(0.25, 3, labels.shape[0])

    def shifted(logits):
        return (logits[:, :-1], labels[:, 1:]) if is_lm else (logits, labels)

    losses = {
        "smoothed": lambda out: LabelSmoother(SMOOTHING)(out, labels, shift_labels=is_lm),
        "weighted": lambda out: weighted_loss(*shifted(out["logits"]), weights, 0.0),
        "both": lambda out: weighted_loss(*shifted(out["logits"]), weights, SMOOTHING),
    }
    found, tensors = {}, {}
    for kind, loss_of in losses.items():
        model.zero_grad()
        loss = loss_of(model(**batch))
        loss.backward()
        found[kind] = loss.item()
        tensors.update({f"{kind}.{key}": grad for key, grad in named_gradients(model).items()})
    save_file(tensors, TARGET / f"{family}.safetensors")
    return {"case": case, "smoothing": SMOOTHING, "weights": weights.tolist(), "losses": found}


TARGET.mkdir(exist_ok=True)
(TARGET / "expected.json").write_text(json.dumps([make(case) for case in CASES], indent=1) + "\n")
