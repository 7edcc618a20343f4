"""Embeddings of llama.cpp with all-MiniLM-L6-v2, next to those of transformers and PEFT.

    python check_gguf_embeddings.py BASE MERGED ADAPTER        (llama-cpp-python, numpy)

BASE, MERGED: models as .gguf files; ADAPTER: one for llama.cpp, all of test/fixtures/real/minilm/adapter.
Prints the largest differences of numbers in vectors of length 1, and the smallest cosine, and whether the ids are the same.
"""
import json
import os
import sys

import numpy as np
from llama_cpp import Llama

base, merged, adapter = sys.argv[1:]
folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/real/minilm")
texts = json.load(open(os.path.join(folder, "expected.json")))["texts"]
with open(os.path.join(folder, "expected.safetensors"), "rb") as file:
    header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    start = file.tell()
    expected = {}
    for name in ["base.embeddings", "adapter.embeddings"]:
        first, end = header[name]["data_offsets"]
        file.seek(start + first)
        expected[name.split(".")[0]] = np.frombuffer(file.read(end - first), "<f4").reshape(header[name]["shape"])

for name, path, lora, of in [("base", base, None, "base"), ("merged", merged, None, "adapter"), ("adapter", base, adapter, "adapter")]:
    model = Llama(path, embedding=True, lora_path=lora, n_ctx=512, n_batch=512, n_ubatch=512, verbose=False)
    same = all(model.tokenize(own["text"].encode()) == own["ids"] for own in texts)
    have = np.array([model.embed(own["text"], normalize=True) for own in texts])
    want = expected[of]
    cosine = (have * want).sum(-1).min()
    print(f"{name}: {np.abs(have - want).max():.1e}, cosine {cosine:.6f}, ids {'the same' if same else 'differ'}; from the other vectors {np.abs(have - expected['adapter' if of == 'base' else 'base']).max():.1e}")
