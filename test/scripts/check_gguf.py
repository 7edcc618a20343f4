"""Logits of llama.cpp with a base, a merged model and an adapter, next to those of transformers and PEFT.

    python check_gguf.py LIBRARIES CASE ORIGINAL BASE MERGED ADAPTER        (torch, transformers, peft; see check_gguf.mjs)

LIBRARIES: a folder with libllama.so and libggml.so, such as bins/linux-x64 of the npm package @node-llama-cpp/linux-x64.
ADAPTER: - for none. Prints the largest differences of logits, and their largest size.
"""
import ctypes as C
import glob
import json
import os
import sys

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

libraries, case, original, base, merged, adapter = sys.argv[1:]


def library(name):
    path = sorted(glob.glob(os.path.join(libraries, name + ".so")) + glob.glob(os.path.join(libraries, name + ".v*.so")))[0]
    return C.CDLL(path, mode=C.RTLD_GLOBAL)


class Params(C.Structure):  # larger than any version's, which are passed in memory
    _fields_ = [("words", C.c_int32 * 128), ("align", C.c_uint64)]


class Batch(C.Structure):
    _fields_ = [("n_tokens", C.c_int32), ("token", C.POINTER(C.c_int32)), ("embd", C.c_void_p), ("pos", C.POINTER(C.c_int32)),
                ("n_seq_id", C.POINTER(C.c_int32)), ("seq_id", C.POINTER(C.POINTER(C.c_int32))), ("logits", C.POINTER(C.c_int8))]


library("libggml-base")
ggml, llama = library("libggml"), library("libllama")
LOG = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)
silent = LOG(lambda level, text, data: sys.stderr.write(text.decode()) if level == 4 else None)
llama.llama_log_set(silent, None)
ggml.ggml_backend_load_all_from_path(libraries.encode())
llama.llama_backend_init()
for name in ["llama_model_default_params", "llama_context_default_params"]:
    getattr(llama, name).restype = Params
for name, result, arguments in [
        ("llama_model_load_from_file", C.c_void_p, [C.c_char_p, Params]),
        ("llama_init_from_model", C.c_void_p, [C.c_void_p, Params]),
        ("llama_adapter_lora_init", C.c_void_p, [C.c_void_p, C.c_char_p]),
        ("llama_batch_init", Batch, [C.c_int32] * 3),
        ("llama_decode", C.c_int32, [C.c_void_p, Batch]),
        ("llama_encode", C.c_int32, [C.c_void_p, Batch]),
        ("llama_get_logits_ith", C.POINTER(C.c_float), [C.c_void_p, C.c_int32])]:
    getattr(llama, name).restype, getattr(llama, name).argtypes = result, arguments


def context_params():
    params = llama.llama_context_default_params()
    words = params.words
    words[0] = words[1] = words[2] = 64  # n_ctx, n_batch, n_ubatch
    cache = next(i for i in range(10, 60) if words[i] == words[i + 1] == 1)  # the types of keys and values: F16
    words[cache] = words[cache + 1] = 0  # F32
    return params


def logits(path, ids, vocab, lora=None):
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    if not model:
        raise SystemExit("llama.cpp does not load the model")
    context = llama.llama_init_from_model(model, context_params())
    if lora:
        loaded = llama.llama_adapter_lora_init(model, lora.encode())
        if not loaded:
            raise SystemExit("llama.cpp does not load the adapter")
        llama.llama_set_adapters_lora.argtypes = [C.c_void_p, C.POINTER(C.c_void_p), C.c_size_t, C.POINTER(C.c_float)]
        llama.llama_set_adapters_lora(context, (C.c_void_p * 1)(loaded), 1, (C.c_float * 1)(1.0))
    if encoder_decoder and llama.llama_encode(context, batch_of(ids)) != 0:
        raise SystemExit("llama.cpp does not encode")
    read = decoder_ids if encoder_decoder else ids
    if llama.llama_decode(context, batch_of(read)) != 0:
        raise SystemExit("llama.cpp does not decode")
    return np.array([np.ctypeslib.as_array(llama.llama_get_logits_ith(context, i), (vocab,)).copy() for i in range(len(read))])


def batch_of(ids):
    batch = llama.llama_batch_init(64, 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
    return batch


def theirs(model):
    given = {"input_ids": torch.tensor([ids])}
    if encoder_decoder:
        given["decoder_input_ids"] = torch.tensor([decoder_ids])
    return model(**given).logits[0].numpy() * scale


inputs = json.load(open(os.path.join(case, "expected.json")))["inputs"]
row = next(i for i, mask in enumerate(inputs["attention_mask"]) if all(mask))
ids = inputs["input_ids"][row]
config = AutoConfig.from_pretrained(original)
encoder_decoder = config.is_encoder_decoder
decoder_ids = [0] + ids[:10]
# llama.cpp does not scale the output of the first T5's decoder
scale = config.d_model ** 0.5 if encoder_decoder and getattr(config, "scale_decoder_outputs", False) else 1
auto = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
model = auto.from_pretrained(original, dtype=torch.float32, attn_implementation="eager").eval()
vocab = model.config.vocab_size
with torch.no_grad():
    expected = {"base": theirs(model)}
    model = PeftModel.from_pretrained(model, os.path.join(case, "adapter")).eval()
    expected["adapter"] = theirs(model)
worst = lambda have, want: np.abs(have - want).max()
files = {"base": (base, None, "base"), "merged": (merged, None, "adapter")}
if adapter != "-":
    files["adapter"] = (base, adapter, "adapter")
differences = [f"{name} {worst(logits(path, ids, vocab, lora), expected[of]):.1e}" for name, (path, lora, of) in files.items()]
print(", ".join(differences) + f"; logits up to {np.abs(expected['adapter']).max():.1f}")
