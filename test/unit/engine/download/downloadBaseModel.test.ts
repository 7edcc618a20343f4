import { readdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { downloadBaseModel } from '../../../../src/engine/download/downloadBaseModel';
import { parseHubName } from '../../../../src/engine/download/plan';
import { startHub } from '../../../support/hub.mjs';
import { temp } from '../../../support/temp';

const FIRST = 'Q4_K_M/m-00001-of-00002.gguf';
const SECOND = 'Q4_K_M/m-00002-of-00002.gguf';
const FILES: Readonly<Record<string, Buffer>> = {
  [FIRST]: Buffer.alloc(2000, 7),
  [SECOND]: Buffer.alloc(3000, 8),
  'Q8_0/m.gguf': Buffer.alloc(10),
  '../evil.gguf': Buffer.alloc(10),
  'a/../../evil.gguf': Buffer.alloc(10),
  '.git/evil.gguf': Buffer.alloc(10),
};

/** Downloads a model of the local hub by its name. */
async function download(name: string, output: string, files = FILES) {
  const server = await startHub({ files });
  onTestFinished(() => server.close());
  const { repository, file } = parseHubName(name);
  const { signal } = new AbortController();
  const hub = { endpoint: server.endpoint, repository, revision: 'main', token: null, signal };
  return downloadBaseModel({ hub, file, output, onProgress: () => undefined });
}

it.each([`owner/tiny/${FIRST}`, `https://huggingface.co/owner/tiny/blob/main/${FIRST}`])(
  'the parts of %s keep their folder',
  async (name) => {
    const output = path.join(temp(), 'out');
    const { base, bytes } = await download(name, output);
    expect([base, bytes]).toEqual([path.join(output, ...FIRST.split('/')), 5000]);
    expect(readdirSync(output)).toEqual(['Q4_K_M']);
    for (const own of [FIRST, SECOND])
      expect(readFileSync(path.join(output, own)).equals(FILES[own]!), own).toBe(true);
    expect(await download(name, output)).toEqual({ base, bytes });
  },
);

it('a model for sentence embeddings comes with its pooling', async () => {
  const output = path.join(temp(), 'out');
  const names = ['model.safetensors', 'config.json', 'modules.json', '1_Pooling/config.json'];
  const files = Object.fromEntries(
    [...names, 'onnx/config.json'].map((name) => [name, Buffer.from('{}')]),
  );
  await download('owner/tiny', output, files);
  expect(readdirSync(output, { recursive: true }).toSorted()).toEqual(
    ['1_Pooling', ...names].toSorted(),
  );
});

it('files in folders are suggested where there are no safetensors', async () => {
  await expect(download('owner/tiny', temp())).rejects.toMatchObject({
    fix: `Name one of its .gguf files, as in owner/tiny/${FIRST}: ${FIRST}, Q8_0/m.gguf`,
  });
});

it.each(['../evil.gguf', 'a/../../evil.gguf', '.git/evil.gguf'])(
  '%s is refused, which would be elsewhere',
  async (file) => {
    const folder = temp();
    const output = path.join(folder, 'b', 'out');
    await expect(download(`owner/tiny/${file}`, output)).rejects.toThrow(`has no file ${file}`);
    expect(readdirSync(folder)).toEqual([]);
  },
);

it.skipIf(process.platform === 'win32')('a link in the output is not followed', async () => {
  const [output, elsewhere] = [temp(), temp()];
  symlinkSync(elsewhere, path.join(output, 'Q4_K_M'));
  await expect(download(`owner/tiny/${FIRST}`, output)).rejects.toMatchObject({ area: 'disk' });
  expect(readdirSync(elsewhere)).toEqual([]);
});
