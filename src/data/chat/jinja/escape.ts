import type { Runtime } from './runtime';
import { textOf } from './text';
import { Markup, type Value } from './values';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&#39;',
  '"': '&#34;',
};

/** The text of a value with HTML's characters as entities; what is safe already stays as it is. */
export function escape(rt: Runtime, value: Value): Markup {
  if (value instanceof Markup) return value;
  const text = textOf(rt, value);
  rt.allocate(text.length);
  return new Markup(text.replace(/[&<>'"]/g, (char) => ENTITIES[char]!));
}

export function unescape(text: string): string {
  const names: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"' };
  return text.replace(
    /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot));/g,
    (whole, decimal?: string, hex?: string, name?: string) => {
      if (name !== undefined) return names[name]!;
      const code = decimal === undefined ? parseInt(hex!, 16) : Number(decimal);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}
