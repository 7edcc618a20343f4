import path from 'node:path';
import { readJsonObject } from '../../formats/json';
import { withSafetensors } from '../../formats/safetensors/read';
import { writeSafetensors, type TensorToWrite } from '../../formats/safetensors/write';
import { positionsOf } from '../../formats/architecture/positions';
import type { PatchEmbeddingSpec, Spec } from '../../formats/architecture/spec';
import type { Model, ModelInput } from '../../models/model';
import { LoraError } from '../../shared/errors';
import { withModel } from '../model/openModel';
import type { Context } from './context';
import { readOptions, required } from './options';

export const LOGITS_USAGE =
  'lora logits --base PATH [--adapter DIR…] --input FILE --output FILE.safetensors [--grads]';

/** What the file holds. */
interface Source {
  readonly file: string;
  readonly input_ids: Matrix | null;
  readonly attention_mask: Matrix | null;
  readonly token_type_ids: Matrix | null;
  /** [batch, channels, height, width] */
  readonly pixel_values: { readonly batch: number; readonly data: Float32Array } | null;
  readonly labels: Matrix | null;
}

interface Matrix {
  readonly batch: number;
  readonly length: number;
  readonly data: Int32Array;
}

/**
 * Logits of given ids or images; with labels the loss, with --grads also its gradient for each
 * tensor of the adapter.
 */
export async function logits(args: readonly string[], context: Context): Promise<number> {
  const { values } = readOptions(
    args,
    {
      base: { type: 'string' },
      adapter: { type: 'string', multiple: true },
      input: { type: 'string' },
      output: { type: 'string' },
      grads: { type: 'boolean' },
    },
    LOGITS_USAGE,
  );
  const file = path.resolve(required(values.input, 'input', LOGITS_USAGE));
  const output = path.resolve(required(values.output, 'output', LOGITS_USAGE));
  const source = await (file.endsWith('.safetensors') ? fromSafetensors(file) : fromJson(file));
  if (values.grads && !source.labels)
    throw new LoraError('usage', 'Gradients need labels.', { place: { file } });
  const paths = {
    base: required(values.base, 'base', LOGITS_USAGE),
    adapters: values.adapter ?? [],
  };
  return withModel(paths, context, {}, async ({ base, model }) => {
    await writeSafetensors(
      output,
      await compute(model, base.spec, inputsOf(source, base.spec), values.grads ?? false),
    );
    context.print(context.json ? JSON.stringify({ kind: 'result', output }) : output);
    return 0;
  });
}

async function compute(
  model: Model,
  spec: Spec,
  inputs: ModelInput & { readonly labels: Int32Array | null },
  grads: boolean,
): Promise<TensorToWrite[]> {
  const { batch, length, labels } = inputs;
  const data = await model.logits(inputs);
  const isPerToken =
    spec.head.kind === 'lm' || (spec.head.kind === 'labels' && spec.head.pool === 'none');
  const shape = isPerToken
    ? [batch, length, data.length / (batch * length)]
    : [batch, data.length / batch];
  const tensors: TensorToWrite[] = [{ name: 'logits', dtype: 'F32', shape, data }];
  if (!labels) return tensors;
  const { loss_sum, labelled } = grads
    ? await model.accumulate({ ...inputs, labels }, 0)
    : await model.evaluate({ ...inputs, labels });
  tensors.push({
    name: 'loss',
    dtype: 'F32',
    shape: [],
    data: Float32Array.of(loss_sum / labelled),
  });
  if (grads)
    for (const [name, { shape: own, data: gradient }] of await model.gradients(labelled))
      tensors.push({ name: `grad.${name}`, dtype: 'F32', shape: own, data: gradient });
  return tensors;
}

async function fromJson(file: string): Promise<Source> {
  const object = await readJsonObject(file, 'usage');
  const source =
    typeof object['inputs'] === 'object' && object['inputs'] !== null
      ? (object['inputs'] as Record<string, unknown>)
      : object;
  const rows = (key: string) => (source[key] === undefined ? null : matrix(source[key], key, file));
  return {
    file,
    input_ids: rows('input_ids'),
    attention_mask: rows('attention_mask'),
    token_type_ids: rows('token_type_ids'),
    labels: rows('labels'),
    pixel_values: null,
  };
}

function matrix(value: unknown, key: string, file: string): Matrix {
  const rows = Array.isArray(value) && !Array.isArray(value[0]) ? [value] : value;
  const length = Array.isArray(rows) && Array.isArray(rows[0]) ? rows[0].length : 0;
  const isMatrix = (r: unknown): r is number[][] =>
    Array.isArray(r) &&
    length > 0 &&
    r.every((row) => Array.isArray(row) && row.length === length && row.every(Number.isInteger));
  if (!isMatrix(rows))
    throw new LoraError('usage', `${key} must be rows of whole numbers, all of one length.`, {
      place: { file, key },
    });
  return { batch: rows.length, length, data: Int32Array.from(rows.flat()) };
}

