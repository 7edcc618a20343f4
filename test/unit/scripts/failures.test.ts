import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { failureLines, outputFailure, vitestFailures } from '../../../scripts/failures.mjs';
import { temp } from '../../support/temp';

const root = path.resolve('/repository');
const reportOf = (fields: object) => ({
  testResults: [
    {
      name: path.join(root, 'test', 'unit', 'a.test.ts'),
      status: 'failed',
      assertionResults: [],
      ...fields,
    },
  ],
});

describe('the failures in a report of vitest', () => {
  it('are the tests that failed or did not run', () => {
    const failures = vitestFailures(
      reportOf({
        assertionResults: [
          { fullName: 'sums add', status: 'passed', failureMessages: [] },
          { fullName: 'sums wrap', status: 'failed', failureMessages: ['expected 1 to be 2'] },
          { fullName: 'sums later', status: 'skipped', failureMessages: [] },
        ],
      }),
      root,
    );
    expect(failures).toEqual([
      { file: 'test/unit/a.test.ts', name: 'sums wrap', message: 'expected 1 to be 2' },
      {
        file: 'test/unit/a.test.ts',
        name: 'sums later',
        message: 'The test did not run (skipped).',
        notRun: true,
      },
    ]);
  });

  it('are files that could not be loaded', () => {
    const message = 'Cannot find module ./missing';
    expect(vitestFailures(reportOf({ message }), root)).toEqual([
      { file: 'test/unit/a.test.ts', name: 'the file', message },
    ]);
  });

  it('are files whose preparations failed, before their tests', () => {
    const assertionResults = [{ fullName: 'sums add', status: 'skipped' }];
    const [first, second] = vitestFailures(
      reportOf({ message: 'No model', assertionResults }),
      root,
    );
    expect(first).toEqual({ file: 'test/unit/a.test.ts', name: 'the file', message: 'No model' });
    expect(second).toMatchObject({ name: 'sums add', notRun: true });
  });

  it('are none when all passed', () => {
    const assertionResults = [{ fullName: 'sums add', status: 'passed' }];
    expect(vitestFailures(reportOf({ status: 'passed', assertionResults }), root)).toEqual([]);
  });
});

describe('the failures of node:test', () => {
  /** What the reporter writes when node:test runs a file of this source. */
  function failuresOf(source: string): unknown[] {
    const folder = temp();
    const file = path.join(folder, 'one.test.mjs');
    const report = path.join(folder, 'report.json');
    writeFileSync(file, source);
    const reporter = path.resolve('scripts/nodeTestReporter.mjs');
    const args = [`--test-reporter=${reporter}`, `--test-reporter-destination=${report}`];
    spawnSync(process.execPath, ['--test', ...args, file]);
    const lines = readFileSync(report, 'utf8').split('\n').filter(Boolean);
    const failures = lines.map((line) => JSON.parse(line) as { file: string });
    return failures.map((failure) => ({ ...failure, file: path.basename(failure.file) }));
  }

  it('are the tests with their suites, and those that did not run', () => {
    const failures = failuresOf(`
      import { describe, it, test } from 'node:test';
      describe('pages', () => {
        it('open', () => undefined);
        describe('close', () => it('twice', () => { throw new Error('one\\ntwo'); }));
        it.skip('later', () => undefined);
        it('last', () => { throw new Error('still named'); });
      });
      test('alone', () => { throw new Error('alone'); });`);
    expect(failures).toEqual([
      { file: 'one.test.mjs', name: 'pages close twice', message: 'one\ntwo' },
      {
        file: 'one.test.mjs',
        name: 'pages later',
        message: 'The test did not run (skipped).',
        notRun: true,
      },
      { file: 'one.test.mjs', name: 'pages last', message: 'still named' },
      { file: 'one.test.mjs', name: 'alone', message: 'alone' },
    ]);
  });

  it('are suites whose preparations failed, and their tests as not run', () => {
    const failures = failuresOf(`
      import { before, describe, it } from 'node:test';
      describe('pages', () => {
        before(() => { throw new Error('no browser'); });
        it('open', () => undefined);
      });`);
    expect(failures).toEqual([
      expect.objectContaining({ name: 'pages open', notRun: true }) as object,
      { file: 'one.test.mjs', name: 'pages', message: 'no browser' },
    ]);
  });

  it('are files that could not be loaded, with what they printed', () => {
    const [failure, ...others] = failuresOf("import 'node:nothing';");
    expect(others).toEqual([]);
    expect(failure).toEqual({
      file: 'one.test.mjs',
      name: 'the file',
      message: expect.stringContaining('No such built-in module: node:nothing') as string,
    });
  });
});

describe('the list at the end of a test run', () => {
  it('is empty without failures', () => {
    expect(failureLines([])).toEqual([]);
  });

  it('names stage, file and test, with the message', () => {
    const failure = { stage: 'unit', file: 'test/unit/a.test.ts', name: 'sums', message: 'one\n2' };
    expect(failureLines([failure])).toEqual([
      '',
      'Failures:',
      '',
      'unit > test/unit/a.test.ts > sums',
      '    one',
      '    2',
    ]);
  });

  it('has the first lines of what a program printed, without colors and empty lines', () => {
    const output = `\u001B[31msrc/a.ts: wrong\u001B[39m\n\n${'line\n'.repeat(20)}`;
    const lines = failureLines([{ stage: 'lint', ...outputFailure('eslint', output) }]);
    expect(lines.slice(2, 5)).toEqual(['', 'lint > eslint', '    src/a.ts: wrong']);
    expect(lines).toHaveLength(14);
    expect(lines.at(-1)).toBe('    …');
  });

  it('has no lines of a stack outside the repository', () => {
    const frames = ['at file:///r/node_modules/v/index.js:1:2', 'at new Promise (<anonymous>)'];
    const message = ['Error: one', ...frames, 'at /r/a.ts:2:1'].join('\n    ');
    const lines = failureLines([{ name: 'a', message }]);
    expect(lines.slice(4)).toEqual(['    Error: one', '        at /r/a.ts:2:1']);
  });

  it('ends with the tests that did not run', () => {
    const lines = failureLines([
      { name: 'skipped', message: 'The test did not run.', notRun: true },
      { name: 'wrong', message: 'expected 1' },
    ]);
    expect(lines.filter((line) => /^\w+$/.test(line))).toEqual(['wrong', 'skipped']);
  });

  it('says so when a program printed nothing', () => {
    expect(failureLines([outputFailure('eslint', ' \n')]).at(-1)).toBe('    It printed nothing.');
  });

  it('has at most 20 failures, and lines of at most 300 characters', () => {
    const failure = { file: 'a', name: 'b', message: 'x'.repeat(1000) };
    const lines = failureLines(Array.from({ length: 23 }, () => failure));
    expect(lines.filter((line) => line === 'a > b')).toHaveLength(20);
    expect(lines.at(-1)).toBe('… and 3 more');
    expect(Math.max(...lines.map((line) => line.length))).toBe(304);
  });
});
