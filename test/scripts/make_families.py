"""Tiny random models of families and rotary scalings that have no other fixture, a LoRA adapter on each, and what transformers and PEFT compute with them.

    python make_families.py FOLDER [NAME]        (torch, transformers, peft, safetensors)

Writes FOLDER/<name>/base and FOLDER/<name>/lora in the layout of the other fixtures.
"""
import json
import sys
from pathlib import Path

import torch
import transformers as tf
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

OUT = Path(sys.argv[1])
VOCAB = 64
COMMON = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
DECODER = dict(COMMON, num_key_value_heads=2, attn_implementation="eager")
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def rope(**settings):
    return dict(rope_parameters=dict(rope_theta=10000.0, **settings))


T5 = dict(vocab_size=VOCAB, d_model=32, d_kv=10, d_ff=48, num_heads=3, num_layers=2, num_decoder_layers=3, dropout_rate=0.0, pad_token_id=0, eos_token_id=2)

# name: (model class, config, target modules, length of a row)
FAMILIES = {
    "gemma2": (tf.Gemma2ForCausalLM, tf.Gemma2Config(**dict(DECODER, num_hidden_layers=3), head_dim=12, query_pre_attn_scalar=20, sliding_window=4,
                                                     attn_logit_softcapping=2.0, final_logit_softcapping=1.5), LINEAR, 11),
    "gemma3_text": (tf.Gemma3ForCausalLM, tf.Gemma3TextConfig(**dict(DECODER, num_hidden_layers=3), head_dim=12, query_pre_attn_scalar=20, sliding_window=4,
                                                              layer_types=["sliding_attention", "full_attention", "sliding_attention"]), LINEAR, 11),
    "olmo2": (tf.Olmo2ForCausalLM, tf.Olmo2Config(**DECODER), LINEAR, 9),
    "smollm3": (tf.SmolLM3ForCausalLM, tf.SmolLM3Config(**DECODER, no_rope_layers=[1, 0]), LINEAR, 9),
    "seed_oss": (tf.SeedOssForCausalLM, tf.SeedOssConfig(**DECODER, head_dim=12, attention_bias=True, attention_out_bias=True, mlp_bias=True, attention_dropout=0.0, residual_dropout=0.0,
                                                         rope_parameters=dict(rope_theta=20000.0, rope_type="default")), LINEAR, 9),
    "hunyuan": (tf.HunYuanDenseV1ForCausalLM, tf.HunYuanDenseV1Config(**DECODER, head_dim=12, attention_bias=True,
                                                                      rope_parameters=dict(rope_theta=5000.0, rope_type="dynamic", factor=1.0, alpha=30.0)), LINEAR, 9),
    "dora-qwen3_5": (tf.Qwen3_5ForCausalLM, tf.Qwen3_5TextConfig(
        **dict(DECODER, num_hidden_layers=3, num_key_value_heads=1), head_dim=12, attention_bias=True, tie_word_embeddings=True, linear_num_key_heads=3, linear_num_value_heads=6,
        linear_key_head_dim=5, linear_value_head_dim=7, linear_conv_kernel_dim=3, layer_types=["full_attention", "linear_attention", "linear_attention"],
        rope_parameters=dict(rope_theta=500.0, rope_type="default", partial_rotary_factor=0.5, mrope_section=[1, 1, 1])),
        LINEAR + ["in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj"], 9),
    # per-layer embeddings, layers with keys of another, heads of two sizes; the images' model is as small as it gets
    "gemma4-vlm": (tf.Gemma4ForConditionalGeneration, tf.Gemma4Config(
        text_config=dict(DECODER, num_hidden_layers=4, head_dim=8, global_head_dim=12, hidden_size_per_layer_input=6, vocab_size_per_layer_input=VOCAB, sliding_window=4, num_kv_shared_layers=1,
                         layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"], final_logit_softcapping=20.0, tie_word_embeddings=True),
        vision_config=dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, head_dim=8, patch_size=4, position_embedding_size=16),
        audio_config=None, image_token_id=60, boi_token_id=61, eoi_token_id=62, audio_token_id=59, boa_token_id=58, eoa_token_index=57, video_token_id=63, pad_token_id=0),
        r".*language_model.*\.(q|k|v|o|gate|up|down)_proj", 9),
    "roberta": (tf.RobertaForSequenceClassification, tf.RobertaConfig(**dict(COMMON, pad_token_id=1, bos_token_id=0), type_vocab_size=1, num_labels=3, hidden_dropout_prob=0.0,
                                                                     attention_probs_dropout_prob=0.0), ["query", "value"], 10),
    "distilbert": (tf.DistilBertForSequenceClassification, tf.DistilBertConfig(vocab_size=VOCAB, dim=32, hidden_dim=48, n_layers=2, n_heads=4, max_position_embeddings=32, num_labels=3,
                                                                              dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0, pad_token_id=0), ["q_lin", "v_lin"], 10),
    "rope-linear": (tf.LlamaForCausalLM, tf.LlamaConfig(**DECODER, **rope(rope_type="linear", factor=3.0)), ["q_proj", "v_proj"], 14),
    "rope-dynamic": (tf.LlamaForCausalLM, tf.LlamaConfig(**dict(DECODER, max_position_embeddings=8), **rope(rope_type="dynamic", factor=3.0)), ["q_proj", "v_proj"], 14),
    "rope-yarn": (tf.LlamaForCausalLM, tf.LlamaConfig(**DECODER, **rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)), ["q_proj", "v_proj"], 14),
    # Once shorter and once longer than original_max_position_embeddings: other factors.
    **{f"rope-longrope-{name}": (tf.Phi3ForCausalLM, tf.Phi3Config(**dict(DECODER, max_position_embeddings=48), original_max_position_embeddings=12, **rope(
        rope_type="longrope", short_factor=[1.0, 1.1, 1.3, 1.6], long_factor=[1.0, 2.0, 4.0, 7.0], original_max_position_embeddings=12)), ["qkv_proj", "down_proj"], length)
       for name, length in dict(short=10, long=15).items()},
    "dora-vit": (tf.ViTForImageClassification, tf.ViTConfig(image_size=16, patch_size=4, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_labels=4,
                                                            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), ["projection", "query"], 0),
    "dora-gpt2": (tf.GPT2LMHeadModel, tf.GPT2Config(vocab_size=VOCAB, n_embd=32, n_inner=48, n_layer=2, n_head=4, n_positions=32, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                                                    pad_token_id=0, bos_token_id=1, eos_token_id=2, attn_implementation="eager"), ["c_attn", "c_proj", "wte"], 9),
    # padding that is read as text: its row of the table has no gradient
    "padding-lora": (tf.LlamaForCausalLM, tf.LlamaConfig(**dict(DECODER, pad_token_id=5)), LINEAR + ["embed_tokens"], 9),
    "padding-saved": (tf.RobertaForSequenceClassification, tf.RobertaConfig(**dict(COMMON, pad_token_id=1, bos_token_id=0), type_vocab_size=1, num_labels=3, hidden_dropout_prob=0.0,
                                                                           attention_probs_dropout_prob=0.0), ["query", "value"], 10),
    "t5-tied": (tf.T5ForConditionalGeneration, tf.T5Config(**T5, decoder_start_token_id=3, feed_forward_proj="relu", relative_attention_num_buckets=6, relative_attention_max_distance=9), "all-linear", 13),
    "mt5": (tf.MT5ForConditionalGeneration, tf.MT5Config(**T5, decoder_start_token_id=0, relative_attention_num_buckets=12, relative_attention_max_distance=14), "all-linear", 13),
}
MORE = {"padding-saved": dict(modules_to_save=["classifier", "word_embeddings", "position_embeddings"]), "t5-tied": dict(use_dora=True, use_rslora=True), "dora-qwen3_5": dict(use_dora=True), "dora-gpt2": dict(use_dora=True, fan_in_fan_out=True), "dora-vit": dict(use_dora=True, modules_to_save=["classifier"])}


