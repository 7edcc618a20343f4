import { t } from '../text/l10n';
import { askText } from '../ui/inputs';

/** What is offered, in percent. */
const USUAL_SHARE = '10';

/** Asks for the share of rows that are held back, from 0 to 1. Undefined: cancelled. */
export async function askShare(): Promise<number | undefined> {
  const isShare = (text: string) => Number(text) > 0 && Number(text) < 100;
  const text = await askText({
    title: t('Split Dataset'),
    prompt: t('Percentage of the rows to hold out for validation'),
    value: USUAL_SHARE,
    validate: (own) => (isShare(own) ? undefined : t('Enter a number between 0 and 100.')),
  });
  return text === undefined ? undefined : Number(text) / 100;
}
