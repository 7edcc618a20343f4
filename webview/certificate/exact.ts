import { nothing, type TemplateResult } from 'lit-html';
import { html } from '../shared/html';
import { mergeFinding, type ShownCertificate } from '../../src/shared/mergeFacts';
import { secondaryButton } from '../shared/templates';
import type { CertificateMessage, CertificatePage } from './state';

/** How far the merged model is from base + adapter, in sentences. */
export function exactView(
  page: CertificatePage,
  { certificate }: CertificateMessage,
): TemplateResult {
  const { t, format } = page;
  const rounding = Math.max(0, ...certificate.tensors.map((tensor) => tensor.rounding_error));
  return html`<section class="card" aria-labelledby="exact-title">
    <h2 id="exact-title">${t('exact')}</h2>
    <p>${agreement(page, certificate)}</p>
    <p>${t('exact.rounding', format.value(rounding))}</p>
    ${findingView(page, certificate)}
    ${certificate.untied ? html`<p>${t('exact.untied')}</p>` : nothing}
    ${certificate.partial ? html`<p class="warning">${t('exact.partial')}</p>` : nothing}
  </section>`;
}

function agreement({ t, format }: CertificatePage, { parity, weights }: ShownCertificate): string {
  if (weights) return t('exact.weights', format.count(weights.elements));
  if (!parity) return t('exact.none');
  return parity.top1_agreement === 1
    ? t('exact.same')
    : t('exact.differs', format.percent(parity.top1_agreement));
}

function findingView({ t, format, post }: CertificatePage, { tensors }: ShownCertificate) {
  const finding = mergeFinding(tensors);
  switch (finding?.kind) {
    case 'noUpdate':
      return html`<p class="warning">${t('exact.noUpdate')}</p>`;
    case 'rounded':
      return html`<div class="warning">
        <p>${t('exact.rounded', format.percent(finding.share))}</p>
        ${secondaryButton(t('exact.again'), () => post({ kind: 'exactly' }))}
      </div>`;
    case undefined:
      return nothing;
  }
}
