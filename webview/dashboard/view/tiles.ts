import { methodOf } from '../../../src/shared/run';
import { el, memo, setText } from '../../shared/dom';
import { KEY_NUMBER_IDS } from '../../../src/shared/metrics/table';
import { KeyNumbers } from '../model/keyNumbers';
import type { Context, Section } from '../section';

/** The key numbers, each with what makes sense of it, and how much of the model trains. */
export function tiles(context: Context): Section {
  const { t } = context;
  const numbers = new KeyNumbers(context);
  const parts = KEY_NUMBER_IDS.map((id) => {
    const value = el('dd', { class: 'value' });
    const sub = el('dd', { class: 'sub' });
    return {
      id,
      value,
      sub,
      root: el('div', { class: `tile tile-${id}` }, el('dt', {}, t(`tile.${id}`)), value, sub),
    };
  });
  const parameters = parametersLine(context);
  return {
    root: el(
      'section',
      { 'aria-label': t('tiles') },
      el('dl', { class: 'tiles' }, ...parts.map((part) => part.root)),
      parameters.root,
    ),
    update(model) {
      for (const { id, value, sub } of parts) {
        const number = numbers.of(id, model);
        setText(value, number.value);
        setText(sub, number.note);
      }
      parameters.update(model);
    },
  };
}

function parametersLine({ t, format }: Context): Section {
  const root = el('p', { class: 'parameters' });
  const changed = memo();
  return {
    root,
    update({ run }) {
      const trainable = run?.trainable_parameters;
      const all = run?.base?.parameters;
      if (!run || typeof trainable !== 'number' || typeof all !== 'number') {
        changed([], () => root.replaceChildren());
        return;
      }
      const words = `${t('parameters.words', format.count(trainable), format.count(all), format.percent(trainable / all))} ${methodOf(run.recipe) === 'full' ? t('parameters.full') : t('parameters.why', run.recipe.lora.r)}`;
      changed([words], () => root.replaceChildren(words));
    },
  };
}
