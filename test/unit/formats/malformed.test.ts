import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase, targetableModules } from '../../../src/formats/base';
import { readPeftAdapter } from '../../../src/formats/peft/read';
import { matchTargets } from '../../../src/lora/targets';
import { readSpec } from '../../../src/formats/architecture/readSpec';
import { LoraError } from '../../../src/shared/errors';

interface Case {
  readonly folder: string;
  readonly kind: 'adapter' | 'base';
  readonly base?: string;
  readonly expect: 'reject' | 'warn' | 'no-hang';
  readonly what: string;
}

const root = path.resolve(import.meta.dirname, '../../fixtures/malformed');
const cases = JSON.parse(readFileSync(path.join(root, 'cases.json'), 'utf8')) as Case[];

/** As a run would: the base opened, its config understood, the adapter held against it. */
async function use({ folder, kind, base }: Case) {
  const own = path.join(root, folder);
  const opened = await openBase(kind === 'base' ? own : path.resolve(root, base ?? 'good-base'));
  try {
    readSpec(opened.config, path.join(opened.path, 'config.json'));
    if (kind === 'base') return [];
    const { adapter, warnings } = await readPeftAdapter(own, { modules: targetableModules(opened), names: ['fixtures/llama-tiny'] });
    matchTargets(targetableModules(opened), adapter.config);
    return warnings;
  } finally {
    await opened.close();
  }
}

describe('a broken file', () => {
  it.each(cases.filter((c) => c.expect === 'reject'))('$folder is refused, its file named: $what', async (broken) => {
    const error = await use(broken).then(() => null, (e: unknown) => e);
    expect(error).toBeInstanceOf(LoraError);
    const { message, place } = error as LoraError;
    expect(place?.file ?? '').toMatch(/malformed|llama/);
    expect(message.length).toBeGreaterThan(20);
  });

  it.each(cases.filter((c) => c.expect === 'warn'))('$folder is used with a warning or refused: $what', async (odd) => {
    const result = await use(odd).catch((error: unknown) => [error]);
    expect(result).toHaveLength(1);
  });

  it.each(cases.filter((c) => c.expect === 'no-hang'))('$folder is answered in bounded time: $what', async (slow) => {
    const result = await use(slow).then((warnings) => warnings, (error: unknown) => error);
    expect(result).toBeDefined();
  }, 5_000);

  it('the files that they were made of are accepted without a word', async () => {
    expect(await use({ folder: '../llama/lora-qv/adapter', kind: 'adapter', base: '../llama/base', expect: 'reject', what: '' })).toEqual([]);
    expect(await use({ folder: 'good-base', kind: 'base', expect: 'reject', what: '' })).toEqual([]);
  });
});
