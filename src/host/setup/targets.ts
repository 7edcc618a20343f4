import type { TargetableModule } from '../../lora/adapter';
import { t } from '../text/l10n';

/** The value of target_modules in a recipe. */
export type TargetModules = string | readonly string[];

/** A named choice of modules to adapt. */
export interface TargetChoice {
  readonly label: string;
  readonly target_modules: TargetModules;
}

const QUERY_AND_VALUE: readonly (readonly [string, string])[] = [
  ['q_proj', 'v_proj'],
  ['query', 'value'],
  ['q', 'v'],
  ['q_lin', 'v_lin'],
];
const ATTENTION = /attn|attention/i;

/** The usual choices for a model: all linear layers, attention, query and value. */
export function targetChoices(modules: readonly TargetableModule[]): TargetChoice[] {
  if (modules.some(({ names }) => names !== undefined)) return layersChoices(modules);
  const linear = modules.filter((module) => module.kind === 'linear' && !module.is_output);
  const attention = attentionNames(linear);
  const leaves = new Set(linear.map((module) => leafOf(module.path)));
  const queryAndValue = QUERY_AND_VALUE.find((names) => names.every((name) => leaves.has(name)));
  return [
    { label: t('All linear layers'), target_modules: 'all-linear' },
    ...(attention.length > 0
      ? [{ label: t('All attention layers'), target_modules: attention }]
      : []),
    ...(queryAndValue
      ? [{ label: t('Query and value of attention'), target_modules: queryAndValue }]
      : []),
  ];
}

/** The usual choices for a layers model: all layers but embeddings, and those of each class. */
function layersChoices(modules: readonly TargetableModule[]): TargetChoice[] {
  const classes = [...new Set(modules.map(({ names }) => names?.at(-1) ?? ''))].filter(Boolean);
  return [
    { label: t('All layers but embeddings'), target_modules: 'all-linear' },
    ...(classes.length < 2
      ? []
      : classes.map((name) => ({
          label: t('Layers of the class {0}', name),
          target_modules: [name],
        }))),
  ];
}

/** A name that the feed-forward layers use, too, is qualified by its parent: attn.c_proj. */
function attentionNames(linear: readonly TargetableModule[]): string[] {
  const elsewhere = new Set(
    linear
      .filter((module) => !ATTENTION.test(parentOf(module.path)))
      .map((module) => leafOf(module.path)),
  );
  const names = linear
    .filter((module) => ATTENTION.test(parentOf(module.path)))
    .map((module) => {
      const leaf = leafOf(module.path);
      return elsewhere.has(leaf) ? `${parentOf(module.path)}.${leaf}` : leaf;
    });
  return [...new Set(names)];
}

const leafOf = (path: string) => path.slice(path.lastIndexOf('.') + 1);
const parentOf = (path: string) => path.split('.').at(-2) ?? '';

/**
 * Parses typed targets: names separated by commas or spaces, or a regular expression. Undefined:
 * the text is blank.
 */
export function parseTargets(text: string): TargetModules | undefined {
  const trimmed = text.trim();
  if (!trimmed) return undefined;
  if (trimmed === 'all-linear' || /[^\w.,\s-]/.test(trimmed)) return trimmed;
  return trimmed.split(/[\s,]+/).filter(Boolean);
}

/** Target modules as text, the inverse of `parseTargets`. */
export const targetsText = (target: TargetModules): string =>
  typeof target === 'string' ? target : target.join(', ');
