import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseMetrics } from '../../../../src/shared/metrics/parse';
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
import {
  checkFingerprints,
  fingerprintOf,
  gitCommit,
} from '../../../../src/engine/run/fingerprint';
import { clearLeftovers } from '../../../../src/engine/run/leftovers';
import { checkDisk, checkMemory } from '../../../../src/engine/training/memoryCheck';
import {
  makeRunDir,
  MetricsFile,
  newRecord,
  newRunDir,
  readRecord,
} from '../../../../src/engine/run/runFolder';
import { progressBar } from '../../../../src/engine/commands/progress';
import { formatClock } from '../../../../src/engine/commands/trainingView';
import { replaceFolder } from '../../../../src/common/atomicWrite';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import { fillAdapterFolder } from '../../../../src/formats/peft/write';
import { LoraError } from '../../../../src/shared/errors';
import { parseRecipe } from '../../../../src/shared/recipeFile';

const temp = () => mkdtempSync(path.join(tmpdir(), 'lora-engine-'));
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
    state: { version: 1, step, pending: [], elapsed: step * 1.5, best: { step: 1, loss: 2 } },
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

describe("a run's folder", () => {
  it('lies beside its recipe', () =>
    expect(newRunDir(path.resolve('a/lora.json'))).toContain(path.resolve('a/.lora/runs')));

  it('is not made where a run is already', async () => {
    const dir = temp();
    await makeRunDir(dir);
    writeFileSync(path.join(dir, 'run.json'), '{}');
    await expect(makeRunDir(dir)).rejects.toThrow(/already contains a run/);
  });

  it('says so where a file is in its way', async () => {
    const file = path.join(temp(), 'file');
    writeFileSync(file, '');
    await expect(makeRunDir(path.join(file, 'run'))).rejects.toThrow(LoraError);
  });

  it('gets metrics in order, after a torn last line is cut off', async () => {
    const dir = temp();
    writeFileSync(path.join(dir, 'metrics.jsonl'), '{"kind":"resume","step":1}\n{"kind":"st');
    const metrics = await MetricsFile.open(dir);
    await Promise.all(
      [2, 3, 4].map((step) => metrics.append({ kind: 'checkpoint', step, path: 'x' })),
    );
    await metrics.close();
    expect(
      parseMetrics(readFileSync(path.join(dir, 'metrics.jsonl'), 'utf8')).map((line) => line.step),
    ).toEqual([1, 2, 3, 4]);
  });

  it('says which file of it a full disk has no room for', async () => {
    const dir = temp();
    const metrics = await MetricsFile.open(dir);
    await metrics.close(); // a closed file refuses every byte, as a full disk does
    const refused = (await metrics
      .append({ kind: 'resume', step: 1 })
      .catch((error: unknown) => error as LoraError)) as LoraError;
    expect(refused).toMatchObject({
      area: 'disk',
      place: { file: path.join(dir, 'metrics.jsonl') },
    });
    expect(await metrics.append({ kind: 'resume', step: 2 }).catch((error: unknown) => error)).toBe(
      refused,
    );
    const other = temp();
    mkdirSync(path.join(other, 'metrics.jsonl'));
    await expect(MetricsFile.open(other)).rejects.toThrow(
      /The metrics could not be written: it is a folder/,
    );
  });

  it('holds its recipe in full: keys that are younger than the run have their defaults, other recipes are refused', async () => {
    const dir = temp();
    const recipe = parseRecipe('{"base": "b", "dataset": "d"}', path.join(dir, 'lora.json'));
    const record = newRecord(dir, {
      recipe,
      recipe_path: null,
      extension: '1.0.0',
      git_commit: null,
    });
    const older = Object.fromEntries(Object.entries(recipe).filter(([key]) => key !== 'chats'));
    writeFileSync(path.join(dir, 'run.json'), JSON.stringify({ ...record, recipe: older }));
    expect(await readRecord(dir)).toEqual(record);
    for (const broken of [
      { ...record, version: 2 },
      { ...record, recipe: { ...recipe, lora: { r: 0 } } },
    ]) {
      writeFileSync(path.join(dir, 'run.json'), JSON.stringify(broken));
      await expect(readRecord(dir)).rejects.toThrow(/a different version/);
    }
  });

  it('loses what a killed engine left half-written, and gets back what it was replacing', async () => {
    const dir = temp();
    for (const name of [
      'checkpoints/step-3.77.tmp',
      'checkpoints/step-2',
      'best.77.old',
      'best.77.tmp',
      'adapter',
      'adapter.77.old',
    ]) {
      mkdirSync(path.join(dir, name), { recursive: true });
      writeFileSync(path.join(dir, name, 'file'), name);
    }
    for (const name of ['.run.json.77.tmp', 'run.json', 'notes.tmp'])
      writeFileSync(path.join(dir, name), name);
    await clearLeftovers(dir);
    expect(readdirSync(dir, { recursive: true }).map(String).sort()).toEqual(
      [
        'adapter',
        'adapter/file',
        'best',
        'best/file',
        'checkpoints',
        'checkpoints/step-2',
        'checkpoints/step-2/file',
        'notes.tmp',
        'run.json',
      ].map((name) => path.normalize(name)),
    );
    expect(readFileSync(path.join(dir, 'best/file'), 'utf8')).toBe('best.77.old');
    expect(readFileSync(path.join(dir, 'adapter/file'), 'utf8')).toBe('adapter');
  });
});

