import { CHART_COLORS, type ChartColor } from '../../src/shared/metrics/table';

/** The colours and font of VS Code's theme, as the canvas needs them. */
export interface ChartTheme {
  readonly colors: Readonly<Record<ChartColor, string>>;
  readonly background: string;
  readonly text: string;
  readonly grid: string;
  readonly fontFamily: string;
  readonly fontSize: number;
}

export function readTheme(): ChartTheme {
  const style = getComputedStyle(document.body);
  const variable = (name: string) => style.getPropertyValue(`--vscode-${name}`).trim();
  const foreground = variable('foreground') || style.color;
  const highContrast = document.body.classList.contains('vscode-high-contrast');
  return {
    colors: Object.fromEntries(
      CHART_COLORS.map((color) => [color, variable(`charts-${color}`) || foreground]),
    ) as Record<ChartColor, string>,
    background: variable('editor-background') || style.backgroundColor,
    text: (highContrast ? '' : variable('descriptionForeground')) || foreground,
    grid: (highContrast ? '' : variable('panel-border')) || variable('charts-lines') || foreground,
    fontFamily: style.fontFamily,
    fontSize: Math.max(10, Math.round(parseFloat(style.fontSize) * 0.85)) || 11,
  };
}

/**
 * Calls back when VS Code changes its theme: it then writes new classes on the body and new
 * variables on the root.
 */
export function onThemeChange(callback: () => void): void {
  const observer = new MutationObserver(callback);
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: ['class', 'data-vscode-theme-id'],
  });
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['style'] });
}
