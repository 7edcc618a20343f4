import { nothing, type TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import { toolNames } from '../model/tools';
import { html } from '../../shared/html';
import { secondaryButton } from '../../shared/templates';
import { keep, type PlaygroundPage, type PlaygroundState } from '../state';

/** The tools that the model may call, as JSON. */
export function toolsField(
  page: PlaygroundPage,
  { kept: { settings } }: PlaygroundState,
): TemplateResult {
  const { t, post } = page;
  const tools = settings.tools ?? '';
  const names = toolNames(tools);
  const input = (event: Event) => {
    const text = (event.target as HTMLTextAreaElement).value;
    keep(page, { settings: { ...page.state.kept.settings, tools: text } });
  };
  const said = names?.length === 0 ? t('tools.none') : names?.join(', ');
  return html`<details class="tools">
    <summary>${t('tools')}: <span class="hint">${said ?? t('tools.invalid')}</span></summary>
    <div class="bar">
      <label for="tools" class="hint">${t('tools.hint')}</label>
      ${secondaryButton(t('tools.choose'), () => post({ kind: 'chooseTools' }))}
    </div>
    <textarea
      id="tools"
      rows=${Math.min(12, Math.max(3, tools.split('\n').length))}
      spellcheck="false"
      aria-invalid=${names === null ? 'true' : nothing}
      aria-describedby=${names === null ? 'tools-fault' : nothing}
      .value=${live(tools)}
      ?disabled=${!settings.chat}
      @input=${input}
    ></textarea>
    <p id="tools-fault" class="failure" role="alert" ?hidden=${names !== null}>
      ${names === null ? t('tools.invalid') : nothing}
    </p>
  </details>`;
}
