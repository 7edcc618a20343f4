import type { RunState } from '../../../src/shared/run';
import type { RunRequest } from '../../../src/shared/pages/dashboard/protocol';
import { el, icon, memo, setAttribute, setText, show } from '../../shared/dom';
import { hasEnded, stepNow, totalSteps, type Model } from '../model/model';
import { lastCheckpoint, lastValue, secondsLeft } from '../model/summary';
import type { Context, Section } from '../section';

const STATE_ICONS: Readonly<Record<RunState, string>> = {
  preparing: 'loading',
  running: 'play-circle',
  paused: 'debug-pause',
  stopped: 'debug-stop',
  completed: 'pass',
  failed: 'error',
  interrupted: 'debug-disconnect',
};

/** The run's name and state, how far it is, and what can be done with it. */
export function header(context: Context): Section {
  const name = el('h1', {});
  const state = stateBadge(context);
  const buttons = actions(context);
  const progress = progressBar(context);
  const facts = el('p', { class: 'facts' });
  const changed = memo();
  return {
    root: el(
      'header',
      { class: 'head' },
      el('div', { class: 'title' }, name, state.root, buttons.root),
      progress.root,
      facts,
    ),
    update(model) {
      setText(name, model.run?.name ?? folderName(model.choices.runDir));
      for (const part of [state, buttons, progress]) part.update(model);
      const words = factsOf(model, context);
      changed(words, () => facts.replaceChildren(...words.map((word) => el('span', {}, word))));
    },
  };
}

function folderName(runDir: string): string {
  return runDir.split(/[\\/]/).at(-1) ?? runDir;
}

function stateBadge({ t }: Context): Section {
  const root = el('span', { role: 'status' });
  const changed = memo();
  return {
    root,
    update: ({ status: { state } }) =>
      changed([state], () => {
        root.className = `state state-${state}`;
        const symbol =
          state === 'running' || state === 'preparing'
            ? [el('vscode-progress-ring', { 'aria-hidden': 'true' }), icon(STATE_ICONS[state])]
            : [icon(STATE_ICONS[state])];
        root.replaceChildren(...symbol, t(`state.${state}`));
      }),
  };
}

function progressBar({ t, format }: Context): Section {
  const fill = el('div', { class: 'fill' });
  const root = el(
    'div',
    {
      class: 'progress',
      role: 'progressbar',
      'aria-label': t('head.progress'),
      'aria-valuemin': 0,
      'aria-valuemax': 100,
    },
    fill,
  );
  return {
    root,
    update(model) {
      const share = shareDone(model);
      root.classList.toggle('unknown', share === null && !hasEnded(model));
      fill.style.transform = `scaleX(${share ?? 0})`;
      setAttribute(root, 'aria-valuenow', share === null ? null : String(Math.round(share * 100)));
      setAttribute(root, 'aria-valuetext', share === null ? null : format.percent(share));
    },
  };
}

/** While the engine prepares, how far it is with that. */
function shareDone(model: Model): number | null {
  if (model.status.state === 'preparing') return model.progress?.fraction ?? null;
  const total = totalSteps(model);
  return total ? Math.min(1, stepNow(model) / total) : null;
}

function factsOf(model: Model, { t, format }: Context): string[] {
  const step = stepNow(model);
  const total = totalSteps(model);
  const epochs = epochsOf(model);
  const epoch = lastValue(model.history, 'epoch');
  const preparing = model.status.state === 'preparing';
  return [
    ...(preparing
      ? []
      : [
          total === null
            ? t('head.stepOpen', format.count(step))
            : t('head.step', format.count(step), format.count(total)),
        ]),
    ...(epochs !== null && Number.isFinite(epoch)
      ? [t('head.epoch', format.value(hundredths(epoch)), format.value(hundredths(epochs)))]
      : []),
    ...activity(model, { t, format }),
    ...timeOf(model, { t, format }),
    ...(model.run?.versions.device ? [model.run.versions.device] : []),
    ...deviceMemory(model, { t, format }),
  ];
}

const hundredths = (value: number) => Math.round(value * 100) / 100;

