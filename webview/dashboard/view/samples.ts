import type { SampleLine } from '../../../src/shared/metrics/lines';
import { el, memo } from '../../shared/dom';
import { hasEnded, type Model } from '../model/model';
import { samplesByPrompt, type PromptSamples } from '../model/summary';
import type { Context, Section } from '../section';

/**
 * What the model answers to the sample prompts: before training beside now, with the steps between
 * to unfold.
 */
export function samples(context: Context): Section {
  const root = el('div', { class: 'samples' });
  const changed = memo();
  const unfolded = new Set<string>();
  return {
    root,
    update(model) {
      const { history } = model;
      changed([history, history.revision, history.lines.length, waiting(model, context)], () => {
        const prompts = samplesByPrompt(history);
        root.replaceChildren(
          ...(prompts.length > 0
            ? prompts.map((prompt) => promptCard(prompt, unfolded, context))
            : [el('p', { class: 'empty' }, waiting(model, context))]),
        );
      });
    },
  };
}

function waiting(model: Model, { t, format }: Context): string {
  const every = model.run?.recipe.samples.sample_steps;
  if (every === 0) return t('samples.off');
  return hasEnded(model) || every === undefined
    ? t('samples.none')
    : t('samples.wait', format.count(every));
}

function promptCard(
  { prompt, base, latest, earlier }: PromptSamples,
  unfolded: Set<string>,
  context: Context,
): HTMLElement {
  const { t, format } = context;
  const answers = [
    ...(base ? [answer(t('samples.base'), base, context)] : []),
    ...(latest ? [answer(t('samples.latest', format.count(latest.step)), latest, context)] : []),
  ];
  return el(
    'article',
    { class: 'card sample', 'aria-label': t('samples.prompt') },
    el('p', { class: 'prompt' }, prompt),
    el('div', { class: 'answers' }, ...answers),
    ...(earlier.length > 0 ? [earlierAnswers(prompt, earlier, unfolded, context)] : []),
  );
}

function earlierAnswers(
  prompt: string,
  earlier: readonly SampleLine[],
  unfolded: Set<string>,
  context: Context,
): HTMLElement {
  const { t, format } = context;
  const details = el(
    'details',
    {
      open: unfolded.has(prompt),
      toggle: () => {
        if (details.open) unfolded.add(prompt);
        else unfolded.delete(prompt);
      },
    },
    el('summary', {}, t('samples.earlier', format.count(earlier.length))),
    el(
      'div',
      { class: 'answers' },
      ...earlier.map((line) => answer(t('samples.at', format.count(line.step)), line, context)),
    ),
  );
  return details;
}

function answer(title: string, line: SampleLine, { t }: Context): HTMLElement {
  const text = line.completion.trim();
  return el(
    'div',
    { class: 'answer' },
    el('h4', {}, title),
    el('p', { class: text ? 'completion' : 'completion none' }, text || t('samples.empty')),
  );
}
