"""Log-probabilities, DPO's loss and its gradients of pairs with images on the tiny Qwen3-VL, by transformers and PEFT.

    python make_qwen3_vl_pairs.py FIXTURES        (torch, transformers, peft, safetensors)

Reads FIXTURES/qwen3-vl-images (make_qwen3_vl.py), whose adapter is the policy and whose base is the reference. Writes
FIXTURES/qwen3-vl-pairs: pairs.jsonl, in TRL's columns images, prompt, chosen and rejected; expected.json and expected.safetensors.
The loss is that of TRL's DPOTrainer with the defaults loss_type "sigmoid" and beta 0.1, as the mean over the pairs.
"""
import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
import transformers as tf
from peft import PeftModel
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
FIXTURES = Path(sys.argv[1])
FROM, OUT = FIXTURES / "qwen3-vl-images", FIXTURES / "qwen3-vl-pairs"
IMAGE, BETA = 386, 0.1
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

shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
(OUT / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
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


def logp(model, row, side):
    images = [PIXELS[name] for name in row["images"]]
    grids = [grid for _, grid in images]
    pixels = dict(pixel_values=torch.cat([own for own, _ in images]), image_grid_thw=torch.stack(grids)) if images else {}
    start = len(encoded(row["prompt"], grids, True))
    ids = torch.tensor([encoded(row["prompt"] + row[side], grids)[:-1]])  # the line break after the answer is not learnt
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == IMAGE).to(torch.int32), **pixels).logits
    chances = logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
    return chances[start - 1 :].sum()


base = tf.Qwen3VLForConditionalGeneration.from_pretrained(FROM / "base", dtype=torch.float32, attn_implementation="eager")
model = PeftModel.from_pretrained(base, FROM / "adapter", is_trainable=True).eval()
with torch.no_grad(), model.disable_adapter():
    reference = [[logp(model, row, side) for side in ("chosen", "rejected")] for row in ROWS]
policy = [[logp(model, row, side) for side in ("chosen", "rejected")] for row in ROWS]
margins = [(p[0] - r[0]) - (p[1] - r[1]) for p, r in zip(policy, reference)]
loss = torch.stack([-torch.nn.functional.logsigmoid(BETA * margin) for margin in margins]).mean()
loss.backward()
grads = {f"grad.{name.replace('.default', '')}": p.grad for name, p in model.named_parameters() if p.requires_grad}
save_file({name: value.contiguous().clone() for name, value in grads.items()}, OUT / "expected.safetensors")
facts = dict(
    beta=BETA,
    loss=loss.item(),
    policy=[[n.item() for n in row] for row in policy],
    reference=[[n.item() for n in row] for row in reference],
)
(OUT / "expected.json").write_text(json.dumps(facts, indent=1) + "\n")
print(facts)
