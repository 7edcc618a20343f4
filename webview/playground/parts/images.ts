import { nothing, type TemplateResult } from 'lit-html';
import { MOST_PASTED } from '../../../src/shared/pages/playground/protocol';
import { MOST_PROMPT_IMAGES } from '../../../src/shared/serveProtocol';
import { html } from '../../shared/html';
import { iconButton, secondaryButton } from '../../shared/templates';
import { imageName, thumbnailView } from '../../shared/thumbnail';
import { keep, type PlaygroundPage, type PlaygroundState } from '../state';

/** The images of the prompt, and how to attach some. Nothing for a base that reads none. */
export function imagesView(
  page: PlaygroundPage,
  state: PlaygroundState,
): TemplateResult | typeof nothing {
  const { t, post } = page;
  const { images } = state.kept.settings;
  const canAttach = readsImages(state);
  if (!canAttach && images.length === 0) return nothing;
  const fault = faultOf(page, state);
  return html`<section class="images" aria-label=${t('images')}>
    <div class="bar">
      ${canAttach ? secondaryButton(t('images.attach'), () => post({ kind: 'chooseImages' })) : nothing}
      <span class="hint" id="images-hint">${canAttach ? t('images.hint') : nothing}</span>
    </div>
    <ul ?hidden=${images.length === 0} aria-label=${t('images')}>
      ${images.map((image) => imageView(page, state, image))}
    </ul>
    <p class="failure" role="alert" ?hidden=${fault === ''}>${fault}</p>
  </section>`;
}

function faultOf({ t }: PlaygroundPage, { imageFault, kept }: PlaygroundState): string {
  if (imageFault) return t(imageFault.key, imageFault.value);
  return isOutsideChat(kept.settings) ? t('images.chat') : '';
}

/** Whether there are images, but no chat that could have them. */
export const isOutsideChat = ({ images, chat }: PlaygroundState['kept']['settings']): boolean =>
  images.length > 0 && !chat;

export const readsImages = ({ server }: PlaygroundState): boolean =>
  server?.phase.kind === 'ready' && server.phase.reads_images && server.phase.has_chat_template;

function imageView(page: PlaygroundPage, { thumbnails }: PlaygroundState, image: string) {
  const { t, format } = page;
  const name = imageName(image, t('images'));
  const thumbnail = thumbnails.get(image) ?? null;
  const size =
    thumbnail && 'url' in thumbnail
      ? t('images.size', format.count(thumbnail.width), format.count(thumbnail.height))
      : '';
  return html`<li class="image">
    ${thumbnailView(thumbnail, name)}
    <span class="facts">
      <span class="name" title=${image.startsWith('data:') ? nothing : image}>${name}</span>
      <span class="hint">${thumbnail && 'fault' in thumbnail ? thumbnail.fault : size}</span>
    </span>
    ${iconButton('close', t('images.remove', name), () => remove(page, image))}
  </li>`;
}

/** The attach button gets the focus, which the removed button had. */
function remove(page: PlaygroundPage, image: string): void {
  const { settings } = page.state.kept;
  const images = settings.images.filter((own) => own !== image);
  page.change({ imageFault: null });
  keep(page, { settings: { ...settings, images } });
  document.querySelector<HTMLElement>('.images vscode-button')?.focus();
}

/** Takes images of the clipboard; texts are pasted as ever. */
export function paste(page: PlaygroundPage, event: ClipboardEvent): void {
  const files = imageFiles(event.clipboardData);
  if (files.length === 0 || !readsImages(page.state)) return;
  event.preventDefault();
  void attach(page, files);
}

/** Allows to drop files on the question. */
export function dragOver(page: PlaygroundPage, event: DragEvent): void {
  const { types = [] } = event.dataTransfer ?? {};
  const hasFiles = types.includes('Files') || types.some((type) => URI_LISTS.includes(type));
  if (hasFiles && readsImages(page.state)) event.preventDefault();
}

/** Files of the Explorer are named by their addresses; other programs drop the files themselves. */
export function drop(page: PlaygroundPage, event: DragEvent): void {
  const { dataTransfer } = event;
  if (!dataTransfer || !readsImages(page.state)) return;
  const list = URI_LISTS.map((type) => dataTransfer.getData(type)).find((own) => own !== '') ?? '';
  const uris = list
    .split(/\r?\n/)
    .filter((line) => /^(?:file|vscode-remote):/i.test(line))
    .slice(0, MOST_PROMPT_IMAGES);
  const files = [...dataTransfer.files];
  if (uris.length === 0 && files.length === 0) return;
  event.preventDefault();
  if (uris.length > 0) page.post({ kind: 'dropImages', uris });
  else void attach(page, files);
}

const URI_LISTS: readonly string[] = ['application/vnd.code.uri-list', 'text/uri-list'];

const imageFiles = (data: DataTransfer | null): readonly File[] =>
  [...(data?.files ?? [])].filter(({ type }) => type.startsWith('image/'));

async function attach(page: PlaygroundPage, files: readonly File[]): Promise<void> {
  page.change({ imageFault: null });
  for (const file of files) {
    const data = await dataOf(file);
    if (data.length > MOST_PASTED)
      page.change({ imageFault: { key: 'images.large', value: file.name } });
    else if (!/^data:image\/(png|jpeg);base64,/.test(data))
      page.change({ imageFault: { key: 'images.other', value: file.name } });
    else page.post({ kind: 'pasteImage', data });
  }
}

/** A file as a data: URL; '' for one that cannot be read. */
const dataOf = (file: File): Promise<string> =>
  new Promise((resolve) => {
    const reader = new FileReader();
    reader.onloadend = () => resolve(typeof reader.result === 'string' ? reader.result : '');
    reader.readAsDataURL(file);
  });
