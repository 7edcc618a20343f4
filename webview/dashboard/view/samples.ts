import { nothing, type TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import { repeat } from 'lit-html/directives/repeat.js';
import type { SampleLine } from '../../../src/shared/metrics/lines';
import { html } from '../../shared/html';
import { samplesByPrompt, type PromptSamples } from '../model/summary';
import { hasEnded, historyKey, type DashboardPage, type DashboardState } from '../state';

/** Answers to the sample prompts: before training beside the latest, with earlier steps folded. */
export function samplesView(page: DashboardPage, state: DashboardState): TemplateResult {
  const { history } = state;
  const waiting = waitingText(page, state);
  return html`<div class="samples">
    ${guard([...historyKey(history), waiting], () => {
      const prompts = samplesByPrompt(history);
      if (prompts.length === 0) return html`<p class="empty">${waiting}</p>`;
      return repeat(
        prompts,
        ({ prompt }) => prompt,
        (samples) => promptCard(page, samples),
      );
    })}
  </div>`;
}

function waitingText({ t, format }: DashboardPage, state: DashboardState): string {
  const every = state.run?.recipe.samples.sample_steps;
  if (every === 0) return t('samples.off');
  return hasEnded(state) || every === undefined
    ? t('samples.none')
    : t('samples.wait', format.count(every));
}

function promptCard(page: DashboardPage, samples: PromptSamples): TemplateResult {
  const { t, format } = page;
  const { prompt, base, latest, earlier } = samples;
  const latestTitle = latest ? t('samples.latest', format.count(latest.step)) : '';
  return html`<article class="card sample" aria-label=${t('samples.prompt')}>
    <p class="prompt">${prompt}</p>
    <div class="answers">
      ${base ? answerView(page, t('samples.base'), base) : nothing}
      ${latest ? answerView(page, latestTitle, latest) : nothing}
    </div>
    ${earlier.length > 0 ? earlierAnswers(page, earlier) : nothing}
  </article>`;
}

const earlierAnswers = (page: DashboardPage, earlier: readonly SampleLine[]) => {
  const { t, format } = page;
  return html`<details>
    <summary>${t('samples.earlier', format.count(earlier.length))}</summary>
    <div class="answers">
      ${earlier.map((line) => answerView(page, t('samples.at', format.count(line.step)), line))}
    </div>
  </details>`;
};

function answerView({ t }: DashboardPage, title: string, { completion }: SampleLine) {
  const text = completion.trim();
  return html`<div class="answer">
    <h4>${title}</h4>
    <p class="completion ${text ? '' : 'none'}">${text || t('samples.empty')}</p>
  </div>`;
}
