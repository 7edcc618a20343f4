"""Writes test/fixtures/schedules.json: the learning rates of transformers' schedulers.

    python test/scripts/make_schedules.py
"""

import json
import pathlib

import torch
import transformers

PEAK = 3e-4
#: scheduler, its parameters, warm-up steps, all steps
CASES = [
    ("constant", {}, 4, 12),
    ("constant_with_warmup", {}, 4, 12),
    ("linear", {}, 3, 17),
    ("linear", {}, 0, 7),
    ("cosine", {}, 4, 23),
    ("cosine", {"num_cycles": 1.25}, 2, 19),
    ("cosine_with_restarts", {"num_cycles": 3}, 2, 19),
    ("cosine_with_restarts", {}, 0, 9),
    ("cosine_with_min_lr", {"min_lr": 2e-5}, 3, 21),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1, "num_cycles": 1}, 0, 14),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.05}, 5, 18),
    ("cosine_warmup_with_min_lr", {"min_lr": 1e-5, "warmup_lr_rate": 0.2}, 5, 18),
    ("polynomial", {}, 3, 16),
    ("polynomial", {"power": 2.5, "lr_end": 1e-5}, 0, 16),
    ("inverse_sqrt", {}, 4, 20),
    ("inverse_sqrt", {}, 0, 20),
    ("inverse_sqrt", {"timescale": 9}, 4, 20),
    ("warmup_stable_decay", {"num_decay_steps": 6}, 4, 20),
    (
        "warmup_stable_decay",
        {
            "num_decay_steps": 5,
            "num_stable_steps": 6,
            "warmup_type": "cosine",
            "decay_type": "1-sqrt",
            "min_lr_ratio": 0.1,
        },
        4,
        20,
    ),
    (
        "warmup_stable_decay",
        {"num_decay_steps": 8, "warmup_type": "1-sqrt", "decay_type": "linear", "min_lr_ratio": 0.2},
        4,
        18,
    ),
    ("warmup_stable_decay", {"num_decay_steps": 20, "num_cycles": 0.75}, 4, 18),
]


def rates(name, parameters, warmup, total):
    """The learning rate that each step uses."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = transformers.get_scheduler(name, optimizer, warmup, total, parameters)
    found = []
    for _ in range(total):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


target = pathlib.Path(__file__).parent.parent / "fixtures" / "schedules.json"
target.write_text(
    json.dumps(
        {
            "transformers": transformers.__version__,
            "learning_rate": PEAK,
            "cases": [
                {
                    "scheduler": name,
                    "parameters": parameters,
                    "warmup_steps": warmup,
                    "rates": rates(name, parameters, warmup, total),
                }
                for name, parameters, warmup, total in CASES
            ],
        },
        indent=1,
    )
    + "\n"
)
