import { expect } from 'vitest';
import type { MergeSizes } from '../../src/shared/mergeFacts';
import { cliResult, inFixtures, newPath, type CliOptions } from './cliResults';
import { cli } from './commandLine';
import { largest, gap, type SingleCase } from './models';

/** The part of lora merge's result that tests examine. */
export interface MergeResult {
  readonly output: string;
  readonly untied: boolean;
  readonly sizes: MergeSizes;
  readonly tensors: readonly {
    readonly name: string;
    readonly delta_norm: number;
    readonly unmoved: number;
    readonly elements: number;
    readonly rounding_error: number;
  }[];
  readonly parity: {
    readonly largest_gap: number;
    readonly largest_logit: number;
    readonly top1_agreement: number;
  } | null;
  readonly warnings: readonly string[];
  /** Peak memory in bytes. */
  readonly memory: number;
}

/** Merges adapters into a new folder, unless the options name another output. */
export const merge = (
  base: string,
  adapter: readonly string[],
  options: CliOptions = {},
): Promise<MergeResult> =>
  cliResult('merge', { base, adapter, output: newPath('merged'), ...options });

/** The same for a fixture: its base and its adapter. */
export const mergeFixture = (name: string, options: CliOptions = {}): Promise<MergeResult> =>
  merge(inFixtures(name.split('/')[0]!, 'base'), [inFixtures(name, 'adapter')], options);

/** The merged model agrees with base and adapter within the rounding of f32. */
export function expectParity({ parity }: MergeResult): void {
  const { largest_gap, largest_logit } = parity!;
  expect(largest_gap).toBeLessThanOrEqual(5e-5 * Math.max(1, largest_logit));
}

/** The files of a merged model are those of its certificate. */
export async function expectVerified(output: string): Promise<void> {
  expect((await cli('merge', '--verify', output)).code).toBe(0);
}

/** Logits are equal at all positions that are not padding. */
export function expectSameLogits(
  have: Float32Array,
  want: Float32Array,
  { input_ids, attention_mask }: SingleCase['inputs'],
): void {
  const mask = attention_mask?.flat();
  const width = want.length / input_ids!.flat().length;
  const withoutPadding = (logits: Float32Array) =>
    logits.filter((_, i) => mask?.[Math.floor(i / width)] !== 0);
  expect(gap(withoutPadding(have), withoutPadding(want))).toBeLessThanOrEqual(
    1e-4 * Math.max(1, largest(want)),
  );
}
