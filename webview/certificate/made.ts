import { nothing, type TemplateResult } from 'lit-html';
import { html } from '../shared/html';
import type { CertificateMessage, CertificatePage, CertificateState } from './state';

/** The last part of a place that names something: of .lora/runs/NAME/adapter that is NAME. */
export function placeName(place: string): string {
  const parts = place.split(/[\\/]/).filter((part) => part !== '');
  const last = parts.at(-1) ?? place;
  return last === 'adapter' ? (parts.at(-2) ?? last) : last;
}

/** Base, adapters, formula, and the files with their hashes. */
export function madeView(
  page: CertificatePage,
  state: CertificateState,
  { certificate }: CertificateMessage,
): TemplateResult {
  const { t, format } = page;
  const { base, adapters, formula, scale, created } = certificate;
  const facts: readonly (readonly [string, string])[] = [
    [t('made.base'), base],
    ...adapters.map((adapter) => [t('made.adapter'), adapter] as const),
    [t('made.formula'), formula],
    ...(scale === 1 ? [] : [[t('made.scale'), format.digits(scale, 4)] as const]),
    [t('made.created'), format.time(created)],
  ];
  return html`<section class="card" aria-labelledby="made-title">
    <h2 id="made-title">${t('made')}</h2>
    <dl class="facts">
      ${facts.map(
        ([label, value]) =>
          html`<dt>${label}</dt>
            <dd>${value}</dd>`,
      )}
    </dl>
    <details ?open=${state.verified !== null}>
      <summary>${t('made.files')}</summary>
      ${filesTable(page, state, certificate)}
    </details>
  </section>`;
}

function filesTable(
  { t }: CertificatePage,
  { verified }: CertificateState,
  { inputs, outputs }: CertificateMessage['certificate'],
) {
  const files = [
    ...outputs.map((own, i) => ({ ...own, role: t('output'), now: verified?.outputs[i]?.state })),
    ...inputs.map((own, i) => ({ ...own, role: t('input'), now: verified?.inputs[i]?.state })),
  ];
  return html`<table class="plain files" aria-live="polite">
    <thead>
      <tr>
        <th scope="col">${t('file')}</th>
        <th scope="col">${t('role')}</th>
        <th scope="col">SHA-256</th>
        ${verified ? html`<th scope="col">${t('state')}</th>` : nothing}
      </tr>
    </thead>
    <tbody>
      ${files.map(
        ({ file, sha256, role, now }) =>
          html`<tr>
            <th scope="row" title=${file}>${placeName(file)}</th>
            <td>${role}</td>
            <td title=${sha256}><code>${sha256.slice(0, 12)}…</code></td>
            ${now ? html`<td data-state=${now}>${t(`state.${now}`)}</td>` : nothing}
          </tr>`,
      )}
    </tbody>
  </table>`;
}