async function fromSafetensors(file: string): Promise<Source> {
  return withSafetensors(
    file,
    async (source) => {
      const nameOf = (key: string) =>
        [key, `inputs.${key}`].find((name) => source.tensors.has(name));
      const read = async (key: string): Promise<Matrix | null> => {
        const name = nameOf(key);
        if (name === undefined) return null;
        const { shape } = source.tensors.get(name)!;
        const [batch, length] = shape.length === 1 ? [1, shape[0]!] : [shape[0]!, shape[1]!];
        return { batch, length, data: await source.readInts(name) };
      };
      const pixels = nameOf('pixel_values');
      return {
        file,
        input_ids: await read('input_ids'),
        attention_mask: await read('attention_mask'),
        token_type_ids: await read('token_type_ids'),
        labels: await read('labels'),
        pixel_values:
          pixels === undefined
            ? null
            : { batch: source.tensors.get(pixels)!.shape[0]!, data: await source.readF32(pixels) },
      };
    },
    'usage',
  );
}

/**
 * What the model takes. Errors: LoraError('usage') where something is missing or of another shape.
 */
function inputsOf(source: Source, spec: Spec): ModelInput & { readonly labels: Int32Array | null } {
  const { file, attention_mask, token_type_ids, labels } = source;
  const { batch, length, input_ids, pixel_values } =
    spec.embedding.kind === 'patches'
      ? images(source, spec.embedding)
      : tokens(source, spec.vocab_size, positionsOf(spec));
  for (const [name, other] of [
    ['attention_mask', attention_mask],
    ['token_type_ids', token_type_ids],
  ] as const) {
    if (other && other.data.length !== batch * length)
      throw new LoraError('usage', `${name} must have the shape of input_ids.`, {
        place: { file, key: name },
      });
  }
  checkLabels(labels, spec, batch, length, file);
  return {
    batch,
    length,
    input_ids,
    attention_mask: attention_mask?.data ?? new Int32Array(batch * length).fill(1),
    labels: labels?.data ?? null,
    ...(token_type_ids && { token_type_ids: token_type_ids.data }),
    ...(pixel_values && { pixel_values }),
  };
}

function tokens({ input_ids, file }: Source, vocab_size: number, positions: number) {
  if (!input_ids)
    throw new LoraError('usage', 'input_ids is missing.', { place: { file, key: 'input_ids' } });
  const odd = input_ids.data.find((id) => id < 0 || id >= vocab_size);
  if (odd !== undefined)
    throw new LoraError(
      'usage',
      `input_ids holds ${odd}, the model's vocabulary ends at ${vocab_size - 1}.`,
      { place: { file, key: 'input_ids' } },
    );
  if (input_ids.length > positions)
    throw new LoraError(
      'usage',
      `A row has ${input_ids.length} tokens, the model has positions for ${positions}.`,
      { place: { file, key: 'input_ids' } },
    );
  return {
    batch: input_ids.batch,
    length: input_ids.length,
    input_ids: input_ids.data,
    pixel_values: null,
  };
}

function images(
  { pixel_values, file }: Source,
  { channels, image_size: [height, width], patch_size: [ph, pw] }: PatchEmbeddingSpec,
) {
  if (!pixel_values)
    throw new LoraError(
      'usage',
      'pixel_values is missing: the model reads images. Give them in a .safetensors file.',
      { place: { file, key: 'pixel_values' } },
    );
  const { batch, data } = pixel_values;
  if (data.length !== batch * channels * height * width)
    throw new LoraError(
      'usage',
      `pixel_values must have the shape [batch, ${channels}, ${height}, ${width}].`,
      { place: { file, key: 'pixel_values' } },
    );
  return {
    batch,
    length: Math.floor(height / ph) * Math.floor(width / pw) + 1,
    input_ids: new Int32Array(0),
    pixel_values: data,
  };
}

function checkLabels(
  labels: Matrix | null,
  { head }: Spec,
  batch: number,
  length: number,
  file: string,
): void {
  if (!labels) return;
  const perRow = head.kind === 'labels' && head.pool !== 'none';
  if (labels.data.length !== (perRow ? batch : batch * length)) {
    throw new LoraError(
      'usage',
      perRow
        ? `labels must hold one number a row, ${batch} in all.`
        : 'labels must have the shape of input_ids.',
      { place: { file, key: 'labels' } },
    );
  }
  const isLearnt = (label: number, i: number) =>
    label !== -100 && (head.kind !== 'lm' || i % length > 0);
  if (labels.data.some(isLearnt)) return;
  throw new LoraError('usage', 'No token is labelled, so there is no loss: every label is -100.', {
    place: { file, key: 'labels' },
    fix: "Leave the labels out, or label a token other than a row's first.",
  });
}
