import path from 'node:path';
import { replaceFileWithCompanions } from '../../common/atomicWrite';
import { ggufFamilyOf } from '../../formats/gguf/families';
import type { GgufFamily } from '../../formats/gguf/family';
import { GGUF_TYPES, type GgufTensor } from '../../formats/gguf/header';
import { checkpointName } from '../../formats/gguf/names';
import { GgufFile } from '../../formats/gguf/read';
import { ggufBytesOf, writeGguf, type GgufEntry } from '../../formats/gguf/write';
import type { BaseModel } from '../../formats/baseModel';
import type { DType } from '../../formats/tensorInfo';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { CERTIFICATE } from './certificate';
import { ggufForm, inGgufOrder, MERGE_DTYPES, type MergeDtype } from './form';
import { planMerge, type MergePlan } from './plan';
import { PART, type SourceTensor } from './source';
import { streamed } from './stream';
import { retied, type MergeTarget, type TargetOptions } from './target';

/**
 * A .gguf file as the base's: its metadata, its names, its order of rows. Errors: LoraError where
 * the base is none.
 */
export async function openGgufTarget(
  base: BaseModel,
  adapters: readonly Adapter[],
  { output, dtype, retie }: TargetOptions,
): Promise<MergeTarget> {
  if (base.format !== 'gguf')
    throw new LoraError('usage', 'A .gguf file is only made of a .gguf base.', {
      place: { file: output },
      fix: "Name a folder as the output; llama.cpp's convert_hf_to_gguf.py makes a .gguf file of that.",
    });
  if (base.replaced.size > 0)
    throw new LoraError(
      'adapter',
      "The adapter brings added tokens, which a .gguf base's tokenizer does not have.",
      { place: { file: output }, fix: 'Name a folder as the output.' },
    );
  const source = await GgufFile.open(base.path);
  try {
    const arch = source.header.metadata.get('general.architecture') as string;
    const family = ggufFamilyOf(arch, base.path);
    const head_dim = base.spec.layers[0]!.attention.head_dim;
    const own = adapters.map((adapter) => inGgufOrder(adapter, family, head_dim));
    const form = ggufForm(family, dtype);
    const plan = retied(
      planMerge(
        base,
        { tensors: tensorsOf(source, family), files: [], close: () => source.close() },
        own,
        form,
      ),
      retie && form.nameOf(retie),
    );
    const name = path.basename(output);
    return {
      plan,
      bytes: plan.tensors.reduce((sum, tensor) => sum + ggufBytesOf(tensor), 0),
      close: () => source.close(),
      modelIn: (temp) => path.join(temp, name),
      certificateIn: (temp) => path.join(temp, certificateName(name)),
      place: (fill) => replaceFileWithCompanions(output, fill),
      write: async (temp, hooks) => {
        const sha256 = await writeGguf(
          path.join(temp, name),
          await entriesOf(source, plan, dtype),
          plan.tensors.map((tensor) => streamed(tensor, hooks)),
          source.header.alignment,
        );
        return [{ file: name, sha256 }];
      },
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** A file's certificate stands beside it. */
export const certificateName = (file: string): string => `${file}.${CERTIFICATE}`;

function tensorsOf(source: GgufFile, family: GgufFamily): SourceTensor[] {
  return [...source.header.tensors.values()].map((tensor) => ({
    stored: tensor.name,
    name: checkpointName(tensor.name, family) ?? tensor.name,
    dtype: tensor.dtype,
    shape: tensor.shape,
    file: null,
    bytes: () => partsOf(source, tensor),
    read: (from, count) => source.readRange(tensor, from, count),
  }));
}

async function* partsOf(
  source: GgufFile,
  { name, start, end }: GgufTensor,
): AsyncGenerator<Uint8Array> {
  for (let from = start; from < end; from += PART)
    yield await source.readBytes(from, Math.min(PART, end - from), name);
}

/** llama.cpp's numbers of what a file mostly holds (llama_ftype). */
const FILE_TYPES: Readonly<Partial<Record<DType, number>>> = { F32: 0, F16: 1, Q8_0: 7, BF16: 32 };
const FILE_TYPE = 'general.file_type';

/** The base's values, byte for byte; only the type of the weights may be another now. */
async function entriesOf(
  source: GgufFile,
  { tensors }: MergePlan,
  dtype: MergeDtype,
): Promise<GgufEntry[]> {
  const widened = tensors.some(
    (tensor) =>
      tensor.change.kind === 'merged' &&
      tensor.dtype === 'F16' &&
      GGUF_TYPES.get(tensor.change.source.dtype)!.block > 1,
  );
  const now = dtype === 'keep' ? (widened ? 'F16' : null) : MERGE_DTYPES[dtype];
  const entries: GgufEntry[] = [];
  for (const [key, { start, end }] of source.header.entries) {
    entries.push(
      key === FILE_TYPE && now
        ? { key, type: 'u32', value: FILE_TYPES[now]! }
        : { key, type: 'bytes', value: await source.readBytes(start, end - start, key) },
    );
  }
  return entries;
}
