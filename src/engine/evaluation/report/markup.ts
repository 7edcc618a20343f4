/** Markup whose texts are escaped. */
export interface Html {
  readonly html: string;
}

type Value = string | number | Html;

/** A template of markup: its values are escaped, unless they are markup themselves. */
export const html = (parts: TemplateStringsArray, ...values: readonly Value[]): Html => ({
  html: parts.reduce((text, part, i) => `${text}${markupOf(values[i - 1]!)}${part}`),
});

export const joinHtml = (parts: readonly Html[]): Html => ({
  html: parts.map((part) => part.html).join('\n'),
});

const markupOf = (value: Value): string =>
  typeof value === 'object' ? value.html : escaped(String(value));

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escaped = (text: string): string => text.replace(/[&<>"']/g, (own) => ESCAPES[own]!);
