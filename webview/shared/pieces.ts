import type { TemplateResult } from 'lit-html';
import { html } from './html';

/** Consecutive tokens that are learned, only read, or cut off. */
export interface ShownPiece {
  readonly text: string;
  readonly kind: 'learnt' | 'context' | 'cut';
}

/** What a model reads, in pieces; those that it learns and those that it never sees are marked. */
export const markedPieces = (pieces: readonly ShownPiece[]): readonly (TemplateResult | string)[] =>
  pieces.map(marked);

function marked({ text, kind }: ShownPiece): TemplateResult | string {
  switch (kind) {
    case 'learnt':
      return html`<mark>${text}</mark>`;
    case 'cut':
      return html`<s>${text}</s>`;
    case 'context':
      return text;
  }
}
