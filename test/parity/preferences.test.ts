import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readPeftAdapter } from '../../src/formats/peft/read';
import type { Comparison, LabelledInput, Model } from '../../src/models/model';
import { hasReference, type Objective } from '../../src/shared/objective';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { collate } from '../../src/data/examples/batch';
import { ktoCut, mismatchedRows } from '../support/ktoCut';
import {
  adapterGap,
  gap,
  largest,
  loadFixture,
  readFloats,
  tensorFlowOps,
} from '../support/models';
import {
  answersOf,
  mismatchedOf,
  objectiveFor,
  PREFERENCE_CASES,
  PREFERENCE_TRAJECTORIES,
  preferenceFolder,
  readCase,
  readTrajectory,
  type FixtureRow,
} from '../support/preferences';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

const load = (objective: Objective, adapter: string | null): Promise<Model> =>
  loadFixture(
    ops,
    'llama/base',
    adapter === null ? null : path.join('preferences', adapter),
    objective.method === 'reward' ? { task: 'seq_cls', num_labels: 1 } : {},
  );

/** The rows with what the reference, and for kto the model's estimate of the KL, says of them. */
async function comparedInput(
  rows: readonly FixtureRow[],
  objective: Objective,
  { model, reference }: { readonly model: Model; readonly reference: Model | null },
): Promise<LabelledInput> {
  const input = answersOf(rows);
  const logps = reference && (await reference.logProbabilities(input));
  return { ...input, comparison: await comparison() };

  async function comparison(): Promise<Comparison> {
    if (objective.method !== 'kto') {
      const hasMargins = rows.some(({ margin }) => margin !== undefined);
      const margins = hasMargins ? Float64Array.from(rows, ({ margin = 0 }) => margin) : null;
      return { kind: 'pairs', objective, reference: logps, margins };
    }
    const mismatched = mismatchedOf(rows);
    const own = await model.logProbabilities(mismatched);
    const others = await reference!.logProbabilities(mismatched);
    const mean = own.reduce((sum, value, i) => sum + value - others[i]!, 0) / own.length;
    const desirable = rows.map(({ label }) => label === true);
    return { kind: 'unpaired', objective, reference: logps!, desirable, kl: Math.max(0, mean) };
  }
}

function expectNear(have: number, want: number, tolerance: number, what: string): void {
  expect(Math.abs(have - want), `${what}: ${have}, want ${want}`).toBeLessThanOrEqual(
    tolerance * Math.max(1, Math.abs(want)),
  );
}

const meanOf = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

describe.each(PREFERENCE_CASES)('%s', (name) => {
  const expected = readCase(name);
  const objective = objectiveFor(expected.method, expected.settings);
  const pairs = expected.rows.length;

  it("computes TRL's losses, rewards, metrics and gradients, and frees all tensors", async () => {
    const live = ops.live();
    const model = await load(objective, `${name}/adapter`);
    const reference = hasReference(objective) ? await load(objective, null) : null;
    const loaded = ops.live();
    const input = await comparedInput(expected.rows, objective, { model, reference });
    const { loss_sum, labelled, compared } = await model.accumulate(input, 0);
    expect(labelled).toBe(pairs);
    expectNear(loss_sum / labelled, expected.loss, 1e-5, 'loss');
    const { rewards, logps, losses, nll } = compared!;
    const second = (values: Float64Array, i: number) => values[values.length - pairs + i]!;
    for (const [i, row] of expected.per_row.entries()) {
      const fields: Readonly<Record<string, number>> = {
        loss: losses[i]!,
        reward: rewards[i]!,
        chosen_reward: rewards[i]!,
        rejected_reward: second(rewards, i),
        margin: rewards[i]! - second(rewards, i),
        policy_logp: logps[i]!,
        policy_chosen_logp: logps[i]!,
        policy_rejected_logp: second(logps, i),
        ...(reference && {
          reference_logp: input.comparison!.kind === 'unpaired' ? referenceOf(input)[i]! : NaN,
          reference_chosen_logp: referenceOf(input)[i]!,
          reference_rejected_logp: second(referenceOf(input), i),
        }),
      };
      const known = Object.keys(fields).filter((key) => typeof row[key] === 'number');
      expect(known.length).toBeGreaterThanOrEqual(3);
      for (const key of known) expectNear(fields[key]!, row[key]!, 1e-5, `${key} of row ${i}`);
    }
    if (expected.nll_loss !== undefined && nll !== null)
      expectNear(nll, expected.nll_loss, 1e-5, 'nll');
    const { trl_metrics } = expected;
    if (input.comparison!.kind === 'pairs' && expected.method !== 'reward') {
      const chosen = rewards.subarray(0, pairs);
      const rejected = rewards.subarray(pairs);
      const metrics: Readonly<Record<string, number>> = {
        'rewards/chosen': meanOf(chosen),
        'rewards/rejected': meanOf(rejected),
        'rewards/margins': meanOf(chosen.map((value, i) => value - rejected[i]!)),
        'rewards/accuracies': meanOf(Array.from(chosen, (c, i) => (c > rejected[i]! ? 1 : 0))),
        'logps/chosen': meanOf(logps.subarray(0, pairs)),
        'logps/rejected': meanOf(logps.subarray(pairs)),
      };
      for (const [key, value] of Object.entries(metrics))
        if (trl_metrics[key] !== undefined) expectNear(value, trl_metrics[key], 1e-5, key);
    }
    const gradients = await model.gradients(labelled);
    const want = await readFloats('preferences', name, 'expected.safetensors');
    expect([...gradients.keys()].sort()).toEqual(
      [...want.keys()].map((key) => key.slice('grad.'.length)).sort(),
    );
    for (const [key, data] of want)
      expect(gap(gradients.get(key.slice('grad.'.length))!.data, data), key).toBeLessThanOrEqual(
        1e-4 * Math.max(1e-2, largest(data)),
      );
    const { loss_sum: again } = await model.evaluate(input);
    expectNear(again, loss_sum, 1e-6, 'evaluated loss');
    expect(ops.live()).toBe(loaded);
    model.dispose();
    reference?.dispose();
    expect(ops.live()).toBe(live);
  });
});

