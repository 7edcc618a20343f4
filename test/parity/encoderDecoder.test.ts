import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { logProbabilitiesOf } from '../../src/engine/evaluation/likelihood';
import { BatchScheduler } from '../../src/engine/serve/batchScheduler';
import { CHUNK_TOKENS } from '../../src/models/decoder';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import type { Adapter } from '../../src/lora/adapter';
import { loadModel } from '../../src/models/loadModel';
import type { LabelledInput, Model } from '../../src/models/model';
import type { Ops } from '../../src/models/ops/ops';
import {
  caseInput,
  cpuOps,
  fixtures,
  gap,
  largest,
  loadFixture,
  readFloats,
  readJson,
  tensorFlowOps,
  withBase,
  type SingleCase,
} from '../support/models';

interface AnsweredCase extends SingleCase {
  readonly start_id: number;
  /** What transformers writes to each row, after the start token, and padding. */
  readonly generated: readonly (readonly number[])[];
}

const CASES = ['t5-tied/lora', 'mt5/lora'] as const;
const END = 2;
/** As in make_families.py. */
const GREEDY = { temperature: 0, seed: 0, stop_ids: [END], repetition_penalty: 9 };

let tensorFlow: Ops;
let cpu: Ops;
beforeAll(async () => {
  tensorFlow = await tensorFlowOps();
  cpu = (await cpuOps()).ops;
});

const baseOf = (name: string) => `${name.split('/')[0]!}/base`;
const expectedOf = (name: string) => readJson(name, 'expected.json') as AnsweredCase;

/** The prompts of a case without their padding. */
const promptsOf = ({ inputs }: AnsweredCase): number[][] =>
  inputs.input_ids!.map((ids, row) => ids.filter((_, i) => inputs.attention_mask![row]![i] === 1));

/** What follows the start token, up to the end token. */
function answerOf(generated: readonly number[]): readonly number[] {
  const written = generated.slice(1);
  const end = written.indexOf(END);
  return end < 0 ? written : written.slice(0, end);
}

async function inputOf(name: string): Promise<LabelledInput> {
  return caseInput(name, expectedOf(name), await readFloats(name, 'expected.safetensors'));
}

describe.each(CASES)('%s', (name) => {
  it.each(['libtensorflow', 'tfjs'])('writes what transformers writes, by %s', async (kind) => {
    const ops = kind === 'tfjs' ? cpu : tensorFlow;
    const expected = expectedOf(name);
    const model = await loadFixture(ops, baseOf(name), `${name}/adapter`);
    const tensors = model.liveTensors();
    for (const [row, prompt] of promptsOf(expected).entries()) {
      const generated = expected.generated[row]!;
      const max_new_tokens = generated.length - 1;
      const ids = await model.generate(prompt, { ...GREEDY, max_new_tokens });
      expect(ids).toEqual(answerOf(generated));
    }
    expect(model.liveTensors()).toBe(tensors);
    model.dispose();
  });

  it('has the same gradients by the operations of tfjs', async () => {
    const want = await readFloats(name, 'expected.safetensors');
    const input = await inputOf(name);
    const model = await loadFixture(cpu, baseOf(name), `${name}/adapter`);
    const { loss_sum, labelled } = await model.accumulate(input, 0);
    expect(Math.abs(loss_sum / labelled - expectedOf(name).adapter_loss)).toBeLessThan(1e-4);
    const gradients = await model.gradients(labelled);
    expect(gradients.size).toBeGreaterThan(0);
    for (const [key, { data }] of gradients) {
      const expected = want.get(`grad.${key}`)!;
      const most = 1e-4 * Math.max(1e-2, largest(expected));
      expect(gap(data, expected), key).toBeLessThanOrEqual(most);
    }
    model.dispose();
  });
});

