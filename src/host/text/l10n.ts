import { oneLine } from '../../shared/plainText';

type Argument = string | number | boolean;
type Translate = (message: string, ...args: Argument[]) => string;

/** Replaces {0}, {1}, … in an English message. */
export const inEnglish: Translate = (message, ...args) =>
  message.replace(/\{(\d+)\}/g, (placeholder, index) =>
    Number(index) < args.length ? String(args[Number(index)]) : placeholder,
  );

let translate = inEnglish;
let language = 'en';

/** Sets the editor's translator, at activation. Before that, and in tests, texts are in English. */
export function useTranslations(translator: Translate, locale: string): void {
  translate = translator;
  language = locale;
}

/**
 * A text in the user's language. Arguments, which often come from files of strangers, become one
 * line without control characters. The message must be a literal, because a test looks for each one
 * in l10n/bundle.l10n.de.json.
 */
export const t: Translate = (message, ...args) =>
  translate(message, ...args.map((arg) => (typeof arg === 'string' ? oneLine(arg) : arg)));

/** Formats a number in the user's language. */
export const formatNumber = (value: number, options: Intl.NumberFormatOptions = {}): string =>
  new Intl.NumberFormat(language, options).format(value);
