import { nothing, type TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import { repeat } from 'lit-html/directives/repeat.js';
import { html } from '../../shared/html';
import type { SampleLine, SampleMessage } from '../../../src/shared/metrics/lines';
import { icon } from '../../shared/templates';
import { samplesByPrompt, type PromptSamples } from '../model/summary';
import { hasEnded, historyKey, type DashboardPage, type DashboardState } from '../state';

/**
 * Answers to the sample prompts: before training beside the latest and the expected one, with
 * earlier steps folded.
 */
export function samplesView(page: DashboardPage, state: DashboardState): TemplateResult {
  const { history } = state;
  const { t, format } = page;
  const waiting = waitingText(page, state);
  return html`<section class="samples" aria-labelledby="samples">
    ${guard([...historyKey(history), waiting], () => {
      const prompts = samplesByPrompt(history);
      const count = format.count(prompts.length);
      return html`<h2 id="samples">
          ${t('samples.title')}
          <span class="badge" ?hidden=${prompts.length === 0}>${count}</span>
        </h2>
        ${prompts.length === 0 ? html`<p class="empty">${waiting}</p>` : nothing}
        ${repeat(
          prompts,
          ({ key }) => key,
          (samples) => promptCard(page, samples),
        )}`;
    })}
  </section>`;
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
  const { prompt, line, before, expected, base, latest, earlier } = samples;
  const latestTitle = latest ? t('samples.latest', format.count(latest.step)) : '';
  return html`<article class="card sample" aria-label=${t('samples.prompt')}>
    ${
      line === undefined
        ? nothing
        : html`<p class="caption">${t('samples.row', format.count(line))}</p>`
    }
    ${before.length > 0 ? messagesBefore(page, before) : nothing}
    <p class="prompt">${prompt}</p>
    <div class="answers">
      ${base ? answerView(page, t('samples.base'), base) : nothing}
      ${latest ? answerView(page, latestTitle, latest) : nothing}
      ${expected === undefined ? nothing : expectedView(page, expected)}
    </div>
    ${earlier.length > 0 ? earlierAnswers(page, earlier) : nothing}
  </article>`;
}

/** The system message, the earlier turns and the names of the tools. */
const messagesBefore = ({ t }: DashboardPage, before: readonly SampleMessage[]) =>
  html`<dl class="before" aria-label=${t('samples.before')}>
    ${before.map(
      ({ role, text }) =>
        html`<dt>${role}</dt>
          <dd>${text}</dd>`,
    )}
  </dl>`;

const earlierAnswers = (page: DashboardPage, earlier: readonly SampleLine[]) => {
  const { t, format } = page;
  return html`<details>
    <summary>${t('samples.earlier', format.count(earlier.length))}</summary>
    <div class="answers">
      ${earlier.map((line) => answerView(page, t('samples.at', format.count(line.step)), line))}
    </div>
  </details>`;
};

function answerView({ t }: DashboardPage, title: string, { completion, exact }: SampleLine) {
  const text = completion.trim();
  const tick = html`<span class="exact" title=${t('samples.exact')}
    >${icon('pass-filled')}<span class="sr-only">, ${t('samples.exact')}</span></span
  >`;
  return html`<div class="answer">
    <h3>${title}${exact === true ? tick : nothing}</h3>
    <p class="completion ${text ? '' : 'none'}">${text || t('samples.empty')}</p>
  </div>`;
}

const expectedView = ({ t }: DashboardPage, expected: string) =>
  html`<div class="answer expected">
    <h3>${t('samples.expected')}</h3>
    <p class="completion">${expected}</p>
  </div>`;
