import type { Scores } from '../../shared/metrics/lines';
import type { LabelSet } from '../../data/tasks/labelSet';
import type { Batch } from '../../data/examples/batch';
import { dotProduct } from '../../lora/linalg';
import { normalizedRows } from '../../models/heads/loss';
import type { Task } from '../../shared/task';
import { entitiesOf, isEntityScheme } from './entities';

/** Gathers what a model gives for a validation set, and says how good it is. */
export interface Scorer {
  /** `outputs` as Model.evaluate gives them. */
  add(batch: Batch, outputs: Float32Array): void;
  scores(loss: number): Scores;
}

export function scorerOf(task: Task, labels: LabelSet | null): Scorer {
  if (task === 'causal_lm' || !labels)
    return task === 'embedding'
      ? new PairScorer()
      : { add: () => undefined, scores: (loss) => ({ perplexity: Math.exp(loss) }) };
  if (task === 'token_cls') return new TagScorer(labels);
  switch (labels.problem_type) {
    case 'single_label_classification':
      return new ClassScorer(labels.names.length);
    case 'multi_label_classification':
      return new LabelsScorer(labels.names.length);
    case 'regression':
      return new NumberScorer();
  }
}

const NO_LABEL = -100;

/** Row-wise place of the largest. */
export function argmaxOfRow(outputs: Float32Array, row: number, width: number): number {
  let best = 0;
  for (let i = 1; i < width; i++)
    if (outputs[row * width + i]! > outputs[row * width + best]!) best = i;
  return best;
}

/** Right, wrongly told and missed, by class. */
class Counts {
  private readonly right = new Map<number, number>();
  private readonly told = new Map<number, number>();
  private readonly true = new Map<number, number>();
  private all = 0;

  add(truth: number, said: number): void {
    this.all++;
    const count = (map: Map<number, number>, own: number) => map.set(own, (map.get(own) ?? 0) + 1);
    count(this.true, truth);
    count(this.told, said);
    if (truth === said) count(this.right, truth);
  }

  accuracy(): number {
    return [...this.right.values()].reduce((a, b) => a + b, 0) / this.all;
  }

  /** Mean of F1 over the classes that occur or are told (scikit-learn's macro average). */
  macroF1(): number {
    const classes = [...new Set([...this.true.keys(), ...this.told.keys()])];
    const f1 = (own: number) =>
      (2 * (this.right.get(own) ?? 0)) / ((this.true.get(own) ?? 0) + (this.told.get(own) ?? 0));
    return classes.reduce((sum, own) => sum + f1(own), 0) / classes.length;
  }
}

class ClassScorer implements Scorer {
  private readonly counts = new Counts();

  constructor(private readonly width: number) {}

  add({ labels }: Batch, outputs: Float32Array): void {
    for (let row = 0; row < labels.length; row++)
      this.counts.add(labels[row]!, argmaxOfRow(outputs, row, this.width));
  }

  scores(): Scores {
    return { accuracy: this.counts.accuracy(), f1: this.counts.macroF1() };
  }
}

/** Accuracy of words; F1 of whole entities where the tags are of that kind, else of tags. */
class TagScorer implements Scorer {
  private readonly counts = new Counts();
  private readonly byEntity: boolean;
  private readonly entities = { right: 0, told: 0, true: 0 };

  constructor(private readonly labels: LabelSet) {
    this.byEntity = isEntityScheme(labels.names);
  }

  add({ batch, length, labels }: Batch, outputs: Float32Array): void {
    const { names } = this.labels;
    for (let row = 0; row < batch; row++) {
      const words = Array.from({ length }, (_, i) => row * length + i).filter(
        (i) => labels[i] !== NO_LABEL,
      );
      const [truth, said] = [
        words.map((i) => labels[i]!),
        words.map((i) => argmaxOfRow(outputs, i, names.length)),
      ];
      truth.forEach((own, i) => this.counts.add(own, said[i]!));
      if (this.byEntity)
        this.addEntities(
          truth.map((own) => names[own]!),
          said.map((own) => names[own]!),
        );
    }
  }

  private addEntities(truth: readonly string[], said: readonly string[]): void {
    const [real, told] = [entitiesOf(truth), entitiesOf(said)];
    this.entities.true += real.size;
    this.entities.told += told.size;
    this.entities.right += [...told].filter((own) => real.has(own)).length;
  }

  scores(): Scores {
    const { right, told, true: real } = this.entities;
    return {
      accuracy: this.counts.accuracy(),
      f1: this.byEntity ? (2 * right) / Math.max(1, told + real) : this.counts.macroF1(),
    };
  }
}

/** Accuracy of whole rows; F1 over all labels (micro average). */
class LabelsScorer implements Scorer {
  private right = 0;
  private told = 0;
  private real = 0;
  private rows = 0;
  private wholly = 0;

  constructor(private readonly width: number) {}

  add({ labels }: Batch, outputs: Float32Array): void {
    for (let row = 0; row * this.width < labels.length; row++) {
      let same = true;
      for (let i = row * this.width; i < (row + 1) * this.width; i++) {
        const [truth, said] = [labels[i] === 1, outputs[i]! > 0];
        same &&= truth === said;
        this.real += Number(truth);
        this.told += Number(said);
        this.right += Number(truth && said);
      }
      this.rows++;
      this.wholly += Number(same);
    }
  }

  scores(): Scores {
    return {
      accuracy: this.wholly / this.rows,
      f1: (2 * this.right) / Math.max(1, this.told + this.real),
    };
  }
}

class NumberScorer implements Scorer {
  private readonly truth: number[] = [];
  private readonly said: number[] = [];

  add({ labels }: Batch, outputs: Float32Array): void {
    this.truth.push(...labels);
    this.said.push(...outputs);
  }

  scores(loss: number): Scores {
    const r = correlation(this.truth, this.said);
    return { rmse: Math.sqrt(loss), ...(Number.isFinite(r) && { pearson: r }) };
  }
}

/** Pearson's; NaN where one side does not vary. */
function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((x, y) => x + y, 0) / values.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += (a[i]! - ma) * (b[i]! - mb);
    aa += (a[i]! - ma) ** 2;
    bb += (b[i]! - mb) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

/** Among how many texts the partner of a text is looked for. */
const NEIGHBOURS = 256;

/** Mean cosine of the pairs, and how often a text's own partner is the nearest of up to 256. */
class PairScorer implements Scorer {
  private readonly pairs: { readonly anchor: Float32Array; readonly positive: Float32Array }[] = [];

  add({ batch }: Batch, outputs: Float32Array): void {
    const width = outputs.length / batch;
    const units = normalizedRows(outputs, width);
    const row = (i: number) => units.slice(i * width, (i + 1) * width);
    for (let i = 0; i < batch / 2; i++)
      this.pairs.push({ anchor: row(i), positive: row(batch / 2 + i) });
  }

  scores(): Scores {
    let [sum, found] = [0, 0];
    for (let start = 0; start < this.pairs.length; start += NEIGHBOURS) {
      const own = this.pairs.slice(start, start + NEIGHBOURS);
      for (const [i, { anchor }] of own.entries()) {
        const cosines = own.map(({ positive }) => dotProduct(anchor, positive));
        sum += cosines[i]!;
        found += Number(cosines.every((c, j) => j === i || c < cosines[i]!));
      }
    }
    return { cosine: sum / this.pairs.length, retrieval: found / this.pairs.length };
  }
}
