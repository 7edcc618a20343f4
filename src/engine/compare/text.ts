import {
  byNumber,
  measureUpdate,
  type Comparison,
  type ModuleComparison,
} from '../../lora/compare';
import { updateSvd } from '../../lora/updateSvd';
import type { Adapter } from '../../lora/adapter';
import type { AgainstBase } from './againstBase';

const fixed = (value: number) => value.toPrecision(4);

/**
 * Two adapters as texts in which equal ones are equal, column under column: the settings, then a
 * line a module. For a diff editor.
 */
export function canonicalTexts(a: Adapter, b: Adapter): { readonly a: string; readonly b: string } {
  const width = Math.max(0, ...[...a.modules, ...b.modules].map((m) => m.path.length));
  const known = new Map<string, LineFacts>();
  return { a: canonicalText(a, width, known), b: canonicalText(b, width, known) };
}

interface LineFacts {
  readonly norm: number;
  readonly effective_rank: number;
}

/** Numbers of one that differ by rounding alone from those of the other. */
const NOISE = 1e-5;
const settled = (own: number, other: number | undefined) =>
  other !== undefined && Math.abs(own - other) <= NOISE * Math.abs(other) ? other : own;

function canonicalText(
  { config, modules, trained }: Adapter,
  width: number,
  known: Map<string, LineFacts>,
): string {
  const settings = Object.entries(config)
    .filter(([key]) => key !== 'raw')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([key, value]) =>
        `${key}: ${JSON.stringify(Array.isArray(value) ? value.map(String).sort() : value)}`,
    );
  const lines = [...modules]
    .sort((x, y) => byNumber.compare(x.path, y.path))
    .map((m) => {
      const other = known.get(m.path);
      const own = measureUpdate(m, updateSvd(m));
      const facts = {
        norm: settled(own.norm, other?.norm),
        effective_rank: settled(own.effective_rank, other?.effective_rank),
      };
      known.set(m.path, facts);
      return `${m.path.padEnd(width)}  r ${String(m.r).padStart(3)}  ‖dW‖ ${fixed(facts.norm).padStart(9)}  effective rank ${facts.effective_rank.toFixed(2).padStart(6)}${m.magnitude ? '  DoRA' : ''}`;
    });
  return [
    ...settings,
    '',
    ...lines,
    ...trained.map(
      ({ name, shape }) => `${name.padEnd(width)}  trained whole  [${shape.join(', ')}]`,
    ),
    '',
  ].join('\n');
}

/** A comparison for a terminal. */
export function comparisonText(
  { modules, only_a, only_b, trained, config, total, equal }: Comparison,
  layers: readonly AgainstBase[] | null,
  names: readonly [string, string],
): string {
  const lines = [
    equal
      ? 'The two do the same: every update is equal within the rounding of f32.'
      : `‖dW‖ ${fixed(total.norm_a)} and ${fixed(total.norm_b)}, cosine ${total.cosine?.toFixed(4) ?? '–'}, norm of the difference ${fixed(total.norm_of_difference)} (${((100 * total.norm_of_difference) / Math.max(total.norm_a, total.norm_b)).toFixed(1)} %)`,
    ...config.map(({ key, a, b }) => `${key}: ${JSON.stringify(a)} | ${JSON.stringify(b)}`),
  ];
  const weights = new Map(layers?.map((layer) => [layer.path, layer]));
  const rows = modules.map((m) => rowOf(m, weights.get(m.path)));
  if (rows.length > 0)
    lines.push(
      ...table([
        [
          'module',
          'r',
          '‖dW‖',
          'cosine',
          '‖dWa - dWb‖',
          'effective rank',
          'overlap left',
          'right',
          ...(layers ? ['‖dW‖/‖W‖', 'amplification'] : []),
          ...(layers?.[0]?.intruders ? ['intruders'] : []),
        ],
        ...rows,
      ]),
    );
  for (const [i, alone] of [only_a, only_b].entries())
    if (alone.length > 0)
      lines.push(
        `Only in ${names[i]!}: ${alone.map(({ path, facts }) => `${path} (‖dW‖ ${fixed(facts.norm)})`).join(', ')}`,
      );
  lines.push(
    ...trained.map(
      ({ name, norm_of_difference }) =>
        `${name}, trained whole: ${norm_of_difference === null ? 'only in one, or of another shape' : norm_of_difference === 0 ? 'the same' : `differs by ${fixed(norm_of_difference)}`}`,
    ),
  );
  return lines.join('\n');
}

function rowOf(
  { path, a, b, cosine, norm_of_difference, left, right }: ModuleComparison,
  layer: AgainstBase | undefined,
): string[] {
  const pair = (x: string, y: string) => (x === y ? x : `${x} | ${y}`);
  const orNone = (value: number | null) => (value === null ? '–' : fixed(value));
  return [
    path,
    pair(String(a.r), String(b.r)),
    pair(fixed(a.norm), fixed(b.norm)),
    cosine?.toFixed(4) ?? '–',
    fixed(norm_of_difference),
    pair(a.effective_rank.toFixed(2), b.effective_rank.toFixed(2)),
    `${left.whole.toFixed(3)} (random ${left.random.toFixed(3)})`,
    `${right.whole.toFixed(3)} (${right.random.toFixed(3)})`,
    ...(layer
      ? [
          pair(fixed(a.norm / layer.norm_base), fixed(b.norm / layer.norm_base)),
          pair(orNone(layer.amplification.a), orNone(layer.amplification.b)),
        ]
      : []),
    ...(layer?.intruders
      ? [pair(String(layer.intruders.a?.count ?? '–'), String(layer.intruders.b?.count ?? '–'))]
      : []),
  ];
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!),
      )
      .join('  '),
  );
}
