import type { Random } from '../../src/shared/random';
import { ggufBytes, type TensorSpec, type Value } from '../support/ggufWriter';
import { pick, ODD_NUMBERS } from './mutate';

type Metadata = readonly (readonly [string, Value])[];
/** What a GGUF file is made of. */
export interface GgufContent {
  readonly metadata: Metadata;
  readonly tensors: readonly TensorSpec[];
}

/** Values of the wrong type, and beyond any limit. */
const ODD_VALUES: readonly Value[] = [
  { u32: 0 },
  { u32: 1 },
  { u32: 0xffffffff },
  { bool: true },
  { text: '' },
  { text: 'llama' },
  { text: '\0'.repeat(3000) },
  { texts: [] },
  { texts: ['a', ''] },
  { ints: [1, -1] },
  { floats: [NaN] },
  ...ODD_NUMBERS.map((f32) => ({ f32 })),
];

/** Metadata that adapters and parts of models have. */
const KEYS = [
  'general.architecture',
  'general.type',
  'general.name',
  'general.base_model.0.repo_url',
  'adapter.type',
  'adapter.lora.alpha',
  'adapter.lora.rank',
  'adapter.lora.task_name',
  'adapter.lora.prompt_prefix',
  'adapter.alora.invocation_tokens',
  'split.no',
  'split.count',
  'split.tensors.count',
  '__proto__',
  '',
];
const NAMES = [
  'blk.0.attn_q.weight.lora_a',
  'blk.0.attn_q.weight.lora_b',
  'blk.0.attn_q.bias',
  'blk.99999999999.attn_q.weight.lora_a',
  'blk.0.ffn_up.weight',
  'token_embd.weight.lora_a',
  'token_embd.weight',
  'output.weight.lora_b',
  '__proto__',
  '',
];
/** Of at most 64 numbers, so that the file has as many as the shape says. */
const SHAPES: readonly (readonly number[])[] = [[], [1], [64], [4, 16], [2, 2, 2], [0, 4], [1, 1]];

/** A GGUF file with up to three changed metadata or tensors, but well-formed; null: unchanged. */
export function damagedGguf(content: GgufContent, random: Random | null): Buffer {
  let { metadata, tensors } = content;
  if (random === null) return ggufBytes(metadata, tensors);
  for (let n = 1 + Math.floor(random() * 3); n > 0; n--)
    if (random() < 0.6) metadata = otherMetadata(metadata, random);
    else tensors = otherTensors(tensors, random);
  return ggufBytes(metadata, tensors);
}

function otherMetadata(metadata: Metadata, random: Random): Metadata {
  const at = Math.floor(random() * metadata.length);
  const [key] = metadata[at] ?? ['a'];
  const kind = random();
  if (kind < 0.2) return metadata.toSpliced(at, 1);
  if (kind < 0.6) return metadata.with(at, [key, pick(ODD_VALUES, random)]);
  if (kind < 0.7) return [...metadata, [key, pick(ODD_VALUES, random)]];
  return [
    ...metadata.filter(([own]) => own !== pick(KEYS, random)),
    [pick(KEYS, random), pick(ODD_VALUES, random)],
  ];
}

function otherTensors(tensors: readonly TensorSpec[], random: Random): readonly TensorSpec[] {
  const at = Math.floor(random() * tensors.length);
  const own = tensors[at];
  if (!own || random() < 0.2) return tensors.slice(0, at);
  if (random() < 0.2) return [...tensors, own];
  if (random() < 0.5) return tensors.with(at, { ...own, name: pick(NAMES, random) });
  const shape = pick(SHAPES, random);
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(pick(ODD_NUMBERS, random));
  return tensors.with(at, { ...own, shape, data });
}

const factor = (name: string, shape: readonly number[]): TensorSpec => ({
  name,
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5),
});

/** An adapter of a llama. */
export const GGUF_ADAPTER: GgufContent = {
  metadata: [
    ['general.architecture', { text: 'llama' }],
    ['general.type', { text: 'adapter' }],
    ['general.name', { text: 'a' }],
    ['adapter.type', { text: 'lora' }],
    ['adapter.lora.alpha', { f32: 8 }],
  ],
  tensors: ['blk.0.attn_output', 'blk.0.ffn_up'].flatMap((name) => [
    factor(`${name}.weight.lora_a`, [2, 48]),
    factor(`${name}.weight.lora_b`, [48, 2]),
  ]),
};
