import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeModel } from '../../src/engine/merge/mergeModel';
import { unmergeModelFile } from '../../src/engine/unmerge/unmergeModelFile';
import { openShards } from '../../src/formats/huggingface';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import type { Adapter } from '../../src/lora/adapter';
import { combineUpdates } from '../../src/lora/combine';
import { compareAdapters } from '../../src/lora/compare';
import { resizeFactors } from '../../src/lora/resize';
import { PLAIN_MERGE } from '../support/mergeOptions';
import { fixtures, gap, largest, withBase } from '../support/models';
import { temp } from '../support/temp';

/** Folders of fixtures whose layout is another one, or whose files are bad on purpose. */
const OTHERS =
  /^(?:malformed|real|tokens|tied|resized|quantized|diffusion|lora-files|full|layersmodel)$/;

const hasFile = (...at: string[]) => existsSync(path.join(fixtures, ...at));

/** One adapter of each base: that of the most modules. */
const CASES: readonly (readonly [family: string, names: readonly string[]])[] = readdirSync(
  fixtures,
)
  .filter((family) => !OTHERS.test(family) && hasFile(family, 'base', 'config.json'))
  .map((family): [string, string[]] => [
    family,
    readdirSync(path.join(fixtures, family)).filter((name) =>
      hasFile(family, name, 'adapter', 'adapter_config.json'),
    ),
  ])
  .filter(([, names]) => names.length > 0);

const adapterOf = (family: string, name: string) => path.join(fixtures, family, name, 'adapter');
const baseOf = (family: string) => path.join(fixtures, family, 'base');

const adaptersOf = (family: string, names: readonly string[]): Promise<Adapter[]> =>
  withBase(baseOf(family), (base) =>
    Promise.all(
      names.map(
        async (name) =>
          (await readPeftAdapter(adapterOf(family, name), adapterBaseOf(base))).adapter,
      ),
    ),
  );

const canBeUndone = ({ modules, trained }: Adapter) =>
  trained.length === 0 && modules.every((m) => !m.magnitude);

/** Every tensor of the base comes back within the rounding of both; others are not touched. */
async function expectRestored(family: string, name: string): Promise<void> {
  const folder = temp();
  const [merged, output] = [path.join(folder, 'merged'), path.join(folder, 'restored')];
  await mergeModel({
    base: baseOf(family),
    adapters: [adapterOf(family, name)],
    output: merged,
    ...PLAIN_MERGE,
  });
  const { tensors } = await unmergeModelFile({
    merged,
    output,
    adapters: [],
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  const bounds = new Map(tensors.map((tensor) => [tensor.name, tensor.bound]));
  expect(bounds.size).toBeGreaterThan(0);
  const opened = await Promise.all([baseOf(family), merged, output].map((own) => openShards(own)));
  const [before, between, after] = opened.map(({ placed }) => placed);
  expect([...after!.keys()].sort()).toEqual([...before!.keys()].sort());
  let changed = 0;
  for (const [tensor, file] of before!) {
    const bound = bounds.get(tensor);
    if (bound === undefined) {
      expect(await after!.get(tensor)!.readBytes(tensor), tensor).toEqual(
        await file.readBytes(tensor),
      );
      continue;
    }
    const [want, then, have] = await Promise.all(
      [file, between!.get(tensor)!, after!.get(tensor)!].map((own) => own.readF32(tensor)),
    );
    changed = Math.max(changed, gap(then!, want!));
    expect(gap(have!, want!), tensor).toBeLessThanOrEqual(
      bound + 2e-7 * Math.max(1, largest(want!)),
    );
  }
  expect(changed).toBeGreaterThan(1e-4);
  await Promise.all(opened.map((own) => own.close()));
}

/** ‖a - b‖ / ‖a‖ of all updates, by compare. */
function distance(a: Adapter, b: Adapter): number {
  const { total } = compareAdapters(a, b);
  return total.norm_of_difference / total.norm_a;
}

describe.each(CASES)('adapters of %s', (family, names) => {
  it('can be taken out of a merge', async () => {
    const adapters = await adaptersOf(family, names);
    const sizes = adapters.map((own) => (canBeUndone(own) ? own.modules.length : 0));
    const most = sizes.indexOf(Math.max(...sizes));
    if (sizes[most]! > 0) await expectRestored(family, names[most]!);
    else expect(adapters.some(canBeUndone)).toBe(false);
  });

  it('equal themselves, and differ from a resized one by what resizing lost', async () => {
    for (const own of await adaptersOf(family, names)) {
      const itself = compareAdapters(own, own);
      expect(itself).toMatchObject({ equal: true, only_a: [], only_b: [], config: [] });
      expect(itself.modules.map((m) => m.path).sort()).toEqual(
        own.modules.map((m) => m.path).sort(),
      );
      const plain = { ...own, trained: [], modules: own.modules.map(withoutMagnitude) };
      const { adapter, error } = resizeFactors(plain, { kind: 'rank', rank: 1 });
      expect(adapter.modules.every((m) => m.r === 1)).toBe(true);
      expect(Math.abs(distance(plain, adapter) - error!)).toBeLessThanOrEqual(1e-5);
    }
  });

  it('add up with their opposites and halves', async () => {
    for (const own of await adaptersOf(family, names)) {
      const plain = { ...own, trained: [], modules: own.modules.map(withoutMagnitude) };
      const combined = (weights: readonly number[]) =>
        combineUpdates([plain, plain], { ...SUM, weights });
      expect(distance(plain, combined([0.25, 0.75]).adapter)).toBeLessThanOrEqual(1e-6);
      expect(combined([1, -1]).sum).toBe('cancelled');
    }
  });
});

const SUM = {
  type: 'cat',
  rank: null,
  density: 1,
  majority_sign_method: 'total',
  peft: false,
} as const;

/** Norms and sums are of the updates alone. */
const withoutMagnitude = (m: Adapter['modules'][number]): Adapter['modules'][number] => ({
  ...m,
  magnitude: null,
});
