"""Small random encoders of transformers with tokenizers, adapters of PEFT on them, and the models as GGUF files.

    python make_gguf_encoders.py FOLDER [NAME]        (torch, transformers, peft, gguf, sentencepiece; see check_gguf_encoders.mjs)

The names of tensors and keys are those of the package gguf, not of this project. What is left out and how vocabularies are written
follows llama.cpp's conversion/bert.py. FOLDER/NAME gets base/ and adapter/ for transformers and PEFT, base.gguf, and expected.json:
texts (of rerankers: pairs), ids, and what transformers and PEFT compute: vectors of length 1, or scores.
"""
import base64
import json
import math
import os
import sys

import gguf
import torch
import transformers as tf
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

folder = sys.argv[1]
here = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(here, "..", "fixtures")
TEXTS = ["the quick brown fox", "Grüße aus Köln, it's 2048 tokens!", "a  b\n\tc d", "", "Training on 1024 tokens took 12 seconds; on 2048 tokens it took 27 seconds.", "你好 emoji 🙂 é", " word" * 15]
CORPUS = ["The quick brown fox jumps over the lazy dog, and the dog does not mind at all.", "Training on 1024 tokens took 12 seconds; on 2048 tokens it took 27 seconds.",
          "She said: \"It's theirs, isn't it?\" and they said that it was, in the end, everyone's.", "Grüße aus Köln! the house is wonderful, and the garden is small. 你好，世界。"]
COMMON = dict(hidden_size=64, num_hidden_layers=4, num_attention_heads=4, intermediate_size=96, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, max_position_embeddings=258)


def byte_level(special, post, nfc=False):
    own = Tokenizer(models.BPE())
    if nfc:
        own.normalizer = normalizers.NFC()
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    own.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    own.post_processor = post(own)
    return own


def roberta_tokenizer():
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    own = byte_level(special, lambda t: processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False))
    return tf.PreTrainedTokenizerFast(tokenizer_object=own, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token=tf.AddedToken("<mask>", lstrip=True, special=True))


def modern_tokenizer():
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    own = byte_level(special, lambda t: processors.TemplateProcessing(single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]), nfc=True)
    return tf.PreTrainedTokenizerFast(tokenizer_object=own, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]", mask_token=tf.AddedToken("[MASK]", lstrip=True, special=True))


def word_pieces():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    own = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    own.normalizer = normalizers.BertNormalizer(lowercase=True)
    own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    own.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False))
    own.post_processor = processors.TemplateProcessing(single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tf.PreTrainedTokenizerFast(tokenizer_object=own, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]")


def saved(name):
    return tf.AutoTokenizer.from_pretrained(os.path.join(FIXTURES, name))


ROBERTA = dict(COMMON, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1, layer_norm_eps=1e-5)
MODERN = dict(hidden_size=64, num_hidden_layers=4, num_attention_heads=4, intermediate_size=96, max_position_embeddings=256, local_attention=8, pad_token_id=0, bos_token_id=1, eos_token_id=2,
              cls_token_id=1, sep_token_id=2, classifier_pooling="mean", reference_compile=False)
DISTIL = dict(dim=64, hidden_dim=96, n_layers=4, n_heads=4, max_position_embeddings=256, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0, pad_token_id=0)
BERT_LINEAR = ["query", "key", "value", "dense"]
# name: (classes of the encoder and for labels, config, tokenizer, adapted modules, architecture)
MODELS = {
    "roberta": (tf.RobertaModel, tf.RobertaForSequenceClassification, tf.RobertaConfig, ROBERTA, roberta_tokenizer, BERT_LINEAR, gguf.MODEL_ARCH.BERT),
    "xlm-roberta": (tf.XLMRobertaModel, tf.XLMRobertaForSequenceClassification, tf.XLMRobertaConfig, ROBERTA, lambda: saved("sentencepiece/xlm-roberta"), BERT_LINEAR, gguf.MODEL_ARCH.BERT),
    "distilbert": (tf.DistilBertModel, None, tf.DistilBertConfig, DISTIL, word_pieces, ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"], gguf.MODEL_ARCH.BERT),
    "modernbert": (tf.ModernBertModel, tf.ModernBertForSequenceClassification, tf.ModernBertConfig, MODERN, modern_tokenizer, ["Wqkv", "Wo", "Wi"], gguf.MODEL_ARCH.MODERN_BERT),
}


def enlarge(model):
    generator = torch.Generator().manual_seed(5)
    for name, p in model.named_parameters():
        if p.dim() == 2:
            p.data = torch.randn(p.shape, generator=generator) * (1.5 / math.sqrt(p.shape[1]) if "embeddings" not in name else 0.6)
        else:
            p.data += torch.randn(p.shape, generator=generator) * 0.1


def vocabulary(writer, tokenizer, kind):
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = set(tokenizer.all_special_ids)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    types = [gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(len(tokens))]
    if kind == "bert":
        tokens = [t if i in special else t[2:] if t.startswith("##") else "\u2581" + t for i, t in enumerate(tokens)]
    if kind == "t5":
        types[tokenizer.unk_token_id] = gguf.TokenType.UNKNOWN
        scores = [float(score) for _, score in state["model"]["vocab"]]
        steps = state["normalizer"].get("normalizers", [state["normalizer"]])
        charsmap = next(s["precompiled_charsmap"] for s in steps if s["type"] == "Precompiled")
        writer.add_token_scores(scores + [0.0] * (len(tokens) - len(scores)))
        writer.add_add_space_prefix(True)
        writer.add_remove_extra_whitespaces(True)
        writer.add_precompiled_charsmap(base64.b64decode(charsmap))
    if kind == "gpt2":
        writer.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in state["model"]["merges"]])
    writer.add_tokenizer_model(kind)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for key, value in (("cls", tokenizer.cls_token_id), ("seperator", tokenizer.sep_token_id), ("padding", tokenizer.pad_token_id), ("unknown", tokenizer.unk_token_id), ("mask", tokenizer.mask_token_id)):
        if value is not None:
            writer.add_uint32(f"tokenizer.ggml.{key}_token_id", value)
    writer.add_bos_token_id(tokenizer.cls_token_id)
    writer.add_eos_token_id(tokenizer.sep_token_id)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    writer.add_add_sep_token(True)
    return len(tokens)


