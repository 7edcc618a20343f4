import path from 'node:path';
import { throwIfCancelled } from '../../../common/cancellation';
import type { PipelineBase, PipelineTensor } from '../../../formats/diffusion/base';
import { SafetensorsFile } from '../../../formats/safetensors/read';
import { lengthOf } from '../../../lora/rowMerger';
import { addPlacedRow, type PlacedUpdate } from '../../../lora/rowUpdates';
import type { WeightParity } from '../certificate';
import { sourceTensor, type SourceTensor } from '../source';
import type { PlacedUpdates } from './updates';

/** Rows of each tensor that are compared. */
const ROWS = 32;

/**
 * Reads some rows of each changed tensor again, from the base and from the written model, and
 * compares the latter with W + dW in float64. Image models are not run, so this takes the place of
 * comparing their outputs.
 *
 * @throws LoraError when a file cannot be read, or the job is cancelled.
 */
export async function compareWeights(
  base: PipelineBase,
  placed: PlacedUpdates,
  modelPath: string,
  {
    signal,
    onProgress,
  }: {
    readonly signal: AbortSignal;
    readonly onProgress: (fraction: number) => void;
  },
): Promise<WeightParity> {
  const gaps = new Gaps();
  let done = 0;
  for (const source of base.files) {
    const file = base.is_folder
      ? path.join(modelPath, path.relative(base.path, source.file))
      : modelPath;
    const written = await SafetensorsFile.open(file, 'base');
    try {
      for (const [tensor, updates] of placed) {
        if (tensor.source !== source) continue;
        throwIfCancelled(signal);
        const stored = sourceTensor(written, tensor.name);
        await compareRows(tensor, { updates, stored }, gaps);
        done++;
        onProgress(done / placed.size);
      }
    } finally {
      await written.close();
    }
  }
  return gaps.result();
}

interface Compared {
  readonly updates: readonly PlacedUpdate[];
  /** As it was written. */
  readonly stored: SourceTensor;
}

async function compareRows(
  { name, info, source }: PipelineTensor,
  { updates, stored }: Compared,
  gaps: Gaps,
): Promise<void> {
  const before = sourceTensor(source, name);
  const [rows = 0, ...inner] = info.shape;
  const columns = inner.reduce((a, b) => a * b, 1);
  const sum = new Float64Array(columns);
  for (const row of someOf(rows)) {
    const own = await before.read(row * columns, columns);
    sum.fill(0);
    const magnitude = addPlacedRow(updates, row, sum);
    for (let i = 0; i < columns; i++) sum[i]! += own[i]!;
    const factor = magnitude === null ? 1 : magnitude / lengthOf(sum);
    gaps.add(await stored.read(row * columns, columns), sum, factor);
  }
}

/** Some rows, from the first to the last. */
function someOf(rows: number): number[] {
  const count = Math.min(rows, ROWS);
  const step = count > 1 ? (rows - 1) / (count - 1) : 0;
  return Array.from({ length: count }, (_, i) => Math.round(i * step));
}

class Gaps {
  private rows = 0;
  private elements = 0;
  private largest = 0;
  private square = 0;

  add(stored: Float32Array, exact: Float64Array, factor: number): void {
    for (let i = 0; i < stored.length; i++) {
      const gap = Math.abs(stored[i]! - exact[i]! * factor);
      this.largest = Math.max(this.largest, gap);
      this.square += gap * gap;
    }
    this.rows++;
    this.elements += stored.length;
  }

  result(): WeightParity {
    const { rows, elements, largest, square } = this;
    const rms_gap = Math.sqrt(square / Math.max(1, elements));
    return { rows, elements, largest_gap: largest, rms_gap };
  }
}
