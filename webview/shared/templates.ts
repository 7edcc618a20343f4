import { nothing, type TemplateResult } from 'lit-html';
import { html } from './html';
import type { TableSorting } from './sorting';

// Markup that several pages share. The content security policy blocks style attributes: templates
// use classes.

/** A codicon; it is decoration, so screen readers skip it. */
export const icon = (name: string): TemplateResult =>
  html`<span class="codicon codicon-${name}" aria-hidden="true"></span>`;

/** A button that shows only an icon. */
export const iconButton = (name: string, label: string, click: () => void): TemplateResult =>
  html`<vscode-button appearance="icon" title=${label} aria-label=${label} @click=${click}
    >${icon(name)}</vscode-button
  >`;

export const secondaryButton = (label: string, click: () => void): TemplateResult =>
  html`<vscode-button appearance="secondary" @click=${click}>${label}</vscode-button>`;

/** What a page shows in place of its content when that cannot be read or computed. */
export const failedView = (
  title: string,
  message: string,
  action: TemplateResult | typeof nothing = nothing,
): TemplateResult =>
  html`<div class="failed" role="alert">
    <h1>${title}</h1>
    <p>${message}</p>
    ${action}
  </div>`;

/** The value of aria-sort of a column's head. */
export function sortOrder<Column>(
  column: Column,
  sorting: TableSorting<Column | null>,
): string | typeof nothing {
  if (column !== sorting.column) return nothing;
  return sorting.descending ? 'descending' : 'ascending';
}

/** The head of a column whose button sorts the table by it. */
export function sortHead<Column extends string>(
  column: Column,
  label: string,
  sorting: TableSorting<Column | null>,
  sort: (column: Column) => void,
): TemplateResult {
  return html`<th scope="col" aria-sort=${sortOrder(column, sorting)}>
    <button type="button" class="sort" @click=${() => sort(column)}>${label}</button>
  </th>`;
}

/** A search field; `input` gets its text. */
export const searchField = (
  value: string,
  label: string,
  input: (text: string) => void,
): TemplateResult =>
  html`<input
    type="search"
    .value=${value}
    placeholder=${label}
    aria-label=${label}
    @input=${(event: Event) => input((event.target as HTMLInputElement).value)}
  />`;
