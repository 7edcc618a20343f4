"""Small random models of transformers, adapters of PEFT on them, and the models as GGUF files.

    python make_gguf_models.py FOLDER [NAME]        (torch, transformers, peft, gguf; see check_gguf.mjs)

The names of tensors and keys are those of the package gguf, not of this project. What is transposed, moved and added follows
llama.cpp's conversion/{base,qwen,gpt_oss,gemma,t5}.py.
FOLDER/NAME gets original/, adapter/, base.gguf and expected.json with the inputs. NAME-ADAPTER: the same with other adapters.
"""
import json
import math
import os
import sys

import gguf
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

folder = sys.argv[1]
only = sys.argv[2] if len(sys.argv) > 2 else None
VOCAB = 96
IDS = [(7 * i * i + 3 * i + 5) % VOCAB for i in range(24)]

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
COMMON = dict(vocab_size=VOCAB, hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=16, max_position_embeddings=64)
FULL = {"rope_type": "default", "rope_theta": 10000.0}
GEMMA_ROPE = {
    "sliding_attention": FULL,
    "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0},
}
YARN = {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 4.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
        "original_max_position_embeddings": 16}
QWEN_MOE = dict(COMMON, num_hidden_layers=2, intermediate_size=96, moe_intermediate_size=32, num_experts=4, num_experts_per_tok=2,
                norm_topk_prob=True, rope_parameters=FULL, tie_word_embeddings=False)
GPT_OSS = dict(COMMON, num_hidden_layers=4, intermediate_size=32, num_local_experts=4, num_experts_per_tok=2, sliding_window=5,
               layer_types=["sliding_attention", "full_attention"] * 2, rope_parameters=FULL, tie_word_embeddings=False)
GEMMA = dict(COMMON, num_hidden_layers=6, intermediate_size=96, hidden_size_per_layer_input=32, vocab_size_per_layer_input=VOCAB,
             layer_types=["sliding_attention", "full_attention"] * 3, num_kv_shared_layers=2, use_double_wide_mlp=True,
             sliding_window=5, final_logit_softcapping=20.0, rope_parameters=GEMMA_ROPE, global_head_dim=32)
T5 = dict(vocab_size=VOCAB, d_model=64, d_kv=16, d_ff=96, num_heads=4, num_layers=3, num_decoder_layers=2,
          relative_attention_num_buckets=32, relative_attention_max_distance=128, decoder_start_token_id=0)
EXPERTS = dict(target_modules=["q_proj", "v_proj"], target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])
GEMMA_MOE = dict(GEMMA, hidden_size_per_layer_input=0, num_kv_shared_layers=0, use_double_wide_mlp=False, enable_moe_block=True,
                 num_experts=4, top_k_experts=2, moe_intermediate_size=32, attention_k_eq_v=True, num_global_key_value_heads=1)
GEMMA_TARGETS = ATTENTION + ["gate_proj", "up_proj", "down_proj"]
QWEN35 = dict(COMMON, head_dim=32, num_hidden_layers=4, intermediate_size=96, linear_num_key_heads=2, linear_num_value_heads=4,
              linear_key_head_dim=32, linear_value_head_dim=32, linear_conv_kernel_dim=4, tie_word_embeddings=False,
              layer_types=["linear_attention"] * 3 + ["full_attention"],
              rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25,
                               "mrope_section": [2, 1, 1], "mrope_interleaved": True})
OLMO3 = dict(COMMON, num_hidden_layers=4, intermediate_size=96, sliding_window=5, tie_word_embeddings=False,
             layer_types=["sliding_attention"] * 3 + ["full_attention"], rope_parameters={
                 "sliding_attention": FULL,
                 "full_attention": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "attention_factor": 1.5,
                                    "original_max_position_embeddings": 16}})
EXAONE4 = dict(COMMON, hidden_size=32, num_attention_heads=2, num_key_value_heads=1, num_hidden_layers=64, intermediate_size=32, sliding_window=5, sliding_window_pattern="LLLG",
               layer_types=(["sliding_attention"] * 3 + ["full_attention"]) * 16, rope_parameters=FULL, tie_word_embeddings=False)
