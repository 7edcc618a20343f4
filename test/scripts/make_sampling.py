"""Scores of tokens as transformers' LogitsProcessors leave them: test/fixtures/sampling.json."""

import json
import sys

import torch
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

# in the order in which transformers applies them
PROCESSORS = {
    "repetition_penalty": RepetitionPenaltyLogitsProcessor,
    "temperature": TemperatureLogitsWarper,
    "top_k": TopKLogitsWarper,
    "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper,
}
SETTINGS = [
    {"repetition_penalty": 1.3},
    {"temperature": 0.7},
    {"top_k": 5},
    {"top_k": 100},
    {"top_p": 0.8},
    {"top_p": 0.3},
    {"top_p": 0.02},
    {"min_p": 0.1},
    {"temperature": 1.6, "top_k": 12, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.7},
    {"temperature": 0.4, "top_p": 0.95, "repetition_penalty": 0.8},
]

torch.manual_seed(3)
logits = torch.randn(1, 24) * 3
logits[0, 5] = logits[0, 9]  # two equal ones
seen = [3, 9, 9, 17]


def scores(settings):
    processors = [make(settings[name]) for name, make in PROCESSORS.items() if name in settings]
    own = LogitsProcessorList(processors)(torch.tensor([seen]), logits.clone())
    return [None if z == float("-inf") else round(z, 6) for z in own[0].tolist()]


json.dump(
    {
        "logits": [round(z, 6) for z in logits[0].tolist()],
        "seen": seen,
        "cases": [{"settings": own, "scores": scores(own)} for own in SETTINGS],
    },
    sys.stdout,
)
