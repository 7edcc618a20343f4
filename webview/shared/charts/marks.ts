import type { LineChart } from './lineChart';

/** Something that happened at a place of the x axis. */
export interface Mark {
  readonly x: number;
  readonly kind: 'best' | 'checkpoint';
}

/** Marks along the foot of a chart. The key explains them, and the list of events names them. */
export class MarkRow {
  readonly root = Object.assign(document.createElement('div'), { className: 'marks' });

  constructor() {
    this.root.setAttribute('aria-hidden', 'true');
  }

  place<Id extends string>(chart: LineChart<Id>, marks: readonly Mark[]): void {
    const { left, right, bottom } = chart.area;
    const shown = marks
      .map(({ kind, x }) => ({ kind, at: chart.xOf(x) }))
      .filter(({ at }) => at >= left - 1 && at <= right + 1);
    while (this.root.children.length > shown.length) this.root.lastElementChild!.remove();
    while (this.root.children.length < shown.length)
      this.root.append(document.createElement('div'));
    shown.forEach(({ kind, at }, i) => {
      const element = this.root.children[i] as HTMLElement;
      element.className = `mark mark-${kind}`;
      element.style.transform = `translate(${at}px, ${bottom}px)`;
    });
  }
}
