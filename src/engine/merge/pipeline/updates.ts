import { adapterKindOf, PIPELINE_NAMES, type PipelineKind } from '../../../formats/diffusion/kinds';
import { pipelineModule } from '../../../formats/diffusion/names';
import { slotsOf, type Slot } from '../../../formats/diffusion/slots';
import { rowsOfParts } from '../../../formats/diffusion/spellings';
import type { PipelineBase, PipelineTensor } from '../../../formats/diffusion/base';
import { namesInShort } from '../../../formats/peft/againstBase';
import {
  someRows,
  swappedHalves,
  type PlacedUpdate,
  type RowUpdate,
} from '../../../lora/rowUpdates';
import { LoraError } from '../../../shared/errors';
import { countOf } from '../../../shared/values';

/** An adapter's updates by the names of their modules in its file. */
export interface NamedUpdate {
  readonly path: string;
  readonly update: RowUpdate;
}

/** The updates of one adapter. */
export interface AdapterUpdates {
  /** Its folder or file, for messages. */
  readonly file: string;
  readonly updates: readonly NamedUpdate[];
}

/** The updates of each tensor. */
export type PlacedUpdates = ReadonlyMap<PipelineTensor, readonly PlacedUpdate[]>;

/** An update of a weight that the base does not have like that. */
interface Misfit {
  readonly path: string;
  readonly message: string;
}

/**
 * Finds the rows of the base that adapters change.
 *
 * @param partial Leave out what does not fit, with a warning; nothing must be left out otherwise.
 * @throws LoraError('adapter') naming the first module that does not fit; LoraError('base').
 */
export function placeUpdates(
  base: PipelineBase,
  adapters: readonly AdapterUpdates[],
  { partial, warn }: { readonly partial: boolean; readonly warn: (message: string) => void },
): PlacedUpdates {
  const slots = slotsOf(base);
  const placed = new Map<PipelineTensor, PlacedUpdate[]>();
  for (const adapter of adapters) {
    const misfits: Misfit[] = [];
    const seen = new Map<string, string>();
    for (const own of adapter.updates) {
      const found = partsOf(own, slots);
      if ('message' in found) {
        misfits.push(found);
        continue;
      }
      for (const { path, slot, update } of found.parts) {
        refuseTwice(seen.get(path), own.path, path, adapter.file);
        seen.set(path, own.path);
        const others = placed.get(slot.tensor) ?? [];
        placed.set(slot.tensor, [...others, { first: slot.first, update }]);
      }
    }
    reportMisfits(misfits, { adapter, base, partial, warn });
  }
  return withSwappedRows(placed);
}

type Found = { readonly parts: readonly FoundPart[] } | Misfit;
interface FoundPart {
  readonly path: string;
  readonly slot: Slot;
  readonly update: RowUpdate;
}

/** The base's weights that an update changes, or why there are none. */
function partsOf({ path, update }: NamedUpdate, slots: ReadonlyMap<string, Slot>): Found {
  const module = pipelineModule(path);
  if (!module)
    return { path, message: `The adapter changes ${path}, which is not a known module.` };
  const rows = rowsOfParts(module.paths.length, update);
  const isWhole = module.rows !== 'swapped' || update.out_features % 2 === 0;
  if (!rows || !isWhole) {
    const shape = `${update.out_features} x ${update.in_features}`;
    return { path, message: `${path} is ${shape}, which cannot be ${module.paths.join(', ')}.` };
  }
  const ordered = module.rows === 'swapped' ? swappedHalves(update) : update;
  const parts: FoundPart[] = [];
  let first = 0;
  for (const [i, own] of module.paths.entries()) {
    const part = someRows(ordered, first, rows[i]!);
    first += rows[i]!;
    const slot = slots.get(own);
    if (!slot) return { path, message: `The adapter changes ${path}, which the base lacks.` };
    const message = shapeMisfit(path, part, slot);
    if (message !== null) return { path, message };
    const stored = slot.tensor.is_transposed ? update.transposed?.() : part;
    if (!stored) return { path, message: transposedMisfit(path, slot) };
    parts.push({ path: own, slot, update: stored });
  }
  return { parts };
}

const transposedMisfit = (path: string, { tensor }: Slot): string =>
  `The base has ${path} as ${tensor.name}, which is transposed: only LoRA without DoRA can be merged there. Use the model's folder for Diffusers.`;

function shapeMisfit(path: string, update: RowUpdate, slot: Slot): string | null {
  const { tensor, rows, columns } = slot;
  const [, , height = 1, width = 1] = tensor.info.shape;
  const kernel = update.kernel ?? [height, width];
  const own = [update.out_features, update.in_features, ...kernel];
  const expected = [rows, columns, height, width];
  if (own.join() === expected.join()) return null;
  const shapeOf = ([out, columns, h, w]: readonly number[]): string =>
    h === 1 && w === 1 ? `${out} x ${columns}` : `${out} x ${columns! / (h! * w!)} x ${h} x ${w}`;
  return `The adapter does not fit this base: ${path} is ${shapeOf(own)} in the adapter, ${shapeOf(expected)} in the base.`;
}

function refuseTwice(other: string | undefined, own: string, path: string, file: string): void {
  if (other === undefined) return;
  throw new LoraError('adapter', `${other} and ${own} are both ${path}.`, {
    place: { file },
    fix: 'Split the file, and merge one part after the other.',
  });
}

interface Reported {
  readonly adapter: AdapterUpdates;
  readonly base: PipelineBase;
  readonly partial: boolean;
  readonly warn: (message: string) => void;
}

/** Names that a warning lists. */
const NAMED = 20;

function reportMisfits(
  misfits: readonly Misfit[],
  { adapter, base, partial, warn }: Reported,
): void {
  const [first] = misfits;
  if (!first) return;
  const count = adapter.updates.length;
  const fitting = count - misfits.length;
  if (partial && fitting > 0) {
    const names = misfits.map(({ path }) => path);
    warn(
      `${misfits.length} of ${countOf(count, 'module')} ${misfits.length === 1 ? 'does' : 'do'} not fit the base and ${misfits.length === 1 ? 'is' : 'are'} left out: ${namesInShort(names, NAMED)}.`,
    );
    return;
  }
  const parts = [first.message];
  if (fitting > 0) parts.push(`Only ${fitting} of ${countOf(count, 'module')} fit the base.`);
  const kind = adapterKindOf(
    adapter.updates.map(({ path, update }) => ({ path, in_features: update.in_features })),
  );
  if (kind !== null && kind !== base.kind) parts.push(kindsDiffer(kind, base.kind));
  const partly = fitting > 0 ? ', or leave the others out with --partial' : '';
  throw new LoraError('adapter', parts.join(' '), {
    place: { file: adapter.file },
    fix: `Use the base that the adapter was trained on${partly}.`,
  });
}

const kindsDiffer = (adapter: PipelineKind, base: PipelineKind): string =>
  `The adapter is of ${PIPELINE_NAMES[adapter]}, the base is ${PIPELINE_NAMES[base]}.`;

/** Updates in the order of the rows of their tensors. */
function withSwappedRows(placed: PlacedUpdates): PlacedUpdates {
  return new Map(
    [...placed].map(([tensor, updates]) => [
      tensor,
      tensor.module!.rows === 'swapped'
        ? updates.map((own) => ({ ...own, update: swappedHalves(own.update) }))
        : updates,
    ]),
  );
}
