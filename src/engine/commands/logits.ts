import path from 'node:path';
import { readJsonObject } from '../../formats/json';
import { withSafetensors } from '../../formats/safetensors/read';
import { writeSafetensors, type TensorToWrite } from '../../formats/safetensors/write';
import type { CausalLM, LabelledInput } from '../../models/types';
import { LoraError } from '../../shared/errors';
import { withModel } from '../session';
import type { Context } from './context';
import { readOptions, required } from './options';

export const LOGITS_USAGE = 'lora logits --base PATH [--adapter DIR] --input FILE --output FILE.safetensors [--grads]';

type Inputs = LabelledInput & { readonly has_labels: boolean };

/** Logits of given ids; with labels the loss, with --grads also its gradient for each tensor of the adapter. */
export async function logits(args: readonly string[], context: Context): Promise<number> {
  const { values } = readOptions(args, { base: { type: 'string' }, adapter: { type: 'string' }, input: { type: 'string' }, output: { type: 'string' }, grads: { type: 'boolean' } }, LOGITS_USAGE);
  const file = path.resolve(required(values.input, 'input', LOGITS_USAGE));
  const output = path.resolve(required(values.output, 'output', LOGITS_USAGE));
  const inputs = await (file.endsWith('.safetensors') ? fromSafetensors(file) : fromJson(file));
  if (values.grads && !inputs.has_labels) throw new LoraError('usage', 'Gradients need labels.', { place: { file } });
  return withModel(required(values.base, 'base', LOGITS_USAGE), values.adapter, context, async ({ model }) => {
    await writeSafetensors(output, await compute(model, inputs, values.grads ?? false));
    context.print(context.json ? JSON.stringify({ kind: 'result', output }) : output);
    return 0;
  });
}

async function compute(model: CausalLM, inputs: Inputs, grads: boolean): Promise<TensorToWrite[]> {
  const { batch, length } = inputs;
  const data = await model.logits(inputs);
  const tensors: TensorToWrite[] = [{ name: 'logits', dtype: 'F32', shape: [batch, length, data.length / (batch * length)], data }];
  if (!inputs.has_labels) return tensors;
  const { loss_sum, labelled } = grads ? await model.accumulate(inputs, 0) : await model.evaluate(inputs);
  tensors.push({ name: 'loss', dtype: 'F32', shape: [], data: Float32Array.of(loss_sum / labelled) });
  if (grads) for (const [name, { shape, data: gradient }] of await model.gradients(labelled)) tensors.push({ name: `grad.${name}`, dtype: 'F32', shape, data: gradient });
  return tensors;
}

async function fromJson(file: string): Promise<Inputs> {
  const object = await readJsonObject(file, 'usage');
  const source = typeof object['inputs'] === 'object' && object['inputs'] !== null ? object['inputs'] as Record<string, unknown> : object;
  const rows = (key: string) => (source[key] === undefined ? null : matrix(source[key], key, file));
  const ids = rows('input_ids');
  if (!ids) throw new LoraError('usage', 'input_ids is missing.', { place: { file, key: 'input_ids' } });
  return assemble(ids, rows('attention_mask'), rows('labels'), file);
}

interface Matrix { readonly batch: number; readonly length: number; readonly data: Int32Array }

function matrix(value: unknown, key: string, file: string): Matrix {
  const rows = Array.isArray(value) && !Array.isArray(value[0]) ? [value] : value;
  const length = Array.isArray(rows) && Array.isArray(rows[0]) ? rows[0].length : 0;
  const isMatrix = (r: unknown): r is number[][] => Array.isArray(r) && length > 0 && r.every((row) => Array.isArray(row) && row.length === length && row.every(Number.isInteger));
  if (!isMatrix(rows)) throw new LoraError('usage', `${key} must be rows of whole numbers, all of one length.`, { place: { file, key } });
  return { batch: rows.length, length, data: Int32Array.from(rows.flat()) };
}

async function fromSafetensors(file: string): Promise<Inputs> {
  return withSafetensors(file, async (source) => {
    const read = async (key: string): Promise<Matrix | null> => {
      const shape = source.tensors.get(key)?.shape;
      if (!shape) return null;
      const [batch, length] = shape.length === 1 ? [1, shape[0]!] : [shape[0]!, shape[1]!];
      return { batch, length, data: await source.readInts(key) };
    };
    const ids = await read('input_ids');
    if (!ids) throw new LoraError('usage', 'input_ids is missing.', { place: { file, tensor: 'input_ids' } });
    return assemble(ids, await read('attention_mask'), await read('labels'), file);
  });
}

function assemble({ batch, length, data }: Matrix, mask: Matrix | null, labels: Matrix | null, file: string): Inputs {
  for (const [name, other] of [['attention_mask', mask], ['labels', labels]] as const) {
    if (other && other.data.length !== data.length) throw new LoraError('usage', `${name} must have the shape of input_ids.`, { place: { file, key: name } });
  }
  if (labels && !labels.data.some((label, i) => i % length > 0 && label !== -100)) {
    throw new LoraError('usage', 'No token is labelled, so there is no loss: every label is -100.', { place: { file, key: 'labels' }, fix: 'Leave the labels out, or label a token other than a row\'s first.' });
  }
  return {
    batch, length, input_ids: data, attention_mask: mask?.data ?? new Int32Array(data.length).fill(1),
    labels: labels?.data ?? new Int32Array(data.length).fill(-100), has_labels: labels !== null,
  };
}
