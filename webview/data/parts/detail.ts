import { nothing, type TemplateResult } from 'lit-html';
import type {
  Field,
  PieceKind,
  RowDetail,
  ShownImage,
  Turn,
} from '../../../src/shared/pages/data/protocol';
import { html } from '../../shared/html';
import { markedPieces } from '../../shared/pieces';
import { secondaryButton } from '../../shared/templates';
import { thumbnailView } from '../../shared/thumbnail';
import type { DataPage, DataState, DatasetMessage, Editing } from '../state';

/** The opened row: its chat, what the model reads of it, its problems and its JSON. */
export function detailView(
  page: DataPage,
  state: DataState,
  dataset: DatasetMessage,
): TemplateResult {
  const { detail, editing } = state;
  if (!detail) return html``;
  const { t, format } = page;
  const title = dataset.unit === 'line' ? 'detail.title' : 'detail.title.row';
  return html`<div class="detail-head">
      <h2 id="detail-title" tabindex="-1">${t(title, format.count(detail.number))}</h2>
      <span class="hint">${t('detail.length', format.count(detail.length))}</span>
      <span class="actions">${editing ? nothing : actionsView(page, detail, dataset)}</span>
    </div>
    ${problemsView(page, detail)}
    <p class="hint" ?hidden=${!detail.isShortened}>${t('detail.shortened')}</p>
    ${editing ? editView(page, detail, editing) : contentView(page, detail)}`;
}

function actionsView(page: DataPage, detail: RowDetail, { readOnly }: DatasetMessage) {
  const { t, post } = page;
  const { row, isExcluded } = detail;
  const edit = () =>
    page.change({
      editing: {
        isRaw: detail.fields.length === 0,
        fields: detail.fields.map(({ value }) => value),
        raw: detail.raw,
      },
      said: null,
    });
  return html`${readOnly === null && !detail.isShortened ? secondaryButton(t('edit'), edit) : nothing}
  ${secondaryButton(t(isExcluded ? 'include' : 'exclude'), () =>
    post({ kind: 'exclude', row, isExcluded: !isExcluded }),
  )}
  ${secondaryButton(t('open.file'), () => post({ kind: 'openFile', row }))}
  ${secondaryButton(t('detail.close'), () => close(page))}`;
}

/** Back to the grid. */
export function close(page: DataPage): void {
  page.change({ detail: null, editing: null });
  page.post({ kind: 'open', row: null });
  document.getElementById('grid')?.focus();
}

function problemsView({ t }: DataPage, { problems }: RowDetail): TemplateResult {
  return html`<ul
    class="problems"
    aria-label=${t('detail.problems')}
    ?hidden=${problems.length === 0}
  >
    ${problems.map(
      ({ severity, message }) =>
        html`<li class=${severity}>${t(`detail.${severity}`, message)}</li>`,
    )}
  </ul>`;
}

function contentView(page: DataPage, detail: RowDetail): TemplateResult {
  const { t } = page;
  return html`<div class="chat">
      ${detail.turns.map(
        (turn) =>
          html`<div class="message" data-role=${turn.role}>
            <h3>${turn.role}</h3>
            <p dir="auto">${turnContent(page, turn)}</p>
          </div>`,
      )}
    </div>
    ${detail.pieces ? piecesView(page, detail.pieces) : nothing}
    <details>
      <summary>${t('detail.raw')}</summary>
      <pre tabindex="0" aria-label=${t('detail.raw')}>${detail.raw}</pre>
    </details>`;
}

/** The text of a turn, with its images in their places. */
function turnContent(page: DataPage, { text, images = [] }: Turn) {
  if (images.length === 0) return text;
  const before = images.map(({ at }, i) => text.slice(images[i - 1]?.end ?? 0, at));
  return html`${images.map(
    (image, i) => html`${before[i]}${imageView(page, image, text.slice(image.at, image.end))}`,
  )}${text.slice(images.at(-1)?.end)}`;
}

