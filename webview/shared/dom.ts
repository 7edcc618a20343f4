type Attributes = Readonly<Record<string, string | number | boolean | ((event: Event) => void)>>;
type Child = Node | string;

/**
 * An element with attributes (a function adds a listener; false leaves the attribute out) and
 * children. No attribute sets styles: the page's policy forbids it.
 */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes?: Attributes,
  ...children: readonly Child[]
): HTMLElementTagNameMap[K];
export function el(
  tag: string,
  attributes?: Attributes,
  ...children: readonly Child[]
): HTMLElement;
export function el(
  tag: string,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElement {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children);
  return element;
}

/** The toolkit's data grid, as far as it is used here. */
export interface GridElement extends HTMLElement {
  columnDefinitions: readonly { readonly columnDataKey: string; readonly title: string }[];
  rowsData: readonly object[];
}

export function dataGrid(
  attributes: Attributes,
  columns: readonly (readonly [key: string, title: string])[],
): GridElement {
  const grid = el('vscode-data-grid', attributes) as GridElement;
  grid.columnDefinitions = columns.map(([columnDataKey, title]) => ({ columnDataKey, title }));
  return grid;
}

/** A codicon; decoration only, so screen readers pass it by. */
export function icon(name: string): HTMLElement {
  return el('span', { class: `codicon codicon-${name}`, 'aria-hidden': 'true' });
}

/** The three below touch the document only when something changes. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(element: Element, name: string, value: string | null): void {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

export function show(element: HTMLElement, shown: boolean): void {
  if (element.hidden === shown) element.hidden = !shown;
}

/** Runs `render` only when one of `keys` differs from the last time. */
export function memo(): (keys: readonly unknown[], render: () => void) => void {
  let last: readonly unknown[] | undefined;
  return (keys, render) => {
    if (last?.length === keys.length && keys.every((key, i) => Object.is(key, last?.[i]))) return;
    last = keys;
    render();
  };
}
