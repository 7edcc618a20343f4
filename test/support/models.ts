import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { ReadSpecOptions } from '../../src/formats/architecture/readSpec';
import { openBase } from '../../src/formats/openBase';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import type { BaseModel } from '../../src/formats/baseModel';
import type { Adapter, LoraFactors } from '../../src/lora/adapter';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { loadModel, type LoadOptions } from '../../src/models/loadModel';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { TfBinding } from '../../src/models/ops/tfBinding';
import { TfjsOps } from '../../src/models/ops/tfjsOps';
import type { Ops } from '../../src/models/ops/ops';
import type { Model, LabelledInput } from '../../src/models/model';
import type { Tfjs } from '../../src/runtime/loadTfjs';
import { NO_LABEL } from '../../src/shared/task';
import { testTfjs } from './tfjs';
import { WITHOUT_KERNELS } from './withoutKernels';

export const fixtures = path.resolve(import.meta.dirname, '../fixtures');

/** Parses a JSON file of the fixtures. */
export const readJson = (...at: string[]): unknown =>
  JSON.parse(readFileSync(path.join(fixtures, ...at), 'utf8'));

/** The backend that the extension trains on, without kernels where the tests are told so. */
export async function tensorFlowOps(): Promise<TensorFlowOps> {
  return new TensorFlowOps(await tfBinding(), { fuse: !WITHOUT_KERNELS });
}

export async function tfBinding(): Promise<TfBinding & { getNumOfTensors(): number }> {
  const tf = await testTfjs();
  return (
    tf.findBackend('tensorflow') as unknown as {
      binding: TfBinding & { getNumOfTensors(): number };
    }
  ).binding;
}

/** Ops on the cpu backend of tfjs, in the tfjs instance that also has libtensorflow's backend. */
export async function cpuOps(): Promise<{ readonly ops: Ops; readonly alive: () => number }> {
  const tf = (await testTfjs()) as unknown as Tfjs;
  await tf.setBackend('cpu');
  return { ops: new TfjsOps(tf), alive: () => tf.memory().numTensors };
}

export type Floats = ReadonlyMap<string, Float32Array>;

/** All floating-point tensors of a fixture. */
export function readFloats(...at: string[]): Promise<Floats> {
  return withSafetensors(path.join(fixtures, ...at), async (source) => {
    const names = [...source.tensors.values()]
      .filter((t) => t.dtype.includes('F'))
      .map((t) => t.name);
    return new Map(
      await Promise.all(
        names.map(async (name): Promise<[string, Float32Array]> => [
          name,
          await source.readF32(name),
        ]),
      ),
    );
  });
}

export interface SingleCase {
  readonly task?: string;
  /** What the decoder of an encoder-decoder starts with. Not given: 0. */
  readonly start_id?: number;
  readonly base: string;
  readonly base_loss: number;
  readonly adapter_loss: number;
  readonly inputs: BatchRows;
  readonly modules?: Readonly<Record<string, ExpectedModule>>;
}

/** Of a LoRA on a parameter of experts. */
interface ExpectedModule {
  readonly parameter?: string;
  readonly num_experts?: number;
}

export interface BatchRows {
  /** Left out for images. */
  readonly input_ids?: readonly (readonly number[])[];
  readonly attention_mask?: readonly (readonly number[])[];
  readonly token_type_ids?: readonly (readonly number[])[];
  /** Left out for images with texts. */
  readonly labels?: readonly (readonly number[] | number)[];
}

/** The tiny ViT has 16 patches and a learned token in front of them. */
const IMAGE_LENGTH = 17;

export function inputOf(
  { input_ids, attention_mask, token_type_ids, labels = [] }: BatchRows,
  pixel_values?: Float32Array,
  image_length = IMAGE_LENGTH,
): LabelledInput {
  const flatten = (rows: readonly (readonly number[] | number)[]) => Int32Array.from(rows.flat());
  const batch = (input_ids ?? labels).length;
  const length = input_ids?.[0]?.length ?? IMAGE_LENGTH;
  const isPaired = input_ids !== undefined && pixel_values !== undefined;
  return {
    batch,
    length,
    input_ids: flatten(input_ids ?? []),
    labels: flatten(labels),
    attention_mask: attention_mask
      ? flatten(attention_mask)
      : new Int32Array(batch * length).fill(1),
    ...(token_type_ids && { token_type_ids: flatten(token_type_ids) }),
    ...(pixel_values && !isPaired && { pixel_values }),
    ...(isPaired && { images: { batch, length: image_length, pixel_values } }),
  };
}

/**
 * Texts for an encoder, and what its decoder reads: the start token and the labels, of which
 * nothing follows the last. It has the mask of padding, so that `visible` leaves it out.
 */