function imageView({ state, format, t }: DataPage, { image }: ShownImage, text: string) {
  const thumbnail = state.thumbnails.get(image) ?? null;
  const name = text.replace(/^\[|\]$/g, '');
  const size =
    thumbnail && 'url' in thumbnail
      ? t('image.size', format.count(thumbnail.width), format.count(thumbnail.height))
      : '';
  const said = thumbnail && 'fault' in thumbnail ? thumbnail.fault : size;
  return html`<span class="image"
    >${thumbnailView(thumbnail, name)}<span
      ><span>${name}</span> <span class="hint">${said}</span></span
    ></span
  >`;
}

function piecesView({ t, format }: DataPage, pieces: NonNullable<RowDetail['pieces']>) {
  const count = (kind: PieceKind) =>
    pieces.filter((own) => own.kind === kind).reduce((sum, { tokens }) => sum + tokens, 0);
  const [learnt, context, cut] = [count('learnt'), count('context'), count('cut')];
  const counts = [learnt + context + cut, learnt, context, cut].map((own) => format.count(own));
  return html`<section class="tokens" aria-labelledby="tokens-title">
    <h3 id="tokens-title">${t('detail.asTokens')}</h3>
    <p class="hint">${t('detail.tokens', ...counts)}</p>
    <p class="legend" aria-hidden="true">
      ${markedPieces([{ kind: 'learnt', text: t('piece.learnt') }])}
      <span>${t('piece.context')}</span>
      ${markedPieces([{ kind: 'cut', text: t('piece.cut') }])}
    </p>
    <p class="text" dir="auto">${markedPieces(pieces)}</p>
  </section>`;
}

function editView(page: DataPage, detail: RowDetail, editing: Editing): TemplateResult {
  const { t } = page;
  const change = (own: Partial<Editing>) => {
    const { editing: now } = page.state;
    if (now) page.change({ editing: { ...now, ...own } });
  };
  return html`<form
    class="edit"
    @submit=${(event: Event) => {
      event.preventDefault();
      save(page);
    }}
  >
    ${
      editing.isRaw
        ? rawField(page, editing, (raw) => change({ raw }))
        : detail.fields.map((field, i) =>
            fieldView(field, editing.fields[i] ?? '', (value) =>
              change({ fields: page.state.editing?.fields.with(i, value) ?? [] }),
            ),
          )
    }
    <div class="bar">
      <vscode-button type="submit" @click=${() => save(page)}>${t('edit.save')}</vscode-button>
      ${secondaryButton(t('edit.cancel'), () => page.change({ editing: null }))}
      ${
        detail.fields.length === 0
          ? nothing
          : secondaryButton(t(editing.isRaw ? 'edit.fields' : 'edit.raw'), () =>
              change({ isRaw: !editing.isRaw }),
            )
      }
    </div>
  </form>`;
}

function rawField({ t }: DataPage, { raw }: Editing, input: (text: string) => void) {
  return html`<textarea
    class="raw"
    rows="16"
    spellcheck="false"
    aria-label=${t('detail.raw')}
    .value=${raw}
    @input=${(event: Event) => input((event.target as HTMLTextAreaElement).value)}
  ></textarea>`;
}

/** Lines that a text is given at least and at most. */
const LINES = [1, 14] as const;
/** Characters of a line, about. */
const LINE = 60;

function fieldView({ path, value }: Field, text: string, input: (text: string) => void) {
  const lines = value.split('\n').reduce((sum, own) => sum + 1 + Math.floor(own.length / LINE), 0);
  return html`<label class="field">
    <span>${pathText(path)}</span>
    <textarea
      dir="auto"
      rows=${Math.max(LINES[0], Math.min(LINES[1], lines))}
      .value=${text}
      @input=${(event: Event) => input((event.target as HTMLTextAreaElement).value)}
    ></textarea>
  </label>`;
}

const pathText = (path: Field['path']): string =>
  path
    .map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${key}`))
    .join('');

function save({ state, post }: DataPage): void {
  const { detail, editing } = state;
  if (!detail || !editing) return;
  const changed = detail.fields
    .map(({ path }, i) => ({ path, value: editing.fields[i] ?? '' }))
    .filter(({ value }, i) => value !== detail.fields[i]?.value);
  const { row, hash } = detail;
  if (editing.isRaw) post({ kind: 'edit', row, hash, fields: [], raw: editing.raw });
  else post({ kind: 'edit', row, hash, fields: changed, raw: null });
}
