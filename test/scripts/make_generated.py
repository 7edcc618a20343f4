"""Adapters as versions of PEFT and other tools write them, and what PEFT generates and measures with them.

    python make_generated.py FIXTURES        (torch, transformers, peft, safetensors, tokenizers; after make_tied.py)

Writes FIXTURES/generated/tokenizer (the tokenizer of tied/base: a letter each), FIXTURES/generated/adapters/<case> for llama/base, and
FIXTURES/generated/expected.json: for each case the greedy continuation of PROMPT and, where it has one, the loss on TEXTS.
"""
import json
import math
import re
import shutil
import sys
import warnings
from pathlib import Path

import torch
import transformers as tf
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models

warnings.filterwarnings("ignore")
FIXTURES = Path(sys.argv[1])
OUT = FIXTURES / "generated"
TOKENS = 12
PROMPTS = {"tied": ["gdaz", "hello", "abc", "kgb", "zz"], "llama": ["the old mill", "a cat", "Paris is"]}
TEXTS = ["abcdefg", "zyxz", "hello" * 2]
LETTERS = "abcdefghijklmnopqrstz"
TIED = [name for name in ["save-embed", "save-head", "save-both", "save-embed-target-head", "save-head-target-embed", "target-both",
                          "tied-save-embed", "tied-save-head", "tied-save-both", "tied-target-both"]]


