import type { TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import type { CHART_STRINGS } from '../../../src/shared/pages/chartStrings';
import { AXES, type Axis } from '../../../src/shared/pages/dashboard/protocol';
import { html } from '../html';
import type { Formatter } from '../format';
import { secondaryButton } from '../templates';
import { axisValue } from './axisText';
import { MAX_SMOOTHING, type ChartChoices } from './choices';

interface AxisBarPage {
  readonly format: Formatter;
  readonly t: (key: keyof typeof CHART_STRINGS, ...values: readonly (string | number)[]) => string;
}

/**
 * The controls above charts: smoothing, what the x axis counts, a logarithmic loss axis, and the
 * part of the x axis that is shown.
 */
export function axisBar(
  { t, format }: AxisBarPage,
  { zoom, smoothing, axis, logarithmic, logarithmicX }: ChartChoices,
  choose: (change: Partial<ChartChoices>) => void,
): TemplateResult {
  const range = zoom
    ? t(`range.${axis}`, axisValue(format, axis, zoom.from), axisValue(format, axis, zoom.to))
    : '';
  const slide = (event: Event) => choose({ smoothing: Number(inputOf(event).value) });
  const pickAxis = (event: Event) =>
    choose({ axis: (event.target as HTMLSelectElement).value as Axis, zoom: null });
  const toggleLog = (event: Event) => choose({ logarithmic: inputOf(event).checked });
  const toggleLogX = (event: Event) => choose({ logarithmicX: inputOf(event).checked });
  return html`<label class="smoothing"
      >${t('smoothing')}<input
        id="smoothing"
        type="range"
        min="0"
        max=${MAX_SMOOTHING}
        step="0.01"
        .value=${live(String(smoothing))}
        @input=${slide}
      /><output for="smoothing"
        >${smoothing === 0 ? t('smoothing.off') : smoothing.toFixed(2)}</output
      ></label
    >
    <label
      >${t('axis')}
      <select id="axis" @change=${pickAxis}>
        ${AXES.map(
          (id) =>
            html`<option value=${id} .selected=${live(id === axis)}>${t(`axis.${id}`)}</option>`,
        )}
      </select></label
    >
    <label
      ><input id="logarithmic" type="checkbox" .checked=${live(logarithmic)} @change=${toggleLog} />
      ${t('logarithmic')}</label
    >
    <label
      ><input
        id="logarithmic-x"
        type="checkbox"
        .checked=${live(logarithmicX)}
        @change=${toggleLogX}
      />
      ${t('logarithmicX')}</label
    >
    <span class="zoom-text" ?hidden=${!zoom}>${range}</span>
    <span ?hidden=${!zoom}
      >${secondaryButton(t('zoom.reset'), () => choose({ zoom: null }))}</span
    >`;
}

const inputOf = (event: Event): HTMLInputElement => event.target as HTMLInputElement;
