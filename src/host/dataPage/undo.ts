/** What can be undone. */
export type Undoable =
  | { readonly kind: 'edit'; readonly row: number; readonly before: string; readonly after: string }
  | { readonly kind: 'exclude'; readonly rows: readonly number[]; readonly isExcluded: boolean };

/** Actions that are kept. */
const MOST = 100;

/** The last actions on a dataset. A file that another program changes is another one. */
export class UndoStack {
  private actions: Undoable[] = [];

  get length(): number {
    return this.actions.length;
  }

  push(action: Undoable): void {
    this.actions = [...this.actions, action].slice(-MOST);
  }

  /** The last action; it stays until `drop`, because undoing can fail. */
  get last(): Undoable | undefined {
    return this.actions.at(-1);
  }

  drop(action: Undoable): void {
    this.actions = this.actions.filter((own) => own !== action);
  }

  clear(): void {
    this.actions = [];
  }
}
