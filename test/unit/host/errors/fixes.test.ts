import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixesFor, summarize } from '../../../../src/host/errors/fixes';
import { LoraError, withoutOptions, type Problem } from '../../../../src/shared/errors';

const problem = (line: number): Problem => ({
  severity: 'error',
  message: 'This row is not JSON.',
  place: { file: '/w/train.jsonl', line },
});
const sources = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => path.join(folder, name));
const kinds = (error: LoraError) =>
  fixesFor(error).map(({ title, fix }) => [title, fix.kind === 'command' ? fix.command : fix.kind]);

describe('what to do, in a notification', () => {
  it('names no options of the command line', () => {
    const error = new LoraError('adapter', 'It is too large.', {
      fix: 'Choose a base (--base), or install it (lora runtime --install).',
    });
    expect(summarize(error)).toBe('It is too large. Choose a base, or install it.');
  });

  it('can leave them out wherever an engine says what to do', () => {
    const named = sources('src')
      .filter((file) => !file.startsWith(path.join('src', 'engine', 'commands')))
      .flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/fix: ['"`](.*)['"`]/g)])
      .map(([, fix]) => fix!)
      .filter((fix) => fix.includes('--'));
    expect(named.length).toBeGreaterThan(5);
    // options of other programs
    const left = named.filter((fix) => withoutOptions(fix).includes(' --'));
    expect(left.filter((fix) => !/xcode-select|llama-gguf-split/.test(fix))).toEqual([]);
  });
});

describe('the buttons of an error', () => {
  it('open the first line with a problem, and list all problems', () => {
    const error = new LoraError('dataset', 'The dataset has 2 faults.', {
      problems: [problem(3), problem(9)],
    });
    expect(kinds(error)).toEqual([
      ['Open train.jsonl:3', 'openPlace'],
      ['Show Problems', 'workbench.actions.view.problems'],
      ['Show Log', 'showLog'],
    ]);
  });

  it('install a runtime that is missing', () => {
    expect(kinds(new LoraError('runtime', 'None.')).map(([, kind]) => kind)).toEqual([
      'lora.installRuntime',
      'workbench.action.openSettings',
      'showLog',
    ]);
  });

  it('do not open weights as text', () => {
    expect(
      kinds(
        new LoraError('base', 'Bad.', { place: { file: '/m/model.safetensors', tensor: 'x' } }),
      ),
    ).toEqual([['Show Log', 'showLog']]);
  });
});

describe('the text of an error', () => {
  it('contains the place, the first problem, the number of others and the fix', () => {
    const error = new LoraError('dataset', 'The dataset has 3 faults.', {
      place: { file: '/w/train.jsonl' },
      problems: [problem(3), problem(4), problem(9)],
      fix: 'Mend the rows.',
    });
    expect(summarize(error)).toBe(
      'train.jsonl: The dataset has 3 faults. train.jsonl:3: This row is not JSON. And 2 more. Mend the rows.',
    );
  });
});
