import { dataGrid, el, memo, type GridElement,  setText } from '../../shared/dom';
import type { ChartSpec, Lines } from '../model/chartSpecs';
import type { Range } from '../model/decimate';
import { tableRows } from '../model/tableRows';
import type { Context } from '../section';

const ROWS = 200;

/** A chart's values as a table, the newest first. */
export class ChartTable {
  readonly root: HTMLElement;
  private readonly grid: GridElement;
  private readonly caption = el('p', { class: 'caption' });
  private readonly changed = memo();

  constructor(private readonly spec: ChartSpec, private readonly context: Context) {
    const { t } = context;
    const columns = [['step', t('table.step')] as const, ...spec.series.map((series) => [series.id, t(`series.${series.id}`)] as const)];
    this.grid = dataGrid({ 'generate-header': 'sticky', 'aria-label': t(`chart.${spec.id}`) }, columns);
    this.root = el('div', { class: 'chart-table' }, el('div', { class: 'scroll' }, this.grid), this.caption);
  }

  update(lines: Lines, range: Range): void {
    this.changed([lines.version, range.from, range.to], () => {
      const { t, format } = this.context;
      const { rows, total } = tableRows(lines, this.spec, range, ROWS);
      this.grid.rowsData = rows.map(({ step, values }) => ({
        step: format.count(step),
        ...Object.fromEntries(this.spec.series.map((series, i) => [series.id, this.spec.format(format, values[i]!)])),
      }));
      setText(this.caption, total > rows.length ? t('table.last', rows.length, format.count(total)) : t('table.all', rows.length));
    });
  }
}
