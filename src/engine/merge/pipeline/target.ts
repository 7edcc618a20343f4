import { copyFile, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { throwIfCancelled } from '../../../common/cancellation';
import { createFileWithCompanions, createFolder } from '../../../common/atomicWrite';
import { listFolder } from '../../../common/regularFile';
import type { PipelineBase, PipelineTensor } from '../../../formats/diffusion/base';
import { isFloat } from '../../../formats/safetensors/read';
import { writeSafetensors } from '../../../formats/safetensors/write';
import type { DType } from '../../../formats/tensorInfo';
import { RowMerger } from '../../../lora/rowMerger';
import { LoraError } from '../../../shared/errors';
import { CERTIFICATE, certificateName, type HashedFile } from '../certificate';
import { MERGE_DTYPES, type MergeDtype } from '../form';
import type { Change, OutputTensor } from '../plan';
import { tensorBytes } from '../shards';
import { storedWeights } from '../sizes';
import { FLOATS, sourceTensor } from '../source';
import { streamTensor, type StreamHooks } from '../stream';
import type { MergeTarget } from '../target';
import type { PlacedUpdates } from './updates';

/** How a merged image pipeline is written. */
export interface PipelineTargetOptions {
  readonly output: string;
  readonly dtype: MergeDtype;
}

/** A tensor of the result and the model's folder that it is in. */
interface PlannedTensor {
  readonly tensor: OutputTensor;
  readonly base: PipelineTensor;
}

/**
 * A merged image pipeline: a .safetensors file for one, a folder for a folder. The base's names,
 * metadata and files stay. The base is the caller's to close.
 *
 * @throws LoraError('usage') when the output is of another kind than the base; LoraError('base')
 *   when nothing can be merged into a tensor.
 */
export function openPipelineTarget(
  base: PipelineBase,
  updates: PlacedUpdates,
  { output, dtype }: PipelineTargetOptions,
): MergeTarget {
  checkForm(base, output, dtype);
  const planned = base.tensors.map((own) => ({
    base: own,
    tensor: plannedTensor(own, updates, dtype),
  }));
  const tensors = planned.map(({ tensor }) => tensor);
  const name = path.basename(output);
  return {
    plan: { tensors, tie: null, renamed: false },
    stored: storedWeights(tensors, tensorBytes),
    bytes: tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0),
    close: () => Promise.resolve(),
    modelIn: (temp) => (base.is_folder ? temp : path.join(temp, name)),
    certificateIn: (temp) => path.join(temp, base.is_folder ? CERTIFICATE : certificateName(name)),
    place: (fill) =>
      base.is_folder ? createFolder(output, fill) : createFileWithCompanions(output, fill),
    write: (temp, hooks) =>
      base.is_folder
        ? writeFolder(temp, base, planned, hooks)
        : writeFile(temp, name, { base, planned, hooks }),
  };
}

function checkForm(base: PipelineBase, output: string, dtype: MergeDtype): void {
  const place = { file: output };
  if (dtype === 'q8_0')
    throw new LoraError('usage', 'Image models cannot be stored as q8_0.', {
      place,
      fix: 'Choose another data type (--dtype).',
    });
  if (base.is_folder === !output.endsWith('.safetensors')) return;
  throw new LoraError(
    'usage',
    base.is_folder
      ? 'A folder of Diffusers is merged into a folder, not a file.'
      : 'A .safetensors file is merged into a .safetensors file.',
    { place, fix: 'Name an output of the same kind as the base.' },
  );
}

function plannedTensor(
  own: PipelineTensor,
  updates: PlacedUpdates,
  dtype: MergeDtype,
): OutputTensor {
  const placed = updates.get(own);
  const { name, info, source } = own;
  const to = dtypeOf(own, dtype, placed !== undefined);
  const tensor = sourceTensor(source, name);
  let change: Change = { kind: 'converted', source: tensor, ignored: false };
  if (placed) {
    const columns = info.shape.slice(1).reduce((a, b) => a * b, 1);
    change = { kind: 'merged', source: tensor, merger: () => new RowMerger(placed, columns) };
  } else if (to === info.dtype) {
    change = { kind: 'copied', bytes: tensor.bytes!, ignored: false };
  }
  return { name, dtype: to, from: info.dtype, shape: info.shape, file: tensor.file, change };
}

/** Floats keep their type or get the requested one; 8 bits become bf16 where they change. */
function dtypeOf({ name, info, source }: PipelineTensor, dtype: MergeDtype, isChanged: boolean) {
  const requested: DType | null = dtype === 'keep' ? null : MERGE_DTYPES[dtype];
  if (FLOATS.has(info.dtype)) return requested ?? info.dtype;
  if (isFloat(info.dtype) && (isChanged || requested)) return requested ?? 'BF16';
  if (!isChanged) return info.dtype;
  throw new LoraError('base', `Nothing can be merged into a tensor of type ${info.dtype}.`, {
    place: { file: source.file, tensor: name },
    fix: 'Use the model in bf16, f16 or f32.',
  });
}

interface Written {
  readonly base: PipelineBase;
  readonly planned: readonly PlannedTensor[];
  readonly hooks: StreamHooks;
}

async function writeFile(
  temp: string,
  name: string,
  { base, planned, hooks }: Written,
): Promise<HashedFile[]> {
  const streams = planned.map(({ tensor }) => streamTensor(tensor, hooks));
  const { metadata } = base.files[0]!.header;
  return [{ file: name, sha256: await writeSafetensors(path.join(temp, name), streams, metadata) }];
}

const WEIGHTS = /\.(?:bin|pt|pth|ckpt|msgpack|onnx|onnx_data|safetensors|pb|h5|xml)$/i;

async function writeFolder(
  temp: string,
  base: PipelineBase,
  planned: readonly PlannedTensor[],
  hooks: StreamHooks,
): Promise<HashedFile[]> {
  await copyOthers(base, temp, hooks);
  const outputs: HashedFile[] = [];
  for (const source of base.files) {
    const own = planned.filter((tensor) => tensor.base.source === source);
    const file = path.relative(base.path, source.file);
    await mkdir(path.dirname(path.join(temp, file)), { recursive: true });
    const streams = own.map(({ tensor }) => streamTensor(tensor, hooks));
    const sha256 = await writeSafetensors(path.join(temp, file), streams, source.header.metadata);
    outputs.push({ file: file.replaceAll(path.sep, '/'), sha256 });
  }
  return outputs;
}

/** How deep the folders of a pipeline are. */
const DEPTH = 2;

/** The other files of a pipeline: settings, tokenizers, and models that are not merged into. */
async function copyOthers(base: PipelineBase, temp: string, hooks: StreamHooks): Promise<void> {
  const opened = new Set(base.folders);
  const copy = async (folder: string, depth: number): Promise<void> => {
    for (const { name } of await listFolder(path.join(base.path, folder))) {
      throwIfCancelled(hooks.signal);
      const isHidden = name.startsWith('.') || name === CERTIFICATE;
      const isOwnWeights = WEIGHTS.test(name) && (depth === 0 || opened.has(folder));
      if (isHidden || isOwnWeights) continue;
      const [from, own] = [path.join(base.path, folder, name), path.join(folder, name)];
      // what a link leads to, too: caches of the Hub have links, and folders may be shared
      const found = await stat(from).catch(() => null);
      if (found?.isDirectory() && depth < DEPTH - 1) await copy(own, depth + 1);
      if (found?.isFile()) {
        await mkdir(path.join(temp, folder), { recursive: true });
        await copyFile(from, path.join(temp, own));
      }
    }
  };
  await copy('', 0);
}
