import { methodOf, type RunRecord } from '../../../src/shared/run';
import { el, memo } from '../../shared/dom';
import type { Context, Section } from '../section';

/** The recipe as the engine read it, and what it stood for: base, data, runtime. */
export function recipe(context: Context): Section {
  const { t } = context;
  const root = el('div', { class: 'recipe' });
  const written = memo();
  const changed = memo();
  const render = (run: RunRecord | null) =>
    root.replaceChildren(
      ...(run ? parts(run, context) : [el('p', { class: 'empty' }, t('recipe.wait'))]),
    );
  return {
    root,
    // The record is written anew with each result; what stands here, where the reader may have
    // scrolled or selected, seldom changes.
    update: ({ run }) =>
      written([run], () =>
        changed([JSON.stringify({ ...run, state: '', ended: '', result: '' })], () => render(run)),
      ),
  };
}

function parts(run: RunRecord, context: Context): HTMLElement[] {
  const { t } = context;
  return [
    el(
      'dl',
      { class: 'facts-list' },
      ...factsOf(run, context).flatMap(([name, value]) => [
        el('dt', {}, name),
        el('dd', {}, value),
      ]),
    ),
    el('h3', {}, t('recipe.text')),
    el('pre', { tabindex: 0, 'aria-label': t('recipe.text') }, JSON.stringify(run.recipe, null, 2)),
  ];
}

/** What was trained, on what, with what. */
export function factsOf(
  { base, data, recipe: { lora, training }, versions, recipe_path, git_commit }: RunRecord,
  { t, format }: Context,
): [string, string][] {
  const targets =
    typeof lora.target_modules === 'string' ? lora.target_modules : lora.target_modules.join(', ');
  return [
    ...(base
      ? ([
          [
            t('recipe.base'),
            t('recipe.base.value', base.name, base.architecture, format.compact(base.parameters)),
          ],
          [
            t('recipe.fingerprint'),
            base.fingerprint
              .map(
                (file) =>
                  `${file.file} (${format.bytes(file.size)}, sha256 ${file.sha256.slice(0, 12)}…)`,
              )
              .join('\n'),
          ],
        ] satisfies [string, string][])
      : []),
    methodOf({ training }) === 'full'
      ? [t('recipe.method'), t('recipe.method.full')]
      : [t('recipe.adapter'), t('recipe.adapter.value', lora.r, lora.lora_alpha, targets)],
    ...(data
      ? ([
          [
            t('recipe.data'),
            t(
              'recipe.data.value',
              format.count(data.examples),
              format.count(data.validation_examples),
            ),
          ],
          [
            t('recipe.tokens'),
            t('recipe.tokens.value', format.count(data.tokens), format.count(data.labelled_tokens)),
          ],
        ] satisfies [string, string][])
      : []),
    ...(versions.runtime
      ? ([
          [t('recipe.runtime'), [versions.runtime, versions.device].filter(Boolean).join(', ')],
        ] satisfies [string, string][])
      : []),
    ...(recipe_path ? ([[t('recipe.file'), recipe_path]] satisfies [string, string][]) : []),
    ...(git_commit ? ([[t('recipe.commit'), git_commit]] satisfies [string, string][]) : []),
  ];
}
