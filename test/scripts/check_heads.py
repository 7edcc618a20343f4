"""Trains a reward model and rerankers with the command line, loads their adapters with PEFT, and
compares the outputs of the two.

    npm run build && python test/scripts/check_heads.py        (torch, transformers, peft)
"""

import json
import pathlib
import subprocess
import tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

ROOT = pathlib.Path(__file__).parent.parent.parent
FIXTURES = ROOT / "test" / "fixtures"
PAIRS = [
    {"prompt": f"{i} and {i}", "chosen": f"is {2 * i}", "rejected": f"is {i}"} for i in range(1, 9)
]
RATED = [{"query": f"{i}", "document": f"say {i}", "score": i % 2} for i in range(8)]
LISTS = [{"query": "a", "documents": ["a b", "c"], "scores": [1, 0]} for _ in range(8)]
#: the base, the task and its rows
CASES = [
    ("llama", "reward", PAIRS),
    ("bert", "reranker", RATED),
    ("llama", "reranker", LISTS),
]
INPUTS = {
    "input_ids": [[5, 9, 200, 31, 7], [8, 100, 6, 0, 0]],
    "attention_mask": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
}
TOLERANCE = 5e-5


def lora(*args):
    subprocess.run(["node", ROOT / "dist" / "cli.js", *args], check=True, stdout=subprocess.DEVNULL)


def outputs_of_peft(base, adapter):
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=1, ignore_mismatched_sizes=True, attn_implementation="eager"
    )
    model.config.pad_token_id = 0
    model = PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        return model(**{key: torch.tensor(rows) for key, rows in INPUTS.items()}).logits


def check(base, task, rows, folder):
    base = FIXTURES / base / "base"
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    training = {"max_steps": 5, "max_length": 32, "learning_rate": 1e-2}
    recipe = {"base": str(base), "dataset": "rows.jsonl", "task": task, "training": training}
    (folder / "lora.json").write_text(json.dumps(recipe))
    lora("train", folder / "lora.json", "--run-dir", folder / "run")
    adapter = folder / "run" / "adapter"
    (folder / "inputs.json").write_text(json.dumps(INPUTS))
    files = ["--input", folder / "inputs.json", "--output", folder / "logits.safetensors"]
    lora("logits", "--base", base, "--adapter", adapter, *files)
    own = load_file(folder / "logits.safetensors")["logits"]
    return (own - outputs_of_peft(base, adapter)).abs().max().item()


for case in CASES:
    with tempfile.TemporaryDirectory() as folder:
        gap = check(*case, pathlib.Path(folder))
    print(f"{case[1]} on {case[0]}: largest difference {gap:.1e}")
    assert gap < TOLERANCE