def letters():
    vocab = {"<pad>": 0, "<bos>": 1, "<eos>": 2, **{letter: 3 + i for i, letter in enumerate(LETTERS)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<pad>", "<bos>", "<eos>"])
    (OUT / "tokenizer").mkdir(parents=True)
    tokenizer.save(str(OUT / "tokenizer" / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    (OUT / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return tokenizer


def continued(model, tokenizer, prompts):
    """The continuation of the first prompt that has a long one without near ties."""
    found = [{"prompt": prompt, **greedy(model, tokenizer, prompt)} for prompt in prompts]
    return next(own for own in found if own["ahead"] > 1e-3 and len(own["text"]) > 4)


def greedy(model, tokenizer, prompt):
    """The continuation, and how much the best token is ahead of the second at least."""
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    start, ahead = len(ids), math.inf
    for _ in range(TOKENS):
        with torch.no_grad():
            best = model(torch.tensor([ids])).logits[0, -1].topk(2)
        ahead = min(ahead, (best.values[0] - best.values[1]).item())
        if best.indices[0].item() == 2:
            break
        ids.append(best.indices[0].item())
    return {"text": tokenizer.decode(ids[start:]), "ahead": ahead, "tokens": ids[start:]}


def loss(model, tokenizer):
    """The mean over all tokens but the first of each text, with the token that ends it."""
    sums = [0.0, 0]
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids + [2]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, :-1].double()
        sums[0] += torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").item()
        sums[1] += len(ids) - 1
    return sums[0] / sums[1]


def base(folder):
    return tf.AutoModelForCausalLM.from_pretrained(FIXTURES / folder, attn_implementation="eager", dtype=torch.float32)


def edit(folder, change):
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    config["base_model_name_or_path"] = "llama/base"
    file.write_text(json.dumps(change(config) or config, indent=2) + "\n")


def edit_tensors(folder, change):
    file = folder / "adapter_model.safetensors"
    save_file({name: value.contiguous() for name, value in change(load_file(file)).items()}, file, {"format": "pt"})


def only(*keys):
    return lambda config: {key: config[key] for key in keys}


def put(**own):
    return lambda config: config.update(own)


def half(dtype):
    return lambda tensors: {name: value.to(dtype) for name, value in tensors.items()}


OLD = ["peft_type", "base_model_name_or_path", "task_type", "inference_mode", "r", "target_modules", "lora_alpha", "lora_dropout", "fan_in_fan_out", "bias", "modules_to_save"]
QV = ["q_proj", "v_proj"]
# case: (options of LoraConfig, change of the config, change of the tensors)
CASES = {
    "old-config": (dict(target_modules=QV), lambda c: {**only(*OLD)(c), "merge_weights": False, "enable_lora": None}, None),
    "future-keys": (dict(target_modules=QV), put(use_velvet=True, velvet_config={"depth": 3}), None),
    "float-alpha": (dict(target_modules=QV), put(lora_alpha=7.5), None),
    "rank-pattern-order": (dict(target_modules=QV, rank_pattern={"layers.1.self_attn.q_proj": 1, "q_proj": 3}, alpha_pattern={"^model.layers.0.*v_proj": 9, "v_proj": 2}), None, None),
    "rslora-pattern": (dict(target_modules=QV, use_rslora=True, rank_pattern={"v_proj": 4}), None, None),
    "regex": (dict(target_modules=r".*layers\.[01]\.(self_attn\.o_proj|mlp\.down_proj)"), None, None),
    "layers-pattern": (dict(target_modules=QV, layers_to_transform=[1], layers_pattern="layers"), None, None),
    "exclude": (dict(target_modules=[*QV, "up_proj"], exclude_modules=["layers.0.self_attn.v_proj", "nothing"]), None, None),
    "all-linear": (dict(target_modules="all-linear"), put(target_modules="all-linear"), None),
    "dora-older-name": (dict(target_modules=QV, use_dora=True), None, lambda t: {re.sub(r"(lora_magnitude_vector)\.weight$", r"\1", k): v for k, v in t.items()}),
    "layer-without-tensors": (dict(target_modules=QV), None, lambda t: {k: v for k, v in t.items() if "layers.1.self_attn.q_proj" not in k}),
    "whole-and-short-names": (dict(target_modules=["model.layers.0.mlp.gate_proj", "self_attn.k_proj"]), None, None),
    "embedding": (dict(target_modules=["embed_tokens", "q_proj"]), None, None),
    "half": (dict(target_modules=QV), None, half(torch.float16)),
    "bfloat": (dict(target_modules=QV), None, half(torch.bfloat16)),
    "norms-in-full": (dict(target_modules=QV, modules_to_save=["input_layernorm"]), None, None),
    "eva": (dict(target_modules=QV), put(init_lora_weights="eva", eva_config={"rho": 2.0}, loftq_config={}), None),
    "bias-without-biases": (dict(target_modules=QV), put(bias="lora_only"), None),
    "empty-lists": (dict(target_modules=QV), put(exclude_modules=[], layers_to_transform=[], modules_to_save=[]), None),
    "layer-zero": (dict(target_modules=QV), put(layers_to_transform=0), lambda t: {k: v for k, v in t.items() if "layers.0" in k}),
}


def odd(name, options, change, change_tensors):
    peft = get_peft_model(base("llama/base"), LoraConfig(r=2, lora_alpha=3, task_type="CAUSAL_LM", **options))
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    with torch.no_grad():
        for own, p in peft.named_parameters():
            if p.requires_grad:
                start = p.clone() if "magnitude" in own or "modules_to_save" in own else 0
                p.copy_(start + torch.randn(p.shape, generator=generator) * 0.6)
    folder = OUT / "adapters" / name
    peft.save_pretrained(folder)
    (folder / "README.md").unlink()
    edit(folder, change or (lambda config: None))
    if change_tensors:
        edit_tensors(folder, change_tensors)
    return PeftModel.from_pretrained(base("llama/base"), folder).eval()


shutil.rmtree(OUT, ignore_errors=True)
tokenizer = letters()
expected = {"texts": TEXTS, "tokens": TOKENS, "tied": {}, "odd": {}}
for name in TIED:
    model = PeftModel.from_pretrained(base("tied/base"), FIXTURES / "tied" / name / "adapter").eval()
    expected["tied"][name] = {**continued(model, tokenizer, PROMPTS["tied"]), "loss": loss(model, tokenizer)}
llama = Tokenizer.from_file(str(FIXTURES / "llama/base/tokenizer.json"))
plain = base("llama/base").eval()
for name, case in CASES.items():
    expected["odd"][name] = own = continued(odd(name, *case), llama, PROMPTS["llama"])
    assert own["text"] != greedy(plain, llama, own["prompt"])["text"], name
for name, own in [*expected["tied"].items(), *expected["odd"].items()]:
    print(name, own)
(OUT / "expected.json").write_text(json.dumps(expected, indent=2, ensure_ascii=False) + "\n")
