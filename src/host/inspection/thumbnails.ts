import { LoraError } from '../../shared/errors';
import type { ShownThumbnail } from '../../shared/pages/thumbnail';
import type { AskInspections } from './inspections';

/** A thumbnail of an image for a page, or why there is none. Undefined: the page was closed. */
export async function shownThumbnail(
  inspections: AskInspections,
  file: string,
): Promise<ShownThumbnail | undefined> {
  try {
    return await inspections.ask('thumbnail', { file });
  } catch (error) {
    const { area, message } = LoraError.from(error, 'dataset');
    return area === 'cancelled' ? undefined : { fault: message };
  }
}