def randomise(model, generator):
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.5 if p.dim() == 1 else 0.25
            offset = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            p.copy_(torch.randn(p.shape, generator=generator) * scale + offset)


def inputs(length, classes, generator, pad):
    ids = torch.randint(3, VOCAB, (2, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, length - 3:] = 0
    ids[1, length - 3:] = pad
    if classes:
        return dict(input_ids=ids, attention_mask=mask, labels=torch.tensor([1, 2]))
    labels = ids.clone()
    labels[mask == 0] = -100
    labels[:, :2] = -100
    return dict(input_ids=ids, attention_mask=mask, labels=labels)


def answers(length, generator):
    """Texts for an encoder, and shorter ones that its decoder writes."""
    batch = inputs(length, 0, generator, 0)
    labels = torch.randint(3, VOCAB, (2, length - 3), generator=generator)
    labels[0, length - 5:] = -100
    return dict(batch, labels=labels)


def make(name, cls, config, targets, length):
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    model = cls(config).eval()
    randomise(model, generator)
    if config.model_type in ("t5", "mt5"):  # scores are not scaled: large ones make PyTorch's own f32 gradients too inexact to compare with
        with torch.no_grad():
            for key, p in model.named_parameters():
                if key.endswith((".q.weight", ".k.weight")):
                    p.mul_(0.25)
    if config.model_type == "gemma4":  # with norms far from 1, rounding to bf16 alone changes gradients by a quarter
        with torch.no_grad():
            for key, p in model.named_parameters():
                if "norm" in key and key.endswith("weight"):
                    p.sub_(1).mul_(0.2).add_(1)
    folder = OUT / name
    model.save_pretrained(folder / "base")
    (folder / "base" / "generation_config.json").unlink(missing_ok=True)
    reads_images = "Image" in cls.__name__
    is_encoder_decoder = getattr(config, "is_encoder_decoder", False)
    if is_encoder_decoder:
        batch = answers(length, generator)
    elif reads_images:
        batch = dict(pixel_values=torch.randn((2, 3, 16, 16), generator=generator), labels=torch.tensor([1, 2]))
    else:
        batch = inputs(length, getattr(model, "num_labels", 0) if "Classification" in cls.__name__ else 0, generator, config.pad_token_id)
    if name.startswith("padding-"):
        batch["input_ids"][0, [0, 3]] = config.pad_token_id
    with torch.no_grad():
        base = model(**batch)
    task = "SEQ_2_SEQ_LM" if is_encoder_decoder else None if reads_images else "SEQ_CLS" if "Classification" in cls.__name__ else "CAUSAL_LM"
    peft = get_peft_model(model, LoraConfig(r=3, lora_alpha=6, target_modules=targets, task_type=task, **MORE.get(name, {}))).eval()
    with torch.no_grad():
        for key, p in peft.named_parameters():
            if "lora_" in key:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.2)
    peft.save_pretrained(folder / "lora" / "adapter")
    (folder / "lora" / "adapter" / "README.md").unlink()
    out = peft(**batch)
    out.loss.backward()
    saved = {"base.logits": base.logits, "adapter.logits": out.logits.detach(), **({"inputs.pixel_values": batch["pixel_values"]} if reads_images else {})}
    for key, p in peft.named_parameters():
        if p.grad is not None:
            stored = key.replace(".default", "").replace(".modules_to_save", "").replace("magnitude_vector.weight", "magnitude_vector")  # as in the file
            saved[f"grad.{stored}"] = p.grad
    save_file({k: v.contiguous() for k, v in saved.items()}, folder / "lora" / "expected.safetensors")
    expected = dict(base_loss=base.loss.item(), adapter_loss=out.loss.item(), inputs={k: v.tolist() for k, v in batch.items() if k != "pixel_values"})
    if is_encoder_decoder:
        ids = peft.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=24, do_sample=False, repetition_penalty=9.0, use_cache=False)
        expected.update(task="seq2seq_lm", start_id=config.decoder_start_token_id, generated=ids.tolist())
    (folder / "lora" / "expected.json").write_text(json.dumps(expected) + "\n")
    print(name, expected["base_loss"], expected["adapter_loss"])


for name, (cls, config, targets, length) in FAMILIES.items():  # one name more: that one only
    if len(sys.argv) > 2 and name != sys.argv[2]:
        continue
    make(name, cls, config, targets, length)
