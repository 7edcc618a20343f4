import { LoraError } from '../shared/errors';

type Config = Readonly<Record<string, unknown>>;

/** Rotary position embeddings: base frequency and how it is stretched for longer contexts. */
export type Rope =
  | { readonly kind: 'default'; readonly theta: number }
  | { readonly kind: 'linear'; readonly theta: number; readonly factor: number }
  | {
      readonly kind: 'llama3';
      readonly theta: number;
      readonly factor: number;
      readonly low_freq_factor: number;
      readonly high_freq_factor: number;
      readonly original_max_position_embeddings: number;
    };

/** rope_parameters, or the older rope_theta and rope_scaling. Errors: LoraError('base'). */
export function readRope(config: Config, file: string): Rope {
  const settings = { ...record(config['rope_scaling']), ...record(config['rope_parameters']) };
  const theta = numberAt(settings['rope_theta'] ?? config['rope_theta'] ?? 10_000, 'rope_theta', file);
  const kind: unknown = settings['rope_type'] ?? settings['type'] ?? 'default';
  const at = (key: string) => numberAt(settings[key], key, file);
  switch (kind) {
    case 'default':
      return { kind, theta };
    case 'linear':
      return { kind, theta, factor: at('factor') };
    case 'llama3':
      return {
        kind, theta, factor: at('factor'), low_freq_factor: at('low_freq_factor'), high_freq_factor: at('high_freq_factor'),
        original_max_position_embeddings: at('original_max_position_embeddings'),
      };
    default:
      throw new LoraError('base', `The rotary embedding ${JSON.stringify(kind)} is not known. Known are: default, linear, llama3.`, { place: { file, key: 'rope_type' } });
  }
}

/** Angle per position of each pair of a head [head_dim / 2]. llama3: Meta's reference (llama_models, apply_scaling), as in transformers. */
export function inverseFrequencies(rope: Rope, head_dim: number): Float32Array {
  const frequencies = Float32Array.from({ length: head_dim / 2 }, (_, i) => 1 / Math.fround(Math.pow(rope.theta, (2 * i) / head_dim)));
  switch (rope.kind) {
    case 'default':
      return frequencies;
    case 'linear':
      return frequencies.map((f) => f / rope.factor);
    case 'llama3':
      return frequencies.map((f) => llama3Frequency(f, rope));
  }
}

function llama3Frequency(frequency: number, rope: Rope & { kind: 'llama3' }): number {
  const turns = (rope.original_max_position_embeddings * frequency) / (2 * Math.PI);
  if (turns > rope.high_freq_factor) return frequency;
  if (turns < rope.low_freq_factor) return frequency / rope.factor;
  const smooth = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return ((1 - smooth) * frequency) / rope.factor + smooth * frequency;
}

/** Head counts of a fused row [num_heads · q, num_kv_heads · k, num_kv_heads · v], each head_dim wide. */
export interface HeadLayout {
  readonly num_heads: number;
  readonly num_kv_heads: number;
  readonly head_dim: number;
}

/**
 * Complex factors for `Ops.rotate` on rows of q, k and v whose rotary pairs lie side by side: e^(i·position·frequency) for k, the same
 * times 1/√head_dim for q (attention's scale), 1 for v. [length, num_heads + 2·num_kv_heads, head_dim / 2, 2]
 */
export function rotaryTable(frequencies: Float32Array, layout: HeadLayout, start: number, length: number, direction: 1 | -1): Float32Array {
  const heads = layout.num_heads + 2 * layout.num_kv_heads;
  const table = new Float32Array(length * heads * layout.head_dim);
  const scale = 1 / Math.sqrt(layout.head_dim);
  for (let t = 0; t < length; t++) {
    for (let i = 0; i < frequencies.length; i++) {
      const angle = Math.fround((start + t) * frequencies[i]!);
      const [cos, sin] = [Math.cos(angle), direction * Math.sin(angle)];
      for (let head = 0; head < heads; head++) {
        const at = (t * heads + head) * layout.head_dim + 2 * i;
        const rotates = head < layout.num_heads + layout.num_kv_heads;
        const factor = head < layout.num_heads ? scale : 1;
        table[at] = rotates ? cos * factor : 1;
        table[at + 1] = rotates ? sin * factor : 0;
      }
    }
  }
  return table;
}

/** Old row of each new row when the two halves of every head are interleaved: 0, d/2, 1, d/2 + 1, … */
export function interleavedRows(rows: number, head_dim: number): Int32Array {
  return Int32Array.from({ length: rows }, (_, row) => {
    const within = row % head_dim;
    return row - within + (within >> 1) + (within & 1) * (head_dim / 2);
  });
}

const record = (value: unknown): Config => (typeof value === 'object' && value !== null ? (value as Config) : {});

function numberAt(value: unknown, key: string, file: string): number {
  if (typeof value === 'number' && value > 0) return value;
  throw new LoraError('base', `The model's config is not usable: "${key}" must be above 0, not ${JSON.stringify(value)}.`, { place: { file, key } });
}