it('writes the most likely token of the whole text again at each step', async () => {
  const model = await loadFixture(tensorFlow, 't5/base', 't5/qv/adapter');
  const prompt = [126, 288, 20, 289, 287, 191, 50, 329];
  const settings = { ...GREEDY, repetition_penalty: 1, stop_ids: [], max_new_tokens: 20 };
  const written = await model.generate(prompt, settings);
  const source = wholeRow(prompt);
  const answer = wholeRow([0, ...written]);
  const logits = await model.logits({ ...answer, source });
  const width = logits.length / answer.length;
  const best = Array.from({ length: written.length }, (_, i) => {
    const row = logits.subarray(i * width, (i + 1) * width);
    return row.indexOf(largestOf(row));
  });
  expect(written).toEqual(best);
  expect(new Set(written).size).toBeGreaterThan(4);
  model.dispose();
});

const largestOf = (row: Float32Array): number => row.reduce((a, b) => Math.max(a, b));
const wholeRow = (ids: readonly number[]) => ({
  batch: 1,
  length: ids.length,
  input_ids: Int32Array.from(ids),
  attention_mask: new Int32Array(ids.length).fill(1),
});

it('writes several texts at once, each with the keys of its own prompt', async () => {
  const model = await loadFixture(tensorFlow, 't5/base', 't5/qv/adapter');
  const tensors = model.liveTensors();
  const prompts = [[16, 23, 162, 33, 68], [126, 288, 20], [5]];
  const alone = [];
  for (const prompt of prompts)
    alone.push(await model.generate(prompt, { ...GREEDY, stop_ids: [], max_new_tokens: 9 }));
  const plain = [];
  for (const prompt of prompts)
    plain.push(
      await model.generate(prompt, {
        ...GREEDY,
        repetition_penalty: 1,
        stop_ids: [],
        max_new_tokens: 9,
      }),
    );
  expect(await writtenTogether(model, prompts, 9)).toEqual(plain);
  expect(plain).not.toEqual(alone);
  expect(model.liveTensors()).toBe(tensors);
  model.dispose();
});

async function writtenTogether(
  model: Model,
  prompts: readonly (readonly number[])[],
  count: number,
): Promise<number[][]> {
  const decoder = model.decoder();
  const sequences = prompts.map(() => decoder.open());
  const written: number[][] = [];
  for (const [i, prompt] of prompts.entries()) {
    const logits = await decoder.read(sequences[i]!, Int32Array.from(prompt), { isLast: true });
    const row = logits as Float32Array;
    written.push([row.indexOf(largestOf(row))]);
  }
  for (let step = 1; step < count; step++) {
    const last = written.map((own) => own.at(-1)!);
    const next = await decoder.step(sequences, last);
    written.forEach((own, i) => {
      const { logits } = next[i]!;
      own.push(logits.indexOf(largestOf(logits)));
    });
  }
  sequences.forEach((own) => decoder.close(own));
  return written;
}

/** Modules that train; gradients must reach them, even through the encoder alone. */
const PARTS: readonly (readonly [string, RegExp])[] = [
  ['all', /./],
  ['the encoder', /^encoder/],
  ['the lower layer of the encoder', /^encoder\.block\.0/],
  ['the decoder', /^decoder/],
  ['the upper layer of the decoder', /^decoder\.block\.2/],
  ['queries of attention to the encoder', /EncDecAttention\.q$/],
  ['keys and values of attention to the encoder', /EncDecAttention\.[kv]$/],
  ['outputs of attention to the encoder', /EncDecAttention\.o$/],
  ['the MLPs of the decoder', /^decoder.*\.w[io](?:_\d)?$/],
];

