/** What a person can do on a chart; pixels are the chart's own. */
export interface GestureHandlers {
  hover(pixel: number | null): void;
  selecting(from: number, to: number): void;
  /** undefined: given up. */
  selected(range: readonly [number, number] | undefined): void;
  key(action: KeyAction): void;
  /** The wheel with Ctrl or Cmd, a pinch: shows less (below 1) or more around a pixel. */
  zoom(pixel: number, factor: number): void;
  /**
   * The wheel sideways, or with Shift: by a share of what is shown. False: there is nowhere to go.
   */
  pan(share: number): boolean;
}

export type KeyAction =
  'left' | 'right' | 'farLeft' | 'farRight' | 'first' | 'last' | 'zoomIn' | 'zoomOut' | 'all';

const KEYS: Readonly<Record<string, KeyAction>> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  PageUp: 'farLeft',
  PageDown: 'farRight',
  Home: 'first',
  End: 'last',
  '+': 'zoomIn',
  '=': 'zoomIn',
  '-': 'zoomOut',
  Escape: 'all',
};

const WHEEL_ZOOM = 1.25;

/** A drag shorter than this is a click. */
const SMALLEST_DRAG = 6;

/**
 * Pointer and keyboard of one chart: hover, drag to select a range, double-click or Escape for all
 * steps.
 */
export function listen(plot: HTMLElement, handlers: GestureHandlers): void {
  let start: number | undefined;
  const pixel = (event: PointerEvent) => event.clientX - plot.getBoundingClientRect().left;
  plot.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    start = pixel(event);
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener('pointermove', (event) => {
    const now = pixel(event);
    handlers.hover(now);
    if (start !== undefined && Math.abs(now - start) >= SMALLEST_DRAG)
      handlers.selecting(start, now);
  });
  plot.addEventListener('pointerup', (event) => {
    if (start === undefined) return;
    const now = pixel(event);
    handlers.selected(
      Math.abs(now - start) >= SMALLEST_DRAG
        ? [Math.min(start, now), Math.max(start, now)]
        : undefined,
    );
    start = undefined;
  });
  plot.addEventListener('pointercancel', () => {
    start = undefined;
    handlers.selected(undefined);
  });
  plot.addEventListener('pointerleave', () => handlers.hover(null));
  plot.addEventListener(
    'wheel',
    (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        handlers.zoom(
          event.clientX - plot.getBoundingClientRect().left,
          event.deltaY > 0 ? WHEEL_ZOOM : 1 / WHEEL_ZOOM,
        );
        return;
      }
      const sideways = event.shiftKey
        ? event.deltaY || event.deltaX
        : Math.abs(event.deltaX) > Math.abs(event.deltaY)
          ? event.deltaX
          : 0;
      if (sideways !== 0 && handlers.pan(sideways / plot.clientWidth)) event.preventDefault();
    },
    { passive: false },
  );
  plot.addEventListener('dblclick', () => handlers.key('all'));
  plot.addEventListener('keydown', (event) => {
    const action = event.altKey || event.ctrlKey || event.metaKey ? undefined : KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    handlers.key(action);
  });
  plot.addEventListener('blur', () => handlers.hover(null), true);
}
