import { expect, it } from 'vitest';
import { shellQuote } from '../../../src/common/shellQuote';

it.each([
  ['/runs/a-1', 'linux', '/runs/a-1'],
  ['/my runs/a', 'darwin', "'/my runs/a'"],
  ["/it's", 'linux', "'/it'\\''s'"],
  ['$(rm)', 'linux', "'$(rm)'"],
  ['', 'linux', "''"],
  ['C:\\runs\\a', 'win32', 'C:\\runs\\a'],
  ['C:\\my runs\\a', 'win32', '"C:\\my runs\\a"'],
  ["C:\\$it's", 'win32', "'C:\\$it''s'"],
  ['C:\\a”; calc; “', 'win32', "'C:\\a”; calc; “'"],
  ['C:\\“a’; calc', 'win32', "'C:\\“a’’; calc'"],
  ['C:\\it’s', 'win32', '"C:\\it’s"'],
  ['C:\\a” & calc & “', 'win32', 'PATH'],
  ['C:\\$a & calc', 'win32', 'PATH'],
] as const)('%s on %s is typed as %s', (text, platform, quoted) => {
  expect(shellQuote(text, platform)).toBe(quoted);
});
