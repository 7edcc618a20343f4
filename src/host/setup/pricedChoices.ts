import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import { costOf, costText, costWarning, layerText, type BaseFacts } from './costs';
import { parseTargets, targetChoices, targetsText, type TargetModules } from './targets';

/** A choice with its price: for a list in a quick input. */
export interface PricedChoice<T> {
  readonly label: string;
  readonly description: string;
  readonly detail: string;
  /** null: cannot be taken; the detail says why. */
  readonly value: T | null;
}

export const RANKS = [1, 2, 4, 8, 16, 32] as const;
export const DEFAULT_RANK = 8;

/** The usual ranks; one that is typed comes first. */
export function rankChoices(
  base: BaseFacts,
  target: TargetModules,
  there: number,
  typed: string,
): PricedChoice<number>[] {
  const choices = RANKS.filter((r) => String(r) !== typed).map((r) =>
    rankChoice(base, target, there, r),
  );
  if (typed === '') return choices;
  const r = Number(typed);
  const own =
    Number.isSafeInteger(r) && r > 0
      ? rankChoice(base, target, there, r)
      : {
          label: `r = ${typed}`,
          description: '',
          detail: t('r must be a whole number above 0.'),
          value: null,
        };
  return [own, ...choices];
}

function rankChoice(
  base: BaseFacts,
  target: TargetModules,
  there: number,
  r: number,
): PricedChoice<number> {
  return {
    label: `r = ${r}`,
    value: r,
    ...price(base, r, target, there, r === DEFAULT_RANK ? t('default') : ''),
  };
}

/** The usual targets; those that are typed come first. */
export function targetPrices(
  base: BaseFacts,
  r: number,
  there: number,
  typed: string,
): PricedChoice<TargetModules>[] {
  const choices = targetChoices(base.modules).map(({ label, target_modules }) => ({
    label,
    value: target_modules,
    ...price(base, r, target_modules, there, targetsText(target_modules)),
  }));
  const own = parseTargets(typed);
  return own === undefined ? choices : [ownTargets(base, r, there, own), ...choices];
}

function ownTargets(
  base: BaseFacts,
  r: number,
  there: number,
  own: TargetModules,
): PricedChoice<TargetModules> {
  const label = targetsText(own);
  try {
    const { matched, unmatched } = costOf(base, r, own);
    const value = matched.length > 0 && unmatched.length === 0 ? own : null;
    return {
      label,
      value,
      ...price(
        base,
        r,
        own,
        there,
        matched.length === 1 ? t('1 module') : t('{0} modules', matched.length),
      ),
    };
  } catch (error) {
    return { label, description: '', detail: LoraError.from(error, 'recipe').message, value: null };
  }
}

function price(
  base: BaseFacts,
  r: number,
  target: TargetModules,
  there: number,
  note: string,
): { readonly description: string; readonly detail: string } {
  const cost = costOf(base, r, target);
  const warning = costWarning(cost, r, there);
  return {
    description: [note, layerText(cost.matched, r)].filter(Boolean).join(' · '),
    detail: [
      warning === null ? '' : `$(warning) ${warning}`,
      cost.matched.length === 0 ? '' : costText(base, cost, there),
    ]
      .filter(Boolean)
      .join(' '),
  };
}
