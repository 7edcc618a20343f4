/**
 * Those of VS Code's chart colours that stand out from the background in every built-in theme;
 * orange and yellow do not.
 */
export const CHART_COLORS = ['blue', 'green', 'purple', 'red'] as const;

export type ChartColor = (typeof CHART_COLORS)[number];
