import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import type { Adapter } from '../../src/lora/adapter';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Model } from '../../src/models/model';
import {
  adapterGap,
  fixtures,
  gap,
  inputOf,
  NO_ADAPTER,
  tensorFlowOps,
  readFloats,
  readJson,
  withBase,
  type Floats,
} from '../support/models';
import { smollm2Path } from '../support/realModels';

interface Greedy {
  readonly ids: readonly number[];
  readonly margin: number;
}
interface Expected {
  readonly prompts: readonly {
    readonly ids: readonly number[];
    readonly base_nll: number;
    readonly adapter_nll: number;
  }[];
  readonly chats: readonly {
    readonly ids: readonly number[];
    readonly greedy?: Greedy;
    readonly greedy_with_adapter?: Greedy;
  }[];
  readonly greedy_max_new_tokens: number;
}
interface Trajectory {
  readonly optimizer: { readonly weight_decay: number };
  readonly max_grad_norm: number;
  readonly records: readonly {
    readonly loss: number;
    readonly grad_norm: number;
    readonly lr: number;
  }[];
  readonly batches: Readonly<
    Record<'input_ids' | 'attention_mask' | 'labels', readonly (readonly (readonly number[])[])[]>
  >;
}

/** Tolerance of a logit; the rounding errors of the reference itself are 1.1e-4. */
const LOGITS = 1e-3;
const LOSS = 1e-4;
const END = 2;

const expected = readJson('real/smollm2/expected.json') as Expected;
const file = path.join(fixtures, 'real/smollm2/expected.safetensors');
const adapterAt = async (name: string) =>
  (await readPeftAdapter(path.join(fixtures, 'real/smollm2', name))).adapter;
const readIds = (name: string) => withSafetensors(file, (source) => source.readInts(name));

let ops: TensorFlowOps;
let want: Floats;
beforeAll(async () => {
  ops = await tensorFlowOps();
  want = await readFloats('real/smollm2/expected.safetensors');
});

async function load(adapter: Adapter): Promise<Model> {
  return withBase(await smollm2Path(), (base) => loadModel(base, adapter, { ops }));
}

const rowsOf = (x: Float32Array | Int32Array, width: number, row: number) =>
  Array.from(x.subarray(row * width, (row + 1) * width));

/** Number of the reference's top ids at a position whose lead exceeds the tolerance. */
function certainCount(ids: readonly number[], logits: readonly number[]): number {
  const tie = logits.findIndex((z, i) => i > 0 && logits[i - 1]! - z <= 2 * LOGITS);
  return tie < 0 ? ids.length - 1 : tie - 1;
}

async function expectPrompt(model: Model, kind: 'base' | 'adapter', i: number): Promise<void> {
  const { ids } = expected.prompts[i]!;
  const logits = await model.logits(inputOf({ input_ids: [ids], labels: [ids] }));
  const vocab = logits.length / ids.length;
  const [topIds, top, logsumexp] = [
    await readIds(`${kind}.${i}.top_ids`),
    want.get(`${kind}.${i}.top_logits`)!,
    want.get(`${kind}.${i}.logsumexp`)!,
  ];
  for (let t = 0; t < ids.length; t++) {
    const row = logits.subarray(t * vocab, (t + 1) * vocab);
    const [wantIds, wantTop] = [rowsOf(topIds, 8, t), rowsOf(top, 8, t)];
    expect(
      gap(
        Float32Array.from(wantIds, (id) => row[id]!),
        Float32Array.from(wantTop),
      ),
      `position ${t}`,
    ).toBeLessThanOrEqual(LOGITS);
    const best = Array.from(row, (_, id) => id).sort((a, b) => row[b]! - row[a]!);
    const count = certainCount(wantIds, wantTop);
    expect(best.slice(0, count)).toEqual(wantIds.slice(0, count));
    const highest = row[best[0]!]!;
    const sum = row.reduce((s, z) => s + Math.exp(z - highest), 0);
    expect(Math.abs(highest + Math.log(sum) - logsumexp[t]!)).toBeLessThanOrEqual(LOGITS);
  }
  if (kind === 'base' && i === 0)
    expect(
      gap(logits.subarray((ids.length - 1) * vocab), want.get('base.0.last_logits')!),
    ).toBeLessThanOrEqual(LOGITS);
}

describe.each([
  ['base', NO_ADAPTER],
  ['adapter', null],
] as const)('SmolLM2-135M-Instruct, %s', (kind, none) => {
  let model: Model;
  beforeAll(async () => {
    model = await load(none ?? (await adapterAt('adapter')));
    return () => model.dispose();
  });

  it.each(expected.prompts.map((_, i) => i))('computes the reference logits for prompt %i', (i) =>
    expectPrompt(model, kind, i),
  );

  it.each(expected.prompts.map((_, i) => i))(
    'computes the reference loss for prompt %i',
    async (i) => {
      const { ids, base_nll, adapter_nll } = expected.prompts[i]!;
      const { loss_sum, labelled } = await model.evaluate(
        inputOf({ input_ids: [ids], labels: [ids] }),
      );
      expect(labelled).toBe(ids.length - 1);
      expect(
        Math.abs(loss_sum / labelled - (kind === 'base' ? base_nll : adapter_nll)),
      ).toBeLessThanOrEqual(LOSS);
    },
  );

  const greedy = expected.chats.flatMap((chat, i) => {
    const reference = kind === 'base' ? chat.greedy : chat.greedy_with_adapter;
    return reference ? [{ i, ids: chat.ids, reference }] : [];
  });
  it.each(greedy)('continues chat $i like the reference', async ({ ids, reference }) => {
    expect(reference.margin).toBeGreaterThan(2 * LOGITS);
    const generated = await model.generate(ids, {
      max_new_tokens: expected.greedy_max_new_tokens,
      temperature: 0,
      seed: 0,
      stop_ids: [END],
    });
    expect(generated).toEqual(reference.ids.filter((id) => id !== END));
  });
});

it('trains SmolLM2-135M-Instruct like the reference over 10 steps', async () => {
  const trajectory = readJson('real/smollm2/train/trajectory.json') as Trajectory;
  const { input_ids, attention_mask, labels } = trajectory.batches;
  const model = await load(await adapterAt('train/start'));
  for (const [i, { loss, grad_norm, lr }] of trajectory.records.entries()) {
    const { loss_sum, labelled } = await model.accumulate(
      inputOf({ input_ids: input_ids[i]!, attention_mask: attention_mask[i]!, labels: labels[i]! }),
      i,
    );
    const step = await model.step(labelled, {
      learning_rate: lr,
      weight_decay: trajectory.optimizer.weight_decay,
      max_grad_norm: trajectory.max_grad_norm,
    });
    expect(Math.abs(loss_sum / labelled - loss), `loss of step ${i + 1}`).toBeLessThanOrEqual(LOSS);
    expect(Math.abs(step.grad_norm - grad_norm), `grad_norm of step ${i + 1}`).toBeLessThanOrEqual(
      1e-3 * grad_norm,
    );
  }
  expect(adapterGap(await model.adapter(), await adapterAt('train/final'))).toBeLessThanOrEqual(
    1e-4,
  );
  model.dispose();
});
