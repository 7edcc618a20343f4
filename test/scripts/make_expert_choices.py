"""The experts that transformers' routers choose for the rows of fixtures, with the fixture's adapter.

    python make_expert_choices.py FIXTURES > FIXTURES/expert_choices.json        (torch, transformers, peft)

By case: [mixtures][batch · length][top_k], in the order of the layers.
"""
import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

FIXTURES = Path(sys.argv[1])
result = {}
for case in ["qwen3_moe/attn", "gpt_oss/attn", "gemma4-moe/attn"]:
    folder = FIXTURES / case
    inputs = json.loads((folder / "expected.json").read_text())["inputs"]
    model = AutoModelForCausalLM.from_pretrained(FIXTURES / case.split("/")[0] / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(model, folder / "adapter").eval()
    chosen = []
    routers = [m for m in model.modules() if type(m).__name__.endswith("Router")]
    for router in routers:
        router.register_forward_hook(lambda _m, _i, output: chosen.append(output[-1].reshape(-1, output[-1].shape[-1]).tolist()))
    with torch.no_grad():
        model(input_ids=torch.tensor(inputs["input_ids"]), attention_mask=torch.tensor(inputs["attention_mask"]))
    result[case] = chosen
print(json.dumps(result))
