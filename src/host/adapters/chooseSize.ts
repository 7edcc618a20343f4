import { t } from '../text/l10n';
import { askText, pickRow, type PickRow } from '../ui/inputs';

interface Kind extends PickRow {
  readonly option: '--error' | '--energy' | '--rank';
  readonly value: string;
  readonly prompt: string;
  readonly isValid: (value: number) => boolean;
}

const isFraction = (value: number) => value > 0 && value <= 1;

/**
 * Asks how to determine the new rank; returns options of the command line. Undefined: cancelled.
 */
export async function chooseSize(title: string): Promise<readonly string[] | undefined> {
  const kinds: Kind[] = [
    {
      label: t('By maximum error'),
      detail: t('Each layer gets the rank it needs.'),
      option: '--error',
      value: '0.05',
      prompt: t('The fraction of the update that may be lost, from 0 to 1'),
      isValid: isFraction,
    },
    {
      label: t('By retained energy'),
      detail: t('The retained fraction of the squared singular values.'),
      option: '--energy',
      value: '0.99',
      prompt: t('The fraction to keep, from 0 to 1'),
      isValid: isFraction,
    },
    {
      label: t('By rank'),
      detail: t('The same rank for every layer.'),
      option: '--rank',
      value: '4',
      prompt: t('The rank, a whole number of at least 1'),
      isValid: (value) => Number.isSafeInteger(value) && value >= 1,
    },
  ];
  const kind = await pickRow(kinds, {
    title,
    placeHolder: t('Select how to determine the new rank'),
  });
  if (!kind) return undefined;
  const value = await askText({
    title,
    value: kind.value,
    prompt: kind.prompt,
    validate: (typed) => (kind.isValid(Number(typed)) ? undefined : kind.prompt),
  });
  return value === undefined ? undefined : [kind.option, value.trim()];
}
