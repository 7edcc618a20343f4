import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import { costOf, costText, costWarning, layerText, type BaseFacts } from './costs';
import { parseTargets, targetChoices, targetsText, type TargetModules } from './targets';

/** A choice with its cost, for a quick pick. */
export interface PricedChoice<T> {
  readonly label: string;
  readonly description: string;
  readonly detail: string;
  /** Names an icon before the detail. */
  readonly detailIcon?: string;
  /** Null: it cannot be chosen; the detail says why. */
  readonly value: T | null;
}

/** The ranks that are offered. */
export const RANKS = [1, 2, 4, 8, 16, 32] as const;

/** What the choices of a rank depend on beside the base. */
export interface RankQuestion {
  readonly target: TargetModules;
  /** Bytes of memory. */
  readonly available: number;
  readonly recommended: number;
}

/** The usual ranks, preceded by the typed one. */
export function rankChoices(
  base: BaseFacts,
  question: RankQuestion,
  typed: string,
): PricedChoice<number>[] {
  const choices = RANKS.filter((r) => String(r) !== typed).map((r) =>
    rankChoice(base, question, r),
  );
  if (typed === '') return choices;
  const r = Number(typed);
  const typedChoice =
    Number.isSafeInteger(r) && r > 0
      ? rankChoice(base, question, r)
      : {
          label: `r = ${typed}`,
          description: '',
          detail: t('r must be a whole number above 0.'),
          value: null,
        };
  return [typedChoice, ...choices];
}

function rankChoice(
  base: BaseFacts,
  { target, available, recommended }: RankQuestion,
  r: number,
): PricedChoice<number> {
  const note = r === recommended ? t('recommended') : '';
  return { label: `r = ${r}`, value: r, ...price(base, { r, target, note }, available) };
}

/** The usual targets, preceded by the typed ones. `available`: bytes of memory. */
export function targetPrices(
  base: BaseFacts,
  r: number,
  available: number,
  typed: string,
): PricedChoice<TargetModules>[] {
  const choices = targetChoices(base.modules).map(({ label, target_modules: target }) => ({
    label,
    value: target,
    ...price(base, { r, target, note: noteOf(target) }, available),
  }));
  const target = parseTargets(typed);
  return target === undefined ? choices : [typedTargets(base, r, available, target), ...choices];
}

/** LoRA in every linear layer learns best at the same number of parameters (Hu et al. 2021). */
const noteOf = (target: TargetModules): string =>
  target === 'all-linear' ? `${t('recommended')} · all-linear` : targetsText(target);

function typedTargets(
  base: BaseFacts,
  r: number,
  available: number,
  target: TargetModules,
): PricedChoice<TargetModules> {
  const label = targetsText(target);
  try {
    const { matched, unmatched } = costOf(base, r, target);
    const value = matched.length > 0 && unmatched.length === 0 ? target : null;
    const note = t('{0} {0|module|modules}', matched.length);
    return { label, value, ...price(base, { r, target, note }, available) };
  } catch (error) {
    return { label, description: '', detail: LoraError.from(error, 'recipe').message, value: null };
  }
}

interface RankAndTarget {
  readonly r: number;
  readonly target: TargetModules;
  /** What the description starts with. */
  readonly note: string;
}

function price(
  base: BaseFacts,
  { r, target, note }: RankAndTarget,
  available: number,
): Pick<PricedChoice<never>, 'description' | 'detail' | 'detailIcon'> {
  const cost = costOf(base, r, target);
  const warning = costWarning(cost, r, available);
  return {
    description: [note, layerText(cost.matched, r)].filter(Boolean).join(' · '),
    detail: [warning ?? '', cost.matched.length === 0 ? '' : costText(base, cost, available)]
      .filter(Boolean)
      .join(' '),
    ...(warning !== null && { detailIcon: 'warning' }),
  };
}
