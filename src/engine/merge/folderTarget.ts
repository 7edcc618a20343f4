import { copyFile, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { replaceFolder } from '../../common/atomicWrite';
import { CONFIG } from '../../formats/huggingface';
import { writeSafetensors } from '../../formats/safetensors/write';
import type { BaseModel, TokenizerFiles } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { CERTIFICATE, type HashedFile } from './certificate';
import { mergedConfig } from './config';
import { folderForm } from './form';
import { planMerge, type MergePlan } from './plan';
import { bytesOf, filesOf, indexOf, type OutputFile } from './shards';
import { openMergeSource } from './source';
import { streamed } from './stream';
import { retied, type MergeTarget, type TargetOptions } from './target';

/** A model folder as the base's, or as a GGUF base would be one. */
export async function openFolderTarget(
  base: BaseModel,
  adapters: readonly Adapter[],
  options: TargetOptions,
): Promise<MergeTarget> {
  const form = folderForm(base, options.dtype);
  const source = await openMergeSource(base);
  try {
    const plan = retied(planMerge(base, source, adapters, form), options.retie);
    const files = filesOf(plan.tensors, options.max_shard_size);
    return {
      plan,
      bytes: plan.tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0),
      close: () => source.close(),
      modelIn: (temp) => temp,
      certificateIn: (temp) => path.join(temp, CERTIFICATE),
      place: (fill) => replaceFolder(options.output, fill),
      write: async (temp, hooks) => {
        const outputs: HashedFile[] = [];
        for (const file of files) {
          const sha256 = await writeSafetensors(
            path.join(temp, file.name),
            file.tensors.map((tensor) => streamed(tensor, hooks)),
          );
          outputs.push({ file: file.name, sha256 });
        }
        await writeSideFiles(temp, base, plan, files, options);
        return outputs;
      },
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Files of a model folder that are no weights: the tokenizer, templates, settings. */
const WEIGHTS = /\.(?:safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack|onnx)$|\.index\.json$/i;
const LARGEST_SIDE_FILE = 64e6;

async function writeSideFiles(
  temp: string,
  base: BaseModel,
  plan: MergePlan,
  files: readonly OutputFile[],
  { dtype, labels, top }: TargetOptions,
): Promise<void> {
  const index = indexOf(files);
  if (index) await writeFile(path.join(temp, index.name), index.text);
  if (base.format === 'gguf') await writeTokenizer(temp, base);
  else await copySideFiles(base.path, temp);
  if (top !== null && base.replaced.size > 0)
    await copySideFiles(
      top,
      temp,
      /^(?:tokenizer|special_tokens_map|added_tokens|chat_template|vocab|merges)/,
    );
  await writeFile(
    path.join(temp, CONFIG),
    `${JSON.stringify(mergedConfig(base, plan, dtype, labels), null, 2)}\n`,
  );
}

async function copySideFiles(from: string, to: string, only = /^(?!README)/): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const file = path.join(from, entry.name);
    const info = await stat(file).catch(() => null);
    if (
      !info?.isFile() ||
      WEIGHTS.test(entry.name) ||
      entry.name.startsWith('.') ||
      entry.name === CERTIFICATE ||
      info.size > LARGEST_SIDE_FILE ||
      !only.test(entry.name)
    )
      continue;
    await copyFile(file, path.join(to, entry.name));
  }
}

/** Of a GGUF base: from its metadata. */
async function writeTokenizer(temp: string, base: BaseModel): Promise<void> {
  const files = await base.readTokenizer().catch(() => null);
  if (!files) return;
  await writeFile(path.join(temp, 'tokenizer.json'), JSON.stringify(files.tokenizer));
  await writeFile(
    path.join(temp, 'tokenizer_config.json'),
    `${JSON.stringify({ tokenizer_class: 'PreTrainedTokenizerFast', ...files.config }, null, 2)}\n`,
  );
  if (files.chat_template !== null)
    await writeFile(path.join(temp, 'chat_template.jinja'), files.chat_template);
  await writeFile(
    path.join(temp, 'generation_config.json'),
    `${JSON.stringify(generationConfig(files), null, 2)}\n`,
  );
}

/** The tokens at which generating begins and ends. */
function generationConfig({ tokenizer, config }: TokenizerFiles): Readonly<Record<string, number>> {
  const { vocab } = tokenizer['model'] as { readonly vocab: Readonly<Record<string, number>> };
  return Object.fromEntries(
    ['bos_token', 'eos_token', 'pad_token'].flatMap((key) => {
      const token = config[key];
      return typeof token === 'string' && Object.hasOwn(vocab, token)
        ? [[`${key}_id`, vocab[token]!] as const]
        : [];
    }),
  );
}
