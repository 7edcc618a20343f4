import type { Example, TokensExample } from '../../data/examples/example';
import type { Examples } from '../../data/examples/examples';
import type { TensorToWrite } from '../../formats/tensorWriter';
import { stepPosition, type TrainingPlan } from '../../shared/trainingPlan';
import { EpochBatches } from '../training/epochBatches';
import { learningRate } from '../training/schedule';
import type { TrainingSettings } from '../../shared/recipe';

/** Numbers that are written at one time. */
const BLOCK_NUMBERS = 1 << 18;

/**
 * The rows of a part, one after another without padding: `offsets` (where each row starts, and the
 * end of the last), `input_ids` and `labels`; for packed rows also `position_ids`, which start at 0
 * with each text of a row.
 */
export function exampleTensors(part: string, examples: Examples): TensorToWrite[] {
  const offsets = offsetsOf(examples.length, (row) => examples.lengthAt(row));
  const tokens = Number(offsets.at(-1));
  const isPacked = examples.length > 0 && examples.at(0).kind === 'packed';
  const column = (name: string, read: (text: TokensExample) => Int32Array): TensorToWrite => ({
    name: `${part}.${name}`,
    dtype: 'I32',
    shape: [tokens],
    data: () => inBlocks(tokensOfRows(examples, read)),
  });
  return [
    { name: `${part}.offsets`, dtype: 'I64', shape: [offsets.length], data: offsets },
    column('input_ids', (text) => text.input_ids),
    column('labels', (text) => text.labels),
    ...(isPacked ? [column('position_ids', (text) => text.input_ids.map((_, i) => i))] : []),
  ];
}

/** The rows and the learning rate of each step: `rows`, `offsets` into it, `learning_rate`. */
export function stepTensors(
  examples: Examples,
  settings: TrainingSettings,
  plan: TrainingPlan,
): TensorToWrite[] {
  const batches = new EpochBatches(() => examples, settings);
  const rowsOf = (step: number): Int32Array => {
    const position = stepPosition(step, plan, settings.gradient_accumulation_steps);
    const inEpoch = batches.of(position.epoch);
    return Int32Array.from(position.batches.flatMap((index) => inEpoch[index]!));
  };
  const { total_steps } = plan;
  const offsets = offsetsOf(total_steps, (step) => rowsOf(step + 1).length);
  const rates = Float64Array.from({ length: total_steps }, (_, step) =>
    learningRate(settings, step + 1, total_steps),
  );
  return [
    { name: 'steps.offsets', dtype: 'I64', shape: [offsets.length], data: offsets },
    { name: 'steps.learning_rate', dtype: 'F64', shape: [total_steps], data: rates },
    {
      name: 'steps.rows',
      dtype: 'I32',
      shape: [Number(offsets.at(-1))],
      data: () => inBlocks(each(total_steps, (step) => rowsOf(step + 1))),
    },
  ];
}

function offsetsOf(count: number, lengthOf: (index: number) => number): BigInt64Array {
  const offsets = new BigInt64Array(count + 1);
  for (let i = 0; i < count; i++) offsets[i + 1] = offsets[i]! + BigInt(lengthOf(i));
  return offsets;
}

const textsOf = (example: Example): readonly TokensExample[] =>
  example.kind === 'packed' ? example.parts : [example as TokensExample];

function* tokensOfRows(
  examples: Examples,
  read: (text: TokensExample) => Int32Array,
): Generator<Int32Array> {
  for (let row = 0; row < examples.length; row++)
    for (const text of textsOf(examples.at(row))) yield read(text);
}

function* each(count: number, read: (index: number) => Int32Array): Generator<Int32Array> {
  for (let i = 0; i < count; i++) yield read(i);
}

/** Joins short arrays, since each is a write of its own. */
async function* inBlocks(arrays: Iterable<Int32Array>): AsyncGenerator<Int32Array> {
  let waiting: Int32Array[] = [];
  let count = 0;
  for (const array of arrays) {
    waiting.push(array);
    count += array.length;
    if (count < BLOCK_NUMBERS) continue;
    yield await Promise.resolve(joined(waiting, count));
    waiting = [];
    count = 0;
  }
  yield joined(waiting, count);
}

function joined(arrays: readonly Int32Array[], count: number): Int32Array {
  const all = new Int32Array(count);
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}
