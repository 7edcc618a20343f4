"""Tiny models for text and images, adapters of their language models, and the logits of PEFT for text alone.

    python make_vision_language.py FIXTURES        (torch, transformers, peft, safetensors)

Writes FIXTURES/vision-language/<model_type>/base, .../adapter, and FIXTURES/vision-language/expected.safetensors with the logits of each
model with its adapter.
"""
import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
import transformers as tf
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
OUT = Path(sys.argv[1]) / "vision-language"
VOCAB, IMAGE = 384, 383
IDS = torch.tensor([[3, 9, 4, 17, 23, 8, 5]])
TEXT = dict(vocab_size=VOCAB, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            head_dim=4, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
VISION = dict(hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4)


def llava():
    return tf.LlavaForConditionalGeneration(tf.LlavaConfig(
        text_config=tf.LlamaConfig(**TEXT), vision_config=tf.CLIPVisionConfig(**VISION, projection_dim=8), image_token_index=IMAGE))


def gemma3():
    return tf.Gemma3ForConditionalGeneration(tf.Gemma3Config(
        text_config=tf.Gemma3TextConfig(**TEXT, sliding_window=4, query_pre_attn_scalar=4, layer_types=["sliding_attention", "full_attention"]),
        vision_config=tf.SiglipVisionConfig(**VISION), mm_tokens_per_image=1, image_token_index=IMAGE, boi_token_index=382, eoi_token_index=381))


def idefics3():
    return tf.Idefics3ForConditionalGeneration(tf.Idefics3Config(
        text_config=tf.LlamaConfig(**TEXT), vision_config=tf.models.idefics3.Idefics3VisionConfig(**VISION), image_token_id=IMAGE, scale_factor=2))


def mistral3():
    return tf.Mistral3ForConditionalGeneration(tf.Mistral3Config(
        text_config=tf.MistralConfig(**TEXT, sliding_window=None), vision_config=tf.PixtralVisionConfig(**VISION), image_token_index=IMAGE,
        spatial_merge_size=2))


def internvl():
    vision = {**VISION, "image_size": [8, 8], "patch_size": [4, 4]}
    return tf.InternVLForConditionalGeneration(tf.InternVLConfig(
        text_config=tf.Qwen2Config(**{k: v for k, v in TEXT.items() if k != "head_dim"}), vision_config=tf.InternVLVisionConfig(**vision),
        image_token_id=IMAGE, downsample_ratio=0.5))


def qwen3_5():
    text = {**TEXT, "head_dim": 8}
    return tf.Qwen3_5ForConditionalGeneration(tf.Qwen3_5Config(
        text_config=tf.Qwen3_5TextConfig(
            **text, layer_types=["full_attention", "linear_attention"], linear_num_key_heads=1, linear_num_value_heads=2, linear_key_head_dim=4,
            linear_value_head_dim=6, linear_conv_kernel_dim=3,
            rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5, mrope_interleaved=True, mrope_section=[1, 1, 0])),
        vision_config=tf.models.qwen3_5.configuration_qwen3_5.Qwen3_5VisionConfig(
            depth=1, hidden_size=8, intermediate_size=12, num_heads=2, patch_size=4, out_hidden_size=8, num_position_embeddings=4),
        image_token_id=IMAGE, video_token_id=382, vision_start_token_id=381, vision_end_token_id=380))


def randomise(parameters, generator, scale):
    with torch.no_grad():
        for p in parameters:
            p.copy_(torch.randn(p.shape, generator=generator) * scale)


def logits_of(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits.contiguous()


def make(make_model):
    name = make_model.__name__
    torch.manual_seed(0)
    model = make_model()
    randomise(model.parameters(), torch.Generator().manual_seed(1), 0.3)
    folder = OUT / name
    model.save_pretrained(folder / "base")
    (folder / "base" / "generation_config.json").unlink(missing_ok=True)
    body = next(path for path, _ in model.named_modules() if path.endswith("layers.0.self_attn.q_proj") and "vision" not in path)
    body = body.removesuffix(".layers.0.self_attn.q_proj")
    linear = "|in_proj_qkv|in_proj_a" if name == "qwen3_5" else ""
    targets = rf"{body.replace('.', chr(92) + '.')}\.layers\.\d+\..*\.(q_proj|down_proj{linear})"
    peft = get_peft_model(model, LoraConfig(r=2, lora_alpha=3, target_modules=targets, task_type="CAUSAL_LM"))
    randomise([p for p in peft.parameters() if p.requires_grad], torch.Generator().manual_seed(2), 0.5)
    peft.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink()
    text = (folder / "adapter" / "adapter_config.json").read_text()
    (folder / "adapter" / "adapter_config.json").write_text(text.replace(json.dumps(str(folder / "base")), f'"vision-language/{name}"'))
    again = type(model).from_pretrained(folder / "base", dtype=torch.float32, attn_implementation="eager")
    plain = logits_of(again)
    logits = logits_of(PeftModel.from_pretrained(again, folder / "adapter"))
    assert (logits - plain).abs().max() > 0.01, name
    print(name, body, model.config.text_config.model_type, logits.abs().max().item())
    return logits


shutil.rmtree(OUT, ignore_errors=True)
logits = {make_model.__name__: make(make_model) for make_model in [llava, gemma3, idefics3, mistral3, internvl, qwen3_5]}
save_file({"inputs.input_ids": IDS.to(torch.float32), **{f"{name}.logits": value for name, value in logits.items()}}, OUT / "expected.safetensors")
