import { methodOf } from '../../../src/shared/run';
import { el, memo, setText } from '../../shared/dom';
import { SmoothedLoss } from '../../shared/charts/smooth';
import type { Model } from '../model/model';
import { lastValue, Running, validation } from '../model/summary';
import type { Context, Section } from '../section';

export const TILE_IDS = [
  'loss',
  'validation',
  'learning_rate',
  'grad_norm',
  'tokens_per_second',
  'memory',
] as const;

type TileId = (typeof TILE_IDS)[number];

interface TileText {
  readonly value: string;
  readonly sub: string;
}

/** The key numbers, each with what makes sense of it, and how much of the model trains. */
export function tiles(context: Context): Section {
  const { t } = context;
  const numbers = keyNumbers(context);
  const parts = TILE_IDS.map((id) => {
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
        const text = numbers[id](model);
        setText(value, text.value);
        setText(sub, text.sub);
      }
      parameters.update(model);
    },
  };
}

/** What each tile says of a run. */
export function keyNumbers({ t, format }: Context): Record<TileId, (model: Model) => TileText> {
  const smoothed = new SmoothedLoss();
  const tokens = new Running('tokens', 0, (sum, next) => sum + next);
  const peak = new Running('memory', 0, Math.max);
  const afterFirst = (model: Model, sub: () => string) => (model.history.length === 0 ? '' : sub());
  return {
    loss: (model) => ({
      value: format.value(lastValue(model.history, 'loss')),
      sub: afterFirst(model, () =>
        t(
          'tile.loss.sub',
          format.value(smoothed.update(model.history, model.choices.smoothing).at(-1) ?? NaN),
        ),
      ),
    }),
    validation: (model) => {
      const known = validation(model.history);
      if (known) {
        const best = t(
          'tile.validation.sub',
          format.value(known.best),
          format.count(known.bestStep),
        );
        return {
          value: format.value(known.last),
          sub: known.score
            ? t(
                'tile.validation.score',
                t(`series.${known.score.name}`),
                format.value(known.score.value),
                best,
              )
            : best,
        };
      }
      return {
        value: t('none'),
        sub: model.run?.data?.validation_examples === 0 ? t('tile.validation.none') : '',
      };
    },
    learning_rate: (model) => ({
      value: format.rate(lastValue(model.history, 'learning_rate')),
      sub: model.run?.recipe.training.lr_scheduler_type ?? '',
    }),
    grad_norm: (model) => {
      const limit = model.run?.recipe.training.max_grad_norm;
      return {
        value: format.value(lastValue(model.history, 'grad_norm')),
        sub:
          limit === undefined
            ? ''
            : limit === 0
              ? t('tile.grad_norm.unclipped')
              : t('tile.grad_norm.sub', format.value(limit)),
      };
    },
    tokens_per_second: (model) => ({
      value: format.speed(lastValue(model.history, 'tokens_per_second')),
      sub: afterFirst(model, () =>
        t('tile.tokens_per_second.sub', format.compact(tokens.update(model.history))),
      ),
    }),
    memory: (model) => ({
      value: format.bytes(lastValue(model.history, 'memory')),
      sub: afterFirst(model, () => t('tile.memory.sub', format.bytes(peak.update(model.history)))),
    }),
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
