"""Writes test/fixtures/transformers_classes.json: the classes of models that transformers has for
the supported families.

    python test/scripts/make_classes.py
"""

import json
import pathlib

import transformers
from transformers.models.auto import modeling_auto

FAMILIES = (
    "albert bert clip deberta-v2 dinov2 distilbert electra ernie4_5 exaone4 gemma gemma2 gemma3_text gemma4_text "
    "glm4 gpt2 gpt_neox gpt_oss granite hunyuan_v1_dense lfm2 llama ministral3 mistral modernbert mpnet mt5 olmo2 olmo3 phi3 qwen2 "
    "qwen3 qwen3_5_text qwen3_moe qwen3_vl_text roberta seed_oss siglip smollm3 t5 vit xlm-roberta"
).split()
MAPPINGS = {
    "causal_lm": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "seq2seq_lm": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "seq_cls": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "token_cls": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "image_cls": modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    "embedding": modeling_auto.MODEL_MAPPING_NAMES,
}


def names_of(found):
    """The classes of an entry, which may list several."""
    return [found] if isinstance(found, str) else list(found)


# Language models that exist only within models for text and images: the class of the whole.
WITHIN = {"qwen3_vl_text": "qwen3_vl"}

classes = {
    family: {task: names_of(mapping[family]) for task, mapping in MAPPINGS.items() if family in mapping}
    for family in FAMILIES
}
for family, whole in WITHIN.items():
    classes[family]["causal_lm"] = names_of(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[whole])
# Models for images and texts have no head of their own.
for family in ("clip", "siglip"):
    classes[family] = {"contrastive": classes[family]["embedding"]}
target = pathlib.Path(__file__).parent.parent / "fixtures" / "transformers_classes.json"
target.write_text(
    json.dumps({"transformers": transformers.__version__, "classes": classes}, indent=2) + "\n"
)
