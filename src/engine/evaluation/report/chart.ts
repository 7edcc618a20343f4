import { EVALUATION_METRICS } from '../../../shared/evaluation/metrics';
import type { EvaluationScore } from '../../../shared/evaluation/result';
import { visibleControls } from '../../../shared/plainText';
import { html, joinHtml, type Html } from './markup';
import { columnText, scoreName, valueText } from './words';

const WIDTH = 640;
const LINE = 24;
const LEFT = 200;
const RIGHT = 20;
const MOST_NAME = 28;

/** The columns of a score, each a point with its interval, as SVG. */
export function intervalChart(score: EvaluationScore, names: readonly string[]): Html {
  const { metric, columns } = score;
  const title = visibleControls(scoreName(score));
  const measured = columns.flatMap(({ value, interval }) =>
    value === null ? [] : [value, interval?.low ?? value, interval?.high ?? value],
  );
  const max = metric === null ? 1 : EVALUATION_METRICS[metric].max;
  const [low, high] = [max === null ? Math.min(...measured) : 0, max ?? Math.max(...measured)];
  const span = high - low || 1;
  const x = (value: number) => round(LEFT + ((value - low) / span) * (WIDTH - LEFT - RIGHT));
  const height = LINE * (columns.length + 2);
  const lines = columns.map(({ value, interval }, i) => {
    const y = LINE * (i + 1.5);
    const name = visibleControls(names[i]!);
    const label = name.length > MOST_NAME ? `${name.slice(0, MOST_NAME)}…` : name;
    const text = html`<text x="${LEFT - 10}" y="${y + 4}" text-anchor="end">${label}</text>`;
    if (value === null) return text;
    const hint = html`<title>${name}: ${columnText(columns[i]!, metric)}</title>`;
    return html`<g>
      ${hint} ${text}
      ${
        interval
          ? html`<line
              x1="${x(interval.low)}"
              x2="${x(interval.high)}"
              y1="${y}"
              y2="${y}"
              stroke="currentColor"
              stroke-width="2"
            />`
          : html``
      }
      <circle cx="${x(value)}" cy="${y}" r="5" fill="#3794ff" />
    </g>`;
  });
  const axis = [low, (low + high) / 2, high].map(
    (value) =>
      html`<text x="${x(value)}" y="${height - 6}" text-anchor="middle"
        >${valueText(value, metric)}</text
      >`,
  );
  return html`<figure class="chart">
    <figcaption>${title}</figcaption>
    <svg role="img" aria-label="${title}" width="${WIDTH}" height="${height}">
      <line
        x1="${LEFT}"
        x2="${WIDTH - RIGHT}"
        y1="${height - LINE}"
        y2="${height - LINE}"
        stroke="#888"
      />
      ${joinHtml([...lines, ...axis])}
    </svg>
  </figure>`;
}

const round = (value: number): number => Math.round(10 * value) / 10;
