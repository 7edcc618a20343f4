import { readFileSync } from 'node:fs';
import path from 'node:path';
import { detectAdapter, readAdapter } from '../../src/formats/adapterFormat';
import { readGgufAdapter } from '../../src/formats/gguf/adapter';
import { readAdapterTask } from '../../src/formats/peft/task';
import type { Adapter } from '../../src/lora/adapter';
import type { BaseModel } from '../../src/formats/baseModel';
import {
  anyBytes,
  configValues,
  header,
  headerOf,
  json,
  names,
  settings,
  values,
  withHeader,
} from './damage';
import { damagedGguf, GGUF_ADAPTER } from './ggufContent';
import { fixture, type Damage, type ReaderCase } from './readerCase';

/** Readers of adapters, of all formats: alone and against a base, a llama. */
export function adapterCases(base: BaseModel): ReaderCase[] {
  const read = async (folder: string) => checkAdapter(await anyAdapter(folder, null));
  const readWithBase = async (folder: string) => {
    await read(folder);
    checkAdapter(await anyAdapter(folder, base));
  };
  const cases = [
    ...peftCases(read, readWithBase),
    ...variantCases(read),
    ...otherFormats(read, readWithBase),
    ...ggufCases(read),
  ];
  return cases.map((own) => ({ ...own, inputs: 200 })); // 9,000 together
}

type Read = ReaderCase['read'];
const WEIGHTS = 'adapter_model.safetensors';
const CONFIG = 'adapter_config.json';

function peftCases(read: Read, readWithBase: Read): ReaderCase[] {
  const lora = { files: fixture('llama/lora-qv/adapter'), target: WEIGHTS, read };
  const linear = fixture('llama/all-linear/adapter');
  const tied = fixture('tied/tied-target-embed/adapter');
  const tokens = fixture('tokens/untied-both/adapter');
  return [
    { name: 'token settings', files: tokens, target: CONFIG, damage: json, read },
    { name: 'token weights', files: tokens, target: WEIGHTS, damage: header, read },
    { name: 'safetensors', ...lora, damage: anyBytes },
    { name: 'safetensors header', ...lora, damage: header },
    { name: 'safetensors values', ...lora, damage: values },
    { name: 'adapter names', ...lora, damage: names, read: readWithBase },
    { name: 'adapter_config.json', files: linear, target: CONFIG, damage: json, read },
    {
      name: 'adapter_config.json of versions',
      files: linear,
      target: CONFIG,
      damage: configValues,
      read: readWithBase,
    },
    { name: 'tied settings', files: tied, target: CONFIG, damage: json, read },
    { name: 'tied weights', files: tied, target: WEIGHTS, damage: header, read },
    ...shardCases(read),
  ];
}

function shardCases(read: Read): ReaderCase[] {
  const files = shardedAdapter(fixture('llama/lora-qv/adapter'));
  const damages: readonly (readonly [string, string, Damage])[] = [
    ['adapter index', INDEX, json],
    ['adapter shard', SHARDS[1], header],
    ['adapter shard names', SHARDS[0], names],
    ['adapter shard bytes', SHARDS[1], anyBytes],
  ];
  return damages.map(([name, target, damage]) => ({ name, files, target, damage, read }));
}

/** DoRA, layers that are trained whole, biases, labels. */
function variantCases(read: Read): ReaderCase[] {
  const variants: readonly (readonly [string, string])[] = [
    ['dora', 'qwen3/dora/adapter'],
    ['dora of an embedding', 'dora-gpt2/lora/adapter'],
    ['modules_to_save', 'mistral/modules-to-save-lm-head/adapter'],
    ['classifier', 'bert/seq-cls/adapter'],
    ['bias', 'gpt_neox/bias-lora-only/adapter'],
  ];
  return variants.flatMap(([name, folder]) => {
    const files = fixture(folder);
    return [
      { name: `${name} settings`, files, target: CONFIG, damage: configValues, read },
      { name: `${name} weights`, files, target: WEIGHTS, damage: header, read },
      { name: `${name} names`, files, target: WEIGHTS, damage: names, read },
      { name: `${name} values`, files, target: WEIGHTS, damage: values, read },
    ];
  });
}

