"""Writes test/fixtures/rerankers: the losses of sentence-transformers for cross-encoders, their
gradients, and ten steps of AdamW, for adapters on bases that are fixtures already.

    python test/scripts/make_rerankers.py        (torch, peft, sentence-transformers 6.2.0)

<base>-<loss>/batches.json     queries with documents and scores, and the token ids of each document
<base>-<loss>/gradients.safetensors    of the first batch, by the names of the adapter's file
<base>-<loss>/start, final     the adapter before and after the steps
<base>-<loss>/trajectory.json  the loss and the norm of the gradients of each step
metrics.json                   MRR of scores of 0 and 1, and NDCG, of random outputs
"""

import json
import pathlib
import random
import shutil

import torch
import transformers as tf
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from sentence_transformers.cross_encoder import CrossEncoder, losses
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
from sklearn.metrics import ndcg_score

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
TARGET = FIXTURES / "rerankers"
STEPS, LR, DECAY, CLIP = 10, 5e-4, 0.01, 1.0
#: the base, the loss, and the modules with LoRA; rows with lists are for the last two losses
CASES = [
    ("bert", losses.BinaryCrossEntropyLoss, ["query", "value"]),
    ("bert", losses.MSELoss, ["query", "value"]),
    ("bert", losses.ListNetLoss, ["query", "value"]),
    ("bert", losses.RankNetLoss, ["query", "value"]),
    ("llama", losses.RankNetLoss, ["q_proj", "v_proj"]),
]
WORDS = "the red mill turns by a quiet river while birds sing over old stones and green hills".split()


class Reranker(CrossEncoder):
    """A CrossEncoder whose transformer has an adapter."""

    def __init__(self, transformer, tokenizer):
        torch.nn.Module.__init__(self)
        self.transformer, self.texts = transformer, tokenizer
        self.has_types = transformer.config.model_type == "bert"

    num_labels = 1
    device = torch.device("cpu")

    def preprocess(self, pairs, **_):
        return self.texts(
            [list(pair) for pair in pairs],
            padding=True,
            truncation=True,
            max_length=30,
            return_tensors="pt",
            return_token_type_ids=self.has_types,
        )

    def forward(self, tokens):
        return {"scores": self.transformer(**tokens).logits}


def text(source, words):
    return " ".join(source.choice(WORDS) for _ in range(words))


def rows_of(source, is_list, is_unit):
    """Pairs, or lists of documents of several lengths; scores from 0 to 1, or any."""
    sizes = [2, 4, 3] if is_list else [1] * 6
    score = (lambda: source.randrange(11) / 10) if is_unit else (lambda: source.randrange(-4, 9) / 2)
    rows = []
    for size in sizes:
        scores = [score() for _ in range(size)]
        while size > 1 and len(set(scores)) == 1:
            scores = [score() for _ in range(size)]
        documents = [text(source, source.randrange(2, 12)) for _ in range(size)]
        rows.append({"query": text(source, 3), "documents": documents, "scores": scores})
    return rows


def loss_inputs(rows, is_list):
    queries = [row["query"] for row in rows]
    documents = [row["documents"] for row in rows]
    scores = [torch.tensor(row["scores"]) for row in rows]
    if is_list:
        return [queries, documents], scores
    return [queries, [own[0] for own in documents]], torch.cat(scores)


def named(model):
    return {
        key.replace(".default", "").replace(".modules_to_save", ""): p.grad.clone().contiguous()
        for key, p in model.named_parameters()
        if p.grad is not None
    }


def make(base, loss_class, targets):
    name = f"{base}-{loss_class.__name__}"
    folder = TARGET / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(sum(map(ord, name)))
    source = random.Random(name)
    transformer = tf.AutoModelForSequenceClassification.from_pretrained(
        FIXTURES / base / "base",
        num_labels=1,
        attn_implementation="eager",
        ignore_mismatched_sizes=True,
    )
    tokenizer = tf.AutoTokenizer.from_pretrained(FIXTURES / base / "base")
    transformer.config.pad_token_id = tokenizer.pad_token_id
    config = LoraConfig(
        r=2, lora_alpha=4, target_modules=targets, task_type="SEQ_CLS", init_lora_weights=False
    )
    model = get_peft_model(transformer, config).eval()
    model.peft_config["default"].base_model_name_or_path = ""

    def save(at):
        model.save_pretrained(folder / at)
        (folder / at / "README.md").unlink()

    save("start")
    reranker = Reranker(model, tokenizer)
    loss_fct = loss_class(reranker)
    is_list = loss_class in (losses.ListNetLoss, losses.RankNetLoss)
    is_unit = loss_class is losses.BinaryCrossEntropyLoss
    batches = [rows_of(source, is_list, is_unit) for _ in range(STEPS)]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR, weight_decay=DECAY)
    records = []
    for step, rows in enumerate(batches):
        loss = loss_fct(*loss_inputs(rows, is_list))
        loss.backward()
        if step == 0:
            save_file(named(model), folder / "gradients.safetensors")
        norm = torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        records.append({"loss": loss.item(), "grad_norm": norm.item()})
    save("final")
    for row in [row for rows in batches for row in rows]:
        encoded = [reranker.preprocess([(row["query"], own)]) for own in row["documents"]]
        row["input_ids"] = [own["input_ids"][0].tolist() for own in encoded]
    facts = {"base": base, "loss": loss_class.__name__, "lr": LR, "weight_decay": DECAY}
    facts |= {"max_grad_norm": CLIP, "records": records}
    (folder / "trajectory.json").write_text(json.dumps(facts) + "\n")
    (folder / "batches.json").write_text(json.dumps(batches) + "\n")
    print(name, records[0], records[-1])


def metrics():
    source = random.Random(1)
    evaluator = CrossEncoderRerankingEvaluator([], at_k=10)
    found = []
    for size in [2, 3, 5, 12, 20]:
        outputs = [source.gauss(0, 2) for _ in range(size)]
        binary = [int(i % 4 == 1) for i in range(size)]
        graded = [i % 3 for i in range(size)]
        mrr, ndcg, _ = evaluator.compute_metrics(binary, outputs)
        facts = {"outputs": outputs, "binary": binary, "graded": graded, "mrr": mrr, "ndcg": ndcg}
        found.append(facts | {"graded_ndcg": ndcg_score([graded], [outputs], k=10)})
    (TARGET / "metrics.json").write_text(json.dumps(found) + "\n")


for case in CASES:
    make(*case)
metrics()
