"""A tiny Qwen3-VL with a tower for images, chats with images, and what transformers and PEFT compute of them.

    python make_qwen3_vl.py FIXTURES TOKENIZER        (torch, transformers, peft, safetensors, Pillow)

TOKENIZER: the folder of a byte-level tokenizer of 384 tokens. Writes FIXTURES/qwen3-vl-images: base/, chats/ (rows.jsonl and its images),
adapter/, expected.json and expected.safetensors (pixels, vectors of the images, positions, logits, losses, gradients, an answer).
"""
import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers as tf
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from safetensors.torch import save_file
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

warnings.filterwarnings("ignore")
OUT = Path(sys.argv[1]) / "qwen3-vl-images"
START, END, IMAGE, VIDEO = 384, 385, 386, 387
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SIZE = {"shortest_edge": 1024, "longest_edge": 2048}
ROWS = [
    {"messages": [
        {"role": "user", "content": [{"type": "image", "image": "wide.png"}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": "A wide one."},
    ]},
    {"messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "First "}, {"type": "image", "image": "tall.png"}, {"type": "text", "text": " then "},
            {"type": "image", "image": "wide.png"}, {"type": "text", "text": ". Which is tall?"}]},
        {"role": "assistant", "content": "The first."},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "Yes."},
    ]},
    {"messages": [{"role": "user", "content": "No image here."}, {"role": "assistant", "content": "None."}]},
]


