import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { decodeImage } from '../../src/data/images/decode';
import { readDataset } from '../support/scannedRows';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import { detectAdapter, readAdapter } from '../../src/formats/adapterFormat';
import { openBase } from '../../src/formats/openBase';
import { readGgufAdapter } from '../../src/formats/gguf/adapter';
import { readAdapterTask } from '../../src/formats/peft/task';
import type { BaseModel } from '../../src/formats/baseModel';
import type { Adapter } from '../../src/lora/adapter';
import { parseRecipe } from '../../src/shared/recipeFile';
import type { Random } from '../../src/shared/random';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';
import { damagedLines, readInAllWays } from './datasetLines';
import { mutateBytes, mutateJson } from './mutate';
import { runFileCases } from './runFiles';

/** A reader under test, with a file that it reads. */
export interface Reader {
  readonly name: string;
  /** Writes a damaged file over the good one and returns its path. */
  readonly spoil: (random: Random) => string;
  /** Ends with a result, which it checks, or rejects with a LoraError. */
  readonly read: () => Promise<void>;
  /** Puts the good file back. */
  readonly restore: () => void;
}

const fixtures = path.resolve(import.meta.dirname, '../fixtures');
const fixture = (...parts: string[]) => path.join(fixtures, ...parts);

/** Returns a damaged version of a file. */
export type Damage = (original: Buffer, random: Random) => Uint8Array | string;

export interface ReaderCase {
  readonly name: string;
  /** A folder that is copied, or files by name. */
  readonly files: string | Readonly<Record<string, Uint8Array>>;
  /** The file that is damaged. */
  readonly target: string;
  readonly damage: Damage;
  readonly read: (folder: string) => Promise<void>;
}

/** Readers of all external file formats, each with its own folder within `root`. */
export async function readers(root: string): Promise<Reader[]> {
  const cases = [
    ...adapterCases(),
    ...(await baseCases()),
    ...textCases(),
    ...datasetCases(),
    ...imageCases(),
    ...runFileCases(json),
  ];
  return cases.map((own) => reader(root, own));
}

function adapterCases(): ReaderCase[] {
  const read = async (folder: string) => checkAdapter(await anyAdapter(folder));
  const lora = fixture('llama/lora-qv/adapter');
  const weights = { files: lora, target: 'adapter_model.safetensors', read };
  const mlx = fixture('llama/formats/mlx');
  return [
    { name: 'safetensors', ...weights, damage: anyBytes },
    { name: 'safetensors header', ...weights, damage: header },
    {
      name: 'adapter_config.json',
      files: fixture('llama/all-linear/adapter'),
      target: 'adapter_config.json',
      damage: json,
      read,
    },
    ...['adapter_config.json', 'adapter_model.safetensors'].map((target) => ({
      name: `tied ${target}`,
      files: fixture('tied/tied-target-embed/adapter'),
      target,
      damage: target.endsWith('.json') ? json : header,
      read,
    })),
    { name: 'mlx settings', files: mlx, target: 'adapter_config.json', damage: json, read },
    { name: 'mlx weights', files: mlx, target: 'adapters.safetensors', damage: header, read },
    {
      name: 'kohya',
      files: fixture('llama/formats/kohya'),
      target: 'adapter.safetensors',
      damage: header,
      read,
    },
    ...loraFileCases(read),
    {
      name: 'gguf adapter',
      files: fixture('llama/formats/gguf'),
      target: 'adapter.gguf',
      damage: anyBytes,
      read: async (folder) => {
        const file = path.join(folder, 'adapter.gguf');
        checkAdapter((await readGgufAdapter(file, 'as stored')).adapter);
      },
    },
  ];
}

function loraFileCases(read: ReaderCase['read']): ReaderCase[] {
  return [
    {
      name: 'diffusers',
      files: fixture('lora-files'),
      target: 'pytorch_lora_weights.safetensors',
      damage: header,
      read,
    },
    {
      name: 'diffusers settings',
      files: fixture('lora-files'),
      target: 'pytorch_lora_weights.safetensors',
      damage: settings,
      read,
    },
    {
      name: 'sdxl of kohya',
      files: { 'lora.safetensors': readFileSync(fixture('lora-files/sdxl-kohya.safetensors')) },
      target: 'lora.safetensors',
      damage: header,
      read,
    },
    {
      name: 'adapter index',
      files: shardedAdapter(fixture('llama/lora-qv/adapter')),
      target: 'adapter_model.safetensors.index.json',
      damage: json,
      read,
    },
  ];
}

