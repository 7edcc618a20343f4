import type { LabelSet } from '../../data/tasks/labelSet';
import type { Batch } from '../../data/examples/batch';
import { dotProduct } from '../../lora/linalg/vectors';
import { normalizedRows } from '../../models/heads/unitRows';
import { NO_LABEL, writesText } from '../../shared/task';
import type { Scores } from '../../shared/metrics/lines';
import type { Task } from '../../shared/task';
import { correlation, correlations } from './correlation';
import { entitiesOf, isEntityScheme } from './entities';
import { ContrastiveScorer } from './contrastiveScores';
import { RankingScorer } from './rankingScores';

/** Collects a model's outputs for a validation set and computes the task's scores. */
export interface Scorer {
  /** `outputs`: as returned by Model.evaluate. */
  add(batch: Batch, outputs: Float32Array): void;
  /** The scores of everything added so far. `loss`: the mean loss. */
  scores(loss: number): Scores;
}

/** The scorer of a task. `labels`: null for tasks without labels of classes. */
export function scorerOf(task: Task, labels: LabelSet | null): Scorer {
  if (task === 'embedding') return new PairScorer();
  if (task === 'reranker') return new RankingScorer();
  if (task === 'contrastive') return new ContrastiveScorer();
  if (writesText(task) || task === 'reward' || !labels) return new PerplexityScorer();
  if (task === 'token_cls') return new TagScorer(labels);
  switch (labels.problem_type) {
    case 'single_label_classification':
      return new ClassScorer(labels.names.length);
    case 'multi_label_classification':
      return new MultiLabelScorer(labels.names.length);
    case 'regression':
      return new RegressionScorer();
  }
}

/** Index of the largest value in a row of a row-major matrix with `width` columns. */
export function argmaxOfRow(outputs: Float32Array, row: number, width: number): number {
  let best = 0;
  for (let i = 1; i < width; i++)
    if (outputs[row * width + i]! > outputs[row * width + best]!) best = i;
  return best;
}

class PerplexityScorer implements Scorer {
  add(): void {
    // the perplexity depends on the loss alone
  }

  scores(loss: number): Scores {
    return { perplexity: Math.exp(loss) };
  }
}

/** 2·TP / (predicted + actual), the harmonic mean of precision and recall. */
const f1Of = (truePositives: number, predictedAndActual: number) =>
  (2 * truePositives) / predictedAndActual;

/** Correct predictions, predictions and true labels, counted by class. */
class ClassCounts {
  private readonly correct = new Map<number, number>();
  private readonly predicted = new Map<number, number>();
  private readonly actual = new Map<number, number>();
  private total = 0;

  add(truth: number, prediction: number): void {
    this.total++;
    increment(this.actual, truth);
    increment(this.predicted, prediction);
    if (truth === prediction) increment(this.correct, truth);
  }

  accuracy(): number {
    return [...this.correct.values()].reduce((a, b) => a + b, 0) / this.total;
  }

  /** Mean of F1 over the classes that occur or are predicted (scikit-learn's macro average). */
  macroF1(): number {
    const classes = [...new Set([...this.actual.keys(), ...this.predicted.keys()])];
    const f1 = (index: number) =>
      f1Of(
        this.correct.get(index) ?? 0,
        (this.actual.get(index) ?? 0) + (this.predicted.get(index) ?? 0),
      );
    return classes.reduce((sum, index) => sum + f1(index), 0) / classes.length;
  }
}

const increment = (counts: Map<number, number>, key: number) =>
  counts.set(key, (counts.get(key) ?? 0) + 1);

/** Accuracy and macro F1 of one class per row. */
class ClassScorer implements Scorer {
  private readonly counts = new ClassCounts();

  constructor(private readonly width: number) {}

  add({ labels }: Batch, outputs: Float32Array): void {
    for (let row = 0; row < labels.length; row++)
      this.counts.add(labels[row]!, argmaxOfRow(outputs, row, this.width));
  }

  scores(): Scores {
    return { accuracy: this.counts.accuracy(), f1: this.counts.macroF1() };
  }
}

/** Accuracy of words; F1 of whole entities if the tags describe entities, else macro F1 of tags. */
class TagScorer implements Scorer {
  private readonly counts = new ClassCounts();
  private readonly hasEntities: boolean;
  private readonly entities = { correct: 0, predicted: 0, actual: 0 };

  constructor(private readonly labels: LabelSet) {
    this.hasEntities = isEntityScheme(labels.names);
  }

  add({ batch, length, labels }: Batch, outputs: Float32Array): void {
    const { names } = this.labels;
    for (let row = 0; row < batch; row++) {
      const positions = Array.from({ length }, (_, i) => row * length + i);
      const words = positions.filter((i) => labels[i] !== NO_LABEL);
      const truth = words.map((i) => labels[i]!);
      const predictions = words.map((i) => argmaxOfRow(outputs, i, names.length));
      truth.forEach((tag, i) => this.counts.add(tag, predictions[i]!));
      if (this.hasEntities)
        this.addEntities(
          truth.map((tag) => names[tag]!),
          predictions.map((tag) => names[tag]!),
        );
    }
  }

