import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { decodeImage } from '../../src/data/images/decode';
import { readDataset } from '../../src/data/dataset/dataset';
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
import { mutateBytes, mutateJson } from './mutate';

/** A reader with files to give it. */
export interface Reader {
  readonly name: string;
  /** Writes a broken file over the good one, and gives its path. */
  readonly spoil: (random: Random) => string;
  /** Ends in a result, which it checks, or in a LoraError. */
  readonly read: () => Promise<void>;
  /** Puts the good file back. */
  readonly restore: () => void;
}

const fixtures = path.resolve(import.meta.dirname, '../fixtures');

/**
 * Readers of everything that comes from elsewhere, each with files in a folder of its own within
 * `root`.
 */
export async function readers(root: string): Promise<Reader[]> {
  const base = path.join(fixtures, 'llama/base');
  const { metadata, tensors } = await asGguf(base, 'llama');
  const model = ggufBytes([...metadata, ...tokenizerMetadata], tensors);
  const adapterIn = (folder: string) => async () => checkAdapter(await anyAdapter(folder));
  return [
    binary(
      root,
      'safetensors',
      path.join(fixtures, 'llama/lora-qv/adapter'),
      'adapter_model.safetensors',
      adapterIn,
    ),
    header(
      root,
      'safetensors header',
      path.join(fixtures, 'llama/lora-qv/adapter'),
      'adapter_model.safetensors',
      adapterIn,
    ),
    json(
      root,
      'adapter_config.json',
      path.join(fixtures, 'llama/all-linear/adapter'),
      'adapter_config.json',
      adapterIn,
    ),
    json(
      root,
      'mlx settings',
      path.join(fixtures, 'llama/formats/mlx'),
      'adapter_config.json',
      adapterIn,
    ),
    header(
      root,
      'mlx weights',
      path.join(fixtures, 'llama/formats/mlx'),
      'adapters.safetensors',
      adapterIn,
    ),
    header(
      root,
      'kohya',
      path.join(fixtures, 'llama/formats/kohya'),
      'adapter.safetensors',
      adapterIn,
    ),
    binary(
      root,
      'gguf adapter',
      path.join(fixtures, 'llama/formats/gguf'),
      'adapter.gguf',
      (folder) => async () =>
        checkAdapter(
          (await readGgufAdapter(path.join(folder, 'adapter.gguf'), 'as stored')).adapter,
        ),
    ),
    binary(
      root,
      'gguf model',
      { 'model.gguf': model },
      'model.gguf',
      (folder) => () => baseAt(path.join(folder, 'model.gguf')),
    ),
    json(root, 'config.json', base, 'config.json', (folder) => () => baseAt(folder)),
    json(
      root,
      'shard index',
      path.join(fixtures, 'malformed/good-base'),
      'model.safetensors.index.json',
      (folder) => () => baseAt(folder, false),
    ),
    header(root, 'base weights', base, 'model.safetensors', (folder) => () => baseAt(folder)),
    json(root, 'tokenizer.json', base, 'tokenizer.json', (folder) => () => baseAt(folder)),
    json(
      root,
      'tokenizer_config.json',
      base,
      'tokenizer_config.json',
      (folder) => () => baseAt(folder),
    ),
    json(
      root,
      'recipe',
      { 'lora.json': Buffer.from(JSON.stringify(RECIPE)) },
      'lora.json',
      (folder) => () =>
        Promise.resolve().then(
          () => void parseRecipe(readFileSync(path.join(folder, 'lora.json'), 'utf8'), 'lora.json'),
        ),
    ),
    json(
      root,
      'dataset',
      { 'data.json': Buffer.from(JSON.stringify(ROWS)) },
      'data.json',
      (folder) => () => readDataset(asLines(path.join(folder, 'data.json'))).then(() => undefined),
    ),
    ...['png', 'jpg'].map((kind) => {
      const file = imageOf(kind);
      return binary(
        root,
        kind,
        { [`image.${kind}`]: readFileSync(file) },
        `image.${kind}`,
        (folder) => () => {
          const { width, height, data } = decodeImage(
            readFileSync(path.join(folder, `image.${kind}`)),
            'image',
          );
          if (data.length !== width * height * 3)
            throw new RangeError(`${data.length} numbers for ${width} x ${height} pixels`);
          return Promise.resolve();
        },
      );
    }),
  ];
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

/** A row a line, however the list was changed. */
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
      throw new RangeError(`${m.path} is no update`);
    if (![...m.A, ...m.B, ...(m.magnitude ?? [])].every(Number.isFinite))
      throw new RangeError(`${m.path} holds numbers that are none`);
  }
}

/** As a run begins: header, config, every weight, the tokenizer. */
async function baseAt(file: string, withTokenizer = true): Promise<void> {
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

type Files = string | Readonly<Record<string, Uint8Array>>;
type Use = (folder: string) => () => Promise<void>;

function reader(
  root: string,
  name: string,
  files: Files,
  target: string,
  use: Use,
  spoiled: (original: Buffer, random: Random) => Uint8Array | string,
): Reader {
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
    read: use(folder),
    restore: () => write(original),
    spoil: (random) => {
      write(spoiled(original, random));
      return file;
    },
  };
}

const binary = (root: string, name: string, files: Files, target: string, use: Use) =>
  reader(root, name, files, target, use, (original, random) =>
    mutateBytes(original, [original, Buffer.from('GGUF')], random),
  );

const json = (root: string, name: string, files: Files, target: string, use: Use) =>
  reader(root, name, files, target, use, (original, random) =>
    mutateJson(original.toString(), random),
  );

/** The JSON of a safetensors header, its length right again. */
const header = (root: string, name: string, files: Files, target: string, use: Use) =>
  reader(root, name, files, target, use, (original, random) => {
    const length = Number(original.readBigUInt64LE());
    const text = Buffer.from(mutateJson(original.toString('utf8', 8, 8 + length), random));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([size, text, original.subarray(8 + length)]);
  });
