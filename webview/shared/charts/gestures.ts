/** What a person does on a chart, in pixels of the chart. */
export interface GestureHandlers {
  hover(pixel: number | null): void;
  selecting(from: number, to: number): void;
  /** undefined: the selection was given up. */
  selected(range: readonly [number, number] | undefined): void;
  key(action: KeyAction): void;
  /** The wheel with Ctrl or Cmd, or a pinch: shows less (below 1) or more around a pixel. */
  zoom(pixel: number, factor: number): void;
  /** The wheel sideways or with Shift, by a share of what is shown; false: nothing to move to. */
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

/** Pointer, wheel and keyboard of one chart. */
export function listen(plot: HTMLElement, handlers: GestureHandlers): void {
  listenToPointer(plot, handlers);
  plot.addEventListener('wheel', (event) => onWheel(plot, event, handlers), { passive: false });
  plot.addEventListener('dblclick', () => handlers.key('all'));
  plot.addEventListener('keydown', (event) => {
    const action = event.altKey || event.ctrlKey || event.metaKey ? undefined : KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    handlers.key(action);
  });
  plot.addEventListener('blur', () => handlers.hover(null), true);
}

/** Hover shows values, a drag selects a range. */
function listenToPointer(plot: HTMLElement, handlers: GestureHandlers): void {
  let start: number | undefined;
  plot.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    start = pixelOf(plot, event);
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener('pointermove', (event) => {
    const now = pixelOf(plot, event);
    handlers.hover(now);
    if (start !== undefined && Math.abs(now - start) >= SMALLEST_DRAG)
      handlers.selecting(start, now);
  });
  plot.addEventListener('pointerup', (event) => {
    if (start === undefined) return;
    const now = pixelOf(plot, event);
    const isDrag = Math.abs(now - start) >= SMALLEST_DRAG;
    handlers.selected(isDrag ? [Math.min(start, now), Math.max(start, now)] : undefined);
    start = undefined;
  });
  plot.addEventListener('pointercancel', () => {
    start = undefined;
    handlers.selected(undefined);
  });
  plot.addEventListener('pointerleave', () => handlers.hover(null));
}

function onWheel(plot: HTMLElement, event: WheelEvent, handlers: GestureHandlers): void {
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    handlers.zoom(pixelOf(plot, event), event.deltaY > 0 ? WHEEL_ZOOM : 1 / WHEEL_ZOOM);
    return;
  }
  const sideways = sidewaysDelta(event);
  if (sideways !== 0 && handlers.pan(sideways / plot.clientWidth)) event.preventDefault();
}

const pixelOf = (plot: HTMLElement, { clientX }: MouseEvent): number =>
  clientX - plot.getBoundingClientRect().left;

/** How far the wheel moves sideways: with Shift a vertical wheel counts. */
function sidewaysDelta({ shiftKey, deltaX, deltaY }: WheelEvent): number {
  if (shiftKey) return deltaY || deltaX;
  return Math.abs(deltaX) > Math.abs(deltaY) ? deltaX : 0;
}
