import type { CodeLimits } from '../../inspect/questions';

/** The most tokens that are written, and that are read before and after the cursor. */
export const MOST_NEW_TOKENS = 64;
const MOST_PROMPT_TOKENS = 1024;
/** What the file's path and the tokens for filling in take at most. */
const FRAME_TOKENS = 128;
const BEFORE_SHARE = 0.75;

/** How much of the file a model reads, which has positions for so many tokens. */
export function promptLimits(positions: number, fim: boolean): CodeLimits {
  const room = Math.max(16, positions - MOST_NEW_TOKENS - FRAME_TOKENS);
  const total = Math.min(MOST_PROMPT_TOKENS, room);
  const before = fim ? Math.floor(total * BEFORE_SHARE) : total;
  return { before, after: total - before };
}

/** The texts that end a completion: within a line, only the rest of it is written. */
export function stopsAt(restOfLine: string, fim: boolean): readonly string[] {
  if (restOfLine.trim() !== '') return ['\n'];
  return fim ? [] : ['\n\n'];
}

/**
 * The text that an event of a streamed completion adds, and whether it was truncated at the limit.
 */
export function completionOf(event: Readonly<Record<string, unknown>>): {
  readonly text: string;
  readonly isCut: boolean;
} {
  const [choice] = Array.isArray(event['choices'])
    ? (event['choices'] as readonly Readonly<Record<string, unknown>>[])
    : [];
  const text = choice?.['text'];
  return {
    text: typeof text === 'string' ? text : '',
    isCut: choice?.['finish_reason'] === 'length',
  };
}

/** The text to offer: whole lines, unless it is the only one, without control characters. */
export function offered(text: string, isCut: boolean): string {
  const visible = text.replaceAll(/[^\P{Cc}\n\t]/gu, '');
  const isLong = isCut && visible.includes('\n');
  const whole = isLong ? visible.slice(0, visible.lastIndexOf('\n')) : visible;
  return whole.trim() === '' ? '' : whole.trimEnd();
}
