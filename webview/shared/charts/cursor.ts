import { el, show } from '../dom';
import type { LineChart } from './lineChart';
import type { LineSource } from './runLines';
import type { Curves } from './spec';

/**
 * What lies over a chart: the line under the pointer, a dot on each line, the range being selected.
 * Moving it redraws no chart.
 */
export class CursorOverlay<Id extends string> {
  readonly root: HTMLElement;
  private readonly line = el('div', { class: 'cursor', hidden: true });
  private readonly selection = el('div', { class: 'selection', hidden: true });
  private readonly dots: readonly HTMLElement[];

  constructor(private readonly spec: Curves<Id>) {
    this.dots = spec.series.map((series) =>
      el('div', { class: `dot line-${series.color}`, hidden: true }),
    );
    this.root = el(
      'div',
      { class: 'overlay', 'aria-hidden': 'true' },
      this.line,
      ...this.dots,
      this.selection,
    );
  }

  place(chart: LineChart<Id>, lines: LineSource<Id>, at: number | null): void {
    const { left, right, top, bottom } = chart.area;
    const x = at === null ? NaN : chart.xOf(at);
    const inside = x >= left - 1 && x <= right + 1;
    show(this.line, inside);
    if (inside) box(this.line, x, top, 1, bottom - top);
    this.spec.series.forEach((series, i) => {
      const y = inside && at !== null ? chart.yOf(lines.at(series.id, at)) : NaN;
      const dot = this.dots[i]!;
      show(dot, Number.isFinite(y));
      if (Number.isFinite(y)) dot.style.transform = `translate(${x}px, ${y}px)`;
    });
  }

  select(chart: LineChart<Id>, from: number, to: number): void {
    const { top, bottom } = chart.area;
    show(this.selection, true);
    box(this.selection, Math.min(from, to), top, Math.abs(to - from), bottom - top);
  }

  endSelection(): void {
    show(this.selection, false);
  }
}

function box(element: HTMLElement, x: number, y: number, width: number, height: number): void {
  element.style.transform = `translate(${x}px, ${y}px)`;
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
}
