import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { MergeDtype } from '../../../src/engine/merge/form';
import { mergeModel } from '../../../src/engine/merge/mergeModel';
import { GGUF_TYPES } from '../../../src/formats/gguf/header';
import { GgufFile } from '../../../src/formats/gguf/read';
import { writeGguf, type GgufEntry } from '../../../src/formats/gguf/write';
import { writeSafetensors } from '../../../src/formats/safetensors/write';
import type { DType } from '../../../src/formats/tensorInfo';
import type { TensorToWrite } from '../../../src/formats/tensorWriter';
import { createRandom, type Random } from '../../../src/shared/random';
import { fixtures, gap, largest } from '../../support/models';
import { PLAIN_MERGE } from '../../support/mergeOptions';
import { temp } from '../../support/temp';

const [HIDDEN, INNER, VOCAB, R, ALPHA] = [256, 512, 32, 3, 5];
const [EMBED, OUTPUT] = ['token_embd.weight', 'output.weight'];

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
const TYPES = ['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K'];

type Values = Map<string, { readonly dtype: string; readonly values: Float32Array }>;

const pick = <T>(from: readonly T[], random: Random): T =>
  from[Math.floor(random() * from.length)]!;
const drawn = (length: number, random: Random): Float32Array =>
  Float32Array.from({ length }, () => 0.2 * (random() - 0.5));

/** Blocks in random order, with the numbers that the gguf package reads from them. */
function quantized(
  name: string,
  shape: readonly [number, number],
  random: Random,
): { readonly tensor: TensorToWrite; readonly values: Float32Array } {
  const dtype = pick(TYPES, random) as DType;
  const { block, bytes } = GGUF_TYPES.get(dtype)!;
  const at = (end: string) => readFileSync(path.join(fixtures, 'gguf-blocks', `${dtype}.${end}`));
  const stored = at('blocks');
  const known = new Float32Array(Uint8Array.from(at('f32')).buffer);
  const count = (shape[0] * shape[1]) / block;
  const data = new Uint8Array(count * bytes);
  const values = new Float32Array(count * block);
  for (let i = 0; i < count; i++) {
    const own = Math.floor((random() * known.length) / block);
    data.set(stored.subarray(own * bytes, (own + 1) * bytes), i * bytes);
    values.set(known.subarray(own * block, (own + 1) * block), i * block);
  }
  return { tensor: { name, shape, dtype, data }, values };
}

const METADATA: readonly GgufEntry[] = [
  { key: 'general.architecture', type: 'string', value: 'qwen2' },
  ...Object.entries({
    block_count: 1,
    context_length: 64,
    embedding_length: HIDDEN,
    feed_forward_length: INNER,
    'attention.head_count': 4,
    'attention.head_count_kv': 2,
  }).map(([key, value]): GgufEntry => ({ key: `qwen2.${key}`, type: 'u32', value })),
  { key: 'qwen2.attention.layer_norm_rms_epsilon', type: 'f32', value: 1e-6 },
  { key: 'qwen2.rope.freq_base', type: 'f32', value: 10_000 },
];

/** A base of quantized weights, tied or not, and its numbers. */
async function baseIn(file: string, tied: boolean, random: Random): Promise<Values> {
  const numbers: Values = new Map();
  const tensors: TensorToWrite[] = [];
  const add = (name: string, shape: readonly [number, number]) => {
    const { tensor, values } = quantized(name, shape, random);
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
  for (const norm of ['attn_norm', 'ffn_norm']) addVector(`blk.0.${norm}.weight`, HIDDEN);
  for (const [own, , shape, hasBias] of LINEARS) {
    add(`blk.0.${own}.weight`, shape);
    if (hasBias) addVector(`blk.0.${own}.bias`, shape[0]);
  }
  await writeGguf(file, METADATA, tensors);
  return numbers;
}

/** An adapter as PEFT saves it, and what it does to the base's tensors. */
class RandomAdapter {
  readonly tensors: TensorToWrite[] = [];
  readonly targets: string[] = [];
  readonly saved: string[] = [];
  /** By llama.cpp's names: updates in f64, and tensors that take the base's place. */
  readonly updates = new Map<string, Float64Array>();
  readonly replaced = new Map<string, Float32Array>();

  constructor(
    private readonly random: Random,
    changesOutput: boolean,
  ) {
    for (const [own, theirs, shape, hasBias] of LINEARS) {
      if (random() < 0.3) continue;
      this.adapt(`blk.0.${own}.weight`, `model.layers.0.${theirs}`, shape);
      if (hasBias) this.replace(`blk.0.${own}.bias`, `model.layers.0.${theirs}.bias`, [shape[0]]);
    }
    if (!changesOutput) return;
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

/** The largest error of a number of this size in each type. */
const ERROR_OF: Readonly<Record<string, number>> = {
  F32: 2 ** -23,
  F16: 2 ** -10,
  BF16: 2 ** -8,
  Q8_0: 0.57 / 127, // half a step, and that of the scale in f16
};
const DTYPES: readonly MergeDtype[] = ['keep', 'float32', 'bfloat16', 'float16', 'q8_0'];

it.each(Array.from({ length: 20 }, (_, seed) => seed))(
  "a merge into quantized weights is W + dW within the certificate's rounding error: %i",
  async (seed) => {
    const random = createRandom(seed, 'quantized');
    const folder = temp();
    const [base, adapterPath, output] = ['base.gguf', 'adapter', 'merged.gguf'].map((name) =>
      path.join(folder, name),
    ) as [string, string, string];
    const tied = random() < 0.5;
    const numbers = await baseIn(base, tied, random);
    const adapter = new RandomAdapter(random, seed % 4 > 0);
    await adapter.write(adapterPath);
    const dtype = DTYPES[seed % DTYPES.length]!;
    const merged = await mergeModel({
      ...PLAIN_MERGE,
      ...{ base, adapters: [adapterPath], output, dtype },
    });
    const isUntied = tied && [OUTPUT, EMBED].some((own) => changes(adapter, own));
    expect(merged.untied).toBe(isUntied);
    const file = await GgufFile.open(output);
    const stored = file.header.tensors;
    expect([...stored.keys()].sort()).toEqual(
      [...numbers.keys(), ...(isUntied ? [OUTPUT] : [])].sort(),
    );
    for (const tensor of stored.values()) {
      const before = numbers.get(tensor.name) ?? numbers.get(EMBED)!;
      const update = adapter.updates.get(tensor.name);
      const want =
        adapter.replaced.get(tensor.name) ??
        before.values.map((value, i) => value + (update?.[i] ?? 0));
      const error = gap(await file.readF32(tensor), want);
      const isSame = !changes(adapter, tensor.name) && tensor.dtype === before.dtype;
      const limit = isSame ? 0 : ERROR_OF[tensor.dtype]! * largest(want);
      expect(error, `${tensor.name} ${before.dtype} to ${tensor.dtype}`).toBeLessThanOrEqual(limit);
      const stated = merged.tensors.find(({ name }) => name === tensor.name);
      expect(stated !== undefined).toBe(update !== undefined);
      if (stated)
        expect(error).toBeLessThanOrEqual(stated.rounding_error + 2 ** -22 * largest(want));
    }
    await file.close();
  },
);

const changes = ({ updates, replaced }: RandomAdapter, name: string): boolean =>
  updates.has(name) || replaced.has(name);