def write(path, model, tokenizer, name, arch, labels):
    config = model.config
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    names = gguf.get_tensor_name_map(arch, 4)
    is_roberta, is_modern = "roberta" in name, "modern" in name
    writer.add_context_length(config.max_position_embeddings - (2 if is_roberta else 0))
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", None) or config.hidden_dim)
    writer.add_block_count(4)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(getattr(config, "layer_norm_eps", None) or getattr(config, "norm_eps", 1e-12))
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK if labels else gguf.PoolingType.MEAN)
    writer.add_file_type(0)
    if labels:
        writer.add_classifier_output_labels(["LABEL_0"])
    if is_modern:
        writer.add_sliding_window(config.local_attention)
        writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
        writer.add_rope_freq_base(160000.0)
        if not os.environ.get("WITHOUT_LOCAL_BASE"):
            writer.add_float32("modern-bert.rope.freq_base_swa", 10000.0)
        writer.add_vocab_size(config.vocab_size)
        writer.add_string("modern-bert.hidden_activation", "gelu")
    kind = {"roberta": "gpt2", "xlm-roberta": "t5", "distilbert": "bert", "modernbert": "gpt2"}[name]
    writer.add_tokenizer_pre({"roberta": "roberta-bpe", "modernbert": "modern-bert"}.get(name, "default"))
    writer.add_token_type_count(getattr(config, "type_vocab_size", None) or 1)
    vocabulary(writer, tokenizer, kind)
    for own, tensor in model.state_dict().items():
        if own.split(".")[0] in ("roberta", "distilbert", "model"):
            own = own.split(".", 1)[1]
        if own.startswith("pooler") or own.endswith("position_ids"):
            continue
        if own in ("classifier.weight", "classifier.bias"):
            own = own.replace("classifier", "classifier.out_proj")
        if is_roberta and own == "embeddings.position_embeddings.weight":
            tensor = tensor[2:]
        data = tensor.float().contiguous().numpy()
        writer.add_tensor(names.get_name(own, try_suffixes=(".weight", ".bias")), data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def computed(model, tokenizer, inputs, labels):
    rows = []
    for own in inputs:
        ids = tokenizer(*own, return_tensors="pt") if labels else tokenizer(own, return_tensors="pt")
        ids.pop("token_type_ids", None)
        with torch.no_grad():
            out = model(**ids)
        vector = out.logits[0] if labels else torch.nn.functional.normalize(out.last_hidden_state.mean(1), dim=-1)[0]
        rows.append((ids["input_ids"][0].tolist(), vector.tolist()))
    return rows


for name, (encoder, classifier, config_class, settings, tokenizer_of, targets, arch) in MODELS.items():
    if name not in (sys.argv[2:] or MODELS):
        continue
    for labels in (False, True):
        if labels and classifier is None:
            continue
        torch.manual_seed(3)
        tokenizer = tokenizer_of()
        config = config_class(**settings, vocab_size=len(tokenizer), **(dict(num_labels=1) if labels else {}))
        model = (classifier if labels else encoder)(config).eval()
        enlarge(model)
        out = os.path.join(folder, name + ("-labels" if labels else ""))
        os.makedirs(out, exist_ok=True)
        model.save_pretrained(os.path.join(out, "base"))
        tokenizer.save_pretrained(os.path.join(out, "base"))
        write(os.path.join(out, "base.gguf"), model, tokenizer, name, arch, labels)
        texts = [own for own in TEXTS if own]
        inputs = list(zip(texts, texts[1:] + texts[:1])) if labels else TEXTS
        result = {"inputs": inputs}
        base = computed(model, tokenizer, inputs, labels)
        result["ids"], result["base"] = [i for i, _ in base], [v for _, v in base]
        inner = r"(?:.*\.)?layers?\.\d+\..*\.(" + "|".join(targets) + ")"
        peft = get_peft_model(model, LoraConfig(r=3, lora_alpha=7, target_modules=inner)).eval()
        generator = torch.Generator().manual_seed(9)
        for own, p in peft.named_parameters():
            if "lora_" in own:
                p.data = torch.randn(p.shape, generator=generator) * 0.25
        result["adapter"] = [v for _, v in computed(peft, tokenizer, inputs, labels)]
        peft.save_pretrained(os.path.join(out, "adapter"))
        json.dump(result, open(os.path.join(out, "expected.json"), "w"))
        print(out, len(tokenizer))
