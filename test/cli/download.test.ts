import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterEach, describe, expect, it } from 'vitest';
import { cliResult, lastLine } from '../support/cliResults';
import { startHub, type FakeHub, type HubOptions } from '../support/hub.mjs';
import type { CommonSize, StepMemory } from '../../src/shared/stepMemory';
import { cli, fixtures, startCli, tempFolder, type CliResult } from '../support/commandLine';

const base = path.join(fixtures, 'llama/base');
const own = (name: string) => readFileSync(path.join(base, name));
const MODEL = {
  'config.json': own('config.json'),
  'model.safetensors': own('model.safetensors'),
  'tokenizer.json': own('tokenizer.json'),
  'tokenizer_config.json': own('tokenizer_config.json'),
  'README.md': Buffer.from('# tiny'),
  'pytorch_model.bin': Buffer.alloc(100),
  'onnx/model.onnx': Buffer.alloc(100),
  '../evil.json': Buffer.from('{}'),
  'tiny-f16.gguf': Buffer.alloc(2000, 7),
};
/** The files that are downloaded. */
const TAKEN = [
  'README.md',
  'config.json',
  'model.safetensors',
  'tokenizer.json',
  'tokenizer_config.json',
] as const;

const typesIn = (stdout: string) =>
  (lastLine(stdout) as { readonly memory: StepMemory }).memory.types;

let hub: FakeHub | undefined;
afterEach(() => hub?.close());

/** Downloads a model from a local hub with these settings. */
async function download(
  settings: Partial<HubOptions>,
  folder: string,
  {
    name = 'owner/tiny',
    env = {},
  }: { readonly name?: string; readonly env?: Record<string, string> } = {},
): Promise<CliResult> {
  if (hub) {
    hub.change(settings);
  } else {
    hub = await startHub({ files: MODEL, ...settings });
  }
  return startCli(['download', name, '--output', folder, '--json'], {
    HF_ENDPOINT: `${hub.endpoint}/`,
    HF_TOKEN: '',
    ...env,
  }).end;
}

