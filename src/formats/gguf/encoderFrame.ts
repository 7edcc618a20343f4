import type { Metadata } from './metadata';

/** A token by its id. */
export interface NamedToken {
  readonly id: number;
  readonly content: string;
}

/** The post-processor of tokenizer.json and the names of tokens. */
export interface Ends {
  readonly post_processor: Readonly<Record<string, unknown>>;
  readonly names: Readonly<Record<string, string>>;
}

/** The tokens of an encoder's tokenizer; null: it has none of that name. */
export interface EncoderTokens {
  readonly cls: NamedToken;
  readonly sep: NamedToken;
  readonly unk: NamedToken | null;
  readonly pad: NamedToken | null;
  readonly mask: NamedToken | null;
}

/** Whether a second text begins with the separator, too, and both are of one type (RoBERTa). */
type Pairing = 'bert' | 'roberta';

/** By architecture, how encoders whose tokenizers are not BERT's put tokens around texts. */
const PAIRINGS: Readonly<Record<string, Pairing>> = { bert: 'roberta', 'modern-bert': 'bert' };

/** Null for models that are no encoders. */
export function pairingOf(metadata: Metadata): Pairing | null {
  const arch = metadata.string('general.architecture', '');
  return Object.hasOwn(PAIRINGS, arch) ? PAIRINGS[arch]! : null;
}

/** [CLS] text [SEP], and a second text with another [SEP], or between two of them. */
export function encoderEnds({ cls, sep, unk, pad, mask }: EncoderTokens, pairing: Pairing): Ends {
  const special = ({ content: id }: NamedToken, type_id: number) => ({
    SpecialToken: { id, type_id },
  });
  const text = (id: 'A' | 'B', type_id: number) => ({ Sequence: { id, type_id } });
  const single = [special(cls, 0), text('A', 0), special(sep, 0)];
  const second =
    pairing === 'bert'
      ? [text('B', 1), special(sep, 1)]
      : [special(sep, 0), text('B', 0), special(sep, 0)];
  return {
    post_processor: {
      type: 'TemplateProcessing',
      single,
      pair: [...single, ...second],
      special_tokens: Object.fromEntries(
        [cls, sep].map(({ id, content }) => [
          content,
          { id: content, ids: [id], tokens: [content] },
        ]),
      ),
    },
    names: {
      cls_token: cls.content,
      sep_token: sep.content,
      ...(unk && { unk_token: unk.content }),
      ...(pad && { pad_token: pad.content }),
      ...(mask && { mask_token: mask.content }),
    },
  };
}
