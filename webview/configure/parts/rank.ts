import type { RankSettings } from '../../../src/shared/pages/configure/protocol';
import { withRank } from '../../../src/shared/pages/configure/withRank';
import { el, setAttribute, setText } from '../../shared/dom';
import { MAX_RANK, STOPS, stopOf } from '../model/ranks';
import type { Context, Part } from '../view';

type CheckboxElement = HTMLElement & { checked: boolean };

/** r by slider and number, lora_alpha, rsLoRA, DoRA. */
export function rankPart({ t, format, now, choose, arrange }: Context): Part {
  const set = (change: Partial<RankSettings>, done = true) =>
    choose({ settings: { ...now().settings, ...change } }, done);
  const setRank = (r: number, done: boolean) => {
    if (!Number.isInteger(r) || r < 1 || r > MAX_RANK) return;
    const { follow, settings } = now();
    choose({ settings: follow ? withRank(settings, r) : { ...settings, r } }, done);
  };
  const sliderRank = () => STOPS[Number(slider.value)]!;
  const slider = el('input', {
    id: 'r-slider',
    type: 'range',
    min: 0,
    max: STOPS.length - 1,
    step: 1,
    'aria-labelledby': 'r-label',
    input: () => setRank(sliderRank(), false),
    change: () => setRank(sliderRank(), true),
  });
  const number = el('input', {
    id: 'r',
    type: 'number',
    min: 1,
    max: MAX_RANK,
    step: 1,
    'aria-labelledby': 'r-label',
    'aria-describedby': 'r-hint',
    change: () => setRank(Number(number.value), true),
  });
  const alpha = el('input', {
    id: 'alpha',
    type: 'number',
    min: 0,
    step: 'any',
    'aria-describedby': 'alpha-hint',
    change: () => {
      if (Number(alpha.value) > 0) set({ lora_alpha: Number(alpha.value) });
    },
  });
  const scale = el('span', { id: 'alpha-hint', class: 'hint' });
  const check = (label: string, changed: (on: boolean) => void) => {
    const box = el(
      'vscode-checkbox',
      { change: () => changed(box.checked) },
      label,
    ) as CheckboxElement;
    return box;
  };
  const following = check(t('follow'), (on) => arrange({ follow: on }));
  const rslora = check(t('rslora'), (on) => {
    if (on !== now().settings.use_rslora) set({ use_rslora: on });
  });
  const dora = check(t('dora'), (on) => {
    if (on !== now().settings.use_dora) set({ use_dora: on });
  });
  const root = el(
    'section',
    { class: 'card rank', 'aria-labelledby': 'rank-title' },
    el('h2', { id: 'rank-title' }, t('rank')),
    el('div', { class: 'field' }, el('label', { id: 'r-label', for: 'r' }, t('r')), slider, number),
    el('p', { id: 'r-hint', class: 'hint' }, t('r.hint')),
    el('div', { class: 'field' }, el('label', { for: 'alpha' }, t('alpha')), alpha, scale),
    el('div', { class: 'checks' }, following, rslora, dora),
  );
  return {
    root,
    update(view) {
      const { r, lora_alpha, use_rslora, use_dora } = view.settings;
      if (sliderRank() !== r) slider.value = String(stopOf(r));
      setAttribute(slider, 'aria-valuetext', `r = ${r}`);
      if (Number(number.value) !== r) number.value = String(r);
      if (Number(alpha.value) !== lora_alpha) alpha.value = String(lora_alpha);
      setText(scale, t('alpha.hint', format.digits(view.figures.scaling, 4)));
      following.checked = view.follow;
      rslora.checked = use_rslora;
      dora.checked = use_dora;
    },
  };
}
