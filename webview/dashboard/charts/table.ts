import { render } from 'lit-html';
import type { Axis } from '../../../src/shared/pages/dashboard/protocol';
import { axisValue } from '../../shared/charts/axisText';
import type { Range } from '../../shared/charts/decimate';
import type { RunLines } from '../../shared/charts/runLines';
import { html } from '../../shared/html';
import type { DataGridColumn } from '../../shared/toolkit';
import type { ChartSpec } from '../model/chartSpecs';
import { tableRows } from '../model/tableRows';
import type { DashboardPage } from '../state';

const MOST_ROWS = 200;

/** A chart's values as a table, the newest first. */
export class ChartTable {
  readonly root = Object.assign(document.createElement('div'), { className: 'chart-table' });
  private drawn = '';

  constructor(
    private readonly spec: ChartSpec,
    private readonly page: DashboardPage,
  ) {
    this.root.hidden = true;
  }

  update(lines: RunLines, range: Range, axis: Axis): void {
    const wanted = JSON.stringify([lines.version, range]);
    if (wanted === this.drawn) return;
    this.drawn = wanted;
    const { t, format } = this.page;
    const { series, format: formatValue } = this.spec;
    const { rows, total } = tableRows(lines, this.spec, range, MOST_ROWS);
    const columns: DataGridColumn[] = [
      { columnDataKey: 'x', title: t(`axis.${axis}`) },
      ...series.map(({ id }) => ({ columnDataKey: id, title: t(`series.${id}`) })),
    ];
    const cells = rows.map(({ x, values }) => {
      const texts = series.map(({ id }, i) => [id, formatValue(format, values[i]!)]);
      return { x: axisValue(format, axis, x), ...Object.fromEntries(texts) } as object;
    });
    const caption =
      total > rows.length
        ? t('table.last', rows.length, format.count(total))
        : t('table.all', rows.length);
    render(
      html`<div class="scroll">
          <vscode-data-grid
            generate-header="sticky"
            aria-label=${t(`chart.${this.spec.id}`)}
            .columnDefinitions=${columns}
            .rowsData=${cells}
          ></vscode-data-grid>
        </div>
        <p class="caption">${caption}</p>`,
      this.root,
    );
  }
}
