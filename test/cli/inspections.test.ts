import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Inspections } from '../../src/host/inspection/inspections';
import { fixtures, tempFolder } from '../support/commandLine';
import { hostileHeader } from '../support/hostileHeader.mjs';
import { dist } from '../support/tfjs';

const base = path.join(fixtures, 'llama/base');

function open() {
  const inspections = new Inspections({
    node: process.execPath,
    script: path.join(dist, 'inspect.js'),
    env: () => process.env,
  });
  onTestFinished(() => inspections.dispose());
  return inspections;
}

describe('the process that inspects files, as it is bundled', () => {
  it('answers every kind of question', async () => {
    const inspections = open();
    const file = path.join(base, 'model.safetensors');
    const { tensors } = await inspections.ask('tensorFile', { file });
    expect(tensors.length).toBeGreaterThan(5);
    const { count } = await inspections.ask('values', { file, tensor: tensors[0]!.name });
    expect(count).toBe(tensors[0]!.shape.reduce((a, b) => a * b, 1));
    expect(await inspections.ask('base', { file: base })).toMatchObject({ task: 'causal_lm' });
    const folder = tempFolder();
    const dataset = path.join(folder, 'train.jsonl');
    writeFileSync(dataset, '{"text":"a"}\n');
    expect(await inspections.ask('dataset', { file: dataset, siblings: [] })).toMatchObject({
      rows: 1,
      keys: ['text'],
    });
    expect(await inspections.ask('datasets', { folders: [folder] })).toHaveLength(1);
  });

  it('refuses what the formats refuse, by their errors', async () => {
    await expect(open().ask('base', { file: fixtures })).rejects.toMatchObject({
      area: 'base',
      place: { file: expect.stringContaining(fixtures) as string },
      fix: expect.any(String) as string,
    });
  });

  it('is ended by a header that takes all memory, with one sentence, and started again', async () => {
    const inspections = open();
    const file = path.join(tempFolder(), 'hostile.safetensors');
    writeFileSync(file, hostileHeader());
    await expect(inspections.ask('tensorFile', { file })).rejects.toMatchObject({
      message: 'Reading the file takes too much memory, so it was stopped.',
      place: { file },
    });
    expect(await inspections.ask('base', { file: base })).toMatchObject({ path: base });
  });
});
