/**
 * The focus stays with its run when rows are drawn in another order: it is on an element with
 * `data-dir`, of which each row has one. Called before the drawing with the rows' folders.
 */
export function keepFocus(dirs: readonly string[]): void {
  const dir = (document.activeElement as HTMLElement | null)?.dataset['dir'];
  if (dir === undefined) return;
  queueMicrotask(() => {
    document.querySelectorAll<HTMLElement>('[data-dir]')[dirs.indexOf(dir)]?.focus();
  });
}
