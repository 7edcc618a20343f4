type Argument = string | number | boolean;
type Translate = (message: string, ...args: Argument[]) => string;

/** The message in English, {0}, {1}, … replaced. */
export const inEnglish: Translate = (message, ...args) =>
  message.replace(/\{(\d+)\}/g, (placeholder, index) =>
    Number(index) < args.length ? String(args[Number(index)]) : placeholder,
  );

let translate = inEnglish;
let language = 'en';

/** The editor's own translation, at activation; until then, and in tests, the text is English. */
export function useTranslations(translator: Translate, locale: string): void {
  translate = translator;
  language = locale;
}

/**
 * A text for the user in their language. The message must be a literal: a test looks each one up in
 * l10n/bundle.l10n.de.json.
 */
export const t: Translate = (message, ...args) => translate(message, ...args);

export const formatNumber = (value: number, options: Intl.NumberFormatOptions = {}): string =>
  new Intl.NumberFormat(language, options).format(value);
