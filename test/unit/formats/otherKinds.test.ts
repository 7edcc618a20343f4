import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFolderBase } from '../../../src/formats/huggingface';
import { readPeftAdapter } from '../../../src/formats/peft/read';
import { LoraError } from '../../../src/shared/errors';

const fixtures = path.resolve(import.meta.dirname, '../../fixtures/llama');

/** A copy of a fixture's folder in which a file is replaced. */
function damaged(from: string, name: string, put: (file: string) => void): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'other-kinds-'));
  cpSync(path.join(fixtures, from), folder, { recursive: true });
  rmSync(path.join(folder, name), { force: true });
  put(path.join(folder, name));
  return folder;
}

async function refusalOf(work: Promise<unknown>): Promise<LoraError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof LoraError) return error;
  throw new Error('It was not refused.', { cause: error });
}

const KINDS: readonly (readonly [string, string, (file: string) => void])[] = [
  ['a device', 'it is a device, not a file', (file) => symlinkSync('/dev/zero', file)],
  ['a folder', 'it is a folder', (file) => mkdirSync(file)],
  ['a link to nothing', 'it does not exist', (file) => symlinkSync('nowhere', file)],
];

describe.skipIf(process.platform === 'win32').each(KINDS)('%s', (_, reason, put) => {
  it.each(['config.json', 'model.safetensors', 'model.safetensors.index.json'])(
    'is refused at the place of %s of a base model',
    async (name) => {
      const folder = damaged('base', name, put);
      const { message, place } = await refusalOf(openFolderBase(folder));
      expect(message).toContain(reason);
      expect(place?.file).toBe(path.join(folder, name));
    },
  );

  it.each(['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'])(
    'is refused at the place of %s, not left out',
    async (name) => {
      const folder = damaged('base', name, put);
      const base = await openFolderBase(folder);
      const { message, place } = await refusalOf(base.readTokenizer());
      await base.close();
      expect(message).toContain(reason);
      expect(place?.file).toBe(path.join(folder, name));
    },
  );

  it.each(['adapter_config.json', 'adapter_model.safetensors'])(
    'is refused at the place of %s of an adapter',
    async (name) => {
      const folder = damaged('lora-qv/adapter', name, put);
      const { message, place } = await refusalOf(readPeftAdapter(folder));
      expect(message).toContain(reason);
      expect(place?.file).toBe(path.join(folder, name));
    },
  );
});