describe('a base model from the Hub', () => {
  afterEach(() => {
    hub = undefined;
  });

  it('is a folder with the files that a model needs, and can be used', async () => {
    const folder = path.join(tempFolder(), 'tiny');
    const { code, stdout } = await download({}, folder);
    expect(code).toBe(0);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(lines.at(-1)).toMatchObject({ kind: 'result', base: folder });
    expect(lines.at(-2)).toMatchObject({ kind: 'progress', fraction: 1 });
    expect(readdirSync(folder).sort()).toEqual(TAKEN);
    for (const name of TAKEN) {
      const bytes = readFileSync(path.join(folder, name));
      expect(bytes.equals(MODEL[name]), name).toBe(true);
    }
    expect(existsSync(path.join(folder, '../evil.json'))).toBe(false);
    await cliResult('generate', { base: folder, prompt: 'a', 'max-new-tokens': 2 });
    const requests = hub!.starts.length;
    expect((await download({}, folder)).code).toBe(0);
    expect(hub!.starts.length).toBe(requests);
  });

  it('says what a training step needs before it is downloaded, from its config alone', async () => {
    const own = await startHub({ files: MODEL });
    const ask = (name: string) =>
      startCli(['download', name, '--memory', '--json'], {
        HF_ENDPOINT: own.endpoint,
        HF_TOKEN: '',
      }).end;
    try {
      const { code, stdout, stderr } = await ask('owner/tiny');
      expect(code, stderr).toBe(0);
      const inspected = await cli('inspect', base, '--json');
      expect(typesIn(stdout)).toEqual(typesIn(inspected.stdout));
      expect(own.starts.map(([name]) => name)).toEqual(['config.json']);
      expect((await ask('owner/other')).stderr).toMatch(
        /The Hub has no config.json of owner\/other/,
      );
      expect((await ask('owner/tiny/tiny-f16.gguf')).stderr).toMatch(/damaged|no GGUF|not a GGUF/);
      own.change({ files: { 'config.json': Buffer.from('[3]') } });
      expect((await ask('owner/tiny')).stderr).toMatch(/not a JSON object/);
    } finally {
      await own.close();
    }
  });

  it('says what a step of models of common sizes needs, without asking the Hub', async () => {
    const { code, stdout, stderr } = await cli('download', '--sizes', '--json');
    expect(code, stderr).toBe(0);
    const { sizes } = lastLine(stdout) as { readonly sizes: readonly CommonSize[] };
    expect(sizes).toHaveLength(7);
    const [first] = sizes[0]!.memory.types;
    expect(first).toMatchObject({ base_dtype: 'float32', fit: expect.any(String) as string });
    const { stdout: text } = await cli('download', '--sizes');
    expect(text).toContain('Qwen/Qwen2.5-7B-Instruct (7.6 B)');
  });

  it('resumes after the connection was lost', async () => {
    const folder = path.join(tempFolder(), 'tiny');
    const broken = await download({ breakAfter: 30_000 }, folder);
    expect([broken.code, broken.stderr]).toEqual([
      1,
      expect.stringContaining('the download resumes where it stopped'),
    ]);
    expect(existsSync(path.join(folder, 'config.json'))).toBe(false);
    const part = readdirSync(folder).find((name) => name.endsWith('.part'))!;
    const have = statSync(path.join(folder, part)).size;
    expect(have).toBeGreaterThan(0);
    hub!.change({ breakAfter: undefined });
    expect((await download({}, folder)).code).toBe(0);
    expect(hub!.starts.filter(([name]) => `.${name}.part` === part).at(-1)![1]).toBe(have);
    expect(
      readFileSync(path.join(folder, 'model.safetensors')).equals(MODEL['model.safetensors']),
    ).toBe(true);
  });

  it('removes a file with the wrong checksum, and stops at a file that is too long', async () => {
    const folder = path.join(tempFolder(), 'tiny');
    const other = await download(
      { tamper: (bytes) => Buffer.from(bytes.map((byte, i) => (i === 9 ? byte ^ 1 : byte))) },
      folder,
    );
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('checksum differs')]);
    expect(readdirSync(folder)).toEqual([]);
    const longer = await download(
      { tamper: (bytes) => Buffer.concat([bytes, Buffer.alloc(5)]) },
      folder,
    );
    expect(longer.stderr).toContain('The Hub sent more');
    expect(readdirSync(folder).filter((name) => !name.endsWith('.part'))).toEqual([]);
  });

  it.skipIf(process.platform === 'win32')('follows no link in the folder', async () => {
    const victim = path.join(tempFolder(), 'victim');
    writeFileSync(victim, 'mine');
    for (const name of ['.config.json.part', 'config.json']) {
      const folder = tempFolder();
      symlinkSync(victim, path.join(folder, name));
      const { code } = await download({}, folder);
      expect(code, name).not.toBe(0);
      expect(readFileSync(victim, 'utf8')).toBe('mine');
    }
  });

  it('never overwrites a file that differs', async () => {
    const folder = tempFolder();
    writeFileSync(path.join(folder, 'README.md'), 'mine');
    const { code, stderr } = await download({}, folder);
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining('exists already, but differs from the one on the Hub'),
    ]);
    expect(readdirSync(folder)).toEqual(['README.md']);
    expect(readFileSync(path.join(folder, 'README.md'), 'utf8')).toBe('mine');
  });

  it('can be a single .gguf file; without weights the error names the .gguf files', async () => {
    const folder = path.join(tempFolder(), 'tiny');
    expect((await download({}, folder, { name: 'owner/tiny/tiny-f16.gguf' })).code).toBe(0);
    expect(readdirSync(folder)).toEqual(['tiny-f16.gguf']);
    const others = Object.fromEntries(
      Object.entries(MODEL).filter(([name]) => name !== 'model.safetensors'),
    );
    expect((await download({ files: others }, folder)).stderr).toContain(
      'owner/tiny/tiny-f16.gguf',
    );
    expect(
      (await download({ files: others }, folder, { name: 'owner/tiny/blob/main/none.gguf' }))
        .stderr,
    ).toContain('has no file none.gguf');
  });

  it('needs a token if it is not public; a wrong name and an unreachable hub have their own errors', async () => {
    const folder = path.join(tempFolder(), 'tiny');
    expect((await download({ token: 'hf_right' }, folder)).stderr).toContain('is not public');
    expect((await download({}, folder, { env: { HF_TOKEN: 'hf_wrong' } })).stderr).toContain(
      'The token may not read owner/tiny',
    );
    expect((await download({}, folder, { env: { HF_TOKEN: 'hf_right' } })).code).toBe(0);
    hub!.change({ token: null });
    expect((await download({}, folder, { name: 'owner/other' })).stderr).toContain(
      'The Hub has no model owner/other',
    );
    expect((await download({}, folder, { name: '../../etc' })).stderr).toContain(
      'is not the name of a model',
    );
    expect(
      (await download({}, folder, { env: { HF_ENDPOINT: 'http://127.0.0.1:9' } })).stderr,
    ).toContain('cannot be reached');
  });
});

describe('a dataset from the Hub', () => {
  const rows = Buffer.from(
    parquetWriteBuffer({ columnData: [{ name: 'text', data: ['a', 'b', 'c'] }] }),
  );

  it('is kept in its cache, and downloaded once', async () => {
    const commit = 'c0ffee'.padEnd(40, '0');
    const files = { 'default/train/0000.parquet': rows, 'default/test/0000.parquet': rows };
    const own = await startHub({ files: {}, dataset: { commit, files } });
    const env = { HF_ENDPOINT: own.endpoint, HF_TOKEN: '', LORA_DATASETS_HOME: tempFolder() };
    const run = (...args: string[]) =>
      startCli(['download', '--dataset', 'hf://owner/rows', ...args], env).end;
    try {
      const listed = await run('--list', '--json');
      expect((lastLine(listed.stdout) as { splits: unknown }).splits).toEqual([
        { config: 'default', split: 'train', bytes: rows.length },
        { config: 'default', split: 'test', bytes: rows.length },
      ]);
      const first = await run('--json');
      expect(first.stdout).toMatch(/"kind":"progress","phase":"downloading","fraction":1/);
      const result = lastLine(first.stdout) as { files: string[]; revision: string };
      expect(result.revision).toBe(commit);
      expect(result.files.map((file) => readFileSync(file))).toEqual([rows]);
      const again = await run();
      expect([again.code, again.stderr]).toEqual([0, '']);
      expect(again.stdout).toBe(`1 file of commit ${commit}\n${result.files[0]}\n`);
      expect(own.starts).toHaveLength(1);
      const wrong = await run('--split', 'dev');
      expect([wrong.code, wrong.stderr]).toEqual([
        1,
        expect.stringContaining('The dataset has no split "dev".'),
      ]);
    } finally {
      await own.close();
    }
  });
});