/** As many as the steps make: max_steps, where it is set, decides instead of num_train_epochs. */
function epochsOf(model: Model): number | null {
  const { max_steps, num_train_epochs } = model.run?.recipe.training ?? {};
  if (max_steps === null || max_steps === undefined) return num_train_epochs ?? null;
  const [step, epoch] = [stepNow(model), lastValue(model.history, 'epoch')];
  return step > 0 && Number.isFinite(epoch) ? (epoch / step) * max_steps : null;
}

type Words = Pick<Context, 't' | 'format'>;

/** What the engine does now, when that is not plain training. */
function activity(model: Model, { t, format }: Words): string[] {
  const { state } = model.status;
  if (
    state !== 'preparing' &&
    (state !== 'running' || !model.progress || model.progress.phase === 'training')
  )
    return [];
  if (!model.progress) return [t(model.link === 'engine' ? 'phase.preparing' : 'phase.starting')];
  const phase = t(`phase.${model.progress.phase}`);
  return [
    model.progress.fraction === null
      ? `${phase}…`
      : t('phase.fraction', phase, format.percent(model.progress.fraction)),
  ];
}

function deviceMemory({ status: { device_memory } }: Model, { t, format }: Words): string[] {
  return device_memory
    ? [t('head.deviceMemory', format.bytes(device_memory.used), format.bytes(device_memory.total))]
    : [];
}

function timeOf(model: Model, { t, format }: Words): string[] {
  if (hasEnded(model)) {
    const took = lastValue(model.history, 'elapsed');
    return Number.isFinite(took) ? [t('head.took', format.duration(took))] : [];
  }
  const left = model.status.seconds_left ?? secondsLeft(model.history, totalSteps(model));
  return left === null || model.status.state === 'preparing'
    ? []
    : [t('head.left', format.duration(left))];
}

function actions({ t, post }: Context): Section {
  const button = (
    text: string,
    symbol: string,
    appearance: string,
    click: () => void,
    title = text,
  ) =>
    el(
      'vscode-button',
      { appearance, click, title },
      el('span', { slot: 'start', class: `codicon codicon-${symbol}`, 'aria-hidden': 'true' }),
      text,
    );
  const ask = (request: RunRequest) => () => post({ kind: 'request', request });
  const pause = button(t('pause'), 'debug-pause', 'primary', ask('pause'));
  const resume = button(t('resume'), 'play', 'primary', ask('resume'));
  const stop = button(t('stop'), 'debug-stop', 'secondary', ask('stop'), t('stopHint'));
  const goOn = button(t('continue'), 'debug-continue', 'primary', () => post({ kind: 'continue' }));
  const recipe = button(t('openRecipe'), 'json', 'secondary', () =>
    post({ kind: 'open', what: 'recipe' }),
  );
  const adapter = button(t('revealAdapter'), 'folder-opened', 'secondary', () =>
    post({ kind: 'open', what: 'adapter' }),
  );
  const whole = button(t('revealModel'), 'folder-opened', 'secondary', () =>
    post({ kind: 'open', what: 'model' }),
  );
  const log = button(t('showLog'), 'output', 'secondary', () =>
    post({ kind: 'open', what: 'log' }),
  );
  return {
    root: el(
      'div',
      { class: 'actions', role: 'group', 'aria-label': t('actions') },
      pause,
      resume,
      stop,
      goOn,
      recipe,
      adapter,
      whole,
      log,
    ),
    update(model) {
      const { state } = model.status;
      show(pause, state === 'running');
      show(resume, state === 'paused');
      show(stop, model.loaded && !hasEnded(model));
      show(
        goOn,
        state === 'interrupted' ||
          ((state === 'stopped' || state === 'failed') && lastCheckpoint(model.history) !== null),
      );
      show(recipe, model.run !== null);
      show(adapter, hasEnded(model) && typeof model.run?.result.adapter === 'string');
      show(whole, hasEnded(model) && typeof model.run?.result.model === 'string');
      const idle = model.link !== 'engine' || model.pending !== null;
      for (const control of [pause, resume, stop]) control.toggleAttribute('disabled', idle);
    },
  };
}
