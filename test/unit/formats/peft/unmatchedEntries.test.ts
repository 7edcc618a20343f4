import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { detectAdapter, readAdapter } from '../../../../src/formats/adapterFormat';
import { unmatchedEntries } from '../../../../src/formats/peft/unmatchedEntries';
import { temp } from '../../../support/temp';

const fixture = path.resolve(import.meta.dirname, '../../../fixtures/llama/pair/adapter_a');

async function found(changes: (config: Record<string, unknown>) => object): Promise<string[]> {
  const folder = path.join(temp(), 'adapter');
  cpSync(fixture, folder, { recursive: true });
  const file = path.join(folder, 'adapter_config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  rmSync(file);
  writeFileSync(file, JSON.stringify({ ...config, ...changes(config) }));
  const { adapter } = await readAdapter(await detectAdapter(folder), null);
  return unmatchedEntries(adapter, file).map(({ message }) => message);
}

it('an adapter whose entries all match has no warnings', async () => {
  expect(await found(() => ({}))).toEqual([]);
});

it('entries of a finished adapter that match no module are named', async () => {
  expect(
    await found(({ target_modules }) => ({
      target_modules: [...(target_modules as string[]), 'q_prj'],
      rank_pattern: { w_pack: 8 },
      alpha_pattern: { '^layers.99.q': 4 },
    })),
  ).toEqual([
    'target_modules: "q_prj" matches no module in the weights file.',
    'rank_pattern: "w_pack" matches no module in the weights file.',
    'alpha_pattern: "^layers.99.q" matches no module in the weights file.',
  ]);
});
