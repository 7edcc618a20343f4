import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { areRunsPrivate, keepPrivate, makePrivateFolder } from '../../../src/common/privateFiles';
import { temp } from '../../support/temp';

const modeOf = (file: string) => statSync(file).mode & 0o777;

it('runs are private unless LORA_RUNS_PRIVATE is 0', () => {
  expect([{}, { LORA_RUNS_PRIVATE: '1' }, { LORA_RUNS_PRIVATE: '0' }].map(areRunsPrivate)).toEqual([
    true,
    true,
    false,
  ]);
});

describe.skipIf(process.platform === 'win32')('a private folder', () => {
  it('is entered by its owner alone, those above it as usual', async () => {
    const root = temp();
    const usual = path.join(root, 'usual');
    mkdirSync(usual);
    await makePrivateFolder(path.join(root, 'a/b'));
    expect([modeOf(path.join(root, 'a')), modeOf(path.join(root, 'a/b'))]).toEqual([
      modeOf(usual),
      0o700,
    ]);
  });

  it('keeps the mode of a folder that exists', async () => {
    const folder = path.join(temp(), 'a');
    mkdirSync(folder, { mode: 0o755 });
    await makePrivateFolder(folder);
    expect(modeOf(folder)).toBe(modeOf(folder) | 0o500);
    await keepPrivate(folder);
    expect(modeOf(folder)).toBe(0o700);
    await keepPrivate(path.join(folder, 'none'));
  });
});
