import { createHash } from 'node:crypto';
import path from 'node:path';
import * as vscode from 'vscode';
import { replaceFile } from '../../common/atomicWrite';
import { pathExists, writeErrorReason } from '../../common/fileStatus';
import { makeFolder } from '../../common/makeFolder';
import { LoraError } from '../../shared/errors';
import type {
  PlaygroundHostMessage,
  PlaygroundPageMessage,
} from '../../shared/pages/playground/protocol';
import type { AskInspections } from '../inspection/inspections';
import { shownThumbnail } from '../inspection/thumbnails';
import { refuseUntrusted } from '../jobs/jobs';
import { t } from '../text/l10n';
import { browseFiles } from '../ui/inputs';
import { droppedFile } from './droppedFile';
import { pastedImage } from './pastedImage';

const KINDS = ['chooseImages', 'pasteImage', 'dropImages', 'thumbnails'] as const;

/** What a page says of its images. */
type ImagesMessage = Extract<PlaygroundPageMessage, { kind: (typeof KINDS)[number] }>;

export const isAboutImages = (message: PlaygroundPageMessage): message is ImagesMessage =>
  KINDS.some((kind) => kind === message.kind);

const FOLDER = '.lora/images';

/** The images of a playground's prompts: chosen, dropped or pasted files, and their thumbnails. */
export class PlaygroundImages {
  /** @param folder The folder whose .lora keeps images that are no files. */
  constructor(
    private readonly inspections: AskInspections,
    private readonly send: (message: PlaygroundHostMessage) => void,
    private readonly folder: () => string,
  ) {}

  /** @throws LoraError where a file cannot be attached or written */
  async handle(message: ImagesMessage): Promise<void> {
    switch (message.kind) {
      case 'chooseImages':
        return this.choose();
      case 'pasteImage':
        return this.paste(message.data);
      case 'dropImages':
        this.drop(message.uris);
        return;
      case 'thumbnails':
        return this.show(message.images);
    }
  }

  private async choose(): Promise<void> {
    const images = await browseFiles(t('Images'), { [t('Images')]: ['png', 'jpg', 'jpeg'] });
    if (images.length > 0) this.send({ kind: 'attached', images: [...images] });
  }

  private drop(uris: readonly string[]): void {
    const isRemote = vscode.env.remoteName !== undefined;
    const files = uris.flatMap((uri) => droppedFile(uri, isRemote) ?? []);
    if (files.length < uris.length)
      throw new LoraError('usage', t('Only files of this computer can be attached.'));
    this.send({ kind: 'attached', images: files });
  }

  /** Writes the image to a file that is named by its content. */
  private async paste(data: string): Promise<void> {
    refuseUntrusted();
    const pasted = pastedImage(data);
    if (!pasted) throw new LoraError('usage', t('What was pasted is not a PNG or JPEG image.'));
    const name = createHash('sha256').update(pasted.bytes).digest('hex').slice(0, 16);
    const file = path.join(this.folder(), FOLDER, `${name}.${pasted.extension}`);
    const describeFailure = (reason: string) => ({
      message: t('The image cannot be written: {0}.', reason),
    });
    await makeFolder(path.dirname(file)).catch((cause: unknown) => {
      const { message } = describeFailure(writeErrorReason(cause));
      throw new LoraError('disk', message, { place: { file }, cause });
    });
    if (!(await pathExists(file)))
      await replaceFile(file, (handle) => handle.writeFile(pasted.bytes), describeFailure);
    this.send({ kind: 'attached', images: [file] });
  }

  /** Sends a thumbnail of each image, or why there is none. */
  private async show(images: readonly string[]): Promise<void> {
    for (const image of images) {
      const thumbnail = await shownThumbnail(this.inspections.ask('thumbnail', { file: image }));
      if (thumbnail) this.send({ kind: 'thumbnail', image, thumbnail });
    }
  }
}
