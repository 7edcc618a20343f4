import { applyEdits, modify } from 'jsonc-parser';
import type { ChosenTargets } from '../../lora/selection';
import type { RankSettings } from '../../shared/pages/configure/protocol';
import type { LoraSettings } from '../../shared/recipe';

/** The settings to write to a recipe. */
export interface RankChoice {
  readonly settings: RankSettings;
  /** Null: the targets are not changed. */
  readonly targets: ChosenTargets | null;
}

/**
 * The text of a recipe with the choice. `current`: the settings in the text. Everything else, such
 * as comments and layout, is kept.
 */
export function withChoice(
  text: string,
  current: LoraSettings,
  { settings, targets }: RankChoice,
): string {
  const wanted: Partial<LoraSettings> = {
    ...settings,
    ...(targets && {
      target_modules: targets.target_modules as LoraSettings['target_modules'],
      layers_to_transform: targets.layers_to_transform as LoraSettings['layers_to_transform'],
      exclude_modules: null,
      layers_pattern: null,
    }),
  };
  const formattingOptions = formattingOf(text);
  return Object.entries(wanted).reduce((edited, [key, value]) => {
    if (JSON.stringify(current[key as keyof LoraSettings]) === JSON.stringify(value)) return edited;
    return applyEdits(
      edited,
      modify(edited, ['lora', key], value ?? undefined, { formattingOptions }),
    );
  }, text);
}

/** The text of a recipe with another base. */
export const withBase = (text: string, base: string): string =>
  applyEdits(text, modify(text, ['base'], base, { formattingOptions: formattingOf(text) }));

const formattingOf = (text: string) => ({
  ...indentOf(text),
  eol: text.includes('\r\n') ? '\r\n' : '\n',
});

function indentOf(text: string): { readonly insertSpaces: boolean; readonly tabSize: number } {
  const indent = /^([ \t]+)\S/m.exec(text)?.[1] ?? '  ';
  return {
    insertSpaces: !indent.startsWith('\t'),
    tabSize: indent.startsWith('\t') ? 4 : indent.length,
  };
}

/**
 * The part in which two texts differ: its offsets in the first text and its replacement in the
 * second. Null when they are equal.
 */
export function difference(
  before: string,
  after: string,
): { readonly start: number; readonly end: number; readonly text: string } | null {
  if (before === after) return null;
  let start = 0;
  while (start < before.length && before[start] === after[start]) start++;
  let sameEnd = 0;
  while (
    sameEnd < Math.min(before.length, after.length) - start &&
    before.at(-1 - sameEnd) === after.at(-1 - sameEnd)
  )
    sameEnd++;
  return { start, end: before.length - sameEnd, text: after.slice(start, after.length - sameEnd) };
}
