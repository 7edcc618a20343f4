"""Losses and gradients of answers that are compared, and of learning from a teacher, with images on the tiny Qwen3-VL, by transformers and PEFT.

    python make_qwen3_vl_pairs.py FIXTURES        (torch, transformers, peft, safetensors)

Reads FIXTURES/qwen3-vl-images (make_qwen3_vl.py), whose adapter is the policy and whose base is the reference and the teacher. Writes
FIXTURES/qwen3-vl-pairs: pairs.jsonl, in TRL's columns images, prompt, chosen and rejected, unpaired.jsonl for KTO, expected.json and
expected.safetensors (<method>.grad.<name>). The losses are those of TRL 1.16 as the mean over the rows: DPOTrainer, KTOTrainer (whose KL
pairs each prompt and its images with the answer of the row before), ORPOTrainer and CPOTrainer with their defaults, and CPOTrainer's simpo
with cpo_alpha 0. ORPOTrainer reads no images and would learn their placeholders; here its cross-entropy leaves these out. The teacher's
loss is that of make_distillation.py. "continuations" are the log-probabilities of the texts of the answers.
"""
import json
import math
import shutil
import sys
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers as tf
from peft import PeftModel
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
FIXTURES = Path(sys.argv[1])
FROM, OUT = FIXTURES / "qwen3-vl-images", FIXTURES / "qwen3-vl-pairs"
IMAGE, BETA, GAMMA = 386, 0.1, 0.5
TEACHER = dict(temperature=2.0, kd_ratio=0.5, top_k=8)
PLACE = "../qwen3-vl-images/chats/"


def user(*parts):
    return [{"role": "user", "content": [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]}]


def answer(text):
    return [{"role": "assistant", "content": text}]


ROWS = [
    {"images": [PLACE + "wide.png"], "prompt": user(None, "What is it?"), "chosen": answer("A wide one."), "rejected": answer("A tall one, or so.")},
    {"images": [PLACE + "tall.png", PLACE + "wide.png"], "prompt": user("First ", None, " then ", None, ". Which is tall?"),
     "chosen": answer("The first."), "rejected": answer("Both.")},
    {"images": [], "prompt": [{"role": "user", "content": "No image here."}], "chosen": answer("None."), "rejected": answer("One.")},
]

UNPAIRED = [
    {"images": ROWS[0]["images"], "prompt": ROWS[0]["prompt"], "completion": answer("The first."), "label": False},
    {"images": ROWS[1]["images"], "prompt": ROWS[1]["prompt"], "completion": ROWS[1]["chosen"], "label": True},
    {"images": [], "prompt": ROWS[2]["prompt"], "completion": ROWS[2]["rejected"], "label": False},
]

shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
(OUT / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
(OUT / "unpaired.jsonl").write_text("".join(json.dumps(row) + "\n" for row in UNPAIRED))
tokenizer = tf.PreTrainedTokenizerFast.from_pretrained(FROM / "base")
# the patches of the images of rows.jsonl, one after the other
known = json.loads((FROM / "expected.json").read_text())
samples = load_file(FROM / "expected.safetensors")["pixel_values"]
PIXELS, at = {}, 0
for names, sizes in zip(known["files"], known["grids"]):
    for name, grid in zip(names, torch.tensor(sizes)):
        PIXELS[PLACE + name] = (samples[at : at + int(grid.prod())], grid)
        at += int(grid.prod())


def encoded(messages, grids, ask=False):
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
    whole, *rest = text.split("<|image_pad|>")
    for grid, part in zip(grids, rest):
        whole += "<|image_pad|>" * int(grid.prod() // 4) + part
    return tokenizer(whole, add_special_tokens=False).input_ids


def logits_of(model, ids, names):
    """Of a row whose images have these names."""
    images = [PIXELS[name] for name in names]
    pixels = dict(pixel_values=torch.cat([own for own, _ in images]), image_grid_thw=torch.stack([grid for _, grid in images])) if images else {}
    ids = torch.tensor([ids])
    return model(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == IMAGE).to(torch.int32), **pixels).logits[0]


def parts(row, side, end=-1):
    """The ids of a prompt and of an answer, without the line break after it, which is not compared."""
    grids = [PIXELS[name][1] for name in row["images"]]
    prompt = encoded(row["prompt"], grids, True)
    return prompt, encoded(row["prompt"] + row[side], grids)[len(prompt) : end]


def token_logps(model, prompt, answer, names):
    """Of all tokens but the first."""
    ids = prompt + answer
    return logits_of(model, ids, names)[:-1].log_softmax(-1).gather(-1, torch.tensor(ids)[1:, None])[:, 0]


def logps(model, row, side):
    """Of the tokens of an answer."""
    prompt, answer = parts(row, side)
    return token_logps(model, prompt, answer, row["images"])[len(prompt) - 1 :]


def measured(model):
    return [[logps(model, row, side).sum() for side in ("chosen", "rejected")] for row in ROWS]


def continuations(model):
    """Of the text of each answer, without the token that ends it."""
    return [[logps(model, row, side)[:-1].sum().item() for side in ("chosen", "rejected")] for row in ROWS]


def mismatched(model):
    """Each prompt with the answer of the row before."""
    found = []
    for row, before in zip(UNPAIRED, UNPAIRED[-1:] + UNPAIRED[:-1]):
        prompt = parts(row, "completion")[0]
        found.append(token_logps(model, prompt, parts(before, "completion")[1], row["images"])[len(prompt) - 1 :].sum())
    return torch.stack(found)


def mean(values):
    return torch.stack(values).mean()


def dpo(model):
    margins = [(p[0] - r[0]) - (p[1] - r[1]) for p, r in zip(measured(model), reference)]
    return mean([-F.logsigmoid(BETA * margin) for margin in margins])


def averaged(model):
    return [[logps(model, row, side).mean() for side in ("chosen", "rejected")] for row in ROWS]


def orpo(model):
    odds = [(c - r) - (torch.log1p(-torch.exp(c)) - torch.log1p(-torch.exp(r))) for c, r in averaged(model)]
    learnt = []
    for row in ROWS:
        prompt, answer = parts(row, "chosen", None)
        learnt.append(-token_logps(model, prompt, answer, row["images"])[torch.tensor(prompt + answer)[1:] != IMAGE])
    return torch.cat(learnt).mean() - BETA * mean([F.logsigmoid(x) for x in odds])


def cpo(model):
    chosen = torch.cat([logps(model, row, "chosen") for row in ROWS])
    return mean([-F.logsigmoid(BETA * (c - r)) for c, r in measured(model)]) - chosen.mean()


def simpo(model):
    return mean([-F.logsigmoid(BETA * (c - r) - GAMMA) for c, r in averaged(model)])


def kto(model):
    kl = (mismatched(model).detach() - kl_reference).mean().clamp(min=0)
    ratios = [logps(model, row, "completion").sum() - r for row, r in zip(UNPAIRED, kto_reference)]
    facts["kto"] = dict(kl=kl.item(), policy=[(x + r).item() for x, r in zip(ratios, kto_reference)])
    return mean([1 - F.sigmoid(BETA * ((x - kl) if row["label"] else (kl - x))) for x, row in zip(ratios, UNPAIRED)])


def distill(model):
    """The base as a teacher of the answers "chosen": the top k tokens, and all others as one outcome."""
    T, ratio, k = TEACHER["temperature"], TEACHER["kd_ratio"], TEACHER["top_k"]
    losses, divergences = [], []
    for row in ROWS:
        prompt, answer = parts(row, "chosen")
        with torch.no_grad(), model.disable_adapter():
            p, ids = F.log_softmax(logits_of(model, prompt + answer, row["images"])[len(prompt) - 1 : -1] / T, -1).topk(k, -1)
        logits = logits_of(model, prompt + answer, row["images"])[len(prompt) - 1 : -1]
        q = F.log_softmax(logits / T, -1)
        rest = (1 - p.double().exp().sum(-1)).clamp(min=0)
        q_rest = torch.logsumexp(q.scatter(-1, ids, -math.inf), -1)
        kl = (p.exp() * (p - q.gather(-1, ids))).sum(-1) + (rest * (rest.clamp(min=1e-300).log() - q_rest)).to(q.dtype)
        entropy = F.cross_entropy(logits, torch.tensor(answer), reduction="none")
        losses.append((1 - ratio) * entropy + ratio * T**2 * kl)
        divergences.append(kl.detach())
    facts["distill"] = dict(**TEACHER, kl=torch.cat(divergences).mean().item())
    return torch.cat(losses).mean()


base = tf.Qwen3VLForConditionalGeneration.from_pretrained(FROM / "base", dtype=torch.float32, attn_implementation="eager")
model = PeftModel.from_pretrained(base, FROM / "adapter", is_trainable=True).eval()
with torch.no_grad():
    policy = measured(model)
    with model.disable_adapter():
        reference, kl_reference = measured(model), mismatched(model)
        kto_reference = [logps(model, row, "completion").sum() for row in UNPAIRED]
facts = dict(beta=BETA, losses={}, policy=[[n.item() for n in row] for row in policy], reference=[[n.item() for n in row] for row in reference])
tensors = {}
for loss_of in (dpo, orpo, cpo, simpo, kto, distill):
    model.zero_grad()
    loss = loss_of(model)
    loss.backward()
    method = loss_of.__name__
    facts["losses"][method] = loss.item()
    for name, p in model.named_parameters():
        if p.requires_grad:
            tensors[f"{method}.grad.{name.replace('.default', '')}"] = p.grad.contiguous().clone()
# ROWS as chats for the teacher
(OUT / "chats.jsonl").write_text("".join(json.dumps({"images": row["images"], "messages": row["prompt"] + row["chosen"]}) + "\n" for row in ROWS))
with torch.no_grad():
    facts["continuations"] = continuations(model)
    facts["kto"]["mismatched"] = dict(policy=mismatched(model).tolist(), reference=kl_reference.tolist())
facts["kto"]["reference"] = [n.item() for n in kto_reference]
save_file(tensors, OUT / "expected.safetensors")
(OUT / "expected.json").write_text(json.dumps(facts, indent=1) + "\n")
print(facts)
