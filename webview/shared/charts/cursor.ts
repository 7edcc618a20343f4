import type { LineChart } from './lineChart';
import type { LineSource } from './runLines';
import type { Curves } from './spec';

/**
 * What lies over a chart: the line under the pointer, a dot on each curve, the range being
 * selected. Moving it does not redraw the chart.
 */
export class CursorOverlay<Id extends string> {
  readonly root = layer('overlay');
  private readonly line = layer('cursor');
  private readonly selection = layer('selection');
  private readonly dots: readonly HTMLElement[];

  constructor(private readonly curves: Curves<Id>) {
    this.dots = curves.series.map(({ color }) => layer(`dot line-${color}`));
    this.root.setAttribute('aria-hidden', 'true');
    this.root.append(this.line, ...this.dots, this.selection);
    for (const part of [this.line, ...this.dots, this.selection]) part.hidden = true;
  }

  place(chart: LineChart<Id>, lines: LineSource<Id>, at: number | null): void {
    const { left, right, top, bottom } = chart.area;
    const x = at === null ? NaN : chart.xOf(at);
    const inside = x >= left - 1 && x <= right + 1;
    this.line.hidden = !inside;
    if (inside) place(this.line, { x, y: top, width: 1, height: bottom - top });
    this.curves.series.forEach((series, i) => {
      const y = inside && at !== null ? chart.yOf(lines.at(series.id, at)) : NaN;
      const dot = this.dots[i]!;
      dot.hidden = !Number.isFinite(y);
      if (!dot.hidden) dot.style.transform = `translate(${x}px, ${y}px)`;
    });
  }

  select(chart: LineChart<Id>, from: number, to: number): void {
    const { top, bottom } = chart.area;
    this.selection.hidden = false;
    const box = { x: Math.min(from, to), y: top, width: Math.abs(to - from), height: bottom - top };
    place(this.selection, box);
  }

  endSelection(): void {
    this.selection.hidden = true;
  }
}

function layer(className: string): HTMLElement {
  return Object.assign(document.createElement('div'), { className });
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

function place({ style }: HTMLElement, { x, y, width, height }: Box): void {
  style.transform = `translate(${x}px, ${y}px)`;
  style.width = `${width}px`;
  style.height = `${height}px`;
}
