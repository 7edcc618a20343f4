import { measureUpdate, type Comparison, type ModuleComparison } from '../../lora/compare';
import { updateSvd } from '../../lora/updateSvd';
import type { Adapter, LoraFactors } from '../../lora/adapter';
import { percentage } from '../describe';
import type { LayerAgainstBase } from './againstBase';
import { zeroUpdates } from '../../shared/pages/compare/zeroUpdates';
import { inModelOrder } from '../../shared/modelOrder';
import { countOf } from '../../shared/values';

const formatNumber = (value: number) => value.toPrecision(4);
const NONE = '–';

interface ModuleFacts {
  readonly norm: number;
  readonly effective_rank: number;
}

/**
 * Both adapters as text for a diff editor: the settings, then one line per module, in the model's
 * order and in aligned columns. Adapters with the same updates have the same lines.
 */
export function canonicalTexts(a: Adapter, b: Adapter): { readonly a: string; readonly b: string } {
  const width = Math.max(0, ...[...a.modules, ...b.modules].map((m) => m.path.length));
  const factsOfA = new Map<string, ModuleFacts>();
  const textOfA = canonicalText(a, width, (m) => {
    const facts = measureUpdate(m, updateSvd(m));
    factsOfA.set(m.path, facts);
    return facts;
  });
  const textOfB = canonicalText(b, width, (m) =>
    withoutNoise(measureUpdate(m, updateSvd(m)), factsOfA.get(m.path)),
  );
  return { a: textOfA, b: textOfB };
}

/** A relative difference that rounding alone can cause. */
const ROUNDING_NOISE = 1e-5;

/** Uses the other module's numbers where the difference can be caused by rounding alone. */
function withoutNoise(own: ModuleFacts, other: ModuleFacts | undefined): ModuleFacts {
  if (!other) {
    return own;
  }
  const snap = (value: number, reference: number) =>
    Math.abs(value - reference) <= ROUNDING_NOISE * Math.abs(reference) ? reference : value;
  return {
    norm: snap(own.norm, other.norm),
    effective_rank: snap(own.effective_rank, other.effective_rank),
  };
}

