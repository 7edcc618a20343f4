import { TAB_IDS, type TabId } from '../../../src/shared/pages/dashboard/protocol';
import { el, memo, setText, show } from '../../shared/dom';
import { eventsOf } from '../model/events';
import { samplesByPrompt } from '../model/summary';
import type { Context, Section } from '../section';
import { batch } from './batch';
import { events } from './events';
import { recipe } from './recipe';
import { samples } from './samples';

/** The details under the charts, one at a time. */
export function tabs(context: Context): Section {
  const { t, format } = context;
  const sections: Readonly<Record<TabId, Section>> = {
    samples: samples(context),
    batch: batch(context),
    events: events(context),
    recipe: recipe(context),
  };
  const badges = {
    samples: el('span', { class: 'badge' }),
    events: el('span', { class: 'badge' }),
  };
  const tabsById = new Map(
    TAB_IDS.map((id) => [
      id,
      el(
        'vscode-panel-tab',
        { id },
        t(`tab.${id}`),
        ...(id === 'samples' || id === 'events' ? [' ', badges[id]] : []),
      ),
    ]),
  );
  const count = (id: 'samples' | 'events', value: number) => {
    setText(badges[id], format.count(value));
    show(badges[id], value > 0);
    // The toolkit names a tab by its first text and would leave the number out.
    tabsById
      .get(id)
      ?.setAttribute(
        'aria-label',
        value > 0 ? `${t(`tab.${id}`)} ${format.count(value)}` : t(`tab.${id}`),
      );
  };
  const panels = el(
    'vscode-panels',
    { 'aria-label': t('details') },
    ...tabsById.values(),
    ...TAB_IDS.map((id) => el('vscode-panel-view', { id: `view-${id}` }, sections[id].root)),
  ) as HTMLElement & { activeid: string };
  const tabChanged = memo();
  const countsChanged = memo();
  panels.addEventListener('change', () => {
    const id = TAB_IDS.find((tab) => tab === panels.activeid);
    if (id) context.choose({ tab: id });
  });
  return {
    root: el('section', { class: 'details', 'aria-label': t('details') }, panels),
    update(model) {
      tabChanged([model.choices.tab], () => {
        if (panels.activeid !== model.choices.tab) panels.activeid = model.choices.tab;
      });
      const { run, history, log } = model;
      countsChanged([run, history, history.revision, history.lines.length, log], () => {
        count('samples', samplesByPrompt(history).length);
        count('events', eventsOf(run, history, log).length);
      });
      for (const id of TAB_IDS) sections[id].update(model);
    },
  };
}
