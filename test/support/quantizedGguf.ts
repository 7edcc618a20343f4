import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { GGUF_TYPES } from '../../src/formats/gguf/header';
import { writeGguf, type GgufEntry } from '../../src/formats/gguf/write';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import type { DType } from '../../src/formats/tensorInfo';
import type { TensorToWrite } from '../../src/formats/tensorWriter';
import type { Random } from '../../src/shared/random';
import { fixtures } from './models';

// A small Qwen2 of random blocks, and random adapters of it.

const [HIDDEN, INNER, VOCAB, R, ALPHA] = [256, 512, 32, 3, 5];
/** llama.cpp's names of the tied or untied tables. */
export const [EMBED, OUTPUT] = ['token_embd.weight', 'output.weight'];

/** llama.cpp's and PEFT's names, [out, in]; a bias or none. */
const LINEARS = [
  ['attn_q', 'self_attn.q_proj', [HIDDEN, HIDDEN], true],
  ['attn_k', 'self_attn.k_proj', [HIDDEN / 2, HIDDEN], true],
  ['attn_v', 'self_attn.v_proj', [HIDDEN / 2, HIDDEN], true],
  ['attn_output', 'self_attn.o_proj', [HIDDEN, HIDDEN], false],
  ['ffn_gate', 'mlp.gate_proj', [INNER, HIDDEN], false],
  ['ffn_up', 'mlp.up_proj', [INNER, HIDDEN], false],
  ['ffn_down', 'mlp.down_proj', [HIDDEN, INNER], false],
] as const;

/** The types whose numbers are read. */
export const BLOCK_TYPES = [
  ...(['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q2_K', 'Q3_K'] as const),
  ...(['Q4_K', 'Q5_K', 'Q6_K', 'IQ4_NL', 'IQ4_XS', 'MXFP4'] as const),
] satisfies readonly DType[];
/** F16 holds the sum of such a number and an update. */
const LARGEST = 1000;

export type Values = Map<string, { readonly dtype: string; readonly values: Float32Array }>;

const pick = <T>(from: readonly T[], random: Random): T =>
  from[Math.floor(random() * from.length)]!;
const drawn = (length: number, random: Random): Float32Array =>
  Float32Array.from({ length }, () => 0.2 * (random() - 0.5));

/** Blocks in random order, with the numbers that the gguf package reads from them. */
function quantized(
  name: string,
  shape: readonly [number, number],
  { dtype, random }: { readonly dtype: DType; readonly random: Random },
): { readonly tensor: TensorToWrite; readonly values: Float32Array } {
  const { block, bytes } = GGUF_TYPES.get(dtype)!;
  const at = (end: string) => readFileSync(path.join(fixtures, 'gguf-blocks', `${dtype}.${end}`));
  const stored = at('blocks');
  const known = new Float32Array(Uint8Array.from(at('f32')).buffer);
  const usable = Array.from({ length: known.length / block }, (_, i) => i).filter((i) =>
    known.subarray(i * block, (i + 1) * block).every((value) => Math.abs(value) < LARGEST),
  );
  const count = (shape[0] * shape[1]) / block;
  const data = new Uint8Array(count * bytes);
  const values = new Float32Array(count * block);
  for (let i = 0; i < count; i++) {
    const own = pick(usable, random);
    data.set(stored.subarray(own * bytes, (own + 1) * bytes), i * bytes);
    values.set(known.subarray(own * block, (own + 1) * block), i * block);
  }
  return { tensor: { name, shape, dtype, data }, values };
}

const metadataOf = (layers: number): readonly GgufEntry[] => [
  { key: 'general.architecture', type: 'string', value: 'qwen2' },
  ...Object.entries({
    block_count: layers,
    context_length: 64,
    embedding_length: HIDDEN,
    feed_forward_length: INNER,
    'attention.head_count': 4,
    'attention.head_count_kv': 2,
  }).map(([key, value]): GgufEntry => ({ key: `qwen2.${key}`, type: 'u32', value })),
  { key: 'qwen2.attention.layer_norm_rms_epsilon', type: 'f32', value: 1e-6 },
  { key: 'qwen2.rope.freq_base', type: 'f32', value: 10_000 },
];

interface BaseForm {
  readonly tied: boolean;
  readonly layers: number;
  readonly random: Random;
  /** Of the next matrix. */
  readonly nextType: () => DType;
}

