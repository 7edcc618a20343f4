import { readdirSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { dataToolsOf } from '../../src/data/dataset/dataTools';
import { ProblemCollector } from '../../src/data/dataset/problems';
import { collate, paddingId } from '../../src/data/examples/batch';
import type { RankingExample } from '../../src/data/examples/example';
import { taskTokenizer } from '../../src/data/tasks/tokenizeTaskRows';
import { readPeftAdapter } from '../../src/formats/peft/read';
import type { Adapter } from '../../src/lora/adapter';
import type { LabelledInput } from '../../src/models/model';
import type { Ops } from '../../src/models/ops/ops';
import { needsLists, type RerankerLoss } from '../../src/shared/rerankerSettings';
import {
  adapterGap,
  cpuOps,
  fixtures,
  gap,
  largest,
  loadFixture,
  readFloats,
  readJson,
  tensorFlowOps,
  withBase,
} from '../support/models';

interface Trajectory {
  readonly base: string;
  readonly loss: RerankerLoss;
  readonly lr: number;
  readonly weight_decay: number;
  readonly max_grad_norm: number;
  readonly records: readonly { readonly loss: number; readonly grad_norm: number }[];
}

interface RatedRow {
  readonly query: string;
  readonly documents: readonly string[];
  readonly scores: readonly number[];
  readonly input_ids: readonly (readonly number[])[];
}

const HEAD = { task: 'seq_cls', num_labels: 1 } as const;
const NAMES = readdirSync(path.join(fixtures, 'rerankers')).filter((name) => name.includes('-'));
const backends = new Map<string, Ops>();
beforeAll(async () => {
  backends.set('tensorflow', await tensorFlowOps());
  backends.set('cpu', (await cpuOps()).ops);
});

/** The rows of a case as this program reads them. */
async function batchesOf(name: string, { base, loss }: Trajectory): Promise<LabelledInput[]> {
  const batches = readJson('rerankers', name, 'batches.json') as RatedRow[][];
  const tools = await withBase(
    path.join(fixtures, base, 'base'),
    (opened) => dataToolsOf(opened),
    HEAD,
  );
  const settings = { labels: null, image_length: 1, max_length: 30, ranking_loss: loss };
  const rows = taskTokenizer(new ProblemCollector(name), { ...tools, ...settings });
  return batches.map((batch) =>
    collate(
      batch.map(({ query, documents, scores, input_ids }, i) => {
        const isList = documents.length > 1;
        const row = { kind: 'ranking', line: i + 1, query, documents, scores, isList } as const;
        const example = rows.add(row)?.example as RankingExample;
        expect(example.texts.map((own) => [...own.input_ids])).toEqual(input_ids);
        return example;
      }),
      paddingId(tools.tokenizer, tools.vocab_size),
      tools.max_positions,
    ),
  );
}

/**
 * A list's order and loss do not depend on the head's bias, whose gradient is 0 but for rounding,
 * which AdamW scales up.
 */
const determined = (adapter: Adapter, loss: RerankerLoss): Adapter => ({
  ...adapter,
  trained: adapter.trained.filter(({ name }) => !needsLists(loss) || !name.endsWith('.bias')),
});

describe.each(NAMES)('%s of sentence-transformers', (name) => {
  const trajectory = readJson('rerankers', name, 'trajectory.json') as Trajectory;
  const { base, loss, records, max_grad_norm, lr: learning_rate, weight_decay } = trajectory;
  const load = (ops: Ops) =>
    loadFixture(ops, `${base}/base`, `rerankers/${name}/start`, { ...HEAD, reranker: { loss } });

  it.each(['tensorflow', 'cpu'])('has the same gradients on %s', async (on) => {
    const ops = backends.get(on)!;
    const before = ops.live();
    const model = await load(ops);
    const loaded = ops.live();
    const [batch] = await batchesOf(name, trajectory);
    const { loss_sum, weight } = await model.accumulate(batch!, 0);
    expect(ops.live()).toBe(loaded);
    expect(Math.abs(loss_sum / weight - records[0]!.loss)).toBeLessThanOrEqual(1e-5);
    expect((await model.evaluate(batch!)).loss_sum).toBeCloseTo(loss_sum, 5);
    const gradients = await model.gradients(weight);
    const wanted = await readFloats('rerankers', name, 'gradients.safetensors');
    expect([...gradients.keys()].sort()).toEqual([...wanted.keys()].sort());
    for (const [key, want] of wanted)
      expect(gap(gradients.get(key)!.data, want), key).toBeLessThanOrEqual(
        1e-4 * Math.max(1e-2, largest(want)),
      );
    model.dispose();
    expect(ops.live()).toBe(before);
  });

  it('takes the same ten steps', async () => {
    const model = await load(backends.get('tensorflow')!);
    const settings = { learning_rate, weight_decay, max_grad_norm };
    for (const [i, batch] of (await batchesOf(name, trajectory)).entries()) {
      const { loss_sum, weight } = await model.accumulate(batch, i);
      const { grad_norm } = await model.step(weight, settings);
      const want = records[i]!;
      expect(Math.abs(loss_sum / weight - want.loss)).toBeLessThanOrEqual(1e-4);
      expect(Math.abs(grad_norm - want.grad_norm)).toBeLessThanOrEqual(1e-3 * want.grad_norm);
    }
    const final = await readPeftAdapter(path.join(fixtures, 'rerankers', name, 'final'));
    const [have, want] = [await model.adapter(), final.adapter].map((own) => determined(own, loss));
    expect(adapterGap(have!, want!)).toBeLessThanOrEqual(1e-4);
    model.dispose();
  });
});
