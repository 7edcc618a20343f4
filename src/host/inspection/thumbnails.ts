import { LoraError } from '../../shared/errors';
import type { ShownThumbnail } from '../../shared/pages/thumbnail';

/** A thumbnail for a page, or why there is none. Undefined: the page was closed. */
export async function shownThumbnail(
  asked: Promise<Exclude<ShownThumbnail, { fault: string }>>,
): Promise<ShownThumbnail | undefined> {
  try {
    return await asked;
  } catch (error) {
    const { area, message } = LoraError.from(error, 'dataset');
    return area === 'cancelled' ? undefined : { fault: message };
  }
}
