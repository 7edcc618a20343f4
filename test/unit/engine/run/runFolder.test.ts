import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { clearLeftovers } from '../../../../src/engine/run/leftovers';
import {
  makeRunDir,
  MetricsFile,
  newRecord,
  newRunDir,
  readRecord,
  refuseUsedRunDir,
  withRunFolder,
} from '../../../../src/engine/run/runFolder';
import { pruneCheckpoints } from '../../../../src/engine/training/checkpoint';
import { LoraError } from '../../../../src/shared/errors';
import { parseMetrics } from '../../../../src/shared/metrics/parse';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import { temp } from '../../../support/temp';

describe('the folder of a run', () => {
  it('is next to its recipe', () =>
    expect(newRunDir(path.resolve('a/lora.json'))).toContain(path.resolve('a/.lora/runs')));

  it('is refused where a run exists, or anything that a run would overwrite', async () => {
    const dir = temp();
    writeFileSync(path.join(dir, 'engine.log'), 'written by who starts the engine');
    await refuseUsedRunDir(dir);
    mkdirSync(path.join(dir, 'adapter'));
    await expect(refuseUsedRunDir(dir)).rejects.toThrow(/already contains adapter, which/);
    writeFileSync(path.join(dir, 'run.json'), '{}');
    await expect(refuseUsedRunDir(dir)).rejects.toThrow(/already contains a run/);
  });

  it('belongs to one engine at a time', async () => {
    const dir = temp();
    await withRunFolder(dir, async () => {
      const second = withRunFolder(dir, () => Promise.resolve());
      await expect(second).rejects.toMatchObject({
        area: 'run',
        message: `The run is being trained by another process (${process.pid}).`,
      });
    });
    expect(await withRunFolder(dir, () => Promise.resolve('mine'))).toBe('mine');
    expect(readdirSync(dir)).toEqual([]);
  });

  it('is given back when the work fails', async () => {
    const dir = temp();
    const failing = withRunFolder(dir, () => Promise.reject(new Error('failed')));
    await expect(failing).rejects.toThrow('failed');
    await withRunFolder(dir, () => Promise.resolve());
  });

  it.each(['engine.log', 'metrics.jsonl', 'checkpoints', 'checkpoints/step-5', 'adapter', 'best'])(
    'is not written where %s is a link, and what it leads to stays as it is',
    async (name) => {
      const [dir, elsewhere] = [temp(), temp()];
      const target = path.join(elsewhere, 'target');
      mkdirSync(path.join(target, 'step-1'), { recursive: true });
      mkdirSync(path.join(dir, path.dirname(name)), { recursive: true });
      symlinkSync(target, path.join(dir, name));
      await expect(withRunFolder(dir, () => Promise.resolve())).rejects.toMatchObject({
        area: 'run',
        message: `The run is not written: ${path.join(dir, name)} is a link, and links are not followed here.`,
      });
      await clearLeftovers(dir);
      await pruneCheckpoints(dir, 0, 9).catch(() => undefined);
      expect(readdirSync(target)).toEqual(['step-1']);
    },
  );

  it.each(['.lora', '.lora/runs'])('is not made where %s is a link', async (name) => {
    const [project, elsewhere] = [temp(), temp()];
    mkdirSync(path.join(project, path.dirname(name)), { recursive: true });
    symlinkSync(elsewhere, path.join(project, name));
    await expect(makeRunDir(path.join(project, '.lora/runs/run'))).rejects.toThrow(
      `${path.join(project, name)} is a link, and links are not followed here`,
    );
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  it('has its metrics cut at the last line break, however far from the end that is', async () => {
    const dir = temp();
    const file = path.join(dir, 'metrics.jsonl');
    for (const lines of ['', '{}\n', '{}\n'.repeat(40_000)]) {
      writeFileSync(file, `${lines}${'x'.repeat(200_000)}`);
      await (await MetricsFile.open(dir)).close();
      expect(readFileSync(file, 'utf8')).toBe(lines);
    }
  });

  it('is not created inside a file', async () => {
    const file = path.join(temp(), 'file');
    writeFileSync(file, '');
    await expect(makeRunDir(path.join(file, 'run'))).rejects.toThrow(LoraError);
  });

  it('receives metrics in order, after an incomplete last line was removed', async () => {
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

  it('reports the file that cannot be written when the disk is full', async () => {
    const dir = temp();
    const metrics = await MetricsFile.open(dir);
    await metrics.close(); // writes to a closed file fail as on a full disk
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

  it('contains the whole recipe: missing newer keys get their defaults, invalid recipes are refused', async () => {
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
});