async function baseCases(): Promise<ReaderCase[]> {
  const files = fixture('llama/base');
  const { metadata, tensors } = await asGguf(files, 'llama');
  const model = ggufBytes([...metadata, ...tokenizerMetadata], tensors);
  const read = (folder: string) => readBase(folder);
  return [
    {
      name: 'gguf model',
      files: { 'model.gguf': model },
      target: 'model.gguf',
      damage: anyBytes,
      read: (folder) => readBase(path.join(folder, 'model.gguf')),
    },
    ...[0, 1].map((i): ReaderCase => {
      const names = ['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf'];
      const half = Math.ceil(tensors.length / 2);
      const part = (own: number) =>
        ggufBytes(
          [
            ...(own === 0 ? [...metadata, ...tokenizerMetadata] : []),
            ['split.no', { u32: own }],
            ['split.count', { u32: 2 }],
            ['split.tensors.count', { u32: tensors.length }],
          ],
          tensors.slice(own * half, (own + 1) * half),
        );
      return {
        name: `gguf part ${i + 1}`,
        files: { [names[0]!]: part(0), [names[1]!]: part(1) },
        target: names[i]!,
        damage: anyBytes,
        read: (folder) => readBase(path.join(folder, names[0]!)),
      };
    }),
    { name: 'config.json', files, target: 'config.json', damage: json, read },
    {
      name: 'shard index',
      files: fixture('malformed/good-base'),
      target: 'model.safetensors.index.json',
      damage: json,
      read: (folder) => readBase(folder, false),
    },
    { name: 'base weights', files, target: 'model.safetensors', damage: header, read },
    { name: 'tokenizer.json', files, target: 'tokenizer.json', damage: json, read },
    { name: 'tokenizer_config.json', files, target: 'tokenizer_config.json', damage: json, read },
  ];
}

function textCases(): ReaderCase[] {
  return [
    {
      name: 'recipe',
      files: { 'lora.json': Buffer.from(JSON.stringify(RECIPE)) },
      target: 'lora.json',
      damage: json,
      read: (folder) =>
        Promise.resolve().then(() => {
          parseRecipe(readFileSync(path.join(folder, 'lora.json'), 'utf8'), 'lora.json');
        }),
    },
    {
      name: 'dataset',
      files: { 'data.json': Buffer.from(JSON.stringify(ROWS)) },
      target: 'data.json',
      damage: json,
      read: async (folder) => {
        await readDataset(asLines(path.join(folder, 'data.json')));
      },
    },
  ];
}

function datasetCases(): ReaderCase[] {
  const lines = ROWS.map((row) => `${JSON.stringify(row)}\n`).join('');
  return [
    {
      name: 'dataset lines',
      files: { 'data.jsonl': Buffer.from(lines) },
      target: 'data.jsonl',
      damage: damagedLines,
      read: (folder) => readInAllWays(path.join(folder, 'data.jsonl')),
    },
  ];
}

function imageCases(): ReaderCase[] {
  return ['png', 'jpg'].map((kind) => {
    const target = `image.${kind}`;
    return {
      name: kind,
      files: { [target]: readFileSync(imageOf(kind)) },
      target,
      damage: anyBytes,
      read: (folder) => {
        const { width, height, data } = decodeImage(
          readFileSync(path.join(folder, target)),
          'image',
        );
        if (data.length !== width * height * 3)
          throw new RangeError(`${data.length} numbers for ${width} x ${height} pixels`);
        return Promise.resolve();
      },
    };
  });
}

const tokenizerMetadata: Parameters<typeof ggufBytes>[0] = [
  ['tokenizer.ggml.model', { text: 'gpt2' }],
  ['tokenizer.ggml.pre', { text: 'smollm' }],
  [
    'tokenizer.ggml.tokens',
    {
      texts: Array.from({ length: 384 }, (_, i) =>
        i < 4 ? `<${i}>` : String.fromCodePoint(0x100 + i),
      ),
    },
  ],
  ['tokenizer.ggml.token_type', { ints: Array.from({ length: 384 }, (_, i) => (i < 4 ? 3 : 1)) }],
  ['tokenizer.ggml.merges', { texts: ['ā Ă'] }],
  ['tokenizer.ggml.eos_token_id', { u32: 2 }],
];

const RECIPE = {
  base: 'b',
  dataset: 'd',
  lora: { r: 8, lora_alpha: 16, target_modules: ['q_proj'], rank_pattern: { q: 4 } },
  training: { learning_rate: 2e-4, num_train_epochs: 3, seed: 1, lr_scheduler_type: 'cosine' },
  samples: { prompts: ['x'] },
};
const ROWS = [
  {
    messages: [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ],
  },
  { prompt: 'a', completion: 'b' },
  { text: 'a' },
  { instruction: 'a', input: '', output: 'b' },
  {
    conversations: [
      { from: 'human', value: 'a' },
      { from: 'gpt', value: 'b' },
    ],
  },
  { input_ids: [1, 2, 3], labels: [-100, 2, 3], attention_mask: [1, 1, 1] },
];