const referenceOf = ({ comparison }: LabelledInput): Float64Array =>
  comparison!.kind === 'pairs' ? comparison!.reference! : comparison!.reference;

describe.each(PREFERENCE_TRAJECTORIES)('ten steps of %s', (name) => {
  it("follows TRL's losses, rewards and weights", async () => {
    const { method, settings, batches, records } = readTrajectory(name);
    const objective = objectiveFor(method, settings);
    const model = await load(objective, `${name}/start`);
    const reference = hasReference(objective) ? await load(objective, null) : null;
    expect(records).toHaveLength(10);
    for (const [i, record] of records.entries()) {
      const rows = batches[i]!;
      const input = await comparedInput(rows, objective, { model, reference });
      const { loss_sum, labelled, compared } = await model.accumulate(input, i);
      const { grad_norm } = await model.step(labelled, {
        learning_rate: record.lr,
        weight_decay: 0.01,
        max_grad_norm: 1,
      });
      expectNear(loss_sum / labelled, record.loss, 1e-4, `loss of step ${i + 1}`);
      expect(Math.abs(grad_norm - record.grad_norm)).toBeLessThanOrEqual(1e-3 * record.grad_norm);
      const isGood = (row: number) =>
        method === 'kto' ? rows[row]!.label === true : row < rows.length;
      const part = (wanted: boolean) =>
        compared!.rewards.filter((_, row) => isGood(row) === wanted);
      const margin = meanOf(part(true)) - meanOf(part(false));
      expectNear(
        margin,
        record['rewards/margins'] ?? record['margin']!,
        1e-4,
        `margin of step ${i + 1}`,
      );
      if (input.comparison!.kind === 'unpaired')
        expectNear(input.comparison!.kl, record['kl']!, 1e-4, `kl of step ${i + 1}`);
    }
    const { adapter } = await readPeftAdapter(preferenceFolder(name, 'final'));
    expect(adapterGap(await model.adapter(), adapter)).toBeLessThanOrEqual(1e-4);
    model.dispose();
    reference?.dispose();
  });
});

it("measures the KL divergence of kto with TRL's answers where max_length cuts them", async () => {
  const rows = await mismatchedRows();
  expect(rows.map(({ answer }) => [...answer.input_ids])).toEqual(ktoCut.KL_input_ids);
  const objective = objectiveFor('kto', {});
  for (const [adapter, wanted] of [
    ['kto-kl/adapter', ktoCut.policy],
    [null, ktoCut.reference],
  ] as const) {
    const model = await load(objective, adapter);
    const logps = await model.logProbabilities(collate(rows, 0));
    wanted.forEach((want, i) => expectNear(logps[i]!, want, 1e-5, `row ${i}`));
    model.dispose();
  }
});
