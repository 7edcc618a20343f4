import { nothing, type TemplateResult } from 'lit-html';
import { html } from '../shared/html';
import {
  CertificateHostMessageSchema,
  type CertificateHostMessage,
  type CertificatePageMessage,
} from '../../src/shared/pages/certificate/protocol';
import type { CertificateStringKey } from '../../src/shared/pages/certificate/strings';
import { startPage } from '../shared/startPage';
import { failedView, secondaryButton } from '../shared/templates';
import { button, defineElements } from '../shared/toolkit';
import './certificate.css';
import { changesTable } from './changes';
import { exactView } from './exact';
import { madeView, placeName } from './made';
import {
  INITIAL_STATE,
  reduceCertificate,
  type CertificateMessage,
  type CertificatePage,
  type CertificateState,
} from './state';

defineElements(button());

startPage<CertificateState, CertificateHostMessage, CertificatePageMessage, CertificateStringKey>({
  schema: CertificateHostMessageSchema,
  initial: () => INITIAL_STATE,
  reduce: reduceCertificate,
  view: (page) => (state) => {
    if (state.fault !== null)
      return failedView(
        page.t('fault'),
        state.fault,
        secondaryButton(page.t('json'), () => page.post({ kind: 'json' })),
      );
    return state.shown && certificateView(page, state, state.shown);
  },
});

/** What was merged, from what, how exactly, and what can be done with it. */
const certificateView = (
  page: CertificatePage,
  state: CertificateState,
  shown: CertificateMessage,
): TemplateResult =>
  html`${head(page, shown)} ${tiles(page, shown)}
    <div class="columns">
      <div class="column">${exactView(page, shown)}${storedView(page, shown)}</div>
      <div class="column">${nextView(page, shown)}${madeView(page, state, shown)}</div>
    </div>
    ${changesTable(page, state, shown)}`;

function head(
  { t, format, post }: CertificatePage,
  { name, form, certificate }: CertificateMessage,
) {
  const adapters = certificate.adapters.map(placeName).join(', ');
  const summary = t(
    'summary',
    placeName(certificate.base),
    adapters,
    format.time(certificate.created),
  );
  return html`<header>
    <h1>${name}</h1>
    <p class="hint">${summary}</p>
    <div class="actions">
      ${
        certificate.weights
          ? nothing
          : html`<vscode-button @click=${() => post({ kind: 'try' })}>${t('try')}</vscode-button>`
      }
      ${secondaryButton(t('reveal'), () => post({ kind: 'reveal' }))}
      ${
        form === 'gguf'
          ? secondaryButton(t('modelfile'), () => post({ kind: 'modelfile' }))
          : nothing
      }
      ${secondaryButton(t('verify'), () => post({ kind: 'verify' }))}
      ${secondaryButton(t('json'), () => post({ kind: 'json' }))}
    </div>
  </header>`;
}

function tiles({ t, format }: CertificatePage, { certificate }: CertificateMessage) {
  const { sizes, parity, weights, tensors } = certificate;
  const elements = tensors.reduce((sum, tensor) => sum + tensor.elements, 0);
  const shown = [
    sizes && {
      label: t('size'),
      value: format.bytes(sizes.bytes),
      sub: sizeText(t, format, sizes),
    },
    weights && {
      label: t('weights'),
      value: format.value(weights.largest_gap),
      sub: t('weights.sub', format.value(weights.rms_gap)),
    },
    !weights && {
      label: t('agreement'),
      value: parity ? format.percent(parity.top1_agreement) : t('none'),
      sub: parity ? t('agreement.sub', parity.prompts) : t('agreement.none'),
    },
    parity && {
      label: t('gap'),
      value: format.value(parity.largest_gap),
      sub: t('gap.sub', format.value(parity.largest_logit)),
    },
    {
      label: t('tensors'),
      value: format.count(tensors.length),
      sub: t('tensors.sub', format.compact(elements)),
    },
  ];
  return html`<dl class="tiles" aria-label=${t('tiles')}>
    ${shown
      .filter((tile) => tile !== null && tile !== false)
      .map(
        ({ label, value, sub }) =>
          html`<div class="card tile">
            <dt>${label}</dt>
            <dd class="value">${value}</dd>
            <dd class="hint">${sub}</dd>
          </div>`,
      )}
  </dl>`;
}

type Sizes = NonNullable<CertificateMessage['certificate']['sizes']>;

function sizeText(
  t: CertificatePage['t'],
  format: CertificatePage['format'],
  { bytes, base_bytes }: Sizes,
): string {
  const times = format.digits(bytes / base_bytes, 2);
  return times === format.digits(1, 2)
    ? t('size.same')
    : t('size.sub', times, format.bytes(base_bytes));
}

function storedView({ t, format }: CertificatePage, { certificate }: CertificateMessage) {
  if (!certificate.sizes) return nothing;
  return html`<section class="card" aria-labelledby="stored-title">
    <h2 id="stored-title">${t('stored')}</h2>
    <table class="plain">
      <thead>
        <tr>
          ${(['from', 'to', 'count', 'bytes'] as const).map(
            (key) => html`<th scope="col">${t(`stored.${key}`)}</th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${certificate.sizes.stored.map(
          ({ from, to, tensors, bytes }) =>
            html`<tr>
              <th scope="row">${from ?? t('stored.new')}</th>
              <td>${to}</td>
              <td>${format.count(tensors)}</td>
              <td>${format.bytes(bytes)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

const nextText = ({ form, certificate }: CertificateMessage): CertificateStringKey => {
  if (certificate.weights) return 'next.image';
  if (form !== 'gguf') return 'next.folder';
  return certificate.makes === 'text' ? 'next.gguf' : 'next.encoder';
};

const nextView = ({ t }: CertificatePage, shown: CertificateMessage) =>
  html`<section class="card" aria-labelledby="next-title">
    <h2 id="next-title">${t('next')}</h2>
    <p>${t(nextText(shown))}</p>
    <p>${t('next.keep')}</p>
  </section>`;
