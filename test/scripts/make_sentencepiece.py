"""A small SentencePiece BPE model as GGUF stores one (pieces, scores, types), with the ids that SentencePiece itself gives.

    pip install sentencepiece==0.2.0 && python test/scripts/make_sentencepiece.py test/fixtures/sentencepiece.json
"""
import io
import json
import sys

import sentencepiece as spm

CORPUS = """The quick brown fox jumps over the lazy dog, and the dog does not mind at all.
A low-rank update leaves the weights as they are and adds a product of two thin matrices.
Training on 1024 tokens took 12 seconds; on 2048 tokens it took 27 seconds.
    indented code: for (let i = 0; i < n; i++) { sum += values[i]; }
Grüße aus Köln! Ça va? El niño come piñas. Привет, мир. 你好，世界。
She said: "It's theirs, isn't it?" and they said that it was, in the end, everyone's."""

TEXTS = ["", " ", "the dog", " the dog", "the  dog", "Hello, world!", "It's 2048 tokens.", "\n\n\tx\n", "Grüße, Привет 你好", "emoji 🙂 and \u0301 marks",
         "for (let i = 0; i < 10; i++)", "aaaaaaaaaaaaaaaa", "▁already▁there", "trailing   ", "nothing\u00a0breaks\u2003here", "ÀÉÎÕÜ", "1234567890", "the" * 40]

model = io.BytesIO()
spm.SentencePieceTrainer.train(
    sentence_iterator=iter(CORPUS.splitlines()), model_writer=model, model_type="bpe", vocab_size=420, byte_fallback=True, split_digits=True,
    normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, character_coverage=0.98,
    user_defined_symbols=["<|user|>"], minloglevel=2, num_threads=1)
sp = spm.SentencePieceProcessor(model_proto=model.getvalue())


def kind(i):
    """llama.cpp's llama_token_type."""
    if sp.is_unknown(i):
        return 2
    if sp.is_control(i):
        return 3
    if sp.id_to_piece(i) == "<|user|>":
        return 4
    return 6 if sp.is_byte(i) else 1


ids = range(sp.vocab_size())
with open(sys.argv[1], "w") as out:
    json.dump({"tokens": [sp.id_to_piece(i) for i in ids], "scores": [sp.get_score(i) for i in ids], "types": [kind(i) for i in ids],
               "texts": [{"text": t, "ids": sp.encode(t), "decoded": sp.decode(sp.encode(t))} for t in TEXTS]}, out, separators=(",", ":"))