DELTA = ["in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj"]
# the case, its model_type, the architecture in GGUF files, the config, and the adapter
MODELS = {
    "qwen3_moe": ("qwen3_moe", "QWEN3MOE", QWEN_MOE, dict(target_modules=ATTENTION, target_parameters=["mlp.gate.weight"])),
    "qwen3_moe-experts": ("qwen3_moe", "QWEN3MOE", QWEN_MOE, EXPERTS),
    "gpt_oss": ("gpt_oss", "GPT_OSS", GPT_OSS, dict(target_modules=ATTENTION)),
    "gpt_oss-experts": ("gpt_oss", "GPT_OSS", GPT_OSS, EXPERTS),
    "gpt_oss-yarn": ("gpt_oss", "GPT_OSS", dict(GPT_OSS, rope_parameters=YARN), dict(target_modules=ATTENTION)),
    "qwen3_5": ("qwen3_5_text", "QWEN35", QWEN35, dict(target_modules=ATTENTION + DELTA + ["gate_proj", "up_proj", "down_proj"])),
    "gemma4": ("gemma4_text", "GEMMA4", GEMMA, dict(
        target_modules=GEMMA_TARGETS + ["per_layer_input_gate", "per_layer_projection", "per_layer_model_projection"])),
    "gemma4-moe": ("gemma4_text", "GEMMA4", GEMMA_MOE, dict(target_modules=GEMMA_TARGETS + ["proj"])),
    "gemma4-moe-experts": ("gemma4_text", "GEMMA4", GEMMA_MOE, dict(
        target_modules=["q_proj"], target_parameters=["experts.gate_up_proj", "experts.down_proj"])),
    # the scores' own factor; llama.cpp multiplies YaRN's by attn_factor, and ignores yarn_attn_factor
    "olmo3-factor": ("olmo3", "OLMO2", OLMO3, dict(target_modules=ATTENTION)),
    "olmo3-yarn_attn_factor": ("olmo3", "OLMO2", OLMO3, dict(target_modules=ATTENTION)),
    "exaone4-windows": ("exaone4", "EXAONE4", EXAONE4, dict(target_modules=["q_proj", "v_proj"])),
    "t5": ("t5", "T5", dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
           dict(target_modules=["q", "k", "v", "o", "wi_0", "wi_1", "wo"])),
    "t5-first": ("t5", "T5", dict(T5, feed_forward_proj="relu"), dict(target_modules=["q", "k", "v", "o", "wi", "wo"])),
    "mt5": ("mt5", "T5", dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
            dict(target_modules=["q", "v", "wo"])),
}


def randomised(model, seed):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda shape: torch.randn(shape, generator=generator)
    with torch.no_grad():
        for name, own in model.named_parameters():
            if own.dim() < 2:
                is_factor = "norm" in name or name.endswith(("scale", "scalar"))
                own.copy_(0.2 * draw(own.shape) + (1 if is_factor else 0))
            elif "embed" in name or "shared" in name or "relative" in name:
                own.copy_(draw(own.shape))
            else:
                fan_in = own.shape[-2] if "gpt_oss" in model.config.model_type and "experts" in name else own.shape[-1]
                own.copy_(draw(own.shape) / math.sqrt(fan_in))
    return model.eval()


def tensors_of(arch, config, state):
    """The tensors by their names in gguf's tables, as the converter passes them to these."""
    moved = moved_heads(config) if arch == "QWEN35" else None
    for name, data in state.items():
        if name.endswith((".embed_tokens.weight",)) and arch == "T5":
            continue
        if arch == "GPT_OSS":
            yield from gpt_oss(name, data)
        elif arch == "QWEN3MOE" and name.endswith("experts.gate_up_proj"):
            gate, up = data.chunk(2, dim=1)
            yield name.replace("gate_up_proj", "gate_proj.weight"), gate
            yield name.replace("gate_up_proj", "up_proj.weight"), up
        elif arch == "QWEN3MOE" and name.endswith("experts.down_proj"):
            yield name + ".weight", data
        elif arch == "QWEN35":
            yield moved(name, data)
        elif arch == "GEMMA4" and name.endswith("layer_scalar"):
            yield name + ".weight", data
        elif arch == "GEMMA4" and ".experts." in name:
            yield name + ".weight", data
        else:
            yield name, data


