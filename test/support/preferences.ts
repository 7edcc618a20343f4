import path from 'node:path';
import { collate } from '../../src/data/examples/batch';
import { NO_LABEL } from '../../src/shared/task';
import { objectiveOf, type Objective, type ObjectiveSettings } from '../../src/shared/objective';
import type { LabelledInput } from '../../src/models/model';
import { fixtures, readJson } from './models';

/** A tokenized row of the fixtures. */
export interface FixtureRow {
  readonly prompt_ids?: readonly number[];
  readonly chosen_ids?: readonly number[];
  readonly rejected_ids?: readonly number[];
  readonly completion_ids?: readonly number[];
  readonly KL_completion_ids?: readonly number[];
  readonly label?: boolean;
  readonly margin?: number;
}

export type Settings = Readonly<Record<string, number | string>>;

/** What TRL says of a case. */
export interface PreferenceCase {
  readonly method: string;
  readonly settings: Settings;
  readonly rows: readonly FixtureRow[];
  readonly loss: number;
  readonly per_row: readonly Readonly<Record<string, number>>[];
  readonly nll_loss?: number;
  readonly trl_metrics: Readonly<Record<string, number>>;
}

export interface PreferenceTrajectory {
  readonly method: string;
  readonly settings: Settings;
  readonly batches: readonly (readonly FixtureRow[])[];
  readonly records: readonly (Readonly<Record<string, number>> & {
    readonly loss: number;
    readonly grad_norm: number;
    readonly lr: number;
  })[];
}

export const PREFERENCE_CASES = [
  'dpo-sigmoid',
  'dpo-hinge',
  'dpo-ipo',
  'dpo-robust',
  'dpo-smoothed',
  'orpo',
  'kto',
  'kto-kl',
  'simpo',
  'cpo-simpo',
  'reward',
  'reward-margin',
] as const;
export const PREFERENCE_TRAJECTORIES = [
  'dpo-sigmoid',
  'dpo-hinge',
  'dpo-ipo',
  'orpo',
  'kto',
  'simpo',
  'reward',
] as const;

export const readCase = (name: string): PreferenceCase =>
  readJson('preferences', name, 'expected.json') as PreferenceCase;
export const readTrajectory = (name: string): PreferenceTrajectory =>
  readJson('preferences', name, 'trajectory.json') as PreferenceTrajectory;
export const preferenceFolder = (...at: string[]): string =>
  path.join(fixtures, 'preferences', ...at);

/** The recipe's "objective" that a case was made with. */
export function settingsOf(method: string, settings: Settings): ObjectiveSettings {
  const { loss_type, cpo_alpha, ...others } = settings;
  if (method === 'reward') return { method: 'sft', ...others };
  if (method === 'cpo') return { method: 'simpo', ...others, cpo_alpha: Number(cpo_alpha) };
  const known = loss_type === 'sigmoid_smoothed' ? 'sigmoid' : loss_type;
  return {
    method,
    ...others,
    ...(method === 'dpo' && { loss_type: known }),
  } as ObjectiveSettings;
}

export const objectiveFor = (method: string, settings: Settings): Objective =>
  objectiveOf({
    task: method === 'reward' ? 'reward' : 'causal_lm',
    objective: settingsOf(method, settings),
  })!;

const sequence = (prompt: readonly number[], answer: readonly number[]) => ({
  kind: 'tokens' as const,
  line: 1,
  input_ids: Int32Array.from([...prompt, ...answer]),
  labels: Int32Array.from([...prompt.map(() => NO_LABEL), ...answer]),
});

/** The answers of rows as a batch: all chosen, then all rejected; of kto as they come. */
export function answersOf(rows: readonly FixtureRow[]): LabelledInput {
  const side = (key: 'chosen_ids' | 'rejected_ids' | 'completion_ids') =>
    rows.flatMap((row) => (row[key] ? [sequence(row.prompt_ids ?? [], row[key])] : []));
  return collate([...side('chosen_ids'), ...side('rejected_ids'), ...side('completion_ids')], 0);
}

/** The rows' prompts with other rows' answers. */
export const mismatchedOf = (rows: readonly FixtureRow[]): LabelledInput =>
  collate(
    rows.map((row) => sequence(row.prompt_ids!, row.KL_completion_ids!)),
    0,
  );
