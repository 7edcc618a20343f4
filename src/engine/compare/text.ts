import { byNumber, factsOf, type Comparison, type ModuleComparison } from '../../lora/compare';
import { factored } from '../../lora/factored';
import type { Adapter } from '../../lora/types';
import type { AgainstBase } from './againstBase';

const fixed = (value: number) => value.toPrecision(4);

/** An adapter as text in which equal ones are equal: its settings, then a line a module. For a diff editor. */
export function canonicalText({ config, modules, trained }: Adapter): string {
  const settings = Object.entries(config).filter(([key]) => key !== 'raw').sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}: ${JSON.stringify(Array.isArray(value) ? value.map(String).sort() : value)}`);
  const lines = [...modules].sort((a, b) => byNumber.compare(a.path, b.path)).map((m) => {
    const { r, norm, effective_rank } = factsOf(m, factored(m));
    return `${m.path}  r ${r}  ‖dW‖ ${fixed(norm)}  effective rank ${effective_rank.toFixed(2)}${m.magnitude ? '  DoRA' : ''}`;
  });
  return [...settings, '', ...lines, ...trained.map(({ name, shape }) => `${name}  trained whole  [${shape.join(', ')}]`), ''].join('\n');
}

/** A comparison for a terminal. */
export function comparisonText({ modules, only_a, only_b, trained, config, total, equal }: Comparison, layers: readonly AgainstBase[] | null, names: readonly [string, string]): string {
  const lines = [
    equal ? 'The two do the same: every update is equal within the rounding of f32.'
      : `‖dW‖ ${fixed(total.norm_a)} and ${fixed(total.norm_b)}, cosine ${total.cosine?.toFixed(4) ?? '–'}, norm of the difference ${fixed(total.norm_of_difference)} (${((100 * total.norm_of_difference) / Math.max(total.norm_a, total.norm_b)).toFixed(1)} %)`,
    ...config.map(({ key, a, b }) => `${key}: ${JSON.stringify(a)} | ${JSON.stringify(b)}`),
  ];
  const weights = new Map(layers?.map((layer) => [layer.path, layer]));
  const rows = modules.map((m) => rowOf(m, weights.get(m.path)));
  if (rows.length > 0) lines.push(...table([['module', 'r', '‖dW‖', 'cosine', '‖dWa - dWb‖', 'effective rank', 'overlap left', 'right', ...(layers ? ['‖dW‖/‖W‖', 'amplification'] : [])], ...rows]));
  for (const [i, alone] of [only_a, only_b].entries()) if (alone.length > 0) lines.push(`Only in ${names[i]!}: ${alone.map(({ path, facts }) => `${path} (‖dW‖ ${fixed(facts.norm)})`).join(', ')}`);
  lines.push(...trained.map(({ name, norm_of_difference }) => `${name}, trained whole: ${norm_of_difference === null ? 'only in one, or of another shape' : norm_of_difference === 0 ? 'the same' : `differs by ${fixed(norm_of_difference)}`}`));
  return lines.join('\n');
}

function rowOf({ path, a, b, cosine, norm_of_difference, left, right }: ModuleComparison, layer: AgainstBase | undefined): string[] {
  const pair = (x: string, y: string) => (x === y ? x : `${x} | ${y}`);
  const orNone = (value: number | null) => (value === null ? '–' : fixed(value));
  return [
    path, pair(String(a.r), String(b.r)), pair(fixed(a.norm), fixed(b.norm)), cosine?.toFixed(4) ?? '–', fixed(norm_of_difference), pair(a.effective_rank.toFixed(2), b.effective_rank.toFixed(2)),
    `${left.whole.toFixed(3)} (random ${left.random.toFixed(3)})`, `${right.whole.toFixed(3)} (${right.random.toFixed(3)})`,
    ...(layer ? [pair(fixed(a.norm / layer.norm_base), fixed(b.norm / layer.norm_base)), pair(orNone(layer.amplification.a), orNone(layer.amplification.b))] : []),
  ];
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  '));
}
