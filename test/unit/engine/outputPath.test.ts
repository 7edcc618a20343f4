import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { checkOutput } from '../../../src/engine/outputPath';

const folder = mkdtempSync(path.join(tmpdir(), 'lora-output-'));

it.each(['CON', 'nul.gguf', 'adapter.', 'a?b'])('%s is refused on Windows alone', async (name) => {
  const output = path.join(folder, name);
  await expect(checkOutput(output, [], 'win32')).rejects.toThrow(/Windows takes no file/);
  await expect(checkOutput(output, [], 'linux')).resolves.toBeUndefined();
});
