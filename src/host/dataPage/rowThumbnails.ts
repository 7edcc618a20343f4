import type { DataHostMessage, RowDetail } from '../../shared/pages/data/protocol';
import { shownThumbnail } from '../inspection/thumbnails';
import type { DataClient } from './dataClient';

/** Where thumbnails are sent, until another row is opened. */
interface ThumbnailPage {
  readonly client: DataClient;
  readonly send: (message: DataHostMessage) => void;
  readonly isOpen: () => boolean;
}

/** Sends the thumbnails of a row's images, one after the other. */
export async function sendThumbnails(
  { row, turns }: RowDetail,
  { client, send, isOpen }: ThumbnailPage,
): Promise<void> {
  for (const { image } of turns.flatMap(({ images = [] }) => images)) {
    if (!isOpen()) return;
    const thumbnail = await shownThumbnail(client.ask('dataThumbnail', { row, image }));
    if (thumbnail) send({ kind: 'thumbnail', row, image, thumbnail });
  }
}
