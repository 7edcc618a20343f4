import { dataGrid, el, memo, show } from '../../shared/dom';
import { eventsOf, type RunEvent } from '../model/events';
import type { Context, Section } from '../section';

/** Checkpoints, resumes, the best evaluation, warnings, start and end: the newest first. */
export function events(context: Context): Section {
  const { t, format } = context;
  const grid = dataGrid({ 'aria-label': t('tab.events'), 'grid-template-columns': '1fr 3fr 5fr' }, [
    ['step', t('event.step')],
    ['what', t('event.what')],
    ['detail', t('event.detail')],
  ]);
  const empty = el('p', { class: 'empty' }, t('event.none'));
  const changed = memo();
  return {
    root: el('div', { class: 'events' }, grid, empty),
    update(model) {
      changed(
        [model.run, model.history, model.history.revision, model.history.lines.length, model.log],
        () => {
          const rows = eventsOf(model.run, model.history, model.log);
          show(empty, rows.length === 0);
          show(grid, rows.length > 0);
          grid.rowsData = rows.map((event) => ({
            step: event.step === null ? '' : format.count(event.step),
            what: nameOf(event, context),
            detail: detailOf(event, context),
          }));
        },
      );
    },
  };
}

function nameOf(event: RunEvent, { t }: Context): string {
  return event.kind === 'ended' ? t(`state.${event.state}`) : t(`event.${event.kind}`);
}

function detailOf(event: RunEvent, { t, format }: Context): string {
  switch (event.kind) {
    case 'created':
    case 'started':
    case 'ended':
      return format.time(event.time);
    case 'checkpoint':
      return event.path;
    case 'resume':
      return t('event.resume.detail');
    case 'best':
      return format.value(event.loss);
    case 'warn':
    case 'error':
      return event.message;
  }
}
