import { html as litHtml, svg as litSvg, type TemplateResult } from 'lit-html';
import { visibleControls } from '../../src/shared/plainText';

/**
 * A template of a page. Every text in it may be a stranger's (names, rows, answers), so controls of
 * the writing direction and invisible characters are written as escapes. What a field contains, and
 * what an option stands for, stays as it is: the page gets it back.
 */
export function html(parts: TemplateStringsArray, ...values: readonly unknown[]): TemplateResult {
  return litHtml(parts, ...shownValues(parts, values));
}

/** The same for what is inside of an svg element. */
export function svg(parts: TemplateStringsArray, ...values: readonly unknown[]): TemplateResult {
  return litSvg(parts, ...shownValues(parts, values));
}

const shownValues = (parts: TemplateStringsArray, values: readonly unknown[]): unknown[] =>
  values.map((value, i) => (/[\s.]value=["']?$/.test(parts[i]!) ? value : shown(value)));

/** One for each list, so that lit-html sees that a list is the same as before. */
const shownLists = new WeakMap<readonly unknown[], readonly unknown[]>();

function shown(value: unknown): unknown {
  if (typeof value === 'string') return visibleControls(value);
  if (!Array.isArray(value)) return value;
  const list: readonly unknown[] = value;
  const known = shownLists.get(list) ?? list.map(shownItem);
  shownLists.set(list, known);
  return known;
}

/** Templates are made already; of rows of a grid, the texts are shown. */
function shownItem(item: unknown): unknown {
  if (item === null || typeof item !== 'object' || '_$litType$' in item) return shown(item);
  if (Object.getPrototypeOf(item) !== Object.prototype) return shown(item);
  return Object.fromEntries(Object.entries(item).map(([key, value]) => [key, shown(value)]));
}
