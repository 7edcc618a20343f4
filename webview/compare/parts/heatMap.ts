import { nothing, type TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import { html } from '../../shared/html';
import { gridOf, type ModuleRow } from '../model/modules';
import {
  colourScale,
  MODULE_QUANTITIES,
  randomShare,
  shownQuantities,
  type ColourScale,
  type ModuleQuantity,
  type QuantityId,
} from '../model/quantities';
import { showChoice, short, type ComparePage, type ShownComparison } from '../state';

/** A module at its column and row. */
interface MapCell {
  readonly row: ModuleRow;
  readonly at: readonly [number, number];
}

/** How cells are written and coloured. */
interface CellLook {
  readonly quantity: ModuleQuantity;
  readonly scale: ColourScale;
}

/**
 * Layers down, kinds of modules across, a quantity as colour and number in each cell. One cell is
 * in the tab order; arrow keys move.
 */
export function heatMap(page: ComparePage, shown: ShownComparison): TemplateResult {
  const { t, format } = page;
  const quantity = MODULE_QUANTITIES.find(({ id }) => id === shown.quantity)!;
  const scale = colourScale(quantity, shown.rows);
  const random = randomShare(quantity.id, shown.rows);
  const about = t(quantity.about, ...(random === null ? [] : [format.digits(random, 2)]));
  const pick = (event: Event) =>
    showChoice(page, { quantity: (event.target as HTMLSelectElement).value as QuantityId });
  return html`<section class="card map" aria-labelledby="map-title">
    <div class="bar">
      <h2 id="map-title">${t('map')}</h2>
      <label for="quantity">${t('map.quantity')}</label>
      <select id="quantity" @change=${pick}>
        ${shownQuantities(shown.rows).map(
          ({ id }) =>
            html`<option value=${id} .selected=${live(id === quantity.id)}>
              ${t(`quantity.${id}`)}
            </option>`,
        )}
      </select>
    </div>
    <p class="caption" id="map-about">${about}</p>
    ${mapGrid(page, shown, { quantity, scale })} ${legend(page, scale)}
    <p class="caption">${t('map.hint')}</p>
  </section>`;
}

function mapGrid(page: ComparePage, { rows, selected }: ShownComparison, look: CellLook) {
  const { t } = page;
  const grid = gridOf(rows);
  const cells = grid.rows.flatMap((line, y) =>
    line.cells.flatMap((row, x): MapCell[] => (row ? [{ row, at: [x, y] }] : [])),
  );
  const current = cells.find(({ row }) => row.path === selected) ?? cells[0];
  return html`<div class="scroll" @keydown=${(event: KeyboardEvent) => move(event, cells, page)}>
    <table role="grid" aria-labelledby="map-title" aria-describedby="map-about">
      <thead>
        <tr role="row">
          <th scope="col" role="columnheader">${t('map.layer')}</th>
          ${grid.columns.map((kind) => html`<th scope="col" role="columnheader">${kind}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${grid.rows.map(
          (line, y) =>
            html`<tr role="row">
              <th scope="row" role="rowheader">${line.layer ?? t('map.other')}</th>
              ${line.cells.map((row, x) =>
                row
                  ? mapCell(page, { row, at: [x, y] }, look, row === current?.row)
                  : html`<td class="cell absent" role="gridcell"></td>`,
              )}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function mapCell(page: ComparePage, { row, at }: MapCell, look: CellLook, current: boolean) {
  const { t, format } = page;
  const { quantity, scale } = look;
  const value = quantity.of(row);
  const text = value === null ? t('map.absent') : short(format, value);
  const label = t('map.cell', row.path, t(`quantity.${quantity.id}`), text);
  return html`<td
    class="cell"
    role="gridcell"
    tabindex=${current ? 0 : -1}
    aria-selected=${current}
    aria-label=${label}
    title=${label}
    data-at=${at.join()}
    data-level=${value === null ? nothing : scale.level(value)}
    @click=${() => showChoice(page, { selected: row.path })}
  >
    ${cellNumber(page, row, quantity)}
  </td>`;
}

/** An effective rank with the rank it is a part of. */
function cellNumber({ t, format }: ComparePage, row: ModuleRow, { id, of }: ModuleQuantity) {
  const value = of(row);
  if (value === null) return t('none');
  const text = short(format, value);
  if (id === 'used_a' && row.a) return `${text} / ${row.a.r}`;
  return id === 'used_b' && row.b ? `${text} / ${row.b.r}` : text;
}

function legend({ t, format }: ComparePage, scale: ColourScale): TemplateResult {
  const [from, to] = [short(format, scale.from), short(format, scale.to)];
  const levels = scale.from < 0 ? [-8, -4, 0, 4, 8] : [0, 2, 4, 6, 8];
  return html`<p class="legend" role="img" aria-label=${t('map.scale', from, to)}>
    <span>${from}</span>${levels.map(
      (level) => html`<span class="cell swatch" data-level=${level} aria-hidden="true"></span>`,
    )}<span>${to}</span>
  </p>`;
}

const STEPS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** To the nearest cell in that direction; Home and End go to the ends of the row. */
function move(event: KeyboardEvent, cells: readonly MapCell[], page: ComparePage): void {
  const { at } = (event.target as HTMLElement).dataset;
  const from = cells.find((cell) => cell.at.join() === at);
  const to = from && targetCell(event.key, from, cells);
  if (!to) return;
  event.preventDefault();
  document.querySelector<HTMLElement>(`[data-at="${to.at.join()}"]`)?.focus();
  showChoice(page, { selected: to.row.path });
}

function targetCell(
  key: string,
  { at: [x, y] }: MapCell,
  cells: readonly MapCell[],
): MapCell | undefined {
  const inRow = cells.filter((cell) => cell.at[1] === y);
  if (key === 'Home') return inRow[0];
  if (key === 'End') return inRow.at(-1);
  const step = STEPS[key];
  if (!step) return undefined;
  const [stepX, stepY] = step;
  const ahead = cells.filter(({ at: [otherX, otherY] }) =>
    stepX === 0
      ? otherX === x && (otherY - y) * stepY > 0
      : otherY === y && (otherX - x) * stepX > 0,
  );
  const distance = ({ at }: MapCell) => Math.abs(at[0] - x) + Math.abs(at[1] - y);
  return ahead.sort((one, other) => distance(one) - distance(other))[0];
}
