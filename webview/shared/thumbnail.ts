import type { TemplateResult } from 'lit-html';
import type { ShownThumbnail } from '../../src/shared/pages/thumbnail';
import { html } from './html';
import { icon } from './templates';
import './thumbnail.css';

/** A small copy of an image; an icon while it is made, or where there is none. */
export const thumbnailView = (thumbnail: ShownThumbnail | null, name: string): TemplateResult =>
  html`<span class="thumbnail" aria-busy=${thumbnail === null}>
    ${
      thumbnail && 'url' in thumbnail
        ? html`<img src=${thumbnail.url} alt=${name} />`
        : icon(thumbnail ? 'warning' : 'file-media')
    }
  </span>`;

/** The name of an image's file; `otherwise` for one that is within a text. */
export const imageName = (image: string, otherwise: string): string =>
  image.startsWith('data:') ? otherwise : (image.split(/[\\/]/).at(-1) ?? image);
