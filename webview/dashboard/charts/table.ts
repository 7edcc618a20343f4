import { dataGrid, el, memo, type GridElement, setText } from '../../shared/dom';
import type { Range } from '../../shared/charts/decimate';
import type { RunLines } from '../../shared/charts/runLines';
import type { Axis } from '../../../src/shared/pages/dashboard/protocol';
import type { ChartSpec } from '../model/chartSpecs';
import { xText } from '../../shared/charts/axisWords';
import { tableRows } from '../model/tableRows';
import type { Context } from '../section';

const ROWS = 200;

/** A chart's values as a table, the newest first. */
export class ChartTable {
  readonly root: HTMLElement;
  private readonly grid: GridElement;
  private readonly caption = el('p', { class: 'caption' });
  private readonly changed = memo();

  constructor(
    private readonly spec: ChartSpec,
    private readonly context: Context,
  ) {
    const { t } = context;
    this.grid = dataGrid({ 'generate-header': 'sticky', 'aria-label': t(`chart.${spec.id}`) }, []);
    this.root = el(
      'div',
      { class: 'chart-table' },
      el('div', { class: 'scroll' }, this.grid),
      this.caption,
    );
  }

  update(lines: RunLines, range: Range, axis: Axis): void {
    this.changed([lines.version, range.from, range.to], () => {
      const { t, format } = this.context;
      const { rows, total } = tableRows(lines, this.spec, range, ROWS);
      this.grid.columnDefinitions = [
        { columnDataKey: 'x', title: t(`axis.${axis}`) },
        ...this.spec.series.map(({ id }) => ({ columnDataKey: id, title: t(`series.${id}`) })),
      ];
      this.grid.rowsData = rows.map(({ x, values }) => ({
        x: xText(format, axis, x),
        ...Object.fromEntries(
          this.spec.series.map((series, i) => [series.id, this.spec.format(format, values[i]!)]),
        ),
      }));
      setText(
        this.caption,
        total > rows.length
          ? t('table.last', rows.length, format.count(total))
          : t('table.all', rows.length),
      );
    });
  }
}
