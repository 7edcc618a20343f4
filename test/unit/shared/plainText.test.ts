import { describe, expect, it } from 'vitest';
import { LoraError } from '../../../src/shared/errors';
import {
  indentedLines,
  markdownText,
  oneLine,
  visibleControls,
} from '../../../src/shared/plainText';

const ESC = '\u001b';
/** Sequences that write the clipboard, the title and the screen of a terminal. */
const TERMINAL_ATTACKS = [
  `${ESC}]52;c;ZWNobyBoYWNrZWQ=\u0007`,
  `${ESC}]0;title${ESC}\\`,
  `${ESC}[2J${ESC}[1;1H`,
  '\u009b31m',
  '\u009d52;c;eA==\u009c',
  'good\rbad',
  'a\u0008b\u007f',
];

describe('text for a terminal', () => {
  it('has no control character but line feeds and tabs', () => {
    for (const attack of TERMINAL_ATTACKS)
      expect(visibleControls(`${attack}\n\t`)).toMatch(/^[^\p{Cc}]+\n\t$/u);
  });

  it('shows what was escaped', () => {
    expect(visibleControls(`${ESC}[31m`)).toBe('\\u001b[31m');
    expect(visibleControls('a\r\nb')).toBe('a\nb');
  });

  it('cannot reorder what follows', () => {
    expect(visibleControls('a\u202egnp.exe\u2066\u2069\u2028')).toBe(
      'a\\u202egnp.exe\\u2066\\u2069\\u2028',
    );
  });

  it('shows characters that nobody sees', () => {
    const unseen = ['\u200b', '\u2060', '\ufeff', '\u00ad', '\u061c', '\u180e', '\u3164', '\u206a'];
    for (const character of [...unseen, '\ufe0f', '\u200d', '\u200c', '\u200f', '\ufff9'])
      expect(visibleControls(`pay${character}pal`)).toBe(
        `pay\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}pal`,
      );
    // tags, which write ASCII unseen
    expect(visibleControls('a\u{e0061}')).toBe('a\\udb40\\udc61');
    expect(visibleControls('👍\ufe0f\ufe0f')).toBe('👍\ufe0f\\ufe0f');
  });

  it('keeps every other script, marks of direction and joined emoji', () => {
    const text = 'Übung 模型 葛\u{e0100} שלום\u200f (\u200eC) العربية 👩🏽‍🔬 ❤️‍🔥 1️⃣ می‌خواهم क्‍ष';
    expect(oneLine(text)).toBe(text);
  });

  it('keeps JSON valid, with the same meaning', () => {
    const value = { name: 'x\u202ey\u0085\u{e0061}' };
    expect(JSON.parse(visibleControls(JSON.stringify(value)))).toEqual(value);
  });
});

it('a name with line feeds stays one line', () => {
  expect(oneLine('a\n2026-01-01 [info] forged\tb')).toBe('a 2026-01-01 [info] forged b');
});

it('a message of several lines cannot forge a line of another message', () => {
  expect(indentedLines('a\nerror: b')).toBe('a\n  error: b');
});

it('an error whose names contain line feeds and escapes describes itself without them', () => {
  const text = new LoraError('base', `The tensor "a\nlora: all well ${ESC}[2J" is not known.`, {
    place: { file: '/m/x\ny.gguf', tensor: `t${ESC}[1m\nz` },
    problems: [
      { severity: 'error', message: 'one\ntwo' },
      { severity: 'error', message: 'three', place: { file: '/m/a\nb', line: 1 } },
    ],
    fix: 'Do this.',
  }).describe();
  expect(text.split('\n')).toEqual([
    '/m/x y.gguf, tensor t\\u001b[1m z: The tensor "a',
    '  lora: all well \\u001b[2J" is not known.',
    '  one',
    '    two',
    '  /m/a b:1: three',
    'Do this.',
  ]);
});

describe('text in Markdown', () => {
  it.each([
    ['an image', '![x](https://evil.example/p.png)'],
    ['a link to a command', '[Resume](command:workbench.action.terminal.new)'],
    ['an address', 'see https://evil.example and www.evil.example'],
    ['an automatic link', '<command:workbench.action.quit>'],
    ['HTML', '<img src=x onerror=alert(1)>&lt;b>'],
    ['a cell', 'a | b'],
    ['code', '`x` ```y'],
    ['an icon', '$(zap)'],
    ['emphasis', '**x** __y__ ~~z~~'],
  ])('shows %s as text', (_, attack) => {
    const shown = markdownText(`${attack}\n\n# heading`);
    expect(shown).not.toMatch(/(?<!\\)[[\]<>|&`$*_~]|:\/\/|www\./);
    expect(shown).not.toContain('\n');
    expect(shown.replace(/\\(?=[^a-z0-9])/g, '')).toBe(`${attack} # heading`);
  });

  it('leaves numbers as they are', () => {
    expect(markdownText('-0.5')).toBe('-0.5');
  });
});
