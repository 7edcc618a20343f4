import path from 'node:path';
import { createFileWithCompanions } from '../../common/atomicWrite';
import { familyInFile } from '../../formats/gguf/families';
import type { GgufFamily } from '../../formats/gguf/family';
import { GGUF_TYPES, type GgufTensor } from '../../formats/gguf/header';
import { Metadata } from '../../formats/gguf/metadata';
import { checkpointName } from '../../formats/gguf/names';
import { headLayoutOf } from '../../formats/gguf/order';
import { openGgufModel } from '../../formats/gguf/parts';
import { expertNames, isOfAllExperts } from '../../formats/gguf/places';
import type { GgufSource } from '../../formats/gguf/read';
import { ggufBytesOf, writeGguf, type GgufEntry } from '../../formats/gguf/write';
import type { BaseModel } from '../../formats/baseModel';
import type { DType } from '../../formats/tensorInfo';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { certificateName } from './certificate';
import { ggufForm, inGgufOrder, MERGE_DTYPES, type MergeDtype } from './form';
import { planMerge, type MergePlan } from './plan';
import { storedWeights } from './sizes';
import { PART_BYTES, type SourceTensor } from './source';
import { streamTensor } from './stream';
import { withTiedOutput, type MergeTarget, type TargetOptions } from './target';

/**
 * A .gguf file with the base's metadata, names and row order.
 * @throws LoraError when the base is not a .gguf file, or the adapter has added tokens.
 */
export async function openGgufTarget(
  base: BaseModel,
  adapters: readonly Adapter[],
  { output, dtype, retie }: TargetOptions,
): Promise<MergeTarget> {
  checkGgufBase(base, output);
  const source = await openGgufModel(base.path);
  try {
    const metadata = new Metadata(source.header.metadata, base.path);
    const family = familyInFile(metadata, source.header.tensors);
    const heads = headLayoutOf(base.spec);
    const reordered = adapters.map((adapter) => inGgufOrder(adapter, family, heads));
    const form = ggufForm(family, dtype);
    const tensors = sourceTensors(source, family);
    const mergeSource = { tensors, files: [], close: () => source.close() };
    const plan = withTiedOutput(
      planMerge(base, mergeSource, reordered, form),
      retie && form.nameOf(retie),
    );
    const name = path.basename(output);
    return {
      plan,
      stored: storedWeights(plan.tensors, ggufBytesOf),
      bytes: plan.tensors.reduce((sum, tensor) => sum + ggufBytesOf(tensor), 0),
      close: () => source.close(),
      modelIn: (temp) => path.join(temp, name),
      certificateIn: (temp) => path.join(temp, certificateName(name)),
      place: (fill) => createFileWithCompanions(output, fill),
      write: async (temp, hooks) => {
        const sha256 = await writeGguf(
          path.join(temp, name),
          await mergedEntries(source, plan, dtype),
          plan.tensors.map((tensor) => streamTensor(tensor, hooks)),
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

function checkGgufBase(base: BaseModel, output: string): void {
  const place = { file: output };
  if (base.format !== 'gguf') {
    throw new LoraError('usage', 'A .gguf file can only be made from a .gguf base.', {
      place,
      fix: "Name a folder as the output; llama.cpp's convert_hf_to_gguf.py converts that to .gguf.",
    });
  }
  if (base.replaced.size > 0) {
    throw new LoraError(
      'adapter',
      "The adapter has added tokens, which the .gguf base's tokenizer does not have.",
      { place, fix: 'Name a folder as the output.' },
    );
  }
}

const sourceTensors = (source: GgufSource, family: GgufFamily): SourceTensor[] =>
  [...source.header.tensors.values()].map((tensor) => {
    const name = checkpointName(tensor.name, family) ?? tensor.name;
    return {
      stored: tensor.name,
      name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      ...(isOfAllExperts(name) && { parts: expertNames(name, tensor.shape[0] ?? 0) }),
      file: null,
      bytes: () => tensorParts(source, tensor),
      read: (from, count) => source.readRange(tensor, from, count),
    };
  });

async function* tensorParts(source: GgufSource, tensor: GgufTensor): AsyncGenerator<Uint8Array> {
  const size = tensor.end - tensor.start;
  const { bytes } = GGUF_TYPES.get(tensor.dtype)!;
  const step = PART_BYTES - (PART_BYTES % bytes); // whole blocks
  for (let from = 0; from < size; from += step) {
    yield await source.readTensorBytes(tensor, from, Math.min(step, size - from));
  }
}

/** llama.cpp's numbers for the type of most of a file's weights (llama_ftype). */
const FILE_TYPES: Readonly<Partial<Record<DType, number>>> = { F32: 0, F16: 1, Q8_0: 7, BF16: 32 };
const FILE_TYPE = 'general.file_type';

/** The base's metadata, byte for byte, except for the type of the weights if that changes. */
async function mergedEntries(
  source: GgufSource,
  plan: MergePlan,
  dtype: MergeDtype,
): Promise<GgufEntry[]> {
  const newType = newWeightType(plan, dtype);
  const entries: GgufEntry[] = [];
  for (const [key, { start, end }] of source.header.entries) {
    if (key.startsWith('split.')) {
      continue; // the result is one file
    }
    entries.push(
      key === FILE_TYPE && newType
        ? { key, type: 'u32', value: FILE_TYPES[newType]! }
        : { key, type: 'bytes', value: await source.readBytes(start, end - start, key) },
    );
  }
  return entries;
}

/** The type that most weights have now; null if it stays the same. */
function newWeightType({ tensors }: MergePlan, dtype: MergeDtype): DType | null {
  if (dtype !== 'keep') {
    return MERGE_DTYPES[dtype];
  }
  const isDequantized = tensors.some(
    (tensor) =>
      tensor.change.kind === 'merged' &&
      tensor.dtype === 'F16' &&
      GGUF_TYPES.get(tensor.change.source.dtype)!.block > 1,
  );
  return isDequantized ? 'F16' : null;
}
