import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FoundLog } from '../../../../src/engine/imports/readLog';
import { writeImported } from '../../../../src/engine/imports/writeImported';
import { evalLine } from '../../../../src/formats/logs/importedLog';

/** A log beside an adapter whose weights cannot be copied. */
function logBesideNoAdapter(): { readonly found: FoundLog; readonly run_dir: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-import-'));
  writeFileSync(path.join(folder, 'adapter_config.json'), '{}');
  mkdirSync(path.join(folder, 'adapter_model.safetensors'));
  const log: FoundLog['log'] = {
    program: 'mlx-lm',
    lines: [evalLine(1, 2)],
    started: null,
    total_steps: null,
    training: {},
  };
  const file = path.join(folder, 'train.log');
  const found = { log, file, folder, written: 0, isDamaged: false };
  return { found, run_dir: path.join(folder, 'run') };
}

describe('an import that fails', () => {
  it('leaves no folder of a run', async () => {
    const { found, run_dir } = logBesideNoAdapter();
    const options = { run_dir, version: '0', withAdapter: true };
    await expect(writeImported(found, options)).rejects.toThrow();
    expect(existsSync(run_dir)).toBe(false);
    const { name } = await writeImported(found, { ...options, withAdapter: false });
    expect(name).toContain('mlx-lm');
  });

  it('leaves a folder that was there as it was', async () => {
    const { found, run_dir } = logBesideNoAdapter();
    mkdirSync(run_dir);
    writeFileSync(path.join(run_dir, 'mine.txt'), '');
    const options = { run_dir, version: '0', withAdapter: true };
    await expect(writeImported(found, options)).rejects.toThrow();
    expect(readdirSync(run_dir)).toEqual(['mine.txt']);
  });
});
