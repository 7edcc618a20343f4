import {
  formatPlace,
  type Place,
  type Problem,
  type SerializedError,
} from '../../../src/shared/errors';
import { el, icon, memo, show } from '../../shared/dom';
import { healthNotes, isGrave, isWarning, type HealthNote } from '../model/health';
import { stepNow, type Model } from '../model/model';
import { lastCheckpoint } from '../model/summary';
import type { Context, Section } from '../section';

const PROBLEMS_SHOWN = 50;

/**
 * What the user should know before the numbers: the error that ended the run, and what is certain
 * about its health.
 */
export function notices(context: Context): Section {
  const { t } = context;
  const error = el('section', { class: 'error', role: 'alert' });
  const notes = el('ul', { class: 'notes', 'aria-label': t('notes') });
  const errorChanged = memo();
  const notesChanged = memo();
  return {
    root: el('div', { class: 'notices' }, error, notes),
    update(model) {
      const fault = model.status.error ?? model.run?.error ?? null;
      show(error, fault !== null);
      const title = t(model.status.state === 'failed' ? 'error.title' : 'error.trouble');
      errorChanged([JSON.stringify(fault), title], () =>
        error.replaceChildren(...(fault ? errorParts(fault, title, context) : [])),
      );
      const items = notesOf(model, context);
      show(notes, items.length > 0);
      notesChanged(
        items.map((item) => item.text),
        () =>
          notes.replaceChildren(
            ...items.map(({ symbol, text }) =>
              el('li', { class: `note note-${symbol}` }, icon(symbol), el('span', {}, text)),
            ),
          ),
      );
    },
  };
}

function errorParts(error: SerializedError, title: string, { t, post }: Context): HTMLElement[] {
  const problems = error.problems ?? [];
  const shown = problems.slice(0, PROBLEMS_SHOWN);
  const button = (text: string, click: () => void) =>
    el('vscode-button', { appearance: 'secondary', click }, text);
  return [
    el('h2', {}, icon('error'), title),
    el('p', { class: 'message' }, error.message, ...placeParts(error.place, post)),
    ...(shown.length > 0
      ? [el('ul', { class: 'problems' }, ...shown.map((problem) => problemItem(problem, post)))]
      : []),
    ...(problems.length > shown.length
      ? [el('p', {}, t('error.more', problems.length - shown.length))]
      : []),
    ...(error.fix ? [el('p', { class: 'fix' }, icon('lightbulb'), el('span', {}, error.fix))] : []),
    ...(error.detail
      ? [
          el(
            'details',
            {},
            el('summary', {}, t('error.detail')),
            el('pre', { tabindex: 0 }, error.detail),
          ),
        ]
      : []),
    el(
      'div',
      { class: 'actions' },
      ...(error.area === 'recipe'
        ? [button(t('openRecipe'), () => post({ kind: 'open', what: 'recipe' }))]
        : []),
      button(t('showLog'), () => post({ kind: 'open', what: 'log' })),
      button(t('copyError'), () => post({ kind: 'copyError' })),
    ),
  ];
}

function problemItem(problem: Problem, post: Context['post']): HTMLElement {
  return el(
    'li',
    {},
    icon(problem.severity),
    el('span', {}, problem.message, ...placeParts(problem.place, post)),
  );
}

function placeParts(place: Place | undefined, post: Context['post']): (HTMLElement | string)[] {
  return place
    ? [
        ' ',
        el(
          'button',
          { class: 'link', type: 'button', click: () => post({ kind: 'openPlace', place }) },
          formatPlace(place),
        ),
      ]
    : [];
}

interface NoteItem {
  readonly symbol: 'error' | 'warning' | 'info';
  readonly text: string;
}

function notesOf(model: Model, context: Context): NoteItem[] {
  return [
    ...interruption(model, context),
    ...linkNote(model, context),
    ...healthNotes(model.history, model.run).map((note): NoteItem => ({
      symbol: isGrave(note) ? 'error' : isWarning(note) ? 'warning' : 'info',
      text: healthText(note, context),
    })),
  ];
}

/**
 * Why the run is followed by its folder alone; while it prepares the engine may not be there yet.
 */
function linkNote({ loaded, link, status }: Model, { t }: Context): NoteItem[] {
  if (loaded && link === 'untrusted') return [{ symbol: 'info', text: t('link.untrusted') }];
  return loaded && link === 'folder' && status.state !== 'preparing'
    ? [{ symbol: 'info', text: t('link.folder') }]
    : [];
}

function interruption(model: Model, { t, format }: Context): NoteItem[] {
  if (model.status.state !== 'interrupted') return [];
  const checkpoint = lastCheckpoint(model.history);
  const step = format.count(stepNow(model));
  return [
    {
      symbol: 'warning',
      text:
        checkpoint === null
          ? t('interrupted.none', step)
          : t('interrupted.words', step, format.count(checkpoint)),
    },
  ];
}

function healthText(note: HealthNote, { t, format }: Context): string {
  switch (note.kind) {
    case 'nan':
      return t('health.nan', format.count(note.step));
    case 'exploding':
      return t(
        'health.exploding',
        format.count(note.step),
        format.value(note.norm),
        format.value(note.usual),
      );
    case 'climbing':
      return t(
        'health.climbing',
        format.count(note.step),
        format.value(note.lowest),
        format.value(note.loss),
      );
    case 'zeroRate':
      return t('health.zeroRate', format.count(note.step));
    case 'unlabelled':
      return t('health.unlabelled', format.count(note.steps), format.count(note.step));
    case 'rising':
      return t('health.rising', format.count(note.step));
    case 'worse':
      return t('health.worse', format.value(note.loss), format.value(note.base));
    case 'clipped':
      return t('health.clipped', note.steps, format.value(note.limit));
    case 'noValidation':
      return t('health.noValidation');
  }
}
