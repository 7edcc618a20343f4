"""Writes test/fixtures/kto_cut.json: what TRL measures the KL divergence of KTO with where
max_length cuts answers, and the log-probabilities of that.

    python test/scripts/make_kto_cut.py        (torch, transformers, peft, trl 1.16.0)
"""

import json
import pathlib
import random

import torch
import trl
from peft import PeftModel
from transformers import AutoModelForCausalLM
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
MAX_LENGTH, BATCH = 12, 4
#: tokens of each prompt and completion; answers are cut by their own prompt, or by another's
SIZES = [(3, 5), (9, 11), (2, 14), (6, 8)]


def log_probabilities(model, ids, attention, completion):
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=attention).logits.double().log_softmax(-1)
    per_token = logits[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    return (per_token * completion[:, 1:]).sum(-1).tolist()


source = random.Random(7)
draw = lambda count: [source.randrange(5, 384) for _ in range(count)]
rows = [
    {"prompt_ids": draw(prompt), "completion_ids": draw(answer - 1) + [2], "label": i % 2 == 0}
    for i, (prompt, answer) in enumerate(SIZES)
]
# KTOTrainer._prepare_dataset, for a batch
for row, other in zip(rows, [rows[-1], *rows[:-1]]):
    row["KL_completion_ids"] = other["completion_ids"]
collator = DataCollatorForUnpairedPreference(pad_token_id=0, max_length=MAX_LENGTH)
batch = collator(rows)
base = AutoModelForCausalLM.from_pretrained(FIXTURES / "llama/base", attn_implementation="eager")
model = PeftModel.from_pretrained(base, FIXTURES / "preferences/kto-kl/adapter").eval()
given = [batch[f"KL_{key}"] for key in ("input_ids", "attention_mask", "completion_mask")]
policy = log_probabilities(model, *given)
with model.disable_adapter():
    reference = log_probabilities(model, *given)
facts = {
    "trl": trl.__version__,
    "max_length": MAX_LENGTH,
    "rows": [{key: row[key] for key in ("prompt_ids", "completion_ids", "label")} for row in rows],
    "KL_input_ids": [
        ids[mask == 1].tolist() for ids, mask in zip(given[0], given[1], strict=True)
    ],
    "policy": policy,
    "reference": reference,
    "kl": max(0, sum(p - r for p, r in zip(policy, reference)) / BATCH),
}
(FIXTURES / "kto_cut.json").write_text(json.dumps(facts) + "\n")
