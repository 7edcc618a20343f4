import { html } from '../../shared/html';

export const tableHead = (titles: readonly string[]) =>
  html`<thead>
    <tr>
      ${titles.map((title) => html`<th scope="col">${title}</th>`)}
    </tr>
  </thead>`;
