"""Vectors and scores of llama.cpp with the encoders of make_gguf_encoders.py, next to those of transformers and PEFT.

    python check_gguf_encoders.py FOLDER        (llama-cpp-python, numpy; see check_gguf_encoders.mjs)

FOLDER/NAME: base.gguf, merged.gguf and expected.json, and adapter.gguf for llama.cpp. Prints for each the largest differences
(of vectors of length 1, or of scores) for base, merged model and adapter, and whether the ids are the same.
"""
import json
import os
import sys

import llama_cpp
import numpy as np
from llama_cpp import Llama

folder = sys.argv[1]


def joined(model, first, second, between):
    ids = model.tokenize(first.encode(), special=True)
    return ids + (ids[-1:] if between else []) + model.tokenize(second.encode(), special=True)[1:]


def computed(path, lora, inputs, labels, between):
    kind = llama_cpp.LLAMA_POOLING_TYPE_RANK if labels else llama_cpp.LLAMA_POOLING_TYPE_MEAN
    model = Llama(path, embedding=True, pooling_type=kind, lora_path=lora, n_ctx=512, n_batch=512, n_ubatch=512, verbose=False)
    rows, all_ids = [], []
    for own in inputs:
        ids = joined(model, *own, between) if labels else model.tokenize(own.encode(), special=True)
        all_ids.append(ids)
        model._batch.reset()
        model._batch.add_sequence(ids, 0, True)
        model._ctx.kv_cache_clear()
        model._ctx.decode(model._batch)
        vector = np.array(llama_cpp.llama_get_embeddings_seq(model._ctx.ctx, 0)[: 1 if labels else model.n_embd()])
        rows.append(vector if labels else vector / np.linalg.norm(vector))
    model.close()
    return np.array(rows), all_ids


for name in sorted(os.listdir(folder)):
    at = lambda file: os.path.join(folder, name, file)
    expected = json.load(open(at("expected.json")))
    labels = name.endswith("-labels")
    between = "roberta" in name
    line = []
    for what, path, lora, of in (("base", "base.gguf", None, "base"), ("merged", "merged.gguf", None, "adapter"), ("adapter", "base.gguf", at("adapter.gguf"), "adapter")):
        if not os.path.exists(at(path)):
            continue
        have, ids = computed(at(path), lora, expected["inputs"], labels, between)
        want, other = np.array(expected[of]), np.array(expected["adapter" if of == "base" else "base"])
        line.append(f"{what} {np.abs(have - want).max():.1e} (to the others {np.abs(have - other).max():.1e})")
        differ = [i for i, own in enumerate(ids) if own != expected["ids"][i]]
    print(f"{name}: {'; '.join(line)}; ids {'the same' if not differ else f'differ in {differ}'}; largest {np.abs(np.array(expected['base'])).max():.2f}")
    for i in differ[:3]:
        print("   ", expected["inputs"][i], ids[i][:24], expected["ids"][i][:24])
