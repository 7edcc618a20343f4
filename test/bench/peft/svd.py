"""Seconds that full SVDs take of two updates on every linear layer of SmolLM2-135M (r 8), as JSON."""
import json
import time

import torch

SHAPES = [(576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536)] * 30
torch.manual_seed(1)
start = time.perf_counter()
for out_features, in_features in SHAPES:
    for _ in range(2):
        delta = 2.0 * torch.randn(out_features, 8) @ torch.randn(8, in_features)
        torch.linalg.svd(delta, full_matrices=False)
print(json.dumps({"modules": len(SHAPES), "seconds": time.perf_counter() - start}))
