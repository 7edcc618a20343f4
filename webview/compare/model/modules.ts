import { inModelOrder } from '../../../src/shared/modelOrder';
import type { ComparisonData, FactsData } from '../../../src/shared/pages/compare/protocol';

/** A module in one of the adapters or in both. */
export interface ModuleRow {
  readonly path: string;
  readonly a: FactsData | null;
  readonly b: FactsData | null;
  /** Null where it is not in both, or one of the updates is zero. */
  readonly cosine: number | null;
  /** ‖dW_a - dW_b‖ / max(‖dW_a‖, ‖dW_b‖); null where both are zero. */
  readonly difference: number | null;
  readonly left: Overlap | null;
  readonly right: Overlap | null;
  /** ‖W‖; null without a base. */
  readonly norm_base: number | null;
  readonly amplification: { readonly a: number | null; readonly b: number | null } | null;
}

interface Overlap {
  readonly whole: number;
  readonly random: number;
}

/** All modules, in the model's order. */
export function moduleRows({ modules, only_a, only_b, layers }: ComparisonData): ModuleRow[] {
  const base = new Map(layers?.map((layer) => [layer.path, layer]));
  const withBase = (path: string) => ({
    path,
    norm_base: base.get(path)?.norm_base ?? null,
    amplification: base.get(path)?.amplification ?? null,
  });
  const alone = { cosine: null, left: null, right: null };
  const share = (a: number, b: number, difference: number) =>
    Math.max(a, b) > 0 ? difference / Math.max(a, b) : null;
  return [
    ...modules.map((m) => ({
      ...withBase(m.path),
      a: m.a,
      b: m.b,
      cosine: m.cosine,
      difference: share(m.a.norm, m.b.norm, m.norm_of_difference),
      left: m.left,
      right: m.right,
    })),
    ...only_a.map(({ path, facts }) => ({
      ...withBase(path),
      ...alone,
      a: facts,
      b: null,
      difference: facts.norm > 0 ? 1 : null,
    })),
    ...only_b.map(({ path, facts }) => ({
      ...withBase(path),
      ...alone,
      a: null,
      b: facts,
      difference: facts.norm > 0 ? 1 : null,
    })),
  ].sort((x, y) => inModelOrder(x.path, y.path));
}

export interface Grid {
  readonly columns: readonly string[];
  readonly rows: readonly GridRow[];
}

export interface GridRow {
  /** Null: modules outside of the layers. */
  readonly layer: string | null;
  readonly cells: readonly (ModuleRow | null)[];
}

/** Layers down, kinds of modules across. What stands in no layer makes a row of its own. */
export function gridOf(rows: readonly ModuleRow[]): Grid {
  const placed = rows.map((row) => ({ row, ...placeOf(row.path) }));
  const stacks = new Set(placed.flatMap(({ stack }) => (stack === null ? [] : [stack])));
  const inLayers = placed.filter((own) => own.layer !== null);
  const columns = [...new Set(inLayers.map((own) => own.kind))];
  const outside = placed.filter((own) => own.layer === null);
  const extra = outside.map((own) => own.kind).filter((kind) => !columns.includes(kind));
  const all = [...columns, ...extra];
  const cellsOf = (own: readonly (typeof placed)[number][]) =>
    all.map((kind) => own.find((one) => one.kind === kind)?.row ?? null);
  const labels = [...new Set(inLayers.map((own) => labelOf(own, stacks.size)))];
  return {
    columns: all,
    rows: [
      ...labels.map((layer) => ({
        layer,
        cells: cellsOf(inLayers.filter((own) => labelOf(own, stacks.size) === layer)),
      })),
      ...(outside.length > 0 ? [{ layer: null, cells: cellsOf(outside) }] : []),
    ],
  };
}

/**
 * Where there is more than one stack of layers (an encoder and a decoder), the layer is named with
 * its stack.
 */
const labelOf = (
  { stack, layer }: { readonly stack: string | null; readonly layer: string | null },
  stacks: number,
) => (stacks > 1 ? `${stack ?? ''} ${layer ?? ''}` : (layer ?? ''));

/** model.layers.3.self_attn.q_proj: layer 3 of model.layers, kind q_proj. */
function placeOf(path: string): {
  readonly stack: string | null;
  readonly layer: string | null;
  readonly kind: string;
} {
  const [, stack, layer, kind] = /^(.*?)\.(\d+)\.(.+)$/.exec(path) ?? [];
  return stack === undefined
    ? { stack: null, layer: null, kind: path }
    : { stack, layer: layer!, kind: shortened(kind!) };
}

/** Without the part that says only in which branch it is: self_attn.q_proj is known by its end. */
const shortened = (kind: string) =>
  /^(?:self_attn|mlp)\.[a-z]+_proj$/.test(kind) ? kind.slice(kind.indexOf('.') + 1) : kind;