describe('gradients of the part of an adapter that trains', () => {
  it.each(PARTS)('are those of the whole adapter: %s', async (_name, pattern) => {
    const name = 'mt5/lora';
    const input = await inputOf(name);
    const want = await readFloats(name, 'expected.safetensors');
    const before = tensorFlow.live();
    const gradients = await withBase(path.join(fixtures, baseOf(name)), async (base) => {
      const folder = path.join(fixtures, name, 'adapter');
      const { adapter } = await readPeftAdapter(folder, adapterBaseOf(base));
      const part = (trains: boolean): Adapter => ({
        ...adapter,
        modules: adapter.modules.filter((own) => pattern.test(own.path) === trains),
      });
      const options = { ops: tensorFlow, below: [part(false)] };
      const model = await loadModel(base, part(true), options);
      const loaded = tensorFlow.live();
      const { loss_sum, labelled } = await model.accumulate(input, 0);
      expect(Math.abs(loss_sum / labelled - expectedOf(name).adapter_loss)).toBeLessThan(1e-5);
      const found = await model.gradients(labelled);
      expect(tensorFlow.live()).toBe(loaded);
      model.dispose();
      return found;
    });
    expect(tensorFlow.live()).toBe(before);
    expect(gradients.size).toBeGreaterThan(0);
    for (const [key, { data }] of gradients) {
      const expected = want.get(`grad.${key}`)!;
      const most = 1e-4 * Math.max(1e-2, largest(expected));
      expect(gap(data, expected), key).toBeLessThanOrEqual(most);
    }
  });
});

describe('a server', () => {
  const request = (input_ids: readonly number[], repetition_penalty: number) => ({
    mix: [],
    input_ids,
    stop_ids: [],
    max_new_tokens: 9,
    sampling: { temperature: 0, seed: 0, repetition_penalty },
    constraint: null,
    top_logprobs: null,
    onToken: () => true,
    signal: new AbortController().signal,
  });

  it('writes for several requests what each prompt gets alone, in chunks and again', async () => {
    const model = await loadFixture(tensorFlow, 't5/base', 't5/qv/adapter');
    const tensors = model.liveTensors();
    const long = Array.from({ length: CHUNK_TOKENS + 30 }, (_, i) => (i * 17 + 3) % 380);
    const prompts = [[16, 23, 162, 33, 68], long, [5], long, [...long, 7]];
    const limits = { sequences: 3, waiting: 9, kept_bytes: 1e9 };
    const scheduler = new BatchScheduler({ mixed: () => Promise.resolve({ model }) }, limits);
    const written = prompts.map(async (prompt, i) => {
      const ids: number[] = [];
      const onToken = (id: number) => ids.push(id) > 0;
      const end = await scheduler.generate({ ...request(prompt, 1 + (i % 2)), onToken });
      expect(end).toEqual({ reason: 'length', cached_tokens: 0 });
      return ids;
    });
    const together = await Promise.all(written);
    for (const [i, prompt] of prompts.entries()) {
      const options = { ...request(prompt, 1 + (i % 2)).sampling, stop_ids: [], max_new_tokens: 9 };
      expect(together[i], `prompt ${i}`).toEqual(await model.generate(prompt, options));
    }
    expect(together[0]).not.toEqual(together[2]);
    await scheduler.close();
    expect(model.liveTensors()).toBe(tensors);
    model.dispose();
  });

  it('measures answers to prompts by the logits of the decoder', async () => {
    const model = await loadFixture(tensorFlow, 't5/base', 't5/qv/adapter');
    const texts = [
      { source: [126, 288, 20, 1], ids: [0, 9, 33, 120], from: 1 },
      { source: [5], ids: [0, 44], from: 1 },
      { source: [126, 288, 20, 1], ids: [0, 7, 8, 300, 12, 6], from: 1 },
    ];
    const sums = await logProbabilitiesOf(model, texts, 0);
    for (const [i, { source, ids }] of texts.entries()) {
      const logits = await model.logits({ ...wholeRow(ids), source: wholeRow(source) });
      const width = logits.length / ids.length;
      const expected = ids.slice(1).reduce((sum, id, at) => {
        const row = logits.subarray(at * width, (at + 1) * width);
        const top = largestOf(row);
        return sum + row[id]! - top - Math.log(row.reduce((all, z) => all + Math.exp(z - top), 0));
      }, 0);
      expect(Math.abs(sums[i]! - expected)).toBeLessThan(1e-4);
    }
    model.dispose();
  });
});
