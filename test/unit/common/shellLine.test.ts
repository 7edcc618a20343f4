import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shellLine } from '../../../src/common/shellLine';
import { programPath } from '../../../scripts/programs.mjs';

const NASTY = fc.constantFrom(
  ...[
    "'",
    '"',
    '$(id)',
    '`id`',
    '; ',
    '&& ',
    '| ',
    '> x',
    '*',
    '?',
    '~',
    '#',
    '!!',
    '\\',
    '%PATH%',
  ],
  ...['(', '{a,b}', '=', '-', ' ', '\n', '\u001b[2J', '\u202e', '“', '’', 'ü', '/', 'a'],
);
const word = fc.array(NASTY, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));

describe('a command for a shell', () => {
  it.skipIf(process.platform === 'win32')('gives sh and bash the words, whatever they hold', () => {
    const commands = fc.sample(fc.array(word, { minLength: 1, maxLength: 4 }), 3_000);
    const kept = commands.filter((words) => shellLine(words, 'linux') !== null);
    expect(kept.length).toBeGreaterThan(500);
    const script = kept.map((words) => `printf '%s\\0' ${shellLine(words, 'linux')!}`).join('\n');
    for (const shell of ['sh', 'bash']) {
      const { stdout } = spawnSync(programPath(shell), [], { input: script, encoding: 'utf8' });
      expect(stdout.split('\0').slice(0, -1)).toEqual(kept.flat());
    }
  });

  it.each<readonly [NodeJS.Platform, readonly string[], string | null]>([
    ['linux', ['ollama', 'run', 'git-commands'], 'ollama run git-commands'],
    ['linux', ['a', "/my models/it's"], `a '/my models/it'"'"'s'`],
    ['linux', ['a', '~/x', '=ls'], "a '~/x' '=ls'"],
    ['linux', ['a', 'two\nlines'], null],
    ['linux', ['a', 'back\\slash'], null],
    ['win32', ['a', 'C:\\models\\b.gguf'], 'a C:\\models\\b.gguf'],
    ['win32', ['a', "C:\\my models\\it's & b"], `a "C:\\my models\\it's & b"`],
    ['win32', ['a', '@file'], 'a "@file"'],
    ['win32', ['a', 'C:\\%PATH%'], null],
    ['win32', ['a', 'C:\\$(calc)'], null],
    ['win32', ['a', 'C:\\a`n'], null],
    ['win32', ['a', 'C:\\“; calc; “'], null],
    ['win32', ['a', 'C:\\a "b'], null],
    ['win32', ['a', 'C:\\my models\\'], null],
  ])('%s: %j', (platform, words, line) => {
    expect(shellLine(words, platform)).toBe(line);
  });
});
