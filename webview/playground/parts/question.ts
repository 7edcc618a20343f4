import { el, setAttribute, setText, show } from '../../shared/dom';
import { markdownTable } from '../../shared/markdown';
import { isBusy } from '../model/columns';
import type { Context, Part, View } from '../view';

/** What is asked and how: prompt, template, temperature, seed, length. */
export function question(context: Context): Part {
  const { t, kept, keep, ask, stop, post, format } = context;
  let view: View | undefined;
  const settings = (change: Partial<View['kept']['settings']>) =>
    keep({ settings: { ...kept().settings, ...change } });
  const [title, phase] = [el('h1'), el('span', { class: 'caption', role: 'status' })];
  const reload = el(
    'vscode-button',
    { appearance: 'secondary', click: () => post({ kind: 'reload' }) },
    t('reload'),
  );
  const failure = el('p', { class: 'failure', role: 'alert' });
  const prompt = el('textarea', {
    id: 'prompt',
    rows: 4,
    input: () => settings({ prompt: prompt.value }),
  });
  prompt.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    ask();
  });
  const recent = el('select', {
    'aria-label': t('recent'),
    change: () => {
      settings({ prompt: view?.state.prompts[Number(recent.value)] ?? '' });
      recent.value = '';
    },
  });
  const chat = el('input', {
    type: 'checkbox',
    id: 'chat',
    change: () => settings({ chat: chat.checked }),
  });
  const system = el('input', {
    type: 'text',
    id: 'system',
    placeholder: t('system.hint'),
    input: () => settings({ system: system.value }),
  });
  const number = (
    key: 'temperature' | 'seed' | 'max_new_tokens',
    attributes: Record<string, number>,
  ) => {
    const input = el('input', {
      type: 'number',
      id: key,
      ...attributes,
      ...(key === 'temperature' && { title: t('temperature.hint') }),
      change: () => {
        if (input.validity.valid && input.value !== '') settings({ [key]: Number(input.value) });
      },
    });
    return { key, input, root: el('label', {}, `${t(key)} `, input) };
  };
  const numbers = [
    number('temperature', { min: 0, max: 5, step: 0.1 }),
    number('seed', { min: 0, step: 1 }),
    number('max_new_tokens', { min: 1, max: 4096, step: 1 }),
  ];
  const [go, halt] = [
    el('vscode-button', { id: 'ask', click: () => ask() }, t('ask')),
    el('vscode-button', { id: 'stop', appearance: 'secondary', click: () => stop() }, t('stop')),
  ];
  const copy = el(
    'vscode-button',
    {
      appearance: 'secondary',
      click: () => {
        if (view) post({ kind: 'copyText', text: asMarkdown(view, context) });
      },
    },
    t('copyMarkdown'),
  );
  const add = el(
    'vscode-button',
    { appearance: 'secondary', click: () => post({ kind: 'addAdapter' }) },
    t('addAdapter'),
  );
  let listed = '';
  return {
    root: el(
      'section',
      { class: 'question' },
      el('div', { class: 'title' }, title, phase, reload),
      failure,
      el(
        'div',
        { class: 'bar' },
        el('label', { for: 'prompt' }, t('prompt')),
        el('span', { class: 'hint' }, t('prompt.hint')),
        recent,
      ),
      prompt,
      el('label', { class: 'system' }, t('system'), system),
      el(
        'div',
        { class: 'bar' },
        el('label', { title: t('chat.hint') }, chat, ` ${t('chat')}`),
        ...numbers.map(({ root }) => root),
        el('span', { class: 'push actions' }, go, halt, add, copy),
      ),
    ),
    update(now) {
      view = now;
      const {
        state,
        kept: { settings: shown },
      } = now;
      setText(title, t('title', state.base));
      const ready = state.phase.kind === 'ready';
      setText(
        phase,
        state.phase.kind === 'loading'
          ? t('phase.loading', format.percent(state.phase.fraction))
          : state.phase.kind === 'ready'
            ? t('phase.ready', state.phase.device)
            : t('phase.failed'),
      );
      show(reload, state.phase.kind === 'failed');
      show(failure, state.phase.kind === 'failed');
      setText(failure, state.phase.kind === 'failed' ? state.phase.message : '');
      if (prompt.value !== shown.prompt) prompt.value = shown.prompt;
      if (system.value !== shown.system) system.value = shown.system;
      system.disabled = !shown.chat;
      chat.disabled = state.phase.kind === 'ready' && !state.phase.has_chat_template;
      chat.checked = shown.chat && !chat.disabled;
      for (const { key, input } of numbers)
        if (document.activeElement !== input && input.value !== String(shown[key]))
          input.value = String(shown[key]);
      const busy = now.columns.some(isBusy);
      setAttribute(go, 'disabled', ready && !busy && shown.prompt.trim() !== '' ? null : '');
      setAttribute(halt, 'disabled', busy ? null : '');
      show(recent, state.prompts.length > 0);
      const list = JSON.stringify(state.prompts);
      if (list !== listed)
        recent.replaceChildren(
          el('option', { value: '' }, t('recent.choose')),
          ...state.prompts.map((text, i) =>
            el('option', { value: i }, text.length > 80 ? `${text.slice(0, 80)}…` : text),
          ),
        );
      listed = list;
    },
  };
}

const asMarkdown = ({ kept, columns }: View, { t }: Context): string =>
  markdownTable(
    [t('prompt'), kept.settings.prompt],
    columns.map(({ name, text }) => [name, text]),
  );
