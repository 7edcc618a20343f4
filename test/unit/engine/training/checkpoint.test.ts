import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { replaceFolder } from '../../../../src/common/atomicWrite';
import {
  checkpointFolder,
  checkpointSteps,
  newestCompleteCheckpoint,
  pruneCheckpoints,
  readState,
  restoreOptimizer,
  writeCheckpoint,
  type Checkpoint,
} from '../../../../src/engine/training/checkpoint';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import { fillAdapterFolder } from '../../../../src/formats/peft/write';
import { temp } from '../../../support/temp';

const facts = { task: 'causal_lm' as const, labels: null, card: '# card\n' };
const adapterDir = path.resolve(import.meta.dirname, '../../../fixtures/llama/lora-qv/adapter');

const moments = (step: number) =>
  new Map([
    ['exp_avg', Float32Array.of(1, 2, step)],
    ['exp_avg_sq', Float32Array.of(3, 4, 5)],
  ]);

async function checkpoint(step: number): Promise<Checkpoint> {
  const { adapter } = await readPeftAdapter(adapterDir);
  return {
    state: {
      version: 1,
      step,
      pending: [],
      elapsed: step * 1.5,
      best: { step: 1, loss: 2, value: 2 },
      without_improvement: 1,
      last_loss: 1.25,
      last_evaluation: { step: 1, loss: 2 },
    },
    fill: (folder) => fillAdapterFolder(folder, adapter, facts),
    optimizer: {
      step,
      tensors: [...moments(step)].map(([name, data]) => ({
        name,
        shape: [3],
        read: () => Promise.resolve(data),
      })),
    },
  };
}

describe('checkpoints', () => {
  it('are read as they were written', async () => {
    const dir = temp();
    const written = await checkpoint(7);
    expect(await writeCheckpoint(dir, written)).toBe('checkpoints/step-7');
    const folder = checkpointFolder(dir, 7);
    expect(await readState(folder)).toEqual(written.state);
    expect((await readPeftAdapter(folder)).adapter.modules).toEqual(
      (await readPeftAdapter(adapterDir)).adapter.modules,
    );
    const read = new Map<string, Float32Array>();
    const restoreInto = {
      restoreOptimizer: async (step: number, of: (name: string) => Promise<Float32Array>) => {
        expect(step).toBe(7);
        for (const name of moments(7).keys()) read.set(name, await of(name));
      },
    };
    await restoreOptimizer(folder, restoreInto);
    expect(read).toEqual(moments(7));
  });

  it('are skipped if they are incomplete', async () => {
    const dir = temp();
    for (const step of [2, 4, 10]) await writeCheckpoint(dir, await checkpoint(step));
    rmSync(path.join(dir, 'checkpoints/step-10/optimizer.safetensors'));
    writeFileSync(path.join(dir, 'checkpoints/step-4/state.json'), '{');
    mkdirSync(path.join(dir, 'checkpoints/step-99.123.tmp'));
    const skipped: number[] = [];
    expect(await newestCompleteCheckpoint(dir, 'adapter', (step) => skipped.push(step))).toBe(2);
    expect(skipped).toEqual([10, 4]);
  });

  it('are pruned to the newest by number, not by text', async () => {
    const dir = temp();
    for (const step of [9, 10, 100]) await writeCheckpoint(dir, await checkpoint(step));
    await pruneCheckpoints(dir, 2, 100);
    expect(await checkpointSteps(dir)).toEqual([100, 10]);
  });

  it('are not pruned in place of damaged ones that were skipped', async () => {
    const dir = temp();
    for (const step of [4, 6, 8]) await writeCheckpoint(dir, await checkpoint(step));
    rmSync(path.join(dir, 'checkpoints/step-8/state.json'));
    await writeCheckpoint(dir, await checkpoint(7));
    await pruneCheckpoints(dir, 1, 7);
    expect(await newestCompleteCheckpoint(dir, 'adapter', () => undefined)).toBe(7);
    expect(await checkpointSteps(dir)).toEqual([8, 7]);
  });

  it('leave nothing behind when the disk is full, and the error says so', async () => {
    const dir = temp();
    await writeCheckpoint(dir, await checkpoint(2));
    const toFull = replaceFolder(path.join(dir, 'checkpoints/step-4'), async (folder) => {
      await writeCheckpoint(folder, await checkpoint(1));
      await writeFile('/dev/full', 'x'); // fails with the system's error for a full disk
    });
    await expect(toFull).rejects.toThrow(
      existsSync('/dev/full') ? /could not be written: the disk is full/ : /could not be written/,
    );
    expect(readdirSync(path.join(dir, 'checkpoints'))).toEqual(['step-2']);
  });
});
