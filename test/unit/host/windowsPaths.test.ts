// The extension's handling of paths by the rules of Windows.
import type path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { adapterName, runOfAdapter } from '../../../src/host/adapters/adapterNames';
import { modelStem } from '../../../src/host/adapters/mergedName';
import { documentPath } from '../../../src/host/compare/documentPath';
import { variablesFor } from '../../../src/host/playground/templateVariables';
import { recipeProblems } from '../../../src/host/recipe/recipeProblems';
import type { RunStore } from '../../../src/host/runs/runStore';
import { relativeTo } from '../../../src/host/setup/relativeTo';
import { freeRecipeName } from '../../../src/host/setup/writeRecipe';
import { newSweepFolder, runsOfSweep, stemOf, sweepOf } from '../../../src/shared/sweep/places';

vi.mock('node:path', async (original) => {
  const { win32 } = await original<typeof path>();
  return { ...win32, default: win32 };
});
vi.mock('vscode', () => ({}));

const system = process.platform;
const pretend = (platform: string) =>
  Object.defineProperty(process, 'platform', { value: platform });
beforeAll(() => pretend('win32'));
afterAll(() => pretend(system));

describe('paths in recipes', () => {
  it('are relative with slashes inside the folder, whatever the case of the drive', () => {
    expect(relativeTo('c:\\Work', 'C:\\Work\\data\\chats.jsonl')).toBe('data/chats.jsonl');
    expect(relativeTo('C:\\Work', 'C:\\Work\\..data\\a.jsonl')).toBe('..data/a.jsonl');
  });

  it('are full outside of it, also on another drive or a server', () => {
    for (const file of ['D:\\data\\a.jsonl', 'C:\\Other\\a.jsonl', '\\\\nas\\share\\a.jsonl'])
      expect(relativeTo('C:\\Work', file)).toBe(file);
  });

  it('a new recipe is called as its dataset', () => {
    expect(freeRecipeName(new Set(['lora.json']), 'C:\\Daten\\Grüße.jsonl')).toBe(
      'Grüße.lora.json',
    );
    const taken = new Set(['Lora.json', 'GRÜSSE.lora.json', 'grüße.LORA.json']);
    expect(freeRecipeName(taken, 'C:\\Daten\\Grüße.jsonl')).toBe('Grüße-2.lora.json');
  });
});

describe('problems of a recipe', () => {
  const file = 'c:\\Work\\lora.json';
  const text = '{\r\n  "base": "base",\r\n  "dataset": "C:\\\\Daten\\\\a.jsonl"\r\n}\r\n';
  const at = (place: { readonly file: string; readonly line?: number }) =>
    recipeProblems([{ message: 'wrong', severity: 'error', place }], text, file)[0];

  it('of a file that it names are at the key, however the path is written', () => {
    expect(at({ file: 'c:\\daten\\A.jsonl', line: 7 })?.place).toMatchObject({ line: 3 });
    expect(at({ file: 'C:\\work\\base\\config.json' })?.place).toMatchObject({ line: 2 });
  });

  it('of its own stay where they are', () => {
    expect(at({ file: 'C:\\Work\\lora.json', line: 2 })?.place).toMatchObject({ line: 2 });
  });
});

describe('adapters', () => {
  const run = { dir: 'c:\\Work\\.lora\\runs\\20261130-101010-abcd', templateVariables: { a: 1 } };
  const adapter = 'C:\\Work\\.lora\\runs\\20261130-101010-abcd\\adapter';

  it('belong to their run, whatever the case of the drive', () => {
    expect(runOfAdapter({ runs: [run] } as unknown as RunStore, adapter)).toBe(run);
    expect(variablesFor(adapter, { base: 'C:\\b', adapters: [] }, [run])).toEqual({ a: 1 });
  });

  it('have the names of their folders', () => {
    expect(adapterName(adapter)).toBe('20261130-101010-abcd');
    expect(modelStem('D:\\Modelle\\SmolLM2-Q4_1.gguf')).toBe('SmolLM2');
  });

  it('their texts have addresses, also on a server', () => {
    expect(documentPath(adapter)).toBe('/C:/Work/.lora/runs/20261130-101010-abcd/adapter.txt');
    expect(documentPath('\\\\nas\\share\\adapter')).toBe('/nas/share/adapter.txt');
  });
});

describe('sweeps', () => {
  const recipe = 'C:\\Work\\Übung.lora.json';
  const folder = newSweepFolder(recipe, '20261130-101010-abcd');

  it('are found by their recipes', () => {
    expect(folder).toBe('C:\\Work\\.lora\\sweeps\\20261130-101010-abcd-Übung');
    expect(sweepOf(`${folder}\\r8.lora.json`)).toBe(folder);
    expect(runsOfSweep(folder)).toBe('C:\\Work\\.lora\\runs');
    expect(stemOf(recipe)).toBe('Übung');
  });
});
