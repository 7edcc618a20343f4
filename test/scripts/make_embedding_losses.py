"""Writes test/fixtures/embedding_losses.json: losses of sentence-transformers and their gradients,
for random vectors.

    python test/scripts/make_embedding_losses.py        (torch, sentence-transformers 6.2.0)
"""

import json
import pathlib

import sentence_transformers
import torch
from sentence_transformers.sentence_transformer import losses

ROWS, WIDTH = 5, 8
SCORES = [0.9, 0.1, 0.5, 0.5, -0.3]
BINARY = [1, 0, 1, 0, 0]


class Vectors(torch.nn.Module):
    """A model whose "features" are its embeddings; MatryoshkaLoss shortens what it returns."""

    def forward(self, features):
        return {"sentence_embedding": features["vectors"]}

    def get_embedding_dimension(self):
        return WIDTH


#: name, loss, columns, labels, settings of the recipe
def cases(model):
    ranking = losses.MultipleNegativesRankingLoss(model)
    cosine = losses.CosineSimilarityLoss(model)
    return [
        ("ranking", ranking, 2, None, {}),
        ("ranking with a negative", ranking, 3, None, {}),
        (
            "ranking with two negatives",
            losses.MultipleNegativesRankingLoss(model, scale=7.0),
            4,
            None,
            {"scale": 7},
        ),
        ("cosine", cosine, 2, SCORES, {"loss": "CosineSimilarityLoss"}),
        ("cosent", losses.CoSENTLoss(model), 2, SCORES, {"loss": "CoSENTLoss"}),
        (
            "contrastive",
            losses.OnlineContrastiveLoss(model),
            2,
            BINARY,
            {"loss": "OnlineContrastiveLoss"},
        ),
        (
            "contrastive with a margin",
            losses.OnlineContrastiveLoss(model, margin=1.2),
            2,
            BINARY,
            {"loss": "OnlineContrastiveLoss", "margin": 1.2},
        ),
        ("triplet", losses.TripletLoss(model), 3, None, {"loss": "TripletLoss"}),
        (
            "triplet with a margin",
            losses.TripletLoss(model, triplet_margin=0.25),
            3,
            None,
            {"loss": "TripletLoss", "triplet_margin": 0.25},
        ),
        (
            "triplet of cosines",
            losses.TripletLoss(
                model,
                distance_metric=losses.TripletDistanceMetric.COSINE,
                triplet_margin=0.5,
            ),
            3,
            None,
            {"loss": "TripletLoss", "triplet_margin": 0.5, "triplet_distance": "cosine"},
        ),
        (
            "matryoshka triplet",
            losses.MatryoshkaLoss(model, losses.TripletLoss(model, triplet_margin=1), [8, 3]),
            3,
            None,
            {"loss": "TripletLoss", "triplet_margin": 1, "matryoshka_dims": [8, 3]},
        ),
        (
            "matryoshka ranking",
            losses.MatryoshkaLoss(model, ranking, [8, 5, 2]),
            3,
            None,
            {"matryoshka_dims": [8, 5, 2]},
        ),
        (
            "matryoshka cosine",
            losses.MatryoshkaLoss(model, cosine, [6, 3], [1, 0.25]),
            2,
            SCORES,
            {
                "loss": "CosineSimilarityLoss",
                "matryoshka_dims": [6, 3],
                "matryoshka_weights": [1, 0.25],
            },
        ),
    ]


def computed(name, loss, columns, labels, settings):
    generator = torch.Generator().manual_seed(len(name))
    vectors = torch.randn(columns, ROWS, WIDTH, generator=generator, requires_grad=True)
    given = torch.tensor(labels if labels is not None else [0] * ROWS)
    value = loss([{"vectors": column} for column in vectors], given)
    value.backward()
    return {
        "name": name,
        "columns": columns,
        "labels": labels or [],
        "settings": settings,
        "vectors": vectors.detach().flatten().tolist(),
        "loss": value.item(),
        "gradient": vectors.grad.flatten().tolist(),
    }


target = pathlib.Path(__file__).parent.parent / "fixtures" / "embedding_losses.json"
target.write_text(
    json.dumps(
        {
            "sentence_transformers": sentence_transformers.__version__,
            "rows": ROWS,
            "width": WIDTH,
            "cases": [computed(*case) for case in cases(Vectors())],
        }
    )
    + "\n"
)
