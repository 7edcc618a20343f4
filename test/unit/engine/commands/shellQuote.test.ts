import { expect, it } from 'vitest';
import { shellQuote } from '../../../../src/engine/commands/shellQuote';

it.each([
  ['/w/.lora/runs/2026-a_b', 'linux', '/w/.lora/runs/2026-a_b'],
  ['/w/my run', 'linux', "'/w/my run'"],
  ["/w/it's $HOME", 'linux', "'/w/it'\\''s $HOME'"],
  ['~/a', 'darwin', "'~/a'"],
  ['C:\\w\\run', 'win32', 'C:\\w\\run'],
  ['C:\\my run', 'win32', '"C:\\my run"'],
] as const)('%s on %s is %s', (text, platform, quoted) => {
  expect(shellQuote(text, platform)).toBe(quoted);
});
