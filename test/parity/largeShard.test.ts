import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { NO_ADAPTER, tensorFlowOps, withBase } from '../support/models';
import { makeLargeBase, markerOf } from '../support/largeBase';
import { loadModel } from '../../src/models/loadModel';

/** Larger than the maximum Node buffer, and than 32 bits can address. */
const SIX_GB = 6e9;

it('reads each tensor of a 6 GB shard from its offset', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-large-'));
  try {
    const { base } = await makeLargeBase(folder, SIX_GB, Infinity);
    await withBase(base, async (opened) => {
      expect(opened.weight_files).toHaveLength(1);
      const ops = await tensorFlowOps();
      const model = await loadModel(opened, NO_ADAPTER, { ops, base_dtype: 'bfloat16' });
      const names = [...opened.weights.tensors.keys()];
      const seen = [...names.slice(0, 3), ...names.slice(-9)];
      for (const name of seen)
        expect((await model.baseTensor(name)).at(-1), name).toBe(markerOf(names.indexOf(name)));
      model.dispose();
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
