import { createDeadline, DeadlinePassed } from '../../common/deadline';
import { LoraError } from '../../shared/errors';
import { escapeRegExp } from '../../shared/values';

/** What is searched for. */
export interface Wanted {
  readonly text: string;
  readonly isPattern: boolean;
  readonly matchCase: boolean;
}

/** Texts that are tested at once, and how long that may take: an honest pattern needs far less. */
export const TESTED_AT_ONCE = 256;
const MOST_MS = 2_000;

/** Which of some texts match. @throws LoraError('usage') where a pattern takes too long */
export type Matcher = (texts: readonly string[]) => readonly boolean[];

/** @throws LoraError('usage') for a regular expression that is not valid */
export function matcherOf({ text, isPattern, matchCase }: Wanted): Matcher {
  if (!isPattern) return plainMatcher(text, matchCase);
  const pattern = patternOf(text, matchCase);
  const within = createDeadline();
  return (texts) => {
    try {
      return within(MOST_MS, () => texts.map((each) => pattern.test(each)));
    } catch (error) {
      if (!(error instanceof DeadlinePassed)) throw error;
      throw new LoraError('usage', 'The regular expression takes too long on these rows.', {
        fix: 'Write it without repetitions inside of repetitions.',
        cause: error,
      });
    }
  };
}

function plainMatcher(text: string, matchCase: boolean): Matcher {
  if (matchCase) return (texts) => texts.map((each) => each.includes(text));
  // capitals of all scripts, even where they have another length
  const pattern = new RegExp(escapeRegExp(text), 'iu');
  return (texts) => texts.map((each) => pattern.test(each));
}

function patternOf(text: string, matchCase: boolean): RegExp {
  try {
    return new RegExp(text, matchCase ? 'u' : 'iu');
  } catch (error) {
    const reason =
      error instanceof Error ? error.message.replace(/^Invalid regular expression: /, '') : '';
    throw new LoraError('usage', `The regular expression is not valid: ${reason}.`, {
      cause: error,
    });
  }
}
