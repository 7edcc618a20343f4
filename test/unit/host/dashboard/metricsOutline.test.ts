import { appendFile, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readOutline, type OutlineSizes } from '../../../../src/host/dashboard/metricsOutline';
import type { MetricLine } from '../../../../src/shared/metrics/lines';
import { evalLine, historyOf, stepLine } from '../../../support/metricLines';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'outline-'));
  file = path.join(folder, 'metrics.jsonl');
});
afterEach(() => rm(folder, { recursive: true }));

const SIZES: OutlineSizes = {
  leastFile: 1000,
  ends: 4000,
  steps: 50,
  chunk: 3000,
  mostLine: 5000,
};
const write = (lines: readonly MetricLine[]) =>
  writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
const steps = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => stepLine(from + i, { loss: 1 / (from + i) }));

/** 2,000 steps with an evaluation and an answer that is not ASCII each 100. */
const lines: readonly MetricLine[] = steps(1, 2000).flatMap((line): MetricLine[] =>
  line.step % 100 === 0
    ? [
        line,
        evalLine(line.step, 3),
        { kind: 'sample', step: line.step, prompt: 'größer', completion: '学习 "kind":"step"' },
      ]
    : [line],
);

test('has all other lines, some of the steps in equal distances, and both ends', async () => {
  await write(lines);
  const outline = (await readOutline(file, SIZES))!;
  expect(outline.isOutline).toBe(true);
  expect(outline.lines).toEqual(historyOf(...lines).lines);
  const taken = [...outline.column('step')];
  expect(taken.slice(0, 12)).toEqual(steps(1, 12).map(({ step }) => step));
  expect(taken.slice(-12)).toEqual(steps(1989, 2000).map(({ step }) => step));
  expect(taken.length).toBeGreaterThan(60);
  expect(taken.length).toBeLessThan(120);
  const gaps = taken.map((step, i) => step - (taken[i - 1] ?? 0));
  expect(Math.max(...gaps)).toBeLessThan(60);
  expect([...outline.column('loss')]).toEqual(taken.map((step) => 1 / step));
});

test('leaves out the steps that a resume made void', async () => {
  await write([...steps(1, 1500), { kind: 'resume', step: 500 }, ...steps(501, 900)]);
  const taken = [...(await readOutline(file, SIZES))!.column('step')];
  expect(taken.at(-1)).toBe(900);
  expect(taken).toEqual([...taken].sort((a, b) => a - b));
});

test('ignores what is no metric line, and an incomplete last line', async () => {
  await write(lines);
  const whole = await readOutline(file, SIZES);
  await appendFile(file, 'not JSON\n{"kind":"step","step":20');
  const outline = await readOutline(file, SIZES);
  expect(outline?.lastStep).toBe(2000);
  expect(outline?.lines).toEqual(whole?.lines);
});

test('a short, missing, linked or hostile file has none', async () => {
  await write(steps(1, 3));
  expect(await readOutline(file, SIZES)).toBeNull();
  expect(await readOutline(path.join(folder, 'missing'), SIZES)).toBeNull();
  expect(await readOutline(folder, SIZES)).toBeNull();
  await write(lines);
  await symlink(file, path.join(folder, 'link'));
  expect(await readOutline(path.join(folder, 'link'), SIZES)).toBeNull();
  await appendFile(file, 'x'.repeat(20_000));
  expect(await readOutline(file, SIZES)).toBeNull();
});