function canonicalText(
  { config, modules, trained }: Adapter,
  width: number,
  facts: (m: LoraFactors) => ModuleFacts,
): string {
  const settings = Object.entries(config)
    .filter(([key]) => key !== 'raw')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}: ${settingText(value)}`);
  const lines = [...modules]
    .sort((x, y) => inModelOrder(x.path, y.path))
    .map((m) => moduleLine(m, width, facts(m)));
  const trainedLines = trained.map(
    ({ name, shape, rows }) =>
      `${name.padEnd(width)}  ${rows ? `rows ${rows.join(', ')} trained` : 'fully trained'}  [${shape.join(', ')}]`,
  );
  return [...settings, '', ...lines, ...trainedLines, ''].join('\n');
}

const settingText = (value: unknown): string =>
  JSON.stringify(Array.isArray(value) ? value.map(String).sort(inModelOrder) : value);

function moduleLine(m: LoraFactors, width: number, { norm, effective_rank }: ModuleFacts): string {
  return [
    m.path.padEnd(width),
    `r ${String(m.r).padStart(3)}`,
    `‖dW‖ ${formatNumber(norm).padStart(9)}`,
    `effective rank ${effective_rank.toFixed(2).padStart(6)}`,
    ...(m.magnitude ? ['DoRA'] : []),
  ].join('  ');
}

/** A comparison as text for a terminal. `names` are those of the two adapters. */
export function describeComparison(
  comparison: Comparison,
  layers: readonly LayerAgainstBase[] | null,
  names: readonly [string, string],
): string {
  const { modules, only_a, only_b, trained, config } = comparison;
  return [
    describeTotal(comparison),
    ...describeZero(comparison, names),
    ...describeMagnitudes(comparison),
    ...config.map(({ key, a, b }) => `${key}: ${JSON.stringify(a)} | ${JSON.stringify(b)}`),
    ...(modules.length > 0 ? moduleTable(modules, layers) : []),
    ...describeUnmatched(only_a, names[0]),
    ...describeUnmatched(only_b, names[1]),
    ...trained.map((tensor) => `${tensor.name}, trained: ${describeTrained(tensor)}`),
  ].join('\n');
}

function describeTotal({ equal, total }: Comparison): string {
  if (equal) {
    return 'The adapters are equivalent: all updates are equal within the rounding of f32.';
  }
  const { norm_a, norm_b, cosine, norm_of_difference } = total;
  const share = ((100 * norm_of_difference) / Math.max(norm_a, norm_b)).toFixed(1);
  return [
    `‖dW‖ ${formatNumber(norm_a)} and ${formatNumber(norm_b)}`,
    `cosine ${cosine?.toFixed(4) ?? NONE}`,
    `norm of the difference ${formatNumber(norm_of_difference)} (${share}%)`,
  ].join(', ');
}

const describeZero = (comparison: Comparison, names: readonly [string, string]): string[] =>
  zeroUpdates(comparison, names).map((name) => `The update of ${name} is zero.`);

function describeMagnitudes({ magnitudes }: Comparison): string[] {
  if (magnitudes.length === 0) {
    return [];
  }
  const modules = countOf(magnitudes.length, 'module');
  const without = 'which ‖dW‖ and the cosine do not contain';
  const alone = magnitudes.filter(({ difference }) => difference === null);
  if (alone.length > 0) {
    return [`DoRA: only one adapter has magnitudes, ${without} (${alone.length} of ${modules}).`];
  }
  const largest = Math.max(...magnitudes.map(({ difference }) => difference!));
  return largest === 0
    ? [`DoRA: the magnitudes are the same in ${modules}.`]
    : [`DoRA: the magnitudes, ${without}, differ by up to ${percentage(largest)} in ${modules}.`];
}

function describeUnmatched(modules: Comparison['only_a'], name: string): string[] {
  if (modules.length === 0) {
    return [];
  }
  const list = modules.map(({ path, facts }) => `${path} (‖dW‖ ${formatNumber(facts.norm)})`);
  return [`Only in ${name}: ${list.join(', ')}`];
}

function describeTrained({ norm_of_difference }: Comparison['trained'][number]): string {
  if (norm_of_difference === null) {
    return 'only in one adapter, or with different shapes';
  }
  return norm_of_difference === 0 ? 'equal' : `differs by ${formatNumber(norm_of_difference)}`;
}

const COLUMNS = [
  'module',
  'r',
  '‖dW‖',
  'cosine',
  '‖dWa - dWb‖',
  'effective rank',
  'overlap left',
  'right',
];

function moduleTable(
  modules: readonly ModuleComparison[],
  layers: readonly LayerAgainstBase[] | null,
): string[] {
  const layerOf = new Map(layers?.map((layer) => [layer.path, layer]));
  const header = [
    ...COLUMNS,
    ...(layers ? ['‖dW‖/‖W‖', 'amplification'] : []),
    ...(layers?.[0]?.intruders ? ['intruders'] : []),
  ];
  const rows = modules.map((m) => [...moduleCells(m), ...layerCells(m, layerOf.get(m.path))]);
  return alignColumns([header, ...rows]);
}

/** One value if both texts are equal, otherwise both. */
const pair = (a: string, b: string) => (a === b ? a : `${a} | ${b}`);

function moduleCells(m: ModuleComparison): string[] {
  const { path, a, b, cosine, norm_of_difference, left, right } = m;
  return [
    path,
    pair(String(a.r), String(b.r)),
    pair(formatNumber(a.norm), formatNumber(b.norm)),
    cosine?.toFixed(4) ?? NONE,
    formatNumber(norm_of_difference),
    pair(a.effective_rank.toFixed(2), b.effective_rank.toFixed(2)),
    `${left.whole.toFixed(3)} (random ${left.random.toFixed(3)})`,
    `${right.whole.toFixed(3)} (${right.random.toFixed(3)})`,
  ];
}

function layerCells({ a, b }: ModuleComparison, layer: LayerAgainstBase | undefined): string[] {
  if (!layer) {
    return [];
  }
  const { norm_base, amplification, intruders } = layer;
  const cells = [
    pair(shareOf(a.norm, norm_base), shareOf(b.norm, norm_base)),
    pair(numberOrNone(amplification.a), numberOrNone(amplification.b)),
  ];
  if (intruders) {
    cells.push(pair(countOrNone(intruders.a?.count), countOrNone(intruders.b?.count)));
  }
  return cells;
}

const shareOf = (part: number, whole: number) => (whole > 0 ? formatNumber(part / whole) : NONE);
const numberOrNone = (value: number | null) => (value === null ? NONE : formatNumber(value));
const countOrNone = (value: number | undefined) => (value === undefined ? NONE : String(value));

/** The first column is aligned to the left, the others to the right. */
function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const alignCell = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!);
  return rows.map((row) => row.map(alignCell).join('  '));
}
