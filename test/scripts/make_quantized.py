"""Numbers quantized by bitsandbytes, and checkpoints of a tiny Llama that bitsandbytes and torchao quantized, saved by transformers:
with the values that their weights have, their logits, and the loss and gradients of a LoRA adapter on one of them (PEFT).

    pip install torch transformers==5.24.0 peft==0.21.2 bitsandbytes==0.50.0 torchao==0.18.0
    python test/scripts/make_quantized.py test/fixtures/quantized
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from bitsandbytes import functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig, PerAxis, PerGroup
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM, TorchAoConfig

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(1)
torch.manual_seed(0)


def numbers():
    """Each matrix `NAME.input`, its NF4 storage and values, and its row-wise int8 storage and values."""
    wide = torch.randn(96, 128)
    wide[3] = 0
    wide[5] *= torch.logspace(-6, 3, 128)
    many = (torch.randn(160, 128) * torch.logspace(-3, 0, 160)[:, None]).to(torch.bfloat16)
    halves = torch.tensor([[i / 64 - 1 for i in range(128)]] * 2)  # many values half way between two of int8
    constant = torch.full((2, 64), 0.3)  # absolute maxima that are all their mean
    short = torch.randn(3, 70)  # blocks that cross the ends of rows, and a last one that is not full
    tensors = {}
    for name, values in {"wide": wide, "many": many, "halves": halves, "constant": constant, "short": short}.items():
        packed, state = F.quantize_4bit(values, blocksize=64, compress_statistics=False, quant_type="nf4")
        nested_packed, nested = F.quantize_4bit(values, blocksize=64, compress_statistics=True, quant_type="nf4")
        assert torch.equal(packed, nested_packed)
        rows, scales, _ = F.int8_vectorwise_quant(values.to(torch.float16))
        tensors |= {
            f"{name}.input": values,
            f"{name}.nf4": packed,
            f"{name}.absmax": state.absmax,
            f"{name}.nf4_values": F.dequantize_4bit(packed, state),
            f"{name}.nested_quantized": nested.absmax,
            f"{name}.nested_absmax": nested.state2.absmax,
            f"{name}.nested_offset": nested.offset.reshape(1),
            f"{name}.nested_values": F.dequantize_4bit(packed, nested),
            f"{name}.int8": rows,
            f"{name}.int8_scales": scales,
            f"{name}.int8_values": F.int8_vectorwise_dequant(rows, scales),
        }
    tensors["nf4_map"] = F.get_4bit_type("nf4", device="cpu")
    tensors["fp4_map"] = F.get_4bit_type("fp4", device="cpu")
    tensors["dynamic_map"] = nested.state2.code
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, folder / "numbers.safetensors")


def base(dtype):
    """A Llama whose linear layers have whole blocks of 64 numbers in each row."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=96, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=64, tie_word_embeddings=False, initializer_range=0.1, bos_token_id=1, eos_token_id=2)
    model = LlamaForCausalLM(config).to(dtype)
    model.save_pretrained(folder / "base")
    return folder / "base"


def dequantized(module):
    weight = module.weight
    if type(weight).__name__ == "Params4bit":
        return F.dequantize_4bit(weight.data, weight.quant_state)
    if type(weight).__name__ == "Int8Params":
        return F.int8_vectorwise_dequant(weight.data, weight.SCB if weight.SCB is not None else module.state.SCB)
    return weight.dequantize() if hasattr(weight, "dequantize") else weight.data


def plain_copy(model, dtype=torch.float32):
    """The model with the values of its weights as f32."""
    config = LlamaConfig.from_dict({k: v for k, v in model.config.to_dict().items() if k != "quantization_config"})
    plain = LlamaForCausalLM(config).to(dtype)
    values = {}
    for name, module in model.named_modules():
        if getattr(module, "weight", None) is not None:
            values[f"{name}.weight"] = dequantized(module).detach().to(dtype)
    plain.load_state_dict(values)
    return plain.eval(), values


ids = torch.arange(4, 36).reshape(2, 16) * 7 % 96
SHOWN = ["model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.down_proj.weight"]


def checkpoint(name, config, dtype):
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(folder / "base", quantization_config=config, dtype=dtype, device_map="cpu")
    model.save_pretrained(target)
    plain, values = plain_copy(model)
    with torch.no_grad():
        logits = plain(ids).logits
    save_file({"ids": ids.to(torch.int32), "logits": logits} | {k: values[k].contiguous() for k in SHOWN}, target / "expected.safetensors")
    print(name, type(model.model.layers[0].mlp.down_proj.weight).__name__)
    return model


def adapted(model):
    """Loss and gradients of LoRA on all linear layers of the model, as PEFT computes them with the values of its weights in f32:
    bitsandbytes itself multiplies in bf16 where it needs no gradient of the input."""
    target = folder / "bnb-nf4"
    torch.manual_seed(2)
    model, _ = plain_copy(model)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05)
    model.peft_config["default"].base_model_name_or_path = "bnb-nf4"
    model.save_pretrained(target / "adapter")
    loss = model(ids, labels=ids).loss
    loss.backward()
    gradients = {n.replace(".default.", "."): p.grad for n, p in model.named_parameters() if p.grad is not None}
    save_file({"loss": loss.detach().reshape(1)} | gradients, target / "gradients.safetensors")
    print("loss", loss.item(), len(gradients))


numbers()
base(torch.bfloat16)
four = lambda kind, double, compute=torch.float32: BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=double, bnb_4bit_compute_dtype=compute)
adapted(checkpoint("bnb-nf4", four("nf4", True), torch.float32))
checkpoint("bnb-nf4-bf16", four("nf4", True, torch.bfloat16), torch.bfloat16)
checkpoint("bnb-fp4", four("fp4", False), torch.float16)
checkpoint("bnb-int8", BitsAndBytesConfig(load_in_8bit=True), torch.float16)
checkpoint("torchao-int8", TorchAoConfig(Int8WeightOnlyConfig(version=2)), torch.bfloat16)
checkpoint("torchao-int4", TorchAoConfig(IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32))), torch.bfloat16)