describe('checkpoints', () => {
  it('come back as they were written', async () => {
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

  it('that are not whole are passed over by name', async () => {
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

  it('that were passed over as damaged do not push out the ones made since', async () => {
    const dir = temp();
    for (const step of [4, 6, 8]) await writeCheckpoint(dir, await checkpoint(step));
    rmSync(path.join(dir, 'checkpoints/step-8/state.json'));
    await writeCheckpoint(dir, await checkpoint(7));
    await pruneCheckpoints(dir, 1, 7);
    expect(await newestCompleteCheckpoint(dir, 'adapter', () => undefined)).toBe(7);
    expect(await checkpointSteps(dir)).toEqual([8, 7]);
  });

  it('that a full disk breaks off leave nothing behind, and the message says so', async () => {
    const dir = temp();
    await writeCheckpoint(dir, await checkpoint(2));
    const toFull = replaceFolder(path.join(dir, 'checkpoints/step-4'), async (folder) => {
      await writeCheckpoint(folder, await checkpoint(1));
      await writeFile('/dev/full', 'x'); // what a full disk says, from the system itself
    });
    await expect(toFull).rejects.toThrow(
      existsSync('/dev/full') ? /could not be written: the disk is full/ : /could not be written/,
    );
    expect(readdirSync(path.join(dir, 'checkpoints'))).toEqual(['step-2']);
  });
});

describe('fingerprints', () => {
  it('tell a changed file and a missing one by name', async () => {
    const file = path.join(temp(), 'data.jsonl');
    writeFileSync(file, 'abc');
    const before = await fingerprintOf(file);
    expect(before).toEqual({
      file,
      size: 3,
      sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    });
    await checkFingerprints([before]);
    writeFileSync(file, 'abd');
    await expect(checkFingerprints([before])).rejects.toThrow(/has changed/);
    rmSync(file);
    await expect(checkFingerprints([before])).rejects.toThrow(/is missing/);
  });

  it("hold the commit of the folder's repository, loose or packed", async () => {
    const dir = temp();
    const commit = 'a'.repeat(40);
    mkdirSync(path.join(dir, '.git/refs/heads'), { recursive: true });
    writeFileSync(path.join(dir, '.git/HEAD'), 'ref: refs/heads/main\n');
    expect(await gitCommit(dir)).toBeNull();
    writeFileSync(path.join(dir, '.git/packed-refs'), `# pack-refs\n${commit} refs/heads/main\n`);
    expect(await gitCommit(path.join(dir))).toBe(commit);
    writeFileSync(path.join(dir, '.git/refs/heads/main'), `${'b'.repeat(40)}\n`);
    expect(await gitCommit(dir)).toBe('b'.repeat(40));
  });
});

describe('what there is room for', () => {
  it('refuses a training that clearly needs more memory, with the parts and what to do', () => {
    const estimate = {
      weights: 6e9,
      adapter: 5e7,
      gradients: 2e7,
      optimizer: 3e7,
      activations: 3e9,
      working: 1e9,
      total: 10.1e9,
    };
    checkMemory(estimate, 10e9);
    expect(() => checkMemory(estimate, 4e9)).toThrow(
      /needs about 10\.1 GB of memory, but only 4\.0 GB is free: 6\.0 GB for the frozen weights/,
    );
  });

  it('says what to make smaller: whatever takes the most', () => {
    const fixOf = (change: object): string => {
      const parts = {
        weights: 1e9,
        adapter: 1e9,
        gradients: 0,
        optimizer: 0,
        activations: 1e9,
        working: 1e9,
        ...change,
      };
      try {
        checkMemory({ ...parts, total: 1e12 }, 1e9);
      } catch (error) {
        return LoraError.from(error, 'engine').describe();
      }
      return '';
    };
    expect(fixOf({ weights: 9e9 })).toMatch(/Use a smaller base model/);
    expect(fixOf({ adapter: 9e9 })).toMatch(/Use a smaller r or fewer target_modules/);
    expect(fixOf({ activations: 9e9 })).toMatch(
      /Use a smaller max_length or per_device_train_batch_size/,
    );
  });

  it('refuses a run whose checkpoints the disk has no room for', async () => {
    const dir = temp();
    await checkDisk(dir, 1000);
    await expect(checkDisk(dir, 1e18)).rejects.toMatchObject({
      area: 'disk',
      place: { file: dir },
      fix: expect.stringContaining('save_total_limit') as unknown,
    });
  });
});

describe('the terminal', () => {
  it('shows bars and times', () => {
    expect(progressBar(0.5)).toBe(`[${'█'.repeat(12)}${'░'.repeat(12)}] 50 %`);
    expect([formatClock(5), formatClock(75), formatClock(3675)]).toEqual([
      '0:05',
      '1:15',
      '1:01:15',
    ]);
  });
});
