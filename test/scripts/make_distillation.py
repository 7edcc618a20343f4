"""Distillation by plain PyTorch: a tiny teacher, its most probable tokens, and losses, gradients and ten steps of models that learn from it.

    python make_distillation.py FIXTURES        (torch, transformers, peft, safetensors)

Writes FIXTURES/distillation/teacher, cases.json, <case>.safetensors, and trajectory/ in the layout of the other trajectories.
"""
import json
import math
import shutil
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers as tf
from peft import PeftModel
from safetensors.torch import save_file

FIXTURES = Path(sys.argv[1])
OUT = FIXTURES / "distillation"
STEPS, LR, DECAY, CLIP = 10, 2e-3, 0.01, 1.0

# case: (adapter's fixture, temperature, kd_ratio, top_k, weights of the rows)
CASES = {
    "plain": ("llama/lora-qv", 2.0, 0.5, 8, None),
    "all-tokens": ("llama/lora-qv", 1.0, 0.7, 384, None),
    "one-token": ("llama/lora-qv", 1.0, 1.0, 1, [0.25, 3.0]),
    "trained-head": ("mistral/modules-to-save-lm-head", 3.0, 0.5, 16, None),
    "softcap": ("gemma2/lora", 3.0, 0.4, 24, [1.5, 0.5]),
}


def teacher_of(vocab):
    torch.manual_seed(3)
    config = tf.LlamaConfig(vocab_size=vocab, hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                            max_position_embeddings=128, tie_word_embeddings=True, pad_token_id=0, bos_token_id=1, eos_token_id=2, attn_implementation="eager")
    model = tf.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 2:
                p.mul_(20)
    return model


def labelled(logits, labels):
    """The logits that predict labels, and these."""
    keep = labels[:, 1:] != -100
    return logits[:, :-1][keep], labels[:, 1:][keep]


def top_of(logits, temperature, top_k):
    logps, ids = F.log_softmax(logits / temperature, -1).topk(top_k, -1)
    return ids, logps


def divergence(logits, ids, logps, temperature):
    """KL(teacher || student) with all tokens but the teacher's top k as one outcome."""
    q = F.log_softmax(logits / temperature, -1)
    kl = (logps.exp() * (logps - q.gather(-1, ids))).sum(-1)
    if ids.shape[-1] < logits.shape[-1]:
        rest = (1 - logps.double().exp().sum(-1)).clamp(min=0)
        q_rest = torch.logsumexp(q.scatter(-1, ids, -math.inf), -1)
        kl = kl + torch.where(rest > 0, rest * (rest.clamp(min=1e-300).log() - q_rest), 0.0).to(kl.dtype)
    return kl


def loss_of(model, batch, targets, temperature, kd_ratio, weights=None):
    logits, labels = labelled(model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits, batch["labels"])
    kl = divergence(logits, *targets, temperature)
    per_token = (1 - kd_ratio) * F.cross_entropy(logits, labels, reduction="none") + kd_ratio * temperature**2 * kl
    rows = (batch["labels"][:, 1:] != -100).nonzero()[:, 0]
    w = torch.ones(len(batch["labels"]))[rows] if weights is None else torch.tensor(weights)[rows]
    return (per_token * w).sum() / w.sum(), (kl * w).sum() / w.sum()


def batch_of(generator, vocab, rows=2, length=10):
    ids = torch.randint(5, vocab, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[-1, length - 2:] = 0
    ids[mask == 0] = 0
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :3] = -100
    return dict(input_ids=ids, attention_mask=mask, labels=labels)


def student(case):
    family = case.split("/")[0]
    base = tf.AutoModelForCausalLM.from_pretrained(FIXTURES / family / "base", attn_implementation="eager", dtype=torch.float32)
    return PeftModel.from_pretrained(base, FIXTURES / case / "adapter", is_trainable=True).eval()


def named(key):
    return key.replace(".default", "").replace(".modules_to_save", "")


def targets_of(teacher, batch, temperature, top_k):
    with torch.no_grad():
        logits, _ = labelled(teacher(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits, batch["labels"])
        return top_of(logits, temperature, top_k)


def make_case(teacher, name, adapter, temperature, kd_ratio, top_k, weights):
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    model = student(adapter)
    if model.config.vocab_size != teacher.config.vocab_size:
        teacher = teacher_of(model.config.vocab_size)
    batch = batch_of(generator, model.config.vocab_size)
    targets = targets_of(teacher, batch, temperature, top_k)
    loss, kl = loss_of(model, batch, targets, temperature, kd_ratio, weights)
    loss.backward()
    if top_k == model.config.vocab_size:
        with torch.no_grad():
            mine, _ = labelled(model(**{k: batch[k] for k in ("input_ids", "attention_mask")}).logits, batch["labels"])
            other, _ = labelled(teacher(**{k: batch[k] for k in ("input_ids", "attention_mask")}).logits, batch["labels"])
            whole = F.kl_div(F.log_softmax(mine / temperature, -1), F.log_softmax(other / temperature, -1), log_target=True, reduction="batchmean")
            assert abs(whole - kl) < 1e-5, (whole, kl)
    tensors = {f"grad.{named(key)}": p.grad.contiguous() for key, p in model.named_parameters() if p.grad is not None}
    tensors["top.logps"] = targets[1].contiguous()
    save_file(tensors, OUT / f"{name}.safetensors")
    print(name, loss.item(), kl.item())
    return dict(case=name, adapter=adapter, temperature=temperature, kd_ratio=kd_ratio, top_k=top_k, weights=weights, loss=loss.item(), kl=kl.item(),
                inputs={key: value.tolist() for key, value in batch.items()}, top_ids=targets[0].tolist())


def make_trajectory(teacher, temperature=2.0, kd_ratio=0.5, top_k=8):
    model = student("llama/lora-qv")
    folder = OUT / "trajectory"
    generator = torch.Generator().manual_seed(17)
    batches = [batch_of(generator, model.config.vocab_size, rows=4) for _ in range(STEPS)]
    save_file({key: torch.stack([b[key] for b in batches]).contiguous() for key in batches[0]}, folder.mkdir(parents=True) or folder / "batches.safetensors")
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR, weight_decay=DECAY)
    records = []
    for step, batch in enumerate(batches):
        loss, kl = loss_of(model, batch, targets_of(teacher, batch, temperature, top_k), temperature, kd_ratio)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        records.append(dict(step=step + 1, loss=loss.item(), kl=kl.item(), grad_norm=norm.item(), lr=LR))
    model.save_pretrained(folder / "final")
    (folder / "final" / "README.md").unlink()
    config = folder / "final" / "adapter_config.json"
    config.write_text(config.read_text().replace(json.dumps(str(FIXTURES / "llama" / "base")), json.dumps("llama/base")))
    facts = dict(start="llama/lora-qv", temperature=temperature, kd_ratio=kd_ratio, top_k=top_k, optimizer=dict(name="AdamW", lr=LR, weight_decay=DECAY), max_grad_norm=CLIP, records=records)
    (folder / "trajectory.json").write_text(json.dumps(facts, indent=1) + "\n")
    print("trajectory", records[0]["loss"], records[-1]["loss"])


shutil.rmtree(OUT, ignore_errors=True)
teacher = teacher_of(384)
teacher.save_pretrained(OUT / "teacher")
(OUT / "teacher" / "generation_config.json").unlink()
cases = [make_case(teacher, name, *case) for name, case in CASES.items()]
(OUT / "cases.json").write_text(json.dumps(cases) + "\n")
make_trajectory(teacher)
