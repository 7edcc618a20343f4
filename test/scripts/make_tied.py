"""Adapters that change the embedding or the output layer of a base that ties them, and the logits of PEFT after it loads their files.

    python make_tied.py FIXTURES        (torch, transformers, peft, safetensors)

Writes FIXTURES/tied/base, FIXTURES/tied/<case>/adapter, and FIXTURES/tied/expected.safetensors with the logits of each case.
"""
import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
import transformers as tf
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
OUT = Path(sys.argv[1]) / "tied"
VOCAB, ADDED, HIDDEN = 24, 3, 16
EMBED, HEAD, QUERY = "embed_tokens", "lm_head", "q_proj"
IDS = torch.tensor([[3, 9, 4, 17, 23, 8, 5]])

# case: (modules_to_save, target_modules, further options)
CASES = {
    "save-embed": ([EMBED], [QUERY], {}),
    "save-head": ([HEAD], [QUERY], {}),
    "save-both": ([EMBED, HEAD], [QUERY], {}),
    "save-embed-target-head": ([EMBED], [QUERY, HEAD], {}),
    "save-head-target-embed": ([HEAD], [QUERY, EMBED], {}),
    "target-embed": (None, [QUERY, EMBED], {}),
    "target-head": (None, [QUERY, HEAD], {}),
    "target-both": (None, [QUERY, EMBED, HEAD], {}),
    **{f"tied-{name}": (save, targets, dict(ensure_weight_tying=True)) for name, save, targets in [
        ("save-embed", [EMBED], [QUERY]),
        ("save-head", [HEAD], [QUERY]),
        ("save-both", [EMBED, HEAD], [QUERY]),
        ("target-embed", None, [QUERY, EMBED]),
        ("target-head", None, [QUERY, HEAD]),
        ("target-both", None, [QUERY, EMBED, HEAD]),
        ("target-none", None, [QUERY]),
    ]},
}
# the same for a base to which tokens were added
RESIZED = {
    f"resized-{name}": CASES[name]
    for name in ["save-embed", "save-head", "save-both", "target-head", "tied-save-embed", "tied-target-embed"]
}


def randomise(parameters, generator, scale):
    with torch.no_grad():
        for p in parameters:
            p.copy_(torch.randn(p.shape, generator=generator) * scale)


def resized(model, with_values):
    model.resize_token_embeddings(VOCAB + ADDED, mean_resizing=False)
    if with_values:
        randomise([model.get_input_embeddings().weight[VOCAB:]], torch.Generator().manual_seed(5), 0.4)
    return model


def base():
    return tf.AutoModelForCausalLM.from_pretrained(OUT / "base", attn_implementation="eager", dtype=torch.float32)


def make(name, save, targets, options):
    def prepared(with_values):
        return resized(base(), with_values) if name.startswith("resized-") else base()

    config = LoraConfig(r=2, lora_alpha=3, target_modules=list(targets), modules_to_save=save and list(save), task_type="CAUSAL_LM", **options)
    peft = get_peft_model(prepared(True), config).eval()
    randomise([p for p in peft.parameters() if p.requires_grad], torch.Generator().manual_seed(sum(map(ord, name))), 0.3)
    folder = OUT / name / "adapter"
    peft.save_pretrained(folder, save_embedding_layers=name.startswith("resized-") or "auto")
    (folder / "README.md").unlink()
    text = (folder / "adapter_config.json").read_text()
    (folder / "adapter_config.json").write_text(text.replace(json.dumps(str(OUT / "base")), '"tied/base"'))
    with torch.no_grad():
        loaded = PeftModel.from_pretrained(prepared(False), folder).eval()(IDS).logits
        assert torch.allclose(loaded, peft(IDS).logits, atol=1e-6), name
    return loaded.contiguous()


shutil.rmtree(OUT, ignore_errors=True)
torch.manual_seed(0)
model = tf.LlamaForCausalLM(tf.LlamaConfig(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
                                           max_position_embeddings=32, tie_word_embeddings=True, pad_token_id=0, bos_token_id=1, eos_token_id=2))
randomise(model.parameters(), torch.Generator().manual_seed(1), 0.4)
model.save_pretrained(OUT / "base")
(OUT / "base" / "generation_config.json").unlink()
logits = {name: make(name, *case) for name, case in {**CASES, **RESIZED}.items()}
# the output layer is missing in the file: PEFT does not load it, or ties it
for name in ["tied-save-embed", "tied-target-embed"]:
    short = f"{name}-without-head"
    shutil.copytree(OUT / name / "adapter", OUT / short / "adapter")
    file = OUT / short / "adapter" / "adapter_model.safetensors"
    save_file({key: value.contiguous() for key, value in load_file(file).items() if HEAD not in key}, file, {"format": "pt"})
    logits[short] = logits[name].clone()
save_file({"inputs.input_ids": IDS.to(torch.float32), **{f"{name}.logits": value for name, value in logits.items()}}, OUT / "expected.safetensors")
for name, value in logits.items():
    print(name, value.abs().max().item())
