import path from 'node:path';
import { expect, it } from 'vitest';
import { fileName } from '../../../../src/host/text/fileName';

it.each([
  ['../../etc/passwd', 'etc-passwd'],
  ['..', 'lora'],
  ['', 'lora'],
  ['.bashrc', 'bashrc'],
  ['C:\\Windows\\x', 'C-Windows-x'],
  ['CON', '_CON'],
  ['nul.txt', '_nul.txt'],
  ['com1', '_com1'],
  ['a\u202egnp.exe', 'a-gnp.exe'],
  ['x\ny\0z', 'x-y-z'],
  ['trailing. . ', 'trailing'],
  ['Übung 模型', 'Übung-模型'],
  ['tiny-merged_2.q8', 'tiny-merged_2.q8'],
])('%j becomes the file name %j', (title, name) => {
  expect(fileName(title)).toBe(name);
});

it('a long title becomes a name that file systems accept, of whole characters', () => {
  const name = fileName('模😀'.repeat(500));
  expect(Buffer.byteLength(name)).toBeLessThan(250);
  expect(name).not.toMatch(/\ud83d(?!\ude00)/);
  expect(path.basename(name)).toBe(name);
});
