import { el, show } from '../../shared/dom';
import type { ChartSpec, Lines } from '../model/chartSpecs';
import type { LineChart } from './lineChart';

/** What lies over a chart: the line at the step under the pointer, a dot on each line, the range being selected. Moving it redraws no chart. */
export class CursorOverlay {
  readonly root: HTMLElement;
  private readonly line = el('div', { class: 'cursor', hidden: true });
  private readonly selection = el('div', { class: 'selection', hidden: true });
  private readonly dots: readonly HTMLElement[];

  constructor(private readonly spec: ChartSpec) {
    this.dots = spec.series.map((series) => el('div', { class: `dot line-${series.color}`, hidden: true }));
    this.root = el('div', { class: 'overlay', 'aria-hidden': 'true' }, this.line, ...this.dots, this.selection);
  }

  place(chart: LineChart, lines: Lines, step: number | null): void {
    const { left, right, top, bottom } = chart.area;
    const x = step === null ? NaN : chart.xOf(step);
    const inside = x >= left - 1 && x <= right + 1;
    show(this.line, inside);
    if (inside) box(this.line, x, top, 1, bottom - top);
    this.spec.series.forEach((series, i) => {
      const y = inside && step !== null ? chart.yOf(lines.at(series.id, step)) : NaN;
      const dot = this.dots[i]!;
      show(dot, Number.isFinite(y));
      if (Number.isFinite(y)) dot.style.transform = `translate(${x}px, ${y}px)`;
    });
  }

  select(chart: LineChart, from: number, to: number): void {
    const { top, bottom } = chart.area;
    show(this.selection, true);
    box(this.selection, Math.min(from, to), top, Math.abs(to - from), bottom - top);
  }

  endSelection(): void { show(this.selection, false); }
}

function box(element: HTMLElement, x: number, y: number, width: number, height: number): void {
  element.style.transform = `translate(${x}px, ${y}px)`;
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
}
