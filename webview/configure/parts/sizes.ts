import { nothing, type TemplateResult } from 'lit-html';
import type { Sizes } from '../../../src/shared/pages/configure/protocol';
import { html } from '../../shared/html';
import type { ConfigurePage } from '../state';
import { tableHead } from './tableHead';

type Form = Sizes['models'][number]['forms'][number];

/** Whether a step of models of common sizes fits on this machine, in each form of their weights. */
export function sizesView(page: ConfigurePage, sizes: Sizes): TemplateResult {
  const { t, format } = page;
  const { rows, length, rank, there, models } = sizes;
  const names = [...new Set(models.flatMap(({ forms }) => forms.map(({ name }) => name)))];
  return html`<section class="card sizes" aria-labelledby="sizes-title">
    <h2 id="sizes-title">${t('sizes.title')}</h2>
    <p class="hint">${t('sizes.hint', rows, format.count(length), rank, format.bytes(there))}</p>
    <div class="scroll">
      <table aria-labelledby="sizes-title">
        ${tableHead([t('sizes.model'), ...names])}
        <tbody>
          ${models.map(
            ({ model, parameters, forms }) =>
              html`<tr>
                <th scope="row">${model} <span>${format.compact(parameters)}</span></th>
                ${names.map((name) =>
                  cell(
                    page,
                    forms.find((own) => own.name === name),
                  ),
                )}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

/** The memory that decides: with gradient checkpointing unless a step fits without it. */
function cell({ t, format }: ConfigurePage, form: Form | undefined): TemplateResult {
  if (!form) return html`<td>${t('none')}</td>`;
  const { bytes, recomputed_bytes, fit } = form;
  const needed = format.bytes(fit === 'fits' ? bytes : recomputed_bytes);
  return html`<td data-fit=${fit === 'fits' ? nothing : fit}>${t(`sizes.${fit}`, needed)}</td>`;
}