def gpt_oss(name, data):
    if name.endswith("sinks"):
        yield name + ".weight", data
    elif "gate_up_proj" in name:
        kind = "bias" if name.endswith("_bias") else "weight"
        if kind == "weight":
            data = data.transpose(-1, -2)
        for part, own in (("gate_proj", data[:, ::2]), ("up_proj", data[:, 1::2])):
            yield f"{name.split('gate_up_proj')[0]}{part}.{kind}", own
    elif "down_proj" in name and name.endswith("_bias"):
        yield name.replace("_bias", ".bias"), data
    elif "down_proj" in name:
        yield name + ".weight", data.transpose(-1, -2)
    else:
        yield name, data


def moved_heads(config):
    keys, values, dim = config.linear_num_key_heads, config.linear_num_value_heads, config.linear_value_head_dim

    def tiled(data, axis, size):
        shape = list(data.shape)
        split = data.reshape(shape[:axis] + [keys, values // keys, size] + shape[axis + 1:])
        return split.transpose(axis, axis + 1).reshape(shape)

    def moved(name, data):
        if "linear_attn." in name:
            first = data.shape[0] - values * dim
            if "in_proj_qkv" in name or "conv1d" in name:
                if "conv1d" in name:
                    data = data.squeeze(1)
                data = torch.cat([data[:first], tiled(data[first:], 0, dim)])
            elif "in_proj_z" in name:
                data = tiled(data, 0, dim)
            elif "in_proj_a" in name or "in_proj_b" in name or name.endswith(("A_log", "dt_bias")):
                data = tiled(data, 0, 1)
            elif "out_proj" in name:
                data = tiled(data, 1, dim)
        if name.endswith("A_log"):
            data = -torch.exp(data)
        elif name.endswith("dt_bias"):
            name = name.replace("dt_bias", "dt_proj.bias")
        elif name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight"):
            data = data + 1
        return name, data

    return moved


def write(path, arch_name, model):
    config, arch = model.config, getattr(gguf.MODEL_ARCH, arch_name)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    layers = config.num_layers if arch_name == "T5" else config.num_hidden_layers
    names = gguf.get_tensor_name_map(arch, max(layers, getattr(config, "num_decoder_layers", 0) or 0))
    KEYS[arch_name](writer, config)
    if "factor" in case:
        own = 0.1 * math.log(OLMO3["rope_parameters"]["full_attention"]["factor"]) + 1
        writer.add_rope_scaling_attn_factors(1.5 / own) if case == "olmo3-factor" else writer.add_float32(
            "olmo2.rope.scaling.yarn_attn_factor", 1.5)
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(VOCAB)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, data in tensors_of(arch_name, config, state_of(model)):
        array = np.ascontiguousarray(data.to(torch.float32).numpy())
        if name.endswith("router.scale"):
            target = f"blk.{name.split('.')[2]}.ffn_gate_inp.scale"
        elif name.endswith("per_expert_scale"):
            target = f"blk.{name.split('.')[2]}.ffn_down_exps.scale"
        else:
            target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise SystemExit(f"{arch_name}: no name for {name}")
        writer.add_tensor(target, array)
    if arch_name == "GEMMA4":
        size = config.get_text_config().global_head_dim if hasattr(config, "global_head_dim") else 32
        rotating = int(size * 0.25 / 2)
        writer.add_tensor("rope_freqs.weight", np.array([1.0] * rotating + [1e30] * (size // 2 - rotating), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def state_of(model):
    """Without the weights that are tied to others."""
    tied = {name for name in ("lm_head.weight",) if getattr(model.config, "tie_word_embeddings", False)}
    return {name: data for name, data in model.state_dict().items() if name not in tied}


def common_keys(writer, config):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


def qwen_moe_keys(writer, config):
    common_keys(writer, config)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_expert_count(QWEN_MOE["num_experts"])
    writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_expert_feed_forward_length(config.moe_intermediate_size)


def gpt_oss_keys(writer, config):
    common_keys(writer, config)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    writer.add_sliding_window(config.sliding_window)
    writer.add_expert_feed_forward_length(config.intermediate_size)
    writer.add_expert_count(config.num_local_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)


def qwen35_keys(writer, config):
    common_keys(writer, config)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(int(config.head_dim * rope["partial_rotary_factor"]))
    writer.add_rope_dimension_sections(list(rope["mrope_section"]) + [0])
    writer.add_ssm_conv_kernel(config.linear_conv_kernel_dim)
    writer.add_ssm_state_size(config.linear_key_head_dim)
    writer.add_ssm_group_count(config.linear_num_key_heads)
    writer.add_ssm_time_step_rank(config.linear_num_value_heads)
    writer.add_ssm_inner_size(config.linear_value_head_dim * config.linear_num_value_heads)
    writer.add_full_attention_interval(4)


def gemma4_keys(writer, config):
    given = GEMMA_MOE if config.enable_moe_block else GEMMA
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_sliding_window(config.sliding_window)
    writer.add_final_logit_softcapping(config.final_logit_softcapping)
    writer.add_rope_freq_base(GEMMA_ROPE["full_attention"]["rope_theta"])
    writer.add_rope_freq_base_swa(GEMMA_ROPE["sliding_attention"]["rope_theta"])
    writer.add_shared_kv_layers(given["num_kv_shared_layers"])
    writer.add_embedding_length_per_layer_input(given["hidden_size_per_layer_input"])
    sliding = [own == "sliding_attention" for own in given["layer_types"]]
    writer.add_sliding_window_pattern(sliding)
    writer.add_key_length(given["global_head_dim"])
    writer.add_value_length(given["global_head_dim"])
    writer.add_key_length_swa(given["head_dim"])
    writer.add_value_length_swa(given["head_dim"])
    writer.add_rope_dimension_count(given["global_head_dim"])
    writer.add_rope_dimension_count_swa(given["head_dim"])
    first = config.num_hidden_layers - given["num_kv_shared_layers"]
    inner = given["intermediate_size"]
    if given["use_double_wide_mlp"]:
        writer.add_feed_forward_length([inner if i < first else 2 * inner for i in range(config.num_hidden_layers)])
    else:
        writer.add_feed_forward_length(inner)
    full = given.get("num_global_key_value_heads")
    if full:
        writer.add_head_count_kv([given["num_key_value_heads"] if own else full for own in sliding])
    else:
        writer.add_head_count_kv(given["num_key_value_heads"])
    if config.enable_moe_block:
        writer.add_expert_feed_forward_length(given["moe_intermediate_size"])
        writer.add_expert_count(given["num_experts"])
        writer.add_expert_used_count(given["top_k_experts"])


def olmo3_keys(writer, config):
    common_keys(writer, config)
    rope = config.rope_parameters["full_attention"]
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    window_keys(writer, config)


def exaone4_keys(writer, config):
    common_keys(writer, config)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    window_keys(writer, config)


def window_keys(writer, config):
    writer.add_sliding_window(config.sliding_window)
    writer.add_sliding_window_pattern([own == "sliding_attention" for own in config.layer_types])


def t5_keys(writer, config):
    writer.add_context_length(512)
    writer.add_embedding_length(config.d_model)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_block_count(config.num_layers)
    writer.add_decoder_block_count(config.num_decoder_layers)
    writer.add_head_count(config.num_heads)
    writer.add_key_length(config.d_kv)
    writer.add_value_length(config.d_kv)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_relative_attn_buckets_count(config.relative_attention_num_buckets)
    writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
    writer.add_decoder_start_token_id(config.decoder_start_token_id)


KEYS = {"QWEN3MOE": qwen_moe_keys, "GPT_OSS": gpt_oss_keys, "QWEN35": qwen35_keys, "GEMMA4": gemma4_keys, "T5": t5_keys,
        "OLMO2": olmo3_keys, "EXAONE4": exaone4_keys}

for case, (model_type, arch, settings, adapter) in MODELS.items():
    if only and case != only:
        continue
    own = os.path.join(folder, case)
    os.makedirs(own, exist_ok=True)
    auto = AutoModelForSeq2SeqLM if arch == "T5" else AutoModelForCausalLM
    config = AutoConfig.for_model(model_type, **settings)
    model = randomised(auto.from_config(config, dtype=torch.float32, attn_implementation="eager"), len(case))
    model.save_pretrained(os.path.join(own, "original"))
    write(os.path.join(own, "base.gguf"), arch, model)
    json.dump({"inputs": {"input_ids": [IDS], "attention_mask": [[1] * len(IDS)]}}, open(os.path.join(own, "expected.json"), "w"))
    torch.manual_seed(len(case))
    peft = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, **adapter))
    with torch.no_grad():
        for name, factor in peft.named_parameters():
            if "lora_B" in name:
                factor.copy_(0.1 * torch.randn_like(factor))
    peft.save_pretrained(os.path.join(own, "adapter"))
    print(case)
