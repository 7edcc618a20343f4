import type { LineChart } from './lineChart';
import type { Mark } from './mark';

/**
 * Marks on the points of a chart and along its foot. The key explains them, and the list of events
 * names them.
 */
export class MarkRow {
  readonly root = Object.assign(document.createElement('div'), { className: 'marks' });

  constructor() {
    this.root.setAttribute('aria-hidden', 'true');
  }

  place<Id extends string>(chart: LineChart<Id>, marks: readonly Mark[]): void {
    const { left, right, bottom } = chart.area;
    const shown = marks
      .map(({ kind, x, value }) => ({
        kind,
        at: chart.xOf(x),
        y: value === undefined ? bottom : chart.yOf(value),
        place: value === undefined ? 'foot' : 'point',
      }))
      .filter(({ at }) => at >= left - 1 && at <= right + 1);
    while (this.root.children.length > shown.length) this.root.lastElementChild!.remove();
    while (this.root.children.length < shown.length)
      this.root.append(document.createElement('div'));
    shown.forEach(({ kind, at, y, place }, i) => {
      const element = this.root.children[i] as HTMLElement;
      element.className = `mark mark-${kind} at-${place}`;
      element.style.transform = `translate(${at}px, ${y}px)`;
    });
  }
}
