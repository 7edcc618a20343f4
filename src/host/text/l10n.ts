import { oneLine } from '../../shared/plainText';
import { fill } from '../../shared/values';

type Argument = string | number | boolean;

const inEnglish = (message: string): string => message;

let translate = inEnglish;
let language = 'en';

/**
 * Sets the editor's translator of texts with placeholders, at activation. Before that, and in
 * tests, texts are in English.
 */
export function useTranslations(translator: (message: string) => string, locale: string): void {
  translate = translator;
  language = locale;
}

/**
 * A text in the user's language, with its placeholders filled: {0}, and {0|row|rows} for a noun.
 * Arguments, which often come from untrusted files, become one line without control characters.
 * The message must be a literal, because a test looks for each one in l10n/bundle.l10n.de.json.
 */
export const t = (message: string, ...args: readonly Argument[]): string =>
  fill(
    translate(message),
    args.map((arg) => (typeof arg === 'string' ? oneLine(arg) : arg)),
  );

/** Formats a number in the user's language. */
export const formatNumber = (value: number, options: Intl.NumberFormatOptions = {}): string =>
  new Intl.NumberFormat(language, options).format(value);

/** Formats a time (in milliseconds since 1970) in the user's language and time zone. */
export const formatTime = (
  time: number,
  options: Intl.DateTimeFormatOptions = { dateStyle: 'short', timeStyle: 'medium' },
): string => new Intl.DateTimeFormat(language, options).format(time);
