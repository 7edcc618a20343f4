"""Trainings of all weights by PyTorch, on bases that are fixtures already: one batch, its gradients at the start, loss and gradient norm of 5 steps on it.

    python make_full.py FIXTURES [NAME]        (torch, transformers, safetensors)

Writes FIXTURES/full/<base>/.
"""
import json
import sys
from pathlib import Path

import torch
import transformers as tf
from safetensors.torch import save_file

FIXTURES = Path(sys.argv[1])
# f32 magnifies roundings in its gradients, in PyTorch up to 0.9 of the tests' bound
IN_F64 = ["qwen3_5"]
STEPS, LR, DECAY, CLIP = 5, 1e-3, 0.01, 1.0
CLASSES = {"causal_lm": tf.AutoModelForCausalLM, "seq_cls": tf.AutoModelForSequenceClassification, "token_cls": tf.AutoModelForTokenClassification, "image_cls": tf.AutoModelForImageClassification, "seq2seq_lm": tf.AutoModelForSeq2SeqLM}
FILE_NAMES = {("gpt_neox", "lm_head.weight"): "embed_out.weight"}  # where the module has another name than the checkpoint's tensor
BASES = {
    "llama": "causal_lm", "gpt2": "causal_lm", "olmo2": "causal_lm", "gemma3_text": "causal_lm", "gemma2": "causal_lm", "phi3": "causal_lm", "gpt_neox": "causal_lm",
    "qwen3_5": "causal_lm", "t5-tied": "seq2seq_lm", "mt5": "seq2seq_lm", "mpnet": "seq_cls",
    "distilbert": "seq_cls", "roberta": "token_cls", "vit": "image_cls",
}


def batch_of(task, config, generator, length=9, rows=3):
    if task == "image_cls":
        return dict(pixel_values=torch.randn(rows, config.num_channels, config.image_size, config.image_size, generator=generator), labels=torch.tensor([0, 2, 1]))
    ids = torch.randint(5, config.vocab_size, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(rows):
        mask[row, length - row:] = 0
    ids[mask == 0] = config.pad_token_id or 0
    if task == "seq2seq_lm":
        answers = torch.randint(5, config.vocab_size, (rows, 6), generator=generator)
        for row in range(rows):
            answers[row, 6 - row:] = -100
        return dict(input_ids=ids, attention_mask=mask, labels=answers)
    if task == "causal_lm":
        labels = ids.masked_fill(mask == 0, -100)
    elif task == "token_cls":
        labels = torch.randint(0, 3, ids.shape, generator=generator).masked_fill(mask == 0, -100)
    else:
        labels = torch.tensor([0, 2, 1])
    return dict(input_ids=ids, attention_mask=mask, labels=labels)


def stored(batch, config):
    """The batch as this program has it: of an encoder-decoder the answer behind its start token, and the source."""
    if "decoder_start_token_id" not in config.to_dict() or not config.is_encoder_decoder:
        return batch
    start = torch.full((len(batch["labels"]), 1), config.decoder_start_token_id)
    labels = torch.cat([torch.full_like(start, -100), batch["labels"]], 1)
    ids = torch.cat([start, batch["labels"].clamp(min=0)], 1)
    mask = torch.cat([torch.ones_like(start), (batch["labels"] != -100).long()], 1)
    return dict(input_ids=ids, attention_mask=mask, labels=labels, source_ids=batch["input_ids"], source_mask=batch["attention_mask"])


def make(base, task):
    torch.manual_seed(0)
    kwargs = dict(num_labels=3, ignore_mismatched_sizes=True) if task not in ("causal_lm", "seq2seq_lm") else {}
    model = CLASSES[task].from_pretrained(FIXTURES / base / "base", attn_implementation="eager", dtype=torch.float32, **kwargs).eval()
    folder = FIXTURES / "full" / base
    folder.mkdir(parents=True, exist_ok=True)
    batch = batch_of(task, model.config, torch.Generator().manual_seed(len(base)))
    save_file(stored(batch, model.config), folder / "batch.safetensors")
    named = dict(model.named_parameters())
    new = [name for name in named if name.startswith(("classifier.", "pre_classifier.", "score."))]
    save_file({name: named[name].detach().clone() for name in new} or {"none": torch.zeros(1)}, folder / "head.safetensors")
    if base in IN_F64:
        exact = CLASSES[task].from_pretrained(FIXTURES / base / "base", attn_implementation="eager", dtype=torch.float64).eval()
        exact(**batch).loss.backward()
        save_file({name: p.grad.float().contiguous() for name, p in exact.named_parameters() if p.grad is not None}, folder / "gradients.safetensors")
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    records = []
    for step in range(STEPS):
        loss = model(**batch).loss
        loss.backward()
        if step == 0 and base not in IN_F64:
            save_file({FILE_NAMES.get((base, name), name): p.grad.clone().contiguous() for name, p in named.items() if p.grad is not None}, folder / "gradients.safetensors")
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        records.append(dict(loss=loss.item(), grad_norm=norm.item()))
    facts = dict(base=base, task=task, learning_rate=LR, weight_decay=DECAY, max_grad_norm=CLIP, records=records)
    (folder / "trajectory.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(base, records[0], records[-1])


for name, task in BASES.items():
    if len(sys.argv) < 3 or name == sys.argv[2]:
        make(name, task)
