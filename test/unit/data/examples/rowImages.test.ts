import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { orderChat } from '../../../../src/data/chat/order';
import { foldSystem } from '../../../../src/data/chat/systemMessage';
import { contentOf, imagesOf, type Message } from '../../../../src/data/chat/chat';
import { ProblemCollector } from '../../../../src/data/dataset/problems';
import type { EncodedRow } from '../../../../src/data/examples/encodeRow';
import {
  cutImageFault,
  NO_IMAGES,
  rowPositions,
  withImages,
  type RowImages,
} from '../../../../src/data/examples/rowImages';
import { RowReport } from '../../../../src/data/rows/rowReport';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';

const IMAGE = 9;
const FOLDER = path.resolve('w');
/** Images of 2 x 1 and of 1 x 3 tokens. */
const READING: RowImages = {
  folder: FOLDER,
  reader: {
    image_token: IMAGE,
    merge: 2,
    settings: () => {
      throw new Error('not read');
    },
    gridOf: (file) =>
      file.endsWith('tall.png') ? { height: 4, width: 2 } : { height: 2, width: 6 },
    samples: () => Promise.reject(new Error('not read')),
  },
};
const image = (file: string) => ({ type: 'image', image: file }) as const;
const text = (own: string) => ({ type: 'text', text: own }) as const;
const user = (...content: Exclude<Message['content'], string | undefined>): Message => ({
  role: 'user',
  content,
});
const CHAT = { messages: [user(image('tall.png'), text('and'), image('sub/wide.png'))] };
const encoded = (ids: readonly number[]): EncodedRow => ({
  ids,
  labelled: [{ start: 5, end: 7 }],
  unlearnt: [{ start: 0, end: 1 }],
  findings: [],
});

describe('images in a row', () => {
  it('take as many tokens as they have, and what follows moves', () => {
    const row = withImages(encoded([1, IMAGE, 2, IMAGE, 3, 4, 5]), CHAT, READING);
    expect(row.ids).toEqual([1, 9, 9, 2, 9, 9, 9, 3, 4, 5]);
    expect(row.labelled).toEqual([{ start: 8, end: 10 }]);
    expect(row.images).toEqual([
      { file: path.join(FOLDER, 'tall.png'), at: 1, tokens: 2, grid: { height: 4, width: 2 } },
      { file: path.join(FOLDER, 'sub/wide.png'), at: 4, tokens: 3, grid: { height: 2, width: 6 } },
    ]);
  });

  it('are never learned', () => {
    expect(withImages(encoded([1, IMAGE, 2, IMAGE, 3, 4, 5]), CHAT, READING).unlearnt).toEqual([
      { start: 0, end: 1 },
      { start: 1, end: 3 },
      { start: 4, end: 7 },
    ]);
  });

  it.each([
    [[1, IMAGE, 3, 4, 5, 6, 7], '2 images, but its text has 1 place for images'],
    [[IMAGE, IMAGE, IMAGE, 4, 5, 6, 7], '2 images, but its text has 3 places for images'],
  ])('need a place each: %j', (ids, message) => {
    expect(() => withImages(encoded(ids), CHAT, READING)).toThrow(message);
  });

  it('are refused where nothing reads them, while texts are not', () => {
    expect(() => withImages(encoded([1]), CHAT, NO_IMAGES)).toThrow(
      'The row has 2 images. Images in chats are not supported here.',
    );
    const row = encoded([1, IMAGE]);
    expect(withImages(row, { messages: [{ role: 'user', content: 'a' }] }, NO_IMAGES)).toBe(row);
  });

  it('are not cut', () => {
    const { images = [] } = withImages(encoded([1, IMAGE, 2, IMAGE, 3, 4, 5]), CHAT, READING);
    expect(cutImageFault(images, 7)).toBeNull();
    expect(cutImageFault(images, 6)).toContain(
      'takes the tokens 5 to 7 of the row, but max_length is 6',
    );
  });
});

describe('positions', () => {
  it('of text are its own on each axis', () => {
    const { times, heights, widths, next } = rowPositions(3, []);
    for (const own of [times, heights, widths]) expect([...own]).toEqual([0, 1, 2]);
    expect(next).toBe(3);
  });

  it('of images are their rows and columns, and text counts on from the longer side', () => {
    const images = [
      { at: 1, tokens: 2, grid: { height: 4, width: 2 } },
      { at: 4, tokens: 3, grid: { height: 2, width: 6 } },
    ];
    const { times, heights, widths, next } = rowPositions(8, images);
    expect([...times]).toEqual([0, 1, 1, 3, 4, 4, 4, 7]);
    expect([...heights]).toEqual([0, 1, 2, 3, 4, 4, 4, 7]);
    expect([...widths]).toEqual([0, 1, 1, 3, 4, 5, 6, 7]);
    expect(next).toBe(8);
  });
});

describe('messages with images', () => {
  const report = () => new RowReport(new ProblemCollector('a.jsonl'), 1);

  it('keep them where messages of one role are merged', () => {
    const settings = {
      ...ROW_SETTINGS,
      chats: { ...ROW_SETTINGS.chats, same_role: 'merge' },
    } as const;
    const chat = orderChat(
      [
        user(image('a.png'), text('x')),
        { role: 'user', content: 'y' },
        { role: 'assistant', content: 'z' },
      ],
      'messages',
      settings,
      report(),
    );
    expect(chat?.[0]?.content).toEqual([image('a.png'), text('x'), text('\n\n'), text('y')]);
  });

  it('keep them where a system message is put in front', () => {
    const folded = foldSystem({
      kind: 'messages',
      line: 1,
      messages: [{ role: 'system', content: 'Be brief.' }, user(image('a.png'), text('x'))],
    });
    const messages = folded?.kind === 'messages' ? folded.messages : [];
    expect(messages).toEqual([user(text('Be brief.\n\n'), image('a.png'), text('x'))]);
    expect(contentOf(messages[0]!)).toBe('Be brief.\n\nx');
    expect(imagesOf(messages)).toEqual(['a.png']);
  });
});
