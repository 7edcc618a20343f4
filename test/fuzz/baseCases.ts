import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import type { BaseModel } from '../../src/formats/baseModel';
import { readFolderTokenizer } from '../../src/formats/folderTokenizer';
import { openBase } from '../../src/formats/openBase';
import { asGguf } from '../support/ggufFixture';
import type { ggufBytes } from '../support/ggufWriter';
import type { Random } from '../../src/shared/random';
import { damagedGguf, type GgufContent } from './ggufContent';
import { anyBytes, header, json } from './damage';
import { fixture, type ReaderCase } from './readerCase';

/** Fewer inputs than for small files: each reads a whole model. */
const inputs = 1_500;

/** Readers of models. */
export async function baseCases(): Promise<ReaderCase[]> {
  const files = fixture('llama/base');
  const { metadata, tensors } = await asGguf(files, 'llama');
  const read = (folder: string) => readBase(folder);
  return [
    ...ggufModelCases({ metadata: [...metadata, ...tokenizerMetadata], tensors }),
    ...(await otherGgufCases()),
    { name: 'config.json', inputs, files, target: 'config.json', damage: json, read },
    {
      name: 'shard index',
      inputs,
      files: fixture('malformed/good-base'),
      target: 'model.safetensors.index.json',
      damage: json,
      read: (folder) => readBase(folder, false),
    },
    { name: 'base weights', inputs, files, target: 'model.safetensors', damage: header, read },
  ];
}

/** Models whose tensors are not one to one those of a checkpoint. */
const OTHERS = [
  ['qwen3_moe', 'qwen3moe'],
  ['gpt_oss', 'gpt-oss'],
  ['qwen3_5', 'qwen35'],
  ['gemma4', 'gemma4'],
  ['gemma4-moe', 'gemma4'],
  ['t5', 't5'],
] as const;

async function otherGgufCases(): Promise<ReaderCase[]> {
  const cases: ReaderCase[] = [];
  for (const [name, arch] of OTHERS) {
    const { metadata, tensors } = await asGguf(fixture(`${name}/base`), arch);
    const content = { metadata: [...metadata, ...tokenizerMetadata], tensors };
    cases.push({
      name: `gguf model metadata of ${name}`,
      inputs: 300,
      files: { 'model.gguf': damagedGguf(content, null) },
      target: 'model.gguf',
      read: (folder) => readBase(path.join(folder, 'model.gguf')),
      damage: (_, random) => damagedGguf(content, random),
    });
  }
  return cases;
}

/** A model in one file, and in two. */
function ggufModelCases(content: GgufContent): ReaderCase[] {
  const one = {
    inputs,
    files: { 'model.gguf': damagedGguf(content, null) },
    target: 'model.gguf',
    read: (folder: string) => readBase(path.join(folder, 'model.gguf')),
  };
  const names = ['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf'] as const;
  const parts = [0, 1].map((own) => partOf(content, own));
  const files = Object.fromEntries(names.map((own, i) => [own, damagedGguf(parts[i]!, null)]));
  const read = (folder: string) => readBase(path.join(folder, names[0]));
  return [
    { name: 'gguf model', ...one, damage: anyBytes },
    {
      name: 'gguf model metadata',
      ...one,
      damage: (_: Buffer, random: Random) => damagedGguf(content, random),
    },
    ...names.flatMap((target, i): ReaderCase[] => [
      { name: `gguf part ${i + 1}`, inputs, files, target, read, damage: anyBytes },
      {
        name: `gguf part ${i + 1} metadata`,
        inputs,
        files,
        target,
        read,
        damage: (_, random) => damagedGguf(parts[i]!, random),
      },
    ]),
  ];
}

/** Readers of the files beside a model's weights. */
export function sideFileCases(): ReaderCase[] {
  const files = fixture('llama/base');
  return [
    ...['tokenizer.json', 'tokenizer_config.json'].map((target) => ({
      name: target,
      files,
      target,
      damage: json,
      read: async (folder: string) => {
        createTokenizer(await readFolderTokenizer(folder)).encode('two words, 12');
      },
    })),
    ...PIECE_FILES.map(([name, target]) => ({
      name: `SentencePiece ${name}`,
      files: fixture('sentencepiece', name),
      target,
      damage: anyBytes,
      read: async (folder: string) => {
        const tokenizer = createTokenizer(await readFolderTokenizer(folder));
        tokenizer.decode(tokenizer.encode('two words, 12 \ufb01\u0301 <|user|>'));
      },
    })),
    generationCase(files),
  ];
}

/** Unigram with rules for characters, unigram with bytes, and BPE. */
const PIECE_FILES = [
  ['t5', 'spiece.model'],
  ['llama-unigram', 'tokenizer.model'],
  ['llama', 'tokenizer.model'],
] as const;

/** Half of the tensors; the first part has the metadata. */
function partOf({ metadata, tensors }: GgufContent, own: number): GgufContent {
  const half = Math.ceil(tensors.length / 2);
  return {
    metadata: [
      ...(own === 0 ? metadata : []),
      ['split.no', { u32: own }],
      ['split.count', { u32: 2 }],
      ['split.tensors.count', { u32: tensors.length }],
    ],
    tensors: tensors.slice(own * half, (own + 1) * half),
  };
}

const GENERATION = {
  bos_token_id: 1,
  eos_token_id: [2, 3],
  pad_token_id: 0,
  temperature: 0.6,
  top_p: 0.9,
  do_sample: true,
  transformers_version: '5.0.0',
};

/** A merge copies generation_config.json; nothing reads it, so any content of it is accepted. */
function generationCase(base: string): ReaderCase {
  const files = Object.fromEntries(
    readdirSync(base).map((name) => [name, readFileSync(path.join(base, name))]),
  );
  const target = 'generation_config.json';
  return {
    name: target,
    files: { ...files, [target]: Buffer.from(JSON.stringify(GENERATION)) },
    target,
    damage: json,
    refuses: false,
    read: async (folder) => {
      await (await openBase(folder)).close();
    },
  };
}

const tokenizerMetadata: Parameters<typeof ggufBytes>[0] = [
  ['tokenizer.ggml.model', { text: 'gpt2' }],
  ['tokenizer.ggml.pre', { text: 'smollm' }],
  [
    'tokenizer.ggml.tokens',
    {
      texts: Array.from({ length: 384 }, (_, i) => {
        if (i === 383) return 'Ąą';
        return i < 4 ? `<${i}>` : String.fromCodePoint(0x100 + i);
      }),
    },
  ],
  ['tokenizer.ggml.token_type', { ints: Array.from({ length: 384 }, (_, i) => (i < 4 ? 3 : 1)) }],
  ['tokenizer.ggml.merges', { texts: ['Ą ą'] }],
  ['tokenizer.ggml.eos_token_id', { u32: 2 }],
];

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