/** Writes the rows as JSON Lines; a file that is not a list is copied unchanged. */
function asLines(file: string): string {
  const lines = path.join(path.dirname(file), 'data.jsonl');
  const text = readFileSync(file, 'latin1');
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch {
    rows = null;
  }
  writeFileSync(
    lines,
    Array.isArray(rows)
      ? rows.map((row) => `${JSON.stringify(row)}\n`).join('')
      : Buffer.from(text, 'latin1'),
  );
  return lines;
}

function imageOf(kind: string): string {
  const folder = path.join(fixtures, 'images');
  const found = (readdirSync(folder, { recursive: true }) as string[]).find((name) =>
    name.endsWith(`.${kind}`),
  );
  if (found === undefined) throw new RangeError(`no .${kind} in the fixtures`);
  return path.join(folder, found);
}

async function anyAdapter(folder: string): Promise<Adapter> {
  await readAdapterTask(folder);
  return (await readAdapter(await detectAdapter(folder), null)).adapter;
}

function checkAdapter({ modules }: Adapter): void {
  for (const m of modules) {
    if (
      m.A.length !== m.r * m.in_features ||
      m.B.length !== m.r * m.out_features ||
      !Number.isFinite(Math.fround(m.scaling))
    )
      throw new RangeError(`${m.path} is not an update`);
    if (![...m.A, ...m.B, ...(m.magnitude ?? [])].every(Number.isFinite))
      throw new RangeError(`${m.path} has numbers that are not finite`);
  }
}

/** Reads everything a run needs: header, config, weights and tokenizer. */
async function readBase(file: string, withTokenizer = true): Promise<void> {
  const base: BaseModel = await openBase(file);
  try {
    for (const { name, shape } of base.weights.tensors.values()) {
      const { length } = await base.weights.readF32(name);
      if (length !== shape.reduce((a, b) => a * b, 1))
        throw new RangeError(`${name} has ${length} numbers`);
    }
    if (withTokenizer) createTokenizer(await base.readTokenizer()).encode('two words, 12');
  } finally {
    await base.close();
  }
}

function reader(root: string, { name, files, target, damage, read }: ReaderCase): Reader {
  const folder = path.join(root, name.replaceAll(' ', '-'));
  mkdirSync(folder);
  if (typeof files === 'string') cpSync(files, folder, { recursive: true });
  else
    for (const [own, bytes] of Object.entries(files)) writeFileSync(path.join(folder, own), bytes);
  const file = path.join(folder, target);
  const original = readFileSync(file);
  const write = (bytes: Uint8Array | string) => writeFileSync(file, bytes, { mode: 0o644 });
  return {
    name,
    read: () => read(folder),
    restore: () => write(original),
    spoil: (random) => {
      write(damage(original, random));
      return file;
    },
  };
}

function anyBytes(original: Buffer, random: Random): Uint8Array {
  return mutateBytes(original, [original, Buffer.from('GGUF')], random);
}

function json(original: Buffer, random: Random): string {
  return mutateJson(original.toString(), random);
}

/** Changes the settings that Diffusers stores in a safetensors header. */
function settings(original: Buffer, random: Random): Uint8Array {
  const length = Number(original.readBigUInt64LE());
  const text = JSON.parse(original.toString('utf8', 8, 8 + length)) as {
    __metadata__: { lora_adapter_metadata: string };
  };
  const { __metadata__: metadata } = text;
  metadata.lora_adapter_metadata = mutateJson(metadata.lora_adapter_metadata, random);
  return withHeader(Buffer.from(JSON.stringify(text)), original.subarray(8 + length));
}

function withHeader(text: Buffer, data: Uint8Array): Uint8Array {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, text, data]);
}

/** The files of an adapter whose weights are listed by an index. */
function shardedAdapter(folder: string): Readonly<Record<string, Uint8Array>> {
  const weights = readFileSync(path.join(folder, 'adapter_model.safetensors'));
  const length = Number(weights.readBigUInt64LE());
  const names = Object.keys(JSON.parse(weights.toString('utf8', 8, 8 + length)) as object);
  const shard = 'adapter_model-00001-of-00001.safetensors';
  const weight_map = Object.fromEntries(
    names.filter((name) => name !== '__metadata__').map((name) => [name, shard]),
  );
  return {
    'adapter_config.json': readFileSync(path.join(folder, 'adapter_config.json')),
    [shard]: weights,
    'adapter_model.safetensors.index.json': Buffer.from(JSON.stringify({ weight_map })),
  };
}

/** Changes the JSON of a safetensors header and corrects its length. */
function header(original: Buffer, random: Random): Uint8Array {
  const length = Number(original.readBigUInt64LE());
  const text = Buffer.from(mutateJson(original.toString('utf8', 8, 8 + length), random));
  return withHeader(text, original.subarray(8 + length));
}