function answersOf(
  { input_ids, attention_mask, labels }: BatchRows,
  start_id: number,
): LabelledInput {
  const source = inputOf({ input_ids: input_ids!, attention_mask: attention_mask! });
  const answers = labels as readonly (readonly number[])[];
  return {
    ...inputOf({
      input_ids: answers.map((row) => [start_id, ...row.map((id) => Math.max(0, id))]),
      attention_mask: answers.map((row) => [...row.map(() => 1), 0]),
      labels: answers.map((row) => [NO_LABEL, ...row]),
    }),
    source,
  };
}

/** The input of a case; SigLIP's images have no learned token in front of their patches. */
export const caseInput = (
  name: string,
  { inputs, task, start_id = 0 }: SingleCase,
  want: Floats,
): LabelledInput =>
  task === 'seq2seq_lm'
    ? answersOf(inputs, start_id)
    : inputOf(
        inputs,
        want.get('inputs.pixel_values'),
        name.startsWith('siglip/') ? IMAGE_LENGTH - 1 : IMAGE_LENGTH,
      );

export { EMPTY_ADAPTER as NO_ADAPTER } from '../../src/engine/model/backend';

type LoadFixtureOptions = ReadSpecOptions &
  Pick<
    LoadOptions,
    | 'lora_dropout'
    | 'base_dtype'
    | 'recomputed_layers'
    | 'label_smoothing'
    | 'neftune_noise_alpha'
    | 'reranker'
    | 'quantized'
  >;

export async function loadFixture(
  ops: Ops,
  base: string,
  adapter: string | null,
  { task, num_labels, ...options }: LoadFixtureOptions = {},
): Promise<Model> {
  return withBase(
    path.join(fixtures, base),
    async (opened) => {
      const start =
        adapter === null
          ? EMPTY_ADAPTER
          : (await readPeftAdapter(path.join(fixtures, adapter), adapterBaseOf(opened))).adapter;
      return loadModel(opened, start, { ops, ...options });
    },
    { ...(task && { task }), ...(num_labels !== undefined && { num_labels }) },
  );
}

export async function withBase<T>(
  file: string,
  use: (base: BaseModel) => Promise<T>,
  options: ReadSpecOptions = {},
): Promise<T> {
  const base = await openBase(file, options);
  try {
    return await use(base);
  } finally {
    await base.close();
  }
}

/** A copy of AdamW's state. */
export async function stateOf(
  model: Model,
): Promise<{ readonly step: number; readonly tensors: Floats }> {
  const { step, tensors } = model.optimizerState();
  return {
    step,
    tensors: new Map(
      await Promise.all(tensors.map(async ({ name, read }) => [name, await read()] as const)),
    ),
  };
}

export const restoreState = (
  model: Model,
  { step, tensors }: Awaited<ReturnType<typeof stateOf>>,
): Promise<void> => model.restoreOptimizer(step, (name) => Promise.resolve(tensors.get(name)!));

export const largest = (x: Float32Array): number =>
  x.reduce((most, v) => Math.max(most, Math.abs(v)), 0);

/** Logits of real tokens; those of padding are undefined. A head for rows has no padding. */
export function visible(
  logits: Float32Array,
  { attention_mask, batch, length }: LabelledInput,
): Float32Array {
  const width = logits.length / (batch * length);
  return Number.isInteger(width) && width > 8
    ? logits.filter((_, i) => attention_mask[Math.floor(i / width)] === 1)
    : logits;
}

/** Largest absolute difference; NaN if any element is NaN. */
export function gap(have: Float32Array, want: Float32Array): number {
  if (have.length !== want.length)
    throw new Error(`${have.length} numbers, expected ${want.length}`);
  return have.reduce((most, h, i) => Math.max(most, Math.abs(h - want[i]!)), 0);
}

/** Largest absolute difference between two adapters of the same modules. */
export function adapterGap(have: Adapter, want: Adapter): number {
  const byPath = new Map(want.modules.map((m) => [m.path, m]));
  const gaps = have.modules.map((m) => {
    const other: LoraFactors = byPath.get(m.path)!;
    return Math.max(
      gap(m.A, other.A),
      gap(m.B, other.B),
      m.magnitude ? gap(m.magnitude, other.magnitude!) : 0,
    );
  });
  const byName = new Map(want.trained.map((t) => [t.name, t.data]));
  gaps.push(...have.trained.map((t) => gap(t.data, byName.get(t.name)!)));
  if (gaps.length !== want.modules.length + want.trained.length)
    throw new Error('The adapters have different modules.');
  return Math.max(...gaps);
}
