import { el, setAttribute, setText } from '../../shared/dom';
import type { OverlayLines } from '../model/lines';
import { curvesOf, lookOf } from '../model/look';
import type { Context, View } from '../view';

const SVG = 'http://www.w3.org/2000/svg';

/** A key for each run with its value at the cursor; a press hides or shows it. */
export class Legend {
  readonly root: HTMLElement;
  private entries: ReadonlyMap<
    string,
    { readonly button: HTMLElement; readonly name: HTMLElement; readonly value: HTMLElement }
  > = new Map();

  constructor(private readonly context: Context) {
    this.root = el('div', { class: 'key', role: 'group', 'aria-label': context.t('legend') });
  }

  update(view: View): void {
    const dirs = view.runs.map(({ dir }) => dir);
    if (dirs.join('\n') !== [...this.entries.keys()].join('\n')) this.build(view);
    for (const run of view.runs) {
      const { button, name } = this.entries.get(run.dir)!;
      setText(name, run.name);
      setAttribute(button, 'aria-pressed', String(!view.choices.hidden.includes(run.dir)));
    }
  }

  /** The values at a place; null: the last ones. */
  tell({ choices }: View, lines: OverlayLines, cursor: number | null): void {
    const { format } = curvesOf(choices.quantity, []);
    for (const [dir, { value }] of this.entries)
      setText(
        value,
        choices.hidden.includes(dir)
          ? ''
          : format(
              this.context.format,
              cursor === null ? (lines.of(dir).ys.at(-1) ?? NaN) : lines.at(dir, cursor),
            ),
      );
  }

  private build(view: View): void {
    this.entries = new Map(
      view.runs.map(({ dir }, index) => {
        const [name, value] = [el('span', { class: 'name' }), el('span', { class: 'value' })];
        const button = el(
          'button',
          { type: 'button', class: 'key-entry', click: () => this.toggle(dir) },
          swatch(index),
          name,
          value,
        );
        return [dir, { button, name, value }];
      }),
    );
    this.root.replaceChildren(...[...this.entries.values()].map(({ button }) => button));
  }

  private toggle(dir: string): void {
    const { hidden } = this.context.chosen();
    this.context.choose({
      hidden: hidden.includes(dir) ? hidden.filter((own) => own !== dir) : [...hidden, dir],
    });
  }
}

/** A piece of the line as it is drawn. */
function swatch(index: number): SVGElement {
  const { color, dash } = lookOf(index);
  const svg = document.createElementNS(SVG, 'svg');
  const line = document.createElementNS(SVG, 'line');
  for (const [name, value] of Object.entries({
    width: 28,
    height: 8,
    'aria-hidden': 'true',
    class: `line-${color}`,
  }))
    svg.setAttribute(name, String(value));
  for (const [name, value] of Object.entries({
    x1: 0,
    y1: 4,
    x2: 28,
    y2: 4,
    'stroke-dasharray': dash.join(' ') || 'none',
  }))
    line.setAttribute(name, String(value));
  svg.append(line);
  return svg;
}
