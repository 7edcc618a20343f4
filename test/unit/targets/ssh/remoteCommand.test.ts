import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { programPath } from '../../../../scripts/programs.mjs';
import { isHost, refuseHost, remoteCommand } from '../../../../src/targets/ssh/remoteCommand';

/** What a shell takes as the arguments of a command. */
function wordsInShell(words: readonly string[]): string[] {
  const command = remoteCommand(['printf', '%s\\0', ...words]);
  const { stdout } = spawnSync(programPath('sh'), ['-c', command], { encoding: 'utf8' });
  return stdout.split('\0').slice(0, -1);
}

describe('a command for a remote shell', () => {
  it.each([
    ['a path with spaces and quotes', `/a b/it's "x"`],
    ['a substitution', '$(touch x) `touch y` ${HOME} $PATH'],
    ['a leading dash', '-rf'],
    ['operators and patterns', '; & | > < * ? [a] ~ ! # \\ \\\\'],
    ['an empty word', ''],
    ['only quotes', `''"'"`],
  ])('keeps %s', (_, word) => {
    expect(wordsInShell([word, 'end'])).toEqual([word, 'end']);
  });

  it('keeps any text', () => {
    const special = ` '"$()\`\\;&|<>*?[]{}~!#=-abc/`.split('');
    const unit = fc.constantFrom(...special, '\u00e9', '\u{1f600}');
    const word = fc.string({ unit, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 20 }), (words) => {
        expect(wordsInShell(words)).toEqual(words);
      }),
      { numRuns: 100 },
    );
  });

  it.each(['a\nb', 'a\rb', 'a\0b', '\u001b[2J', 'a\tb', '\u007f'])('refuses %j', (word) => {
    expect(() => remoteCommand(['echo', word])).toThrow(/control characters/);
  });
});

describe('a host', () => {
  it.each(['gpu-box', 'me@10.0.0.1', 'user@host.example.org', 'fe80::1%eth0'])('is %s', (text) => {
    expect(isHost(text)).toBe(true);
  });

  it.each(['-oProxyCommand=x', '', 'a b', 'a;b', '$(x)', 'a\nb', "it's", '../x', 'a/b'])(
    'is not %j',
    (text) => {
      expect(() => refuseHost(text)).toThrow(/not the name of a host/);
    },
  );
});
