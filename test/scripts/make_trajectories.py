"""Trainings of 20 steps by PyTorch and PEFT, on bases that are fixtures already: start, batches, loss and gradient norm of each step, and the adapter at the end.

    python make_trajectories.py FIXTURES [NAME]        (torch, transformers, peft, safetensors)

Writes FIXTURES/trajectories/<name>/ in the layout of the other trajectories.
"""
import json
import sys
from pathlib import Path

import torch
import transformers as tf
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

FIXTURES = Path(sys.argv[1])
STEPS, LR, DECAY, CLIP = 20, 2e-3, 0.01, 1.0
QV = ["query", "value"]


def pair_loss(model, batch):
    """In-batch negatives: of all second halves a row's own is the nearest; cosines times 20."""
    hidden = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).float()
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    a, b = vectors.chunk(2)
    return torch.nn.functional.cross_entropy(20 * a @ b.T, torch.arange(len(a)))


# name: (base, task, model class, options of LoraConfig)
TRAJECTORIES = {
    "dora": ("llama", "causal_lm", tf.AutoModelForCausalLM, dict(use_dora=True, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")),
    "tokens": ("llama", "causal_lm", tf.AutoModelForCausalLM, dict(target_modules=["q_proj", "v_proj"], trainable_token_indices=[7, 3, 40], task_type="CAUSAL_LM")),
    "seq-cls": ("bert", "seq_cls", tf.AutoModelForSequenceClassification, dict(target_modules=QV, task_type="SEQ_CLS")),
    "token-cls": ("bert", "token_cls", tf.AutoModelForTokenClassification, dict(target_modules=QV, task_type="TOKEN_CLS")),
    "embedding": ("bert", "embedding", tf.AutoModel, dict(target_modules=QV, task_type="FEATURE_EXTRACTION")),
}


def batch_of(task, generator, vocab, length=9, rows=4):
    ids = torch.randint(5, vocab, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(rows):
        mask[row, length - row % 3:] = 0
    ids[mask == 0] = 0
    if task == "causal_lm":
        labels = ids.masked_fill(mask == 0, -100)
    elif task == "token_cls":
        labels = torch.randint(0, 3, ids.shape, generator=generator).masked_fill(mask == 0, -100)
        labels[:, 0] = -100
    else:
        labels = torch.randint(0, 3, (rows,), generator=generator)
    return dict(input_ids=ids, attention_mask=mask, labels=labels)


def make(name, base, task, cls, options):
    torch.manual_seed(sum(map(ord, name)))
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    kwargs = dict(num_labels=3) if task in ("seq_cls", "token_cls") else {}
    model = get_peft_model(cls.from_pretrained(FIXTURES / base / "base", attn_implementation="eager", dtype=torch.float32, **kwargs), LoraConfig(r=4, lora_alpha=8, **options)).eval()
    folder = FIXTURES / "trajectories" / name
    save = lambda at: (model.save_pretrained(folder / at), (folder / at / "README.md").unlink())
    save("start")
    batches = [batch_of(task, generator, model.config.vocab_size) for _ in range(STEPS)]
    save_file({key: torch.stack([b[key] for b in batches]).contiguous() for key in batches[0]}, folder / "batches.safetensors")
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR, weight_decay=DECAY)
    records = []
    for step, batch in enumerate(batches):
        loss = pair_loss(model, batch) if task == "embedding" else model(**batch).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        records.append(dict(step=step + 1, loss=loss.item(), grad_norm=norm.item(), lr=LR))
    save("final")
    facts = dict(base=base, task=task, optimizer=dict(name="AdamW", lr=LR, weight_decay=DECAY), max_grad_norm=CLIP, records=records)
    (folder / "trajectory.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(name, records[0]["loss"], records[-1]["loss"])


for name, settings in TRAJECTORIES.items():
    if len(sys.argv) < 3 or name == sys.argv[2]:
        make(name, *settings)