/** Writes a Qwen2 of quantized weights; returns its numbers. */
export async function writeQuantizedBase(file: string, form: BaseForm): Promise<Values> {
  const { tied, layers, random, nextType } = form;
  const numbers: Values = new Map();
  const tensors: TensorToWrite[] = [];
  const add = (name: string, shape: readonly [number, number]) => {
    const { tensor, values } = quantized(name, shape, { dtype: nextType(), random });
    tensors.push(tensor);
    numbers.set(name, { dtype: tensor.dtype, values });
  };
  const addVector = (name: string, length: number) => {
    const data = drawn(length, random);
    tensors.push({ name, shape: [length], dtype: 'F32', data });
    numbers.set(name, { dtype: 'F32', values: data });
  };
  add(EMBED, [VOCAB, HIDDEN]);
  if (!tied) add(OUTPUT, [VOCAB, HIDDEN]);
  addVector('output_norm.weight', HIDDEN);
  for (let layer = 0; layer < layers; layer++) {
    for (const norm of ['attn_norm', 'ffn_norm']) addVector(`blk.${layer}.${norm}.weight`, HIDDEN);
    for (const [own, , shape, hasBias] of LINEARS) {
      add(`blk.${layer}.${own}.weight`, shape);
      if (hasBias) addVector(`blk.${layer}.${own}.bias`, shape[0]);
    }
  }
  await writeGguf(file, metadataOf(layers), tensors);
  return numbers;
}

/** An adapter as PEFT saves it, and what it does to the base's tensors. */
export class RandomAdapter {
  readonly tensors: TensorToWrite[] = [];
  readonly targets: string[] = [];
  readonly saved: string[] = [];
  /** By llama.cpp's names: updates in f64, and tensors that take the base's place. */
  readonly updates = new Map<string, Float64Array>();
  readonly replaced = new Map<string, Float32Array>();

  /** `share`: of the linear layers that are adapted. */
  constructor(
    private readonly random: Random,
    {
      layers,
      share,
      changesOutput,
    }: Readonly<Record<'layers' | 'share', number>> & {
      readonly changesOutput: boolean;
    },
  ) {
    for (let layer = 0; layer < layers; layer++) this.adaptLayer(layer, share);
    if (changesOutput) this.changeOutput();
  }

  private adaptLayer(layer: number, share: number): void {
    const [own, theirs] = [`blk.${layer}`, `model.layers.${layer}`];
    for (const [name, module, shape, hasBias] of LINEARS) {
      if (this.random() >= share) continue;
      this.adapt(`${own}.${name}.weight`, `${theirs}.${module}`, shape);
      if (hasBias) this.replace(`${own}.${name}.bias`, `${theirs}.${module}.bias`, [shape[0]]);
    }
  }

  private changeOutput(): void {
    const { random } = this;
    const kind = random();
    const shape = [VOCAB, HIDDEN] as const;
    if (kind < 0.5) this.adapt(OUTPUT, 'lm_head', shape);
    if (kind > 0.4) this.save(EMBED, 'model.embed_tokens', shape);
    if (kind > 0.8) this.save(OUTPUT, 'lm_head', shape);
  }

  write(folder: string): Promise<void> {
    mkdirSync(folder);
    const config = {
      ...{ peft_type: 'LORA', task_type: 'CAUSAL_LM', bias: 'lora_only' },
      ...{ r: R, lora_alpha: ALPHA, base_model_name_or_path: null },
      target_modules: this.targets,
      modules_to_save: this.saved,
    };
    writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(config));
    return writeSafetensors(path.join(folder, 'adapter_model.safetensors'), this.tensors).then(
      () => undefined,
    );
  }

  private adapt(own: string, theirs: string, [rows, columns]: readonly [number, number]): void {
    const [A, B] = [drawn(R * columns, this.random), drawn(rows * R, this.random)];
    this.add(`${theirs}.lora_A.weight`, [R, columns], A);
    this.add(`${theirs}.lora_B.weight`, [rows, R], B);
    this.targets.push(theirs);
    const dot = (row: number, column: number) =>
      [0, 1, 2].reduce((sum, k) => sum + B[row * R + k]! * A[k * columns + column]!, 0);
    this.updates.set(
      own,
      Float64Array.from(
        { length: rows * columns },
        (_, i) => (ALPHA / R) * dot(Math.floor(i / columns), i % columns),
      ),
    );
  }

  private save(own: string, theirs: string, shape: readonly number[]): void {
    this.saved.push(theirs);
    this.replace(own, `${theirs}.weight`, shape);
  }

  private replace(own: string, theirs: string, shape: readonly number[]): void {
    const data = drawn(
      shape.reduce((a, b) => a * b, 1),
      this.random,
    );
    this.add(theirs, shape, data);
    this.replaced.set(own, data);
  }

  private add(name: string, shape: readonly number[], data: Float32Array): void {
    this.tensors.push({ name: `base_model.model.${name}`, shape, dtype: 'F32', data });
  }
}
