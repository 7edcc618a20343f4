import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { hashFile } from '../../common/hashFile';
import { MAX_BYTES } from '../../common/regularFile';
import type { ContentPart, Message } from '../chat/chat';
import type { Row, TextRow } from '../rows/row';
import { embeddedBytes, isEmbedded } from './embedded';

/** The images that a row names, in their order. */
export function imagesOfRow(row: Row): readonly string[] {
  switch (row.kind) {
    case 'messages':
      return row.messages.flatMap(({ content = '' }) =>
        typeof content === 'string'
          ? []
          : content.flatMap((part) => (part.type === 'image' ? [part.image] : [])),
      );
    case 'preference':
      return [...imagesOfRow(row.chosen), ...imagesOfRow(row.rejected)];
    case 'unpaired':
      return imagesOfRow(row.answer);
    case 'captioned':
      return [row.image];
    case 'image':
      return [row.file];
    default:
      return [];
  }
}

/** Tells images apart by their bytes; each file is read once. */
export class ImageHashes {
  private readonly known = new Map<string, string>();

  /** The row with the hash of each image in the place of its path; `folder`: that of its file. */
  async named(row: Row, folder: string): Promise<Row> {
    const names = new Map<string, string>();
    for (const image of imagesOfRow(row)) names.set(image, await this.of(image, folder));
    return names.size === 0 ? row : renamed(row, (image) => names.get(image) ?? image);
  }

  /** A number that rows with the same images have; 0: without images. */
  async number(row: Row, folder: string): Promise<number> {
    const images = imagesOfRow(row);
    if (images.length === 0) return 0;
    const hash = createHash('sha256');
    for (const image of images) hash.update(`${await this.of(image, folder)}\n`);
    return hash.digest().readUInt32LE() || 1;
  }

  /** What cannot be read is told apart by its path. */
  private async of(image: string, folder: string): Promise<string> {
    const file = isEmbedded(image) ? image : path.resolve(folder, image);
    const hash = this.known.get(file) ?? (await hashOf(file));
    if (!isEmbedded(image)) this.known.set(file, hash);
    return hash;
  }
}

async function hashOf(image: string): Promise<string> {
  if (isEmbedded(image)) return createHash('sha256').update(embeddedBytes(image)).digest('hex');
  try {
    const info = await stat(image);
    if (!info.isFile() || info.size > MAX_BYTES.image) return image;
    return await hashFile(image);
  } catch {
    return image;
  }
}

function renamed(row: Row, name: (image: string) => string): Row {
  switch (row.kind) {
    case 'messages':
      return { ...row, messages: row.messages.map((own) => ofMessage(own, name)) };
    case 'preference': {
      const { chosen, rejected } = row;
      return { ...row, chosen: ofText(chosen, name), rejected: ofText(rejected, name) };
    }
    case 'unpaired':
      return { ...row, answer: ofText(row.answer, name) };
    case 'captioned':
      return { ...row, image: name(row.image) };
    case 'image':
      return { ...row, file: name(row.file) };
    default:
      return row;
  }
}

const ofText = (row: TextRow, name: (image: string) => string): TextRow =>
  row.kind === 'messages' ? { ...row, messages: row.messages.map((m) => ofMessage(m, name)) } : row;

const ofMessage = (message: Message, name: (image: string) => string): Message => {
  const { content } = message;
  if (content === undefined || typeof content === 'string') return message;
  const parts = content.map((part): ContentPart =>
    part.type === 'image' ? { ...part, image: name(part.image) } : part,
  );
  return { ...message, content: parts };
};
