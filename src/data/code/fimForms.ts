import type { Tokenizer } from '../tokenizer/tokenizer';

/** How a base was trained to fill in the middle of a file. */
export interface FimForm {
  /** The tokens before what stands before the cursor, before what stands after it, and last. */
  readonly prefix: string;
  readonly suffix: string;
  /** '': the middle follows at once. */
  readonly middle: string;
  /** What comes first. */
  readonly first: 'prefix' | 'suffix';
  /** The token before the path of a file; null: the path is a line of its own. */
  readonly file: string | null;
  /** Further tokens that end the middle. */
  readonly ends: readonly string[];
}

/** The forms of published models. The first is used whose tokens a vocabulary has. */
const FIM_FORMS: readonly FimForm[] = [
  // Qwen2.5-Coder, Qwen3-Coder
  {
    prefix: '<|fim_prefix|>',
    suffix: '<|fim_suffix|>',
    middle: '<|fim_middle|>',
    first: 'prefix',
    file: '<|file_sep|>',
    ends: ['<|fim_pad|>', '<|repo_name|>', '<|file_sep|>', '<|endoftext|>'],
  },
  // CodeGemma
  {
    prefix: '<|fim_prefix|>',
    suffix: '<|fim_suffix|>',
    middle: '<|fim_middle|>',
    first: 'prefix',
    file: null,
    ends: ['<|file_separator|>'],
  },
  // StarCoder2
  {
    prefix: '<fim_prefix>',
    suffix: '<fim_suffix>',
    middle: '<fim_middle>',
    first: 'prefix',
    file: '<file_sep>',
    ends: ['<file_sep>', '<repo_name>', '<fim_pad>', '<|endoftext|>'],
  },
  // StarCoder, StableCode, Granite
  {
    prefix: '<fim_prefix>',
    suffix: '<fim_suffix>',
    middle: '<fim_middle>',
    first: 'prefix',
    file: '<filename>',
    ends: ['<filename>', '<fim_pad>', '<|endoftext|>'],
  },
  {
    prefix: '<fim_prefix>',
    suffix: '<fim_suffix>',
    middle: '<fim_middle>',
    first: 'prefix',
    file: null,
    ends: ['<fim_pad>', '<|endoftext|>'],
  },
  // SantaCoder
  {
    prefix: '<fim-prefix>',
    suffix: '<fim-suffix>',
    middle: '<fim-middle>',
    first: 'prefix',
    file: null,
    ends: ['<fim-pad>', '<|endoftext|>'],
  },
  // Seed-Coder
  {
    prefix: '<[fim-prefix]>',
    suffix: '<[fim-suffix]>',
    middle: '<[fim-middle]>',
    first: 'suffix',
    file: null,
    ends: [],
  },
  // DeepSeek-Coder
  {
    prefix: '<｜fim▁begin｜>',
    suffix: '<｜fim▁hole｜>',
    middle: '<｜fim▁end｜>',
    first: 'prefix',
    file: null,
    ends: ['<|EOT|>'],
  },
  // CodeLlama
  {
    prefix: '▁<PRE>',
    suffix: '▁<SUF>',
    middle: '▁<MID>',
    first: 'prefix',
    file: null,
    ends: ['▁<EOT>'],
  },
  // Codestral
  { prefix: '[PREFIX]', suffix: '[SUFFIX]', middle: '', first: 'suffix', file: null, ends: [] },
];

/** The form of a tokenizer's base; null: its vocabulary has no such tokens. */
export const fimFormOf = ({ added_tokens }: Pick<Tokenizer, 'added_tokens'>): FimForm | null =>
  FIM_FORMS.find(({ prefix, suffix, middle, file }) =>
    [prefix, suffix, middle, file].every(
      (token) => token === null || token === '' || added_tokens.has(token),
    ),
  ) ?? null;

/** Ids of the tokens that end a middle, if the tokens ask for one. */
export function middleEnds(
  tokenizer: Pick<Tokenizer, 'added_tokens'>,
  ids: readonly number[],
): readonly number[] {
  const form = fimFormOf(tokenizer);
  const prefix = form && tokenizer.added_tokens.get(form.prefix)!;
  if (!form || !ids.includes(prefix!)) return [];
  return form.ends.flatMap((token) => tokenizer.added_tokens.get(token) ?? []);
}
