import { spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import path from 'node:path';
import { expect, it } from 'vitest';
import { writeBundles } from '../../scripts/bundles.mjs';
import { makeRecipe, tempFolder } from '../support/commandLine';
import { dist } from '../support/tfjs';

const SOURCE = 'src/engine/training/schedule.ts';
const FUNCTION = 'function learningRate(';
const lineOf = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .findIndex((line) => line.includes(FUNCTION));

it("a breakpoint in the development bundle of the engine's worker pauses at its source line", async () => {
  const folder = tempFolder();
  await writeBundles(folder, { development: true });
  symlinkSync(path.join(dist, 'binding'), path.join(folder, 'binding'));
  const worker = path.join(folder, 'worker.js');
  const preload = path.resolve('test/support/pauseInWorker.cjs');
  const recipe = makeRecipe({ training: { max_steps: 1 } });
  const { stderr } = spawnSync(
    process.execPath,
    ['--require', preload, path.join(folder, 'cli.js'), 'train', recipe],
    { encoding: 'utf8', env: { ...process.env, LORA_BREAKPOINT: String(lineOf(worker) + 1) } },
  );
  const [, location = 'null'] = /^paused (.+)$/m.exec(stderr) ?? [];
  const { lineNumber, columnNumber } = JSON.parse(location) as Record<string, number>;
  const map = JSON.parse(readFileSync(`${worker}.map`, 'utf8')) as SourceMapPayload;
  const place = new SourceMap(map).findEntry(lineNumber!, columnNumber!);
  expect(place).toMatchObject({
    originalSource: expect.stringContaining(SOURCE) as string,
    originalLine: lineOf(SOURCE) + 1,
  });
});
