import type { CHART_STRINGS } from '../../../src/shared/pages/chartStrings';
import { AXES, type Axis } from '../../../src/shared/pages/dashboard/protocol';
import { el, setText, show } from '../dom';
import type { Formatter } from '../format';
import { xText } from './axisWords';
import { MAX_SMOOTHING, type ChartChoices } from './choices';

export interface AxisBarContext {
  readonly format: Formatter;
  readonly t: (key: keyof typeof CHART_STRINGS, ...values: readonly (string | number)[]) => string;
  readonly choose: (change: Partial<ChartChoices>) => void;
}

export interface AxisBar {
  readonly parts: readonly HTMLElement[];
  update(choices: ChartChoices): void;
}

/**
 * The controls above charts: smoothing, what the x axis counts, a logarithmic loss, and what part
 * is shown.
 */
export function axisBar({ format, t, choose }: AxisBarContext): AxisBar {
  const slider = el('input', {
    id: 'smoothing',
    type: 'range',
    min: 0,
    max: MAX_SMOOTHING,
    step: 0.01,
    input: () => choose({ smoothing: Number(slider.value) }),
  });
  const value = el('output', { for: 'smoothing' });
  const axisOf = el(
    'select',
    { id: 'axis', change: () => choose({ axis: axisOf.value as Axis, zoom: null }) },
    ...AXES.map((axis) => el('option', { value: axis }, t(`axis.${axis}`))),
  );
  const log = el('input', {
    id: 'logarithmic',
    type: 'checkbox',
    change: () => choose({ logarithmic: log.checked }),
  });
  const range = el('span', { class: 'zoom-text' });
  const reset = el(
    'vscode-button',
    { appearance: 'secondary', click: () => choose({ zoom: null }) },
    t('zoom.reset'),
  );
  return {
    parts: [
      el('label', { class: 'smoothing' }, t('smoothing'), slider, value),
      el('label', {}, `${t('axis')} `, axisOf),
      el('label', {}, log, ` ${t('logarithmic')}`),
      range,
      reset,
    ],
    update({ zoom, smoothing, axis, logarithmic }) {
      if (Number(slider.value) !== smoothing) slider.value = String(smoothing);
      setText(value, smoothing === 0 ? t('smoothing.off') : smoothing.toFixed(2));
      if (axisOf.value !== axis) axisOf.value = axis;
      log.checked = logarithmic;
      show(reset, zoom !== null);
      show(range, zoom !== null);
      if (zoom)
        setText(
          range,
          t(`range.${axis}`, xText(format, axis, zoom.from), xText(format, axis, zoom.to)),
        );
    },
  };
}
