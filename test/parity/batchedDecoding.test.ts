import { beforeAll, describe, expect, it, vi } from 'vitest';
import { CHUNK_TOKENS } from '../../src/models/decoder';
import { loadModel } from '../../src/models/loadModel';
import type { Decoder, Model, Sequence } from '../../src/models/model';
import { KernelOps } from '../../src/models/ops/kernelOps';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { loadFixture, tensorFlowOps } from '../support/models';
import { smallAdapter, smallBase } from '../support/smallModel';
import { WITHOUT_KERNELS } from '../support/withoutKernels';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

const most = (logits: Float32Array) =>
  logits.reduce((best, z, id) => (z > logits[best]! ? id : best), 0);
const promptOf = (length: number, first: number) =>
  Array.from({ length }, (_, i) => (i * 17 + first) % 40);

const alone = (model: Model, prompt: readonly number[], count: number) =>
  model.generate(prompt, { temperature: 0, seed: 0, stop_ids: [], max_new_tokens: count });

interface Written {
  readonly sequence: Sequence;
  readonly ids: number[];
}

async function begin(decoder: Decoder, prompt: readonly number[]): Promise<Written> {
  const sequence = decoder.open();
  for (let start = 0; ; start += CHUNK_TOKENS) {
    const isLast = start + CHUNK_TOKENS >= prompt.length;
    const ids = Int32Array.from(prompt.slice(start, start + CHUNK_TOKENS));
    const logits = await decoder.read(sequence, ids, { isLast });
    if (logits instanceof Float32Array) return { sequence, ids: [most(logits)] };
  }
}

async function step(decoder: Decoder, written: readonly Written[]): Promise<void> {
  const next = await decoder.step(
    written.map((own) => own.sequence),
    written.map((own) => own.ids.at(-1)!),
  );
  written.forEach((own, i) => own.ids.push(most(next[i]!.logits)));
}

/** Sequences that join and leave at different steps write what each writes alone. */
async function expectSameAsAlone(
  model: Model,
  prompts: readonly (readonly number[])[],
): Promise<void> {
  const tensors = model.liveTensors();
  const decoder = model.decoder();
  const all: Written[] = [];
  let running: Written[] = [];
  for (const prompt of prompts) {
    const written = await begin(decoder, prompt);
    all.push(written);
    running.push(written);
    for (let i = 0; i < 4; i++) await step(decoder, running);
    if (running.length > 2) decoder.close(running[0]!.sequence);
    running = running.slice(running.length > 2 ? 1 : 0);
  }
  for (const { sequence } of running) decoder.close(sequence);
  expect(model.liveTensors()).toBe(tensors);
  for (const [i, prompt] of prompts.entries()) {
    const { ids } = all[i]!;
    expect(ids, `sequence ${i}`).toEqual(await alone(model, prompt, ids.length));
  }
}

describe('several sequences in one pass', () => {
  it.each([
    'llama',
    'mistral',
    'qwen2',
    'gemma2',
    'gpt2',
    'gpt_neox',
    'phi3',
    'granite',
    'olmo3',
    'ministral3',
    'ernie4_5',
    'glm4',
    'exaone4',
    'lfm2',
    'gemma4',
    'gpt_oss',
    'gemma4-moe',
    'qwen3_moe',
    'qwen3_5',
  ])('write the tokens that each writes alone: %s', async (family) => {
    const model = await loadFixture(ops, `${family}/base`, null);
    await expectSameAsAlone(model, [
      promptOf(5, 3),
      promptOf(19, 8),
      promptOf(2, 21),
      promptOf(9, 4),
    ]);
    model.dispose();
  });

  it.each(['rope-dynamic', 'rope-longrope-long', 'rope-yarn'])(
    'do so where frequencies depend on the length: %s',
    async (name) => {
      const model = await loadFixture(ops, `${name}/base`, null);
      await expectSameAsAlone(model, [promptOf(30, 3), promptOf(4, 8), promptOf(50, 5)]);
      model.dispose();
    },
  );

  it('do so with an adapter, windows, and prompts of several chunks', async () => {
    const adapter = smallAdapter(() => true);
    const model = await loadModel(smallBase(), adapter, { ops });
    await expectSameAsAlone(model, [promptOf(7, 1), promptOf(CHUNK_TOKENS + 9, 2), promptOf(3, 5)]);
    model.dispose();
  });
});