  scores(): Scores {
    const { correct, predicted, actual } = this.entities;
    return {
      accuracy: this.counts.accuracy(),
      f1: this.hasEntities ? f1Of(correct, Math.max(1, predicted + actual)) : this.counts.macroF1(),
    };
  }

  private addEntities(truth: readonly string[], predictions: readonly string[]): void {
    const actual = entitiesOf(truth);
    const predicted = entitiesOf(predictions);
    this.entities.actual += actual.size;
    this.entities.predicted += predicted.size;
    this.entities.correct += [...predicted].filter((entity) => actual.has(entity)).length;
  }
}

/** Share of rows with all labels correct; F1 over all labels (micro average). */
class MultiLabelScorer implements Scorer {
  private correct = 0;
  private predicted = 0;
  private actual = 0;
  private rows = 0;
  private correctRows = 0;

  constructor(private readonly width: number) {}

  add({ labels }: Batch, outputs: Float32Array): void {
    for (let row = 0; row * this.width < labels.length; row++) {
      let isCorrect = true;
      for (let i = row * this.width; i < (row + 1) * this.width; i++) {
        const truth = labels[i] === 1;
        const prediction = outputs[i]! > 0;
        if (truth !== prediction) isCorrect = false;
        this.actual += Number(truth);
        this.predicted += Number(prediction);
        this.correct += Number(truth && prediction);
      }
      this.rows++;
      this.correctRows += Number(isCorrect);
    }
  }

  scores(): Scores {
    return {
      accuracy: this.correctRows / this.rows,
      f1: f1Of(this.correct, Math.max(1, this.predicted + this.actual)),
    };
  }
}

/** Root mean square error, and Pearson's correlation if it is defined. */
class RegressionScorer implements Scorer {
  private readonly truth: number[] = [];
  private readonly predictions: number[] = [];

  add({ labels }: Batch, outputs: Float32Array): void {
    this.truth.push(...labels);
    this.predictions.push(...outputs);
  }

  scores(loss: number): Scores {
    const r = correlation(this.truth, this.predictions);
    return { rmse: Math.sqrt(loss), ...(Number.isFinite(r) && { pearson: r }) };
  }
}

/** Number of rows whose texts are searched for the partner of a text. */
const CANDIDATES = 256;
const CUTOFF = 10;

interface EmbeddedRow {
  readonly anchor: Float32Array;
  readonly positive: Float32Array;
  readonly negatives: readonly Float32Array[];
  /** NaN without one. */
  readonly score: number;
}

/**
 * Mean cosine of the pairs; for rows with scores, how these and the cosines correlate; for others,
 * how well the partner is found among the positives and negatives of up to 256 rows.
 */
class PairScorer implements Scorer {
  private readonly rows: EmbeddedRow[] = [];

  add({ batch, columns = 2, labels }: Batch, outputs: Float32Array): void {
    const width = outputs.length / batch;
    const vectors = normalizedRows(outputs, width);
    const count = batch / columns;
    const vector = (i: number, column: number) => {
      const at = (column * count + i) * width;
      return vectors.slice(at, at + width);
    };
    for (let i = 0; i < count; i++)
      this.rows.push({
        anchor: vector(i, 0),
        positive: vector(i, 1),
        negatives: Array.from({ length: columns - 2 }, (_, n) => vector(i, n + 2)),
        score: labels[i] ?? NaN,
      });
  }

  scores(): Scores {
    const cosines = this.rows.map(({ anchor, positive }) => dotProduct(anchor, positive));
    const cosine = cosines.reduce((sum, own) => sum + own, 0) / cosines.length;
    const truth = this.rows.map(({ score }) => score);
    return truth.some(Number.isNaN)
      ? { cosine, ...retrievalScores(this.rows) }
      : { cosine, ...correlations(truth, cosines) };
  }
}

/**
 * Of one relevant text per anchor (InformationRetrievalEvaluator of sentence-transformers): the
 * share of anchors with it among the first ten (recall), 1 / its rank there (MRR), and 1 / log2(1 +
 * rank) (NDCG). A text that is as near as the partner comes before it, so that equal vectors, which
 * tell nothing apart, rank last.
 */
function retrievalScores(rows: readonly EmbeddedRow[]): Scores {
  let [nearest, recall, mrr, ndcg] = [0, 0, 0, 0];
  for (let start = 0; start < rows.length; start += CANDIDATES) {
    const own = rows.slice(start, start + CANDIDATES);
    const others = own.flatMap(({ negatives }) => negatives);
    for (const [i, { anchor, positive }] of own.entries()) {
      const partner = dotProduct(anchor, positive);
      const isBefore = (text: Float32Array) => dotProduct(anchor, text) >= partner;
      const rank =
        1 +
        own.filter((row, j) => j !== i && isBefore(row.positive)).length +
        others.filter(isBefore).length;
      nearest += Number(rank === 1);
      if (rank > CUTOFF) continue;
      recall++;
      mrr += 1 / rank;
      ndcg += 1 / Math.log2(1 + rank);
    }
  }
  const n = rows.length;
  return {
    retrieval: nearest / n,
    ndcg_at_10: ndcg / n,
    mrr_at_10: mrr / n,
    recall_at_10: recall / n,
  };
}
