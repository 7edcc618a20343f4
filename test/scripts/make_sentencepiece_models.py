"""Small SentencePiece files (tokenizer.model, spiece.model) without a tokenizer.json, with the ids that transformers and SentencePiece give.

    pip install sentencepiece==0.2.3 protobuf && python make_sentencepiece_models.py FIXTURES/sentencepiece [NAME]

T5, XLM-RoBERTa, ALBERT, and DeBERTa with split_by_punct: ids of transformers. Others: ids of SentencePiece itself for the texts between special tokens, which the slow tokenizers of transformers 4 also gave. They leave out what the Rust library does otherwise: a rule for the beginning of a cluster of characters replaces all of it, and "<0x41>" in a text is the byte.
"""
import io
import json
import re
import sys
from pathlib import Path

import sentencepiece as spm
import transformers as tf

CORPUS = """The quick brown fox jumps over the lazy dog, and the dog does not mind at all.
A low-rank update leaves the weights as they are and adds a product of two thin matrices.
Training on 1024 tokens took 12 seconds; on 2048 tokens it took 27 seconds.
translate English to German: the house is wonderful, and the garden is small.
    indented code: for (let i = 0; i < n; i++) { sum += values[i]; }
Grüße aus Köln! Ça va? El niño come piñas. Привет, мир. 你好，世界。
She said: "It's theirs, isn't it?" and they said that it was, in the end, everyone's."""

TEXTS = ["", " ", "the dog", " the dog", "the  dog", "Hello, world!", "``It''s 2048 tokens.", "\n\n\tx\n", "Grüße, Привет 你好", "emoji 🙂👨‍👩‍👧 and ☃☃ marks", "e\u0301te\u0301 u\u0308ber \ufb01n \ufb01\u0301 \uff28\uff25\uff29\u3000x",
         "for (let i = 0; i < 10; i++)", "aaaaaaaaaaaaaaaa", "▁already▁there", "trailing   ", "nothing\u00a0breaks\u2003here\u200b!", "ÀÉÎÕÜ \u2460\u2461", "1234567890", "the" * 40, "a<|user|>b <|user|> c<|user|>", "x </s> y<ctl>the <extra_id_0>.",
         "<0x41> <unk>", "\r\n the\rdog\x00\x01"]

# for a normalizer of a few kilobytes: nmt_nfkc has 240
RULES = [("fb01", "66 69"), ("65 301", "e9"), ("75 308", "fc"), ("3000", "20"), ("9", "20"), ("a", "20"), ("d", "20"), ("a0", "20"), ("2003", "20"), ("200b", ""), ("2460", "31"), ("2461", "32"),
         *((f"{0xFF21 + i:x}", f"{0x41 + i:x}") for i in range(26))]

UNIGRAM = dict(model_type="unigram", vocab_size=130, hard_vocab_limit=False)
BPE = dict(model_type="bpe", vocab_size=420, byte_fallback=True, split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, character_coverage=0.98)
ADDED = dict(user_defined_symbols=["<|user|>"], control_symbols=["<ctl>"])
GEMMA = dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3, bos_piece="<bos>", eos_piece="<eos>")
CASES = {
    "t5": ("spiece.model", "T5Tokenizer", {"extra_ids": 5}, dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1, **UNIGRAM, **ADDED)),
    "xlm-roberta": ("sentencepiece.bpe.model", "XLMRobertaTokenizer", {}, UNIGRAM),
    "albert": ("spiece.model", "AlbertTokenizer", {}, dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"], **UNIGRAM)),
    "deberta-v2": ("spm.model", "DebertaV2Tokenizer", {}, dict(pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]", **UNIGRAM)),
    "deberta-v2-punct": ("spm.model", "DebertaV2Tokenizer", {"split_by_punct": True}, dict(pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]", **UNIGRAM)),
    "llama": ("tokenizer.model", "LlamaTokenizer", {"legacy": True}, dict(**BPE, **ADDED)),
    "llama-unigram": ("tokenizer.model", "LlamaTokenizer", {"add_bos_token": False, "add_eos_token": True}, dict(byte_fallback=True, **{**UNIGRAM, "vocab_size": 380}, **ADDED)),
    "gemma": ("tokenizer.model", "GemmaTokenizer", {}, dict(add_dummy_prefix=False, **GEMMA, **BPE, **ADDED)),
}


def train(settings, rules):
    model = io.BytesIO()
    own = dict(character_coverage=0.995, normalization_rule_tsv=str(rules))
    own.update(settings)
    if "normalization_rule_name" in own:
        del own["normalization_rule_tsv"]
    spm.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS.splitlines()), model_writer=model, minloglevel=2, num_threads=1, **own)
    return model.getvalue()


def pieces_of(sp, text, special):
    """The ids of SentencePiece for the parts between special tokens."""
    parts = re.split("(" + "|".join(map(re.escape, special)) + ")", text) if special else [text]
    return [i for part in parts for i in ([special[part]] if part in special else sp.encode(part))]


def sentencepiece_rows(data, name):
    sp = spm.SentencePieceProcessor(model_proto=data)
    ids = range(sp.vocab_size())
    special = {sp.id_to_piece(i): i for i in ids if sp.is_control(i) or sp.is_unknown(i)}
    frame = {"deberta-v2": ([1], [2]), "llama": ([1], []), "llama-unigram": ([], [2]), "gemma": ([2], [])}[name]
    strip = (lambda t: t.strip()) if name == "deberta-v2" else (lambda t: t)
    for text in TEXTS:
        if "<0x41>" in text or "\ufb01\u0301" in text:
            continue
        own = pieces_of(sp, strip(text), special)
        yield dict(text=text, ids=[*frame[0], *own, *frame[1]], decoded=None if re.search("<ctl>|<unk>|</s>", text) or sp.unk_id() in own else sp.decode(own))


def transformers_rows(folder, texts=TEXTS):
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        yield dict(text=text, ids=ids, decoded=tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]))


def split_rows(folder, data):
    """Ids of transformers with marks split off, for the texts that it normalizes as SentencePiece does."""
    whole = tf.DebertaV2Tokenizer.from_pretrained(folder, split_by_punct=False)
    same = {row["text"] for row in sentencepiece_rows(data, "deberta-v2") if whole(row["text"])["input_ids"] == row["ids"]}
    marks = ["a ,b . c", "Hello , world", "e.g., (the) dog", "the , ", "the\u2014dog\u00bb !", "$5 + 3^2 = `x`", " , a", "  (a) b", "\n.a", " a,", "a [MASK] , b", "[MASK]  .", "[MASK] a", " ,"]
    return [row for row in transformers_rows(folder, TEXTS + marks) if row["text"] in same or row["text"] in marks]


def make(root, name):
    file, tokenizer_class, config, settings = CASES[name]
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    rules = root / "rules.tsv"
    rules.write_text("".join(f"{a}\t{b}\n" for a, b in RULES))
    data = train(settings, rules)
    rules.unlink()
    (folder / file).write_bytes(data)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": tokenizer_class, **config}) + "\n")
    (folder / "config.json").write_text(json.dumps({"model_type": name.removesuffix("-unigram").removesuffix("-punct")}) + "\n")
    is_slow = name in ("deberta-v2", "llama", "llama-unigram", "gemma")
    rows = split_rows(folder, data) if name.endswith("-punct") else list(sentencepiece_rows(data, name) if is_slow else transformers_rows(folder))
    (folder / "expected.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print(name, len(data))


if __name__ == "__main__":
    for one in sys.argv[2:] or CASES:
        make(Path(sys.argv[1]), one)
