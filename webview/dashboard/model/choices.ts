import { CHART_IDS, type ChartId } from '../../../src/shared/metrics/table';
import { MAX_SMOOTHING } from '../../shared/charts/choices';
import { AXES, TAB_IDS, type PageState } from '../../../src/shared/pages/dashboard/protocol';
import { isObject } from '../../../src/shared/values';

/**
 * The choices that VS Code kept, with defaults for what is missing or invalid. `runDir`: the run
 * that the page was made for; it may have shown another one since.
 */
export function asChoices(value: unknown, runDir: string): PageState {
  const kept = (isObject(value) ? value : {}) as Partial<Record<keyof PageState, unknown>>;
  return {
    runDir: typeof kept.runDir === 'string' ? kept.runDir : runDir,
    zoom: asRange(kept.zoom),
    scroll: asNumber(kept.scroll, 0, Number.MAX_SAFE_INTEGER, 0),
    smoothing: asNumber(kept.smoothing, 0, MAX_SMOOTHING, 0.9),
    axis: AXES.find((axis) => axis === kept.axis) ?? 'step',
    logarithmic: kept.logarithmic === true,
    logarithmicX: kept.logarithmicX === true,
    tables: chartsIn(kept.tables),
    pinned: chartsIn(kept.pinned),
    tab: TAB_IDS.find((id) => id === kept.tab) ?? 'batch',
  };
}

const chartsIn = (kept: unknown): readonly ChartId[] =>
  Array.isArray(kept) ? CHART_IDS.filter((id) => (kept as unknown[]).includes(id)) : [];

function asRange(value: unknown): PageState['zoom'] {
  if (!isObject(value)) return null;
  const { from, to } = value;
  return typeof from === 'number' &&
    typeof to === 'number' &&
    Number.isFinite(from) &&
    Number.isFinite(to) &&
    from < to
    ? { from, to }
    : null;
}

function asNumber(value: unknown, low: number, high: number, otherwise: number): number {
  return typeof value === 'number' && value >= low && value <= high ? value : otherwise;
}
