import { createRandom, type Random } from '../../shared/random';
import { NO_LABEL } from '../../shared/task';
import type { Tokenizer } from '../tokenizer/tokenizer';
import { headerOf, promptIds, separatorsOf } from './codeTokens';
import { fimFormOf, type FimForm } from './fimForms';

/** A row of a dataset: a text, or tokens whose middle is learned. */
export type CodeRow =
  | { readonly text: string }
  | { readonly input_ids: readonly number[]; readonly labels: readonly number[] };

/** A file of a repository. */
export interface CodeFile {
  /** Relative to the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** How rows are made. */
export interface CodeRowSettings {
  readonly max_length: number;
  readonly seed: number;
}

/** BOS, EOS and the tokens for filling in. */
const FRAME_TOKENS = 6;
/** A row for each so many lines of a chunk, up to the most. */
const LINES_PER_ROW = 12;
const MOST_ROWS = 4;
/** Lines of a middle. */
const MOST_MIDDLE_LINES = 8;

/**
 * The rows of a file: chunks of at most max_length tokens, cut between lines, under the path of the
 * file. Where the base has tokens for filling in, each row asks for a middle and only that is
 * learned. A line with a special token written in it ends a chunk and is in none.
 */
export function codeRows(
  tokenizer: Tokenizer,
  { path, text }: CodeFile,
  { max_length, seed }: CodeRowSettings,
): readonly CodeRow[] {
  const form = fimFormOf(tokenizer);
  const header = headerOf(tokenizer, path);
  const taken = tokenizer.encode(header, false).length + FRAME_TOKENS;
  const chunks = chunksOf(tokenizer, text, max_length - taken);
  if (!form) return chunks.map((chunk) => ({ text: `${header}${chunk}` }));
  const random = createRandom(seed, 'middles', path);
  return chunks.flatMap((chunk) =>
    middlesOf(chunk, random).flatMap((middle) => {
      const row = fimRow(tokenizer, form, { path, chunk, ...middle });
      return row && row.input_ids.length <= max_length ? [row] : [];
    }),
  );
}

/** Parts of a text of whole lines with so many tokens at most. */
function chunksOf(tokenizer: Tokenizer, text: string, most: number): readonly string[] {
  const separators = separatorsOf(tokenizer);
  const chunks: string[] = [];
  let [chunk, tokens] = ['', 0];
  const finish = () => {
    if (chunk.trim() !== '') chunks.push(chunk);
    [chunk, tokens] = ['', 0];
  };
  for (const line of text.split(/(?<=\n)/)) {
    const length = tokenizer.encode(line, false).length;
    const isLeftOut = length > most || separators.test(line);
    if (isLeftOut || tokens + length > most) finish();
    if (isLeftOut) continue;
    chunk += line;
    tokens += length;
  }
  finish();
  return chunks;
}

interface Middle {
  readonly start: number;
  readonly end: number;
}

/** Places to fill in: from the beginning of a line's text, or within it, to the end of a line. */
function middlesOf(chunk: string, random: Random): readonly Middle[] {
  const lines = linesOf(chunk);
  const written = lines.filter(({ from, end }) => from < end);
  const count = Math.min(MOST_ROWS, Math.max(1, Math.round(lines.length / LINES_PER_ROW)));
  const middles = new Map<number, Middle>();
  for (let i = 0; i < count && written.length > 0; i++) {
    const line = written[Math.floor(random() * written.length)]!;
    const within = random() < 0.5 ? 0 : Math.floor(random() * (line.end - line.from));
    const start = line.from + within;
    const more = random() < 0.5 ? 0 : Math.floor(random() * MOST_MIDDLE_LINES);
    const { end } = lines[Math.min(lines.length - 1, line.index + more)]!;
    middles.set(start, { start, end: Math.max(end, line.end) });
  }
  return [...middles.values()].filter(({ start }) => !isLowSurrogate(chunk, start));
}

const isLowSurrogate = (text: string, at: number): boolean =>
  text.charCodeAt(at) >= 0xdc00 && text.charCodeAt(at) <= 0xdfff;

/** Where the text of each line begins and ends. */
function linesOf(chunk: string) {
  let offset = 0;
  return chunk.split('\n').map((line, index) => {
    const from = offset + /^\s*/.exec(line)![0].length;
    const end = offset + line.trimEnd().length;
    offset += line.length + 1;
    return { index, from, end };
  });
}

function fimRow(
  tokenizer: Tokenizer,
  form: FimForm,
  { path, chunk, start, end }: Middle & { readonly path: string; readonly chunk: string },
) {
  const encode = (from: number, to?: number) => tokenizer.encode(chunk.slice(from, to), false);
  const before = encode(0, start);
  const prompt = promptIds(tokenizer, form, { path, before, after: encode(end) });
  const ends = tokenizer.eos_token_id === null ? [] : [tokenizer.eos_token_id];
  const middle = [...encode(start, end), ...ends];
  if (middle.length === 0) return null;
  return {
    input_ids: [...prompt, ...middle],
    labels: [...prompt.map(() => NO_LABEL), ...middle],
  };
}
