"""Reference values of the metrics of evaluations: test/fixtures/evaluation.json.

pip install sacrebleu==2.6.0 rouge-score==0.1.2 scipy scikit-learn jsonschema
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
from jsonschema import Draft202012Validator
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF
from scipy.stats import bootstrap
from sklearn.metrics import f1_score

PAIRS = [
    ("the cat sat on the mat", ["the cat sat on the mat"]),
    ("the cat sat on the mat", ["a cat was sitting on the mat", "the cat is on the mat"]),
    ("It costs $3,000.50 -- or so I'm told.", ["It costs $3,000 (or so I was told)."]),
    ("Das Haus ist größer als früher.", ["Das Haus ist viel größer als früher!"]),
    ("git reset --soft HEAD~1", ["git reset --soft HEAD~1", "git reset HEAD^"]),
    ("x", ["a completely different sentence"]),
    ("", ["nothing was said"]),
    ("one\ntwo three-\nfour", ["one two threefour &amp; five"]),
    ("日本語 の 文", ["日本語の文章"]),
    ("yes", ["yes", "yes, it is"]),
    ("pre-2020 costs: 12-15%, \"about\" 3.5e-4", ["pre-2020 costs 12 - 15 %, about 3.5e-4"]),
]


class Words:
    """Words of letters and digits of any script, as the metric splits them."""

    def tokenize(self, text):
        return re.findall(r"\w+", text.lower().replace("_", " "))


def texts():
    bleu, chrf = BLEU(effective_order=True), CHRF()
    rouge = rouge_scorer.RougeScorer(["rougeL"], tokenizer=Words())
    rows = [
        {
            "answer": answer,
            "references": references,
            "bleu": bleu.sentence_score(answer, references).score,
            "chrf": chrf.sentence_score(answer, references).score,
            "rouge_l": max(rouge.score(own, answer)["rougeL"].fmeasure for own in references),
        }
        for answer, references in PAIRS
    ]
    # sacrebleu takes the references as columns, with None where a row has fewer
    most = max(len(references) for _, references in PAIRS)
    columns = [[r[i] if i < len(r) else None for _, r in PAIRS] for i in range(most)]
    answers = [answer for answer, _ in PAIRS]
    return {
        "rows": rows,
        "bleu": BLEU().corpus_score(answers, columns).score,
        "chrf": CHRF().corpus_score(answers, columns).score,
    }


def f1():
    expected = list("aaabbcabcc")
    found = list("aabbbcaccd")
    return {
        "expected": expected,
        "found": found,
        "macro": f1_score(expected, found, average="macro", zero_division=0),
    }


def intervals():
    rng = np.random.default_rng(0)
    first = (rng.random(120) < 0.55).astype(int)
    second = (rng.random(120) < 0.75).astype(int)
    result = bootstrap(
        (second - first,), np.mean, n_resamples=20_000, method="percentile", random_state=0
    )
    low, high = result.confidence_interval
    return {"first": first.tolist(), "second": second.tolist(), "low": low, "high": high}


SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {"type": "object", "properties": {"a": True}, "additionalProperties": False},
    {"type": "array", "items": {"type": "string", "minLength": 2}, "maxItems": 2},
    {"type": "array", "prefixItems": [{"const": 1}], "items": {"type": "null"}},
    {"enum": ["x", 1, None]},
    {"anyOf": [{"type": "string"}, {"type": "number", "minimum": 3}]},
    {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    {"not": {"type": "object"}},
    {"type": "string", "pattern": "^[a-z]+$"},
    {"type": ["number", "null"], "multipleOf": 0.5, "exclusiveMaximum": 4},
    {"patternProperties": {"^n_": {"type": "number"}}, "additionalProperties": {"type": "string"}},
    {"uniqueItems": True, "type": "array"},
    {
        "$defs": {"tree": {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}},
                           "maxProperties": 1}},
        "$ref": "#/$defs/tree",
    },
]
VALUES = [
    {}, {"a": 1}, {"a": "x"}, {"b": 2}, {"next": {"next": {}}}, {"next": {"a": 1, "b": 2}},
    {"n_a": 1, "b": "x"}, {"n_a": "x"}, [], ["ab"], ["a"], ["ab", "cd", "ef"], [1], [1, None],
    [1, 2], [1, 1.0], ["x", "x"], "x", "abc", "ABC", "", 1, 2.5, 3, 4, 0.25, None, True,
]


def schemas():
    return [
        {"schema": schema, "valid": [Draft202012Validator(schema).is_valid(v) for v in VALUES]}
        for schema in SCHEMAS
    ]


out = Path(sys.argv[1] if len(sys.argv) > 1 else "test/fixtures/evaluation.json")
facts = {"texts": texts(), "f1": f1(), "intervals": intervals(), "values": VALUES,
         "schemas": schemas()}
out.write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