def make_tokenizer(source, folder):
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    for i, content in zip((START, END, IMAGE, VIDEO), ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")):
        tokenizer["added_tokens"].append(dict(
            id=i, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    config = dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|bos|>", eos_token="<|im_end|>", pad_token="<|pad|>",
                  chat_template=TEMPLATE, clean_up_tokenization_spaces=False, model_max_length=256)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def make_model(folder):
    torch.manual_seed(0)
    config = tf.Qwen3VLConfig(
        text_config=dict(vocab_size=388, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
                         num_key_value_heads=2, head_dim=16, max_position_embeddings=256, bos_token_id=1, eos_token_id=4, pad_token_id=0,
                         rope_parameters=dict(rope_type="default", rope_theta=50000.0, mrope_interleaved=True, mrope_section=[4, 2, 2])),
        vision_config=dict(depth=3, hidden_size=16, intermediate_size=24, num_heads=2, patch_size=4, out_hidden_size=32,
                           num_position_embeddings=25, deepstack_visual_indexes=[0, 2], spatial_merge_size=2, temporal_patch_size=2),
        image_token_id=IMAGE, video_token_id=VIDEO, vision_start_token_id=START, vision_end_token_id=END, tie_word_embeddings=True)
    model = tf.Qwen3VLForConditionalGeneration(config)
    randomise(model.parameters(), torch.Generator().manual_seed(1), 0.2)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    settings = dict(image_processor_type="Qwen2VLImageProcessorFast", processor_class="Qwen3VLProcessor", size=SIZE, patch_size=4,
                    temporal_patch_size=2, merge_size=2, image_mean=[0.5, 0.4, 0.6], image_std=[0.5, 0.6, 0.4])
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def randomise(parameters, generator, scale):
    with torch.no_grad():
        for p in parameters:
            p.copy_(torch.randn(p.shape, generator=generator) * scale)


def make_images(folder):
    for name, (width, height) in {"wide": (61, 30), "tall": (20, 37)}.items():
        y, x = np.mgrid[0:height, 0:width]
        pixels = np.stack([(7 * x + 3 * y) % 256, (5 * y * y + x) % 256, (x * y) % 251], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")


def encoded(tokenizer, row, grids, prompt=False):
    """The ids of a row with each placeholder as many times as its image has tokens, and the labels of the answers."""
    def ids_of(messages, ask=False):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
        parts = text.split("<|image_pad|>")
        whole = parts[0]
        for grid, part in zip(iter(grids), parts[1:]):
            whole += "<|image_pad|>" * int(grid.prod() // 4) + part
        return tokenizer(whole, add_special_tokens=False).input_ids
    messages = row["messages"]
    if prompt:
        return ids_of(messages[:-1], True), None
    ids = ids_of(messages)
    labels = [-100] * len(ids)
    for turn, message in enumerate(messages):
        if message["role"] == "assistant":
            start, end = len(ids_of(messages[:turn], True)), len(ids_of(messages[: turn + 1])) - 1  # the line break is not learnt
            labels[start:end] = ids[start:end]
    return ids, labels


shutil.rmtree(OUT, ignore_errors=True)
for name in ("base", "chats"):
    (OUT / name).mkdir(parents=True)
make_model(OUT / "base")
make_tokenizer(Path(sys.argv[2]), OUT / "base")
make_images(OUT / "chats")
(OUT / "chats" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

tokenizer = tf.PreTrainedTokenizerFast.from_pretrained(OUT / "base")
processor = Qwen2VLImageProcessorPil(**{k: v for k, v in json.loads((OUT / "base" / "preprocessor_config.json").read_text()).items()
                                        if k not in ("image_processor_type", "processor_class")})
files = [[part["image"] for message in row["messages"] for part in message["content"] if isinstance(part, dict) and "image" in part] for row in ROWS]
images = [Image.open(OUT / "chats" / name).convert("RGB") for row in files for name in row]
pixels = processor(images=images, return_tensors="pt")
grids, at = [], 0
for row in files:
    grids.append(pixels["image_grid_thw"][at : at + len(row)])
    at += len(row)

model = tf.Qwen3VLForConditionalGeneration.from_pretrained(OUT / "base", dtype=torch.float32, attn_implementation="eager").eval()
rows = [encoded(tokenizer, row, grid) for row, grid in zip(ROWS, grids)]
length = max(len(ids) for ids, _ in rows)
pad = lambda values, filler: torch.tensor([v + [filler] * (length - len(v)) for v in values])
inputs = dict(input_ids=pad([ids for ids, _ in rows], 0), attention_mask=pad([[1] * len(ids) for ids, _ in rows], 0))
inputs["mm_token_type_ids"] = (inputs["input_ids"] == IMAGE).to(torch.int32)
labels = pad([labels for _, labels in rows], -100)
call = dict(**inputs, pixel_values=pixels["pixel_values"], image_grid_thw=pixels["image_grid_thw"])
positions, _ = model.model.get_rope_index(**inputs, image_grid_thw=pixels["image_grid_thw"])
tower = model.model.visual(pixels["pixel_values"], grid_thw=pixels["image_grid_thw"], return_dict=True)
expected = {
    "pixel_values": pixels["pixel_values"],
    "image_embeds": tower.pooler_output,
    **{f"deepstack.{i}": feature for i, feature in enumerate(tower.deepstack_features)},
    "position_ids": positions.to(torch.float32),
}
base_loss = model(**call, labels=labels).loss.item()
peft = get_peft_model(model, LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")).eval()
randomise([p for p in peft.parameters() if p.requires_grad], torch.Generator().manual_seed(2), 0.3)
peft.save_pretrained(OUT / "adapter")
(OUT / "adapter" / "README.md").unlink()
text = (OUT / "adapter" / "adapter_config.json").read_text()
(OUT / "adapter" / "adapter_config.json").write_text(text.replace(json.dumps(str(OUT / "base")), '"qwen3-vl-images"'))
output = peft(**call, labels=labels)
output.loss.backward()
expected["adapter.logits"] = output.logits
for name, parameter in peft.named_parameters():
    if parameter.requires_grad:
        expected[f"grad.{name.replace('.default', '')}"] = parameter.grad
# with the vectors of tokens trained, too: no gradient of a placeholder's
again = tf.Qwen3VLForConditionalGeneration.from_pretrained(OUT / "base", dtype=torch.float32, attn_implementation="eager").eval()
table = again.model.language_model.embed_tokens
tuned = get_peft_model(again, LoraConfig(r=2, lora_alpha=3, target_modules=["embed_tokens"], task_type="CAUSAL_LM")).eval()
randomise([p for p in tuned.parameters() if p.requires_grad], torch.Generator().manual_seed(3), 0.3)
tuned.save_pretrained(OUT / "embedding")
(OUT / "embedding" / "README.md").unlink()
text = (OUT / "embedding" / "adapter_config.json").read_text()
(OUT / "embedding" / "adapter_config.json").write_text(text.replace(json.dumps(str(OUT / "base")), '"qwen3-vl-images"'))
output_table = tuned(**call, labels=labels)
output_table.loss.backward()
for name, parameter in tuned.named_parameters():
    if parameter.requires_grad:
        expected[f"embedding.grad.{name.replace('.default', '')}"] = parameter.grad

fresh = PeftModel.from_pretrained(
    tf.Qwen3VLForConditionalGeneration.from_pretrained(OUT / "base", dtype=torch.float32, attn_implementation="eager"), OUT / "adapter").eval()
answers = []
for row, grid, i in ((ROWS[0], grids[0], 0), (ROWS[1], grids[1], 1)):
    ids, _ = encoded(tokenizer, row, grid, prompt=True)
    ids = torch.tensor([ids])
    first = sum(len(own) for own in files[:i])
    patches = pixels["image_grid_thw"].prod(-1)
    from_, to = int(patches[:first].sum()), int(patches[: first + len(files[i])].sum())
    out = fresh.generate(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == IMAGE).to(torch.int32),
                         pixel_values=pixels["pixel_values"][from_:to], image_grid_thw=grid, max_new_tokens=12, do_sample=False, eos_token_id=4)
    answers.append({"prompt_ids": ids[0].tolist(), "ids": out[0, ids.shape[1]:].tolist()})
save_file({name: value.detach().to(torch.float32).contiguous().clone() for name, value in expected.items()}, OUT / "expected.safetensors")
(OUT / "expected.json").write_text(json.dumps(dict(
    base_loss=base_loss, adapter_loss=output.loss.item(), embedding_loss=output_table.loss.item(), files=files,
    grids=[grid.tolist() for grid in grids], inputs=dict(
        input_ids=inputs["input_ids"].tolist(), attention_mask=inputs["attention_mask"].tolist(), labels=labels.tolist()),
    answers=answers)) + "\n")
print(base_loss, output.loss.item(), output_table.loss.item(), grids, length, answers)
