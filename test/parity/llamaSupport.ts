import { readFileSync, existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { BaseModel, TensorInfo } from '../../src/formats/types';
import type { Adapter, LoraFactors } from '../../src/lora/types';
import { RawOps, type TfBinding } from '../../src/models/ops/raw';
import type { LabelledInput } from '../../src/models/types';

export const FIXTURES = path.resolve(__dirname, '../fixtures');

export type Tensors = Map<string, TensorInfo & { data: Float32Array }>;

export function readSafetensors(file: string): Tensors {
  const bytes = readFileSync(file);
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + size)) as Record<string, { dtype: TensorInfo['dtype']; shape: number[]; data_offsets: [number, number] }>;
  const tensors: Tensors = new Map();
  delete header['__metadata__'];
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
    const raw = bytes.subarray(8 + size + from, 8 + size + to);
    tensors.set(name, { name, dtype, shape, data: widen(raw, dtype) });
  }
  return tensors;
}

function widen(raw: Buffer, dtype: string): Float32Array {
  const copy = new Uint8Array(raw).buffer;
  if (dtype === 'F32') return new Float32Array(copy);
  if (dtype === 'BF16') {
    const out = new Uint32Array(raw.length / 2);
    new Uint16Array(copy).forEach((v, i) => (out[i] = v << 16));
    return new Float32Array(out.buffer);
  }
  if (dtype === 'I64') return Float32Array.from(new BigInt64Array(copy), Number);
  throw new Error(dtype);
}

export function openFixtureBase(folder: string, config = 'config.json'): BaseModel {
  const files = readdirSync(folder).filter((f) => f.endsWith('.safetensors')).map((f) => path.join(folder, f));
  const tensors: Tensors = new Map(files.flatMap((f) => [...readSafetensors(f)]));
  return {
    path: folder, name: path.basename(folder), format: 'safetensors', config: JSON.parse(readFileSync(path.join(folder, config), 'utf8')) as Record<string, unknown>,
    weights: { tensors, readF32: (name) => Promise.resolve(tensors.get(name)!.data), close: () => Promise.resolve() },
    weight_files: files, parameters: 0, readTokenizer: () => Promise.reject(new Error('none')), close: () => Promise.resolve(),
  };
}

export function readFixtureAdapter(folder: string, modules: Record<string, { scaling: number }>): Adapter {
  const config = JSON.parse(readFileSync(path.join(folder, 'adapter_config.json'), 'utf8')) as Adapter['config'];
  const tensors = readSafetensors(path.join(folder, 'adapter_model.safetensors'));
  const factors = Object.entries(modules).map(([p, { scaling }]): LoraFactors => {
    const embedding = tensors.has(`base_model.model.${p}.lora_embedding_A`);
    const A = tensors.get(`base_model.model.${p}.lora_${embedding ? 'embedding_A' : 'A.weight'}`)!;
    const B = tensors.get(`base_model.model.${p}.lora_${embedding ? 'embedding_B' : 'B.weight'}`)!;
    return { path: p, kind: embedding ? 'embedding' : 'linear', r: A.shape[0]!, in_features: A.shape[1]!, out_features: B.shape[0]!, scaling, A: A.data, B: B.data };
  });
  return { config, modules: factors };
}

export function rawOps(): RawOps {
  const require = createRequire(__filename);
  process.env['LORA_TFJS_BINDING'] = '/tmp/tfrt/run/tfjs_binding.node';
  const tf = require('/tmp/tfrt/tfjs-node.js') as { backend(): { binding: TfBinding } };
  return new RawOps(tf.backend().binding);
}

export interface Case {
  readonly kind: string;
  readonly base: string;
  readonly adapter: string;
  readonly inputs: { input_ids: number[][]; attention_mask?: number[][]; labels: number[][] };
  readonly base_loss: number;
  readonly adapter_loss: number;
  readonly modules: Record<string, { scaling: number }>;
}

export function readCase(folder: string): Case {
  return JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Case;
}

export function inputOf({ input_ids, attention_mask, labels }: Case['inputs']): LabelledInput {
  const flat = (rows: number[][]) => Int32Array.from(rows.flat());
  return {
    batch: input_ids.length, length: input_ids[0]!.length, input_ids: flat(input_ids), labels: flat(labels),
    attention_mask: attention_mask ? flat(attention_mask) : new Int32Array(input_ids.flat().length).fill(1),
  };
}

export const maxGap = (have: Float32Array, want: Float32Array) => have.reduce((gap, h, i) => Math.max(gap, Math.abs(h - want[i]!)), 0);
export const maxAbs = (x: Float32Array) => x.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
export { existsSync };