describe('the logits after all tokens of a prompt', () => {
  it.each(['llama', 'gemma2', 'gpt2'])(
    'are those of one pass, also in parts: %s',
    async (family) => {
      const model = await loadFixture(ops, `${family}/base`, null);
      const tensors = model.liveTensors();
      const ids = Int32Array.from(promptOf(11, 3));
      const whole = { batch: 1, length: 11, input_ids: ids, attention_mask: ids.map(() => 1) };
      const wanted = await model.logits(whole);
      const decoder = model.decoder();
      const sequence = decoder.open();
      const parts: number[] = [];
      for (const [start, end] of [
        [0, 4],
        [4, 11],
      ] as const) {
        const options = { isLast: end === 11, all: true };
        const logits = await decoder.read(sequence, ids.subarray(start, end), options);
        parts.push(...(logits as Float32Array));
      }
      decoder.close(sequence);
      expect(parts).toHaveLength(wanted.length);
      const gap = parts.reduce((most, z, i) => Math.max(most, Math.abs(z - wanted[i]!)), 0);
      expect(gap).toBeLessThan(1e-4);
      expect(model.liveTensors()).toBe(tensors);
      model.dispose();
    },
  );
});

/** Operations of a step by kernels: others join keys and values without padding. */
const OF_KERNELS = [
  ['llama', 'fused', 1],
  ['llama', 'pad', 1],
  ['llama', 'pad', 2],
  ['llama', 'pad', 3],
  ['llama', 'pad', 4],
] as const;

describe('keys and values that are kept', () => {
  it('continue where another prompt begins alike, also in the middle of a row block', async () => {
    const model = await loadModel(
      smallBase(),
      smallAdapter(() => true),
      { ops },
    );
    const decoder = model.decoder();
    const prompt = promptOf(150, 3);
    const first = await begin(decoder, prompt);
    const shared = 131;
    const other = [...prompt.slice(0, shared), ...promptOf(20, 30)];
    const sequence = decoder.copy(first.sequence, shared);
    decoder.close(first.sequence);
    const rest = Int32Array.from(other.slice(shared));
    const logits = await decoder.read(sequence, rest, { isLast: true });
    const written = { sequence, ids: [most(logits as Float32Array)] };
    for (let i = 0; i < 6; i++) await step(decoder, [written]);
    decoder.close(sequence);
    expect(written.ids).toEqual(await alone(model, other, 7));
    model.dispose();
  });

  it.each([
    ...(WITHOUT_KERNELS ? [] : OF_KERNELS),
    ['gemma2', 'concat', 1],
    ['gemma2', 'concat', 2],
    ['gemma2', 'concat', 3],
    ['gemma2', 'concat', 6],
  ] as const)(
    'are gone, and nothing else, after a step that fails: %s, %s %i',
    async (family, operation, at) => {
      const model = await loadFixture(ops, `${family}/base`, null);
      const tensors = model.liveTensors();
      const decoder = model.decoder();
      const written = [await begin(decoder, promptOf(6, 2)), await begin(decoder, promptOf(8, 5))];
      const kept = await begin(decoder, promptOf(4, 9));
      const outside = written.map(({ sequence }) => sequence);
      const failing = failAt(operation, at);
      await expect(decoder.step(outside, [1, 2])).rejects.toThrow('no memory');
      failing.mockRestore();
      expect(outside.map(({ length }) => length)).toEqual([0, 0]);
      await step(decoder, [kept]);
      expect(kept.ids).toEqual(await alone(model, promptOf(4, 9), 2));
      decoder.close(kept.sequence);
      expect(model.liveTensors()).toBe(tensors);
      model.dispose();
    },
  );
});

/** Lets a call of an operation fail, which is counted from 1. */
function failAt(operation: 'fused' | 'concat' | 'pad', at: number) {
  let calls = 0;
  const count = () => {
    if (++calls === at) throw new Error('no memory');
  };
  if (operation === 'concat') {
    return vi.spyOn(ops, 'concat').mockImplementation((...given) => {
      count();
      return TensorFlowOps.prototype.concat.call(ops, ...given);
    });
  }
  if (operation === 'pad') {
    return vi.spyOn(ops, 'pad').mockImplementation((...given) => {
      count();
      return TensorFlowOps.prototype.pad.call(ops, ...given);
    });
  }
  const { fused } = ops;
  if (!(fused instanceof KernelOps)) throw new Error('The binding has no kernels.');
  return vi.spyOn(fused, 'step').mockImplementation((...given) => {
    count();
    return KernelOps.prototype.step.call(fused, ...given);
  });
}
