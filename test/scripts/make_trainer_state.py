"""Writes trainer_state.json of a tiny training: python test/scripts/make_trainer_state.py (transformers)."""

import pathlib
import shutil
import tempfile

import torch
from transformers import Trainer, TrainingArguments

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "trackers"


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x, labels=None):
        return {"loss": ((self.layer(x) - labels) ** 2).mean()}


torch.manual_seed(1)
rows = [{"x": torch.tensor([float(i)]), "labels": torch.tensor([2.0 * i])} for i in range(4)]
folder = tempfile.mkdtemp()
Trainer(
    Tiny(),
    TrainingArguments(
        folder,
        num_train_epochs=2,
        per_device_train_batch_size=2,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    ),
    train_dataset=rows,
    eval_dataset=rows,
).train()
shutil.copy(pathlib.Path(folder) / "checkpoint-4" / "trainer_state.json", OUT)
