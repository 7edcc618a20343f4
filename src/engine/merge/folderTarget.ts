import { copyFile, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createFolder } from '../../common/atomicWrite';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { CONFIG } from '../../formats/huggingface';
import { writeSafetensors } from '../../formats/safetensors/write';
import type { BaseModel, TokenizerFiles } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { CERTIFICATE, type HashedFile } from './certificate';
import { mergedConfig } from './config';
import { configText } from './configText';
import { folderForm } from './form';
import { planMerge, type MergePlan } from './plan';
import { planWeightFiles, tensorBytes, weightIndex, type WeightFile } from './shards';
import { storedWeights } from './sizes';
import { openMergeSource } from './source';
import { stackAdapter } from './stackAdapter';
import { streamTensor, type StreamHooks } from './stream';
import { withTiedOutput, type MergeTarget, type TargetOptions } from './target';

/**
 * A model folder with the base's names and files; a GGUF base becomes a folder for transformers.
 * @throws LoraError when the base cannot become such a folder.
 */
export async function openFolderTarget(
  base: BaseModel,
  adapters: readonly Adapter[],
  options: TargetOptions,
): Promise<MergeTarget> {
  const form = folderForm(base, options.dtype);
  const source = await openMergeSource(base);
  try {
    const stacked = adapters.map((own) => stackAdapter(own, source.tensors, base.spec));
    const plan = withTiedOutput(planMerge(base, source, stacked, form), options.retie);
    const files = planWeightFiles(plan.tensors, options.max_shard_size);
    return {
      plan,
      stored: storedWeights(plan.tensors, tensorBytes),
      bytes: plan.tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0),
      close: () => source.close(),
      modelIn: (temp) => temp,
      certificateIn: (temp) => path.join(temp, CERTIFICATE),
      place: (fill) => createFolder(options.output, fill),
      write: async (temp, hooks) => {
        const outputs = await writeWeights(temp, files, hooks);
        await writeSideFiles(temp, base, options);
        await writeMergedConfig(temp, base, plan, options);
        return outputs;
      },
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function writeWeights(
  temp: string,
  files: readonly WeightFile[],
  hooks: StreamHooks,
): Promise<HashedFile[]> {
  const outputs: HashedFile[] = [];
  for (const { name, tensors } of files) {
    const streams = tensors.map((tensor) => streamTensor(tensor, hooks));
    outputs.push({ file: name, sha256: await writeSafetensors(path.join(temp, name), streams) });
  }
  const index = weightIndex(files);
  if (index) {
    await writeFile(path.join(temp, index.name), index.text);
  }
  return outputs;
}

async function writeMergedConfig(
  temp: string,
  base: BaseModel,
  plan: MergePlan,
  { dtype, labels }: TargetOptions,
): Promise<void> {
  const config = mergedConfig(base, plan, dtype, labels);
  const limits = { maxBytes: MAX_BYTES.modelJson, links: 'followed' } as const;
  const given =
    base.format === 'gguf' ? null : await readTextFile(path.join(base.path, CONFIG), limits);
  await writeFile(path.join(temp, CONFIG), configText(config, given));
}

/** The files of an adapter folder that belong to its tokenizer. */
const TOKENIZER =
  /^(?:tokenizer|spiece|spm|sentencepiece|special_tokens_map|added_tokens|chat_template|vocab|merges)/;

/** Tokenizer, templates and settings. */
async function writeSideFiles(
  temp: string,
  base: BaseModel,
  { top }: TargetOptions,
): Promise<void> {
  if (base.format === 'gguf') {
    await writeGgufTokenizer(temp, base);
  } else {
    await copySideFiles(base.path, temp, (name) => !name.startsWith('README'));
  }
  const hasAddedTokens = base.replaced.size > 0;
  if (top !== null && hasAddedTokens) {
    await copySideFiles(top, temp, (name) => TOKENIZER.test(name));
  }
}

const WEIGHTS = /\.(?:safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack|onnx)$|\.index\.json$/i;
const MAX_SIDE_FILE_BYTES = 64e6;

async function copySideFiles(
  from: string,
  to: string,
  isWanted: (name: string) => boolean,
): Promise<void> {
  for (const name of await readdir(from)) {
    const isSideFile = !WEIGHTS.test(name) && !name.startsWith('.') && name !== CERTIFICATE;
    if (!isSideFile || !isWanted(name)) {
      continue;
    }
    const file = path.join(from, name);
    const info = await stat(file).catch(() => null);
    if (info?.isFile() && info.size <= MAX_SIDE_FILE_BYTES) {
      await copyFile(file, path.join(to, name));
    }
  }
}

/** Writes the tokenizer that a GGUF base has in its metadata. */
async function writeGgufTokenizer(temp: string, base: BaseModel): Promise<void> {
  const files = await base.readTokenizer().catch(() => null);
  if (!files) {
    return;
  }
  const write = (name: string, text: string) => writeFile(path.join(temp, name), text);
  const config = { tokenizer_class: 'PreTrainedTokenizerFast', ...files.config };
  await write('tokenizer.json', JSON.stringify(files.tokenizer));
  await write('tokenizer_config.json', `${JSON.stringify(config, null, 2)}\n`);
  if (files.chat_template !== null) {
    await write('chat_template.jinja', files.chat_template);
  }
  const generation = `${JSON.stringify(generationConfig(files), null, 2)}\n`;
  await write('generation_config.json', generation);
}

/** The ids of the tokens at which generation begins and ends. */
function generationConfig({ tokenizer, config }: TokenizerFiles): Readonly<Record<string, number>> {
  const { vocab } = tokenizer['model'] as { readonly vocab: Readonly<Record<string, number>> };
  const ids: Record<string, number> = {};
  for (const key of ['bos_token', 'eos_token', 'pad_token']) {
    const token = config[key];
    if (typeof token === 'string' && Object.hasOwn(vocab, token)) {
      ids[`${key}_id`] = vocab[token]!;
    }
  }
  return ids;
}
