import type { PreparedData } from '../../data/dataset/prepare';
import type { Example, PreferenceExample, Sequence } from '../../data/examples/example';
import type { UnpairedExample } from '../../data/examples/example';
import type { Examples } from '../../data/examples/examples';
import { NO_LABEL } from '../../shared/task';
import type { Objective } from '../../shared/objective';
import type { Comparison, LabelledInput, Model } from '../../models/model';
import { yieldToEventLoop } from '../../models/ops/ops';

/** Log-probabilities under the reference: the model that training starts from. */
export interface References {
  /** Of the answers of each example: the chosen, then the rejected one, or its only one. */
  readonly answers: Float64Array;
  /** kto: of each prompt with the answer of the row before it in its batch. */
  readonly mismatched: Float64Array | null;
}

/** Examples that are compared, in batches that stay the same. */
export interface ComparedPart {
  readonly examples: Examples;
  readonly batches: readonly (readonly number[])[];
  /** Null: the objective has no reference. */
  readonly references: References | null;
}

interface Parts {
  readonly model: Model;
  readonly objective: Objective;
  readonly collate: PreparedData['collate'];
  readonly max_length: number;
}

/** Turns examples with compared answers into batches with all that their loss depends on. */
export class Comparisons {
  constructor(private readonly parts: Parts) {}

  get objective(): Objective {
    return this.parts.objective;
  }

  /**
   * A batch of examples. For kto they are one of the part's batches, and the KL divergence is
   * estimated by the present model.
   *
   * @throws LoraError
   */
  async batch(part: ComparedPart, indices: readonly number[]): Promise<LabelledInput> {
    const { objective, collate } = this.parts;
    const examples = indices.map((index) => part.examples.at(index));
    const input = await collate(examples);
    if (objective.method === 'kto') {
      const comparison = await this.unpaired(part, indices, examples.map(asUnpaired));
      return { ...input, comparison };
    }
    const pairs = examples.map(asPreference);
    const references = part.references?.answers;
    const side = (offset: number) => indices.map((index) => references![2 * index + offset]!);
    const hasMargins = objective.method === 'reward' && pairs.some(({ margin }) => margin !== null);
    return {
      ...input,
      comparison: {
        kind: 'pairs',
        objective,
        reference: references ? Float64Array.from([...side(0), ...side(1)]) : null,
        margins: hasMargins ? Float64Array.from(pairs, ({ margin }) => margin ?? 0) : null,
      },
    };
  }

  /**
   * The log-probabilities of all answers under the present model, without gradients.
   *
   * @param onProgress From 0 to 1; what it throws ends the pass.
   */
  async measure(
    part: Omit<ComparedPart, 'references'>,
    onProgress: (fraction: number) => void = () => undefined,
  ): Promise<References> {
    const { model, objective, collate } = this.parts;
    const isUnpaired = objective.method === 'kto';
    const width = isUnpaired ? 1 : 2;
    const answers = new Float64Array(width * part.examples.length);
    const mismatched = isUnpaired ? new Float64Array(part.examples.length) : null;
    let done = 0;
    for (const indices of part.batches) {
      const examples = indices.map((index) => part.examples.at(index));
      const logps = await model.logProbabilities(await collate(examples));
      indices.forEach((index, i) => {
        for (let side = 0; side < width; side++)
          answers[width * index + side] = logps[side * indices.length + i]!;
      });
      if (mismatched) {
        const own = await this.mismatched(examples.map(asUnpaired));
        indices.forEach((index, i) => (mismatched[index] = own[i]!));
      }
      done += indices.length;
      onProgress(done / part.examples.length);
      await yieldToEventLoop();
    }
    return { answers, mismatched };
  }

  private async unpaired(
    { references }: ComparedPart,
    indices: readonly number[],
    examples: readonly UnpairedExample[],
  ): Promise<Comparison> {
    const { objective } = this.parts;
    if (objective.method !== 'kto' || !references?.mismatched)
      throw new RangeError('There is no reference for kto.');
    const { answers, mismatched } = references;
    const own = await this.mismatched(examples);
    const mean = indices.reduce((sum, at, i) => sum + own[i]! - mismatched[at]!, 0) / own.length;
    return {
      kind: 'unpaired',
      objective,
      reference: Float64Array.from(indices, (index) => answers[index]!),
      desirable: examples.map(({ desirable }) => desirable),
      kl: Math.max(0, mean),
    };
  }

  /** Log-probabilities of each prompt with the answer of the row before it, as in TRL. */
  private async mismatched(examples: readonly UnpairedExample[]): Promise<Float64Array> {
    const { model, collate, max_length } = this.parts;
    return model.logProbabilities(await collate(mismatchedExamples(examples, max_length)));
  }
}

const asPreference = (example: Example): PreferenceExample => {
  if (example.kind !== 'preference') throw new RangeError(`An example is not a pair.`);
  return example;
};

const asUnpaired = (example: Example): UnpairedExample => {
  if (example.kind !== 'unpaired') throw new RangeError(`An example has no label.`);
  return example;
};

/**
 * Each prompt of a batch with the whole answer of the row before it, cut to `max_length` only then,
 * as in TRL.
 */
export const mismatchedExamples = (
  examples: readonly UnpairedExample[],
  max_length: number,
): UnpairedExample[] =>
  examples.map((example, i) => {
    const { answer, rest } = examples.at(i - 1)!;
    const whole = {
      input_ids: Int32Array.from([...answer.input_ids, ...rest.input_ids]),
      labels: Int32Array.from([...answer.labels, ...rest.labels]),
    };
    return { ...example, answer: withAnswerOf(example.answer, whole, max_length) };
  });

/** The prompt of one sequence, with its images, and the answer of another, cut to `max_length`. */
function withAnswerOf(prompt: Sequence, answer: Sequence, max_length: number): Sequence {
  const start = (sequence: Sequence) => sequence.labels.findIndex((label) => label !== NO_LABEL);
  const promptEnd = start(prompt);
  const answerStart = start(answer);
  const { images } = prompt;
  const joined = (before: Int32Array, after: Int32Array) =>
    Int32Array.from([...before, ...after.subarray(answerStart)]).subarray(0, max_length);
  return {
    input_ids: joined(prompt.input_ids.subarray(0, promptEnd), answer.input_ids),
    labels: joined(new Int32Array(promptEnd).fill(NO_LABEL), answer.labels),
    ...(images && { images }),
  };
}

/** Sequences of a batch that is measured or evaluated. */
const SEQUENCES_PER_BATCH = 4;

/**
 * Batches in which examples are measured and evaluated: for kto as they come, since the estimate of
 * the KL divergence depends on them; pairs of similar length together.
 */
export function fixedBatches(
  examples: Examples,
  objective: Objective,
  batch_size: number,
): readonly (readonly number[])[] {
  const order = Array.from({ length: examples.length }, (_, i) => i);
  const isUnpaired = objective.method === 'kto';
  if (!isUnpaired) order.sort((a, b) => examples.lengthAt(a) - examples.lengthAt(b));
  const size = isUnpaired ? batch_size : SEQUENCES_PER_BATCH / 2;
  return Array.from({ length: Math.ceil(order.length / size) }, (_, i) =>
    order.slice(i * size, (i + 1) * size),
  );
}