function otherFormats(read: Read, readWithBase: Read): ReaderCase[] {
  const mlx = { files: fixture('llama/formats/mlx'), read: readWithBase };
  const diffusers = {
    files: fixture('lora-files'),
    target: 'pytorch_lora_weights.safetensors',
    read,
  };
  const kohya = {
    files: fixture('llama/formats/kohya'),
    target: 'adapter.safetensors',
    read: readWithBase,
  };
  const sdxl = {
    files: { 'lora.safetensors': readFileSync(fixture('lora-files/sdxl-kohya.safetensors')) },
    target: 'lora.safetensors',
    read,
  };
  return [
    { name: 'mlx settings', ...mlx, target: CONFIG, damage: configValues },
    { name: 'mlx weights', ...mlx, target: 'adapters.safetensors', damage: header },
    { name: 'mlx names', ...mlx, target: 'adapters.safetensors', damage: names },
    { name: 'mlx values', ...mlx, target: 'adapters.safetensors', damage: values },
    { name: 'kohya', ...kohya, damage: header },
    { name: 'kohya names', ...kohya, damage: names },
    { name: 'kohya values', ...kohya, damage: values },
    { name: 'diffusers', ...diffusers, damage: header },
    { name: 'diffusers names', ...diffusers, damage: names },
    { name: 'diffusers settings', ...diffusers, damage: settings },
    { name: 'sdxl of kohya', ...sdxl, damage: header },
    { name: 'sdxl of kohya names', ...sdxl, damage: names },
  ];
}

function ggufCases(read: Read): ReaderCase[] {
  const file = 'adapter.gguf';
  const asStored = async (folder: string) =>
    checkAdapter((await readGgufAdapter(path.join(folder, file), 'as stored')).adapter);
  return [
    {
      name: 'gguf adapter',
      files: fixture('llama/formats/gguf'),
      target: file,
      damage: anyBytes,
      read: asStored,
    },
    {
      name: 'gguf adapter metadata',
      files: { [file]: damagedGguf(GGUF_ADAPTER, null) },
      target: file,
      damage: (_, random) => damagedGguf(GGUF_ADAPTER, random),
      read: async (folder) => {
        await asStored(folder);
        await read(folder);
      },
    },
  ];
}

async function anyAdapter(folder: string, base: BaseModel | null): Promise<Adapter> {
  await readAdapterTask(folder);
  return (await readAdapter(await detectAdapter(folder), base)).adapter;
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

const INDEX = `${WEIGHTS}.index.json`;
const SHARDS = [
  'adapter_model-00001-of-00002.safetensors',
  'adapter_model-00002-of-00002.safetensors',
] as const;

/** The files of an adapter whose weights are in two files, listed by an index. */
function shardedAdapter(folder: string): Readonly<Record<string, Uint8Array>> {
  const { entries, data } = headerOf(readFileSync(path.join(folder, WEIGHTS)));
  const tensors = entries.filter(([name]) => name !== '__metadata__') as [string, Stored][];
  const half = Math.ceil(tensors.length / 2);
  const parts = [tensors.slice(0, half), tensors.slice(half)];
  const weight_map = Object.fromEntries(
    parts.flatMap((part, i) => part.map(([name]) => [name, SHARDS[i]!])),
  );
  return {
    [CONFIG]: readFileSync(path.join(folder, CONFIG)),
    ...Object.fromEntries(parts.map((part, i) => [SHARDS[i]!, shardOf(part, data)])),
    [INDEX]: Buffer.from(JSON.stringify({ weight_map })),
  };
}

interface Stored {
  readonly data_offsets: readonly [number, number];
}

/** A safetensors file with some of the tensors of another one. */
function shardOf(tensors: readonly (readonly [string, Stored])[], data: Uint8Array): Uint8Array {
  const chunks: Uint8Array[] = [];
  const entries: Record<string, Stored> = {};
  let end = 0;
  for (const [name, own] of tensors) {
    const bytes = data.subarray(...own.data_offsets);
    chunks.push(bytes);
    entries[name] = { ...own, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  return withHeader(Buffer.from(JSON.stringify(entries)), Buffer.concat(chunks));
}
