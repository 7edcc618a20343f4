import { cpSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Row } from '../../../../src/data/rows/row';
import {
  rowThumbnail,
  withNamedImages,
  withShownImages,
} from '../../../../src/inspect/dataset/rowImages';

const chats = path.resolve(import.meta.dirname, '../../../fixtures/qwen3-vl-images/chats');

const rowOf = (...images: readonly string[]): Row => ({
  kind: 'messages',
  line: 1,
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'See' },
        ...images.map((image) => ({ type: 'image', image }) as const),
      ],
    },
    { role: 'assistant', content: 'Yes.' },
  ],
});

describe('the places of images in the texts of a row', () => {
  const turns = (text: string) => [
    { role: 'user', text },
    { role: 'assistant', text: 'Yes.' },
  ];

  it('follow each other, also for the same name', () => {
    const shown = withShownImages(
      turns('See[a.png][a.png][image]'),
      rowOf('x/a.png', 'y/a.png', 'data:image/png;base64,AAAA'),
    );
    expect(shown).toEqual([
      {
        ...turns('See[a.png][a.png][image]')[0],
        images: [
          { at: 3, end: 10, image: 0 },
          { at: 10, end: 17, image: 1 },
          { at: 17, end: 24, image: 2 },
        ],
      },
      turns('')[1],
    ]);
  });

  it('are those of a column that has a path alone', () => {
    const row: Row = { kind: 'captioned', line: 1, image: 'x/a.png', text: 'a hinge' };
    const own = [
      { role: 'image', text: 'x/a.png' },
      { role: 'text', text: 'a hinge' },
    ];
    expect(withShownImages(own, row)).toEqual([
      { ...own[0], images: [{ at: 0, end: 7, image: 0 }] },
      own[1],
    ]);
  });

  it('stand apart from the text where only names are shown, as in the grid', () => {
    const row = rowOf('x/a.png', 'b.png', 'b.png');
    const named = (text: string) => withNamedImages(turns(text), row)[0]!.text;
    expect(named('[a.png]Which is tall?[b.png][b.png]')).toBe(
      '[a.png] Which is tall? [b.png] [b.png]',
    );
    expect(named('Is [a.png] it?\n[b.png]\n')).toBe('Is [a.png] it? [b.png]');
    expect(named('a list[0]')).toBe('a list[0]');
    expect(withNamedImages(turns('See [x]'), null)).toEqual(turns('See [x]'));
  });

  it('are none without a row, or where the text is another', () => {
    expect(withShownImages(turns('See'), null)).toEqual(turns('See'));
    expect(withShownImages(turns('See'), rowOf('a.png'))).toEqual(turns('See'));
  });
});

describe('a thumbnail of a row', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'row-images-'));
    mkdirSync(path.join(folder, 'data'));
    cpSync(path.join(chats, 'wide.png'), path.join(folder, 'data', 'wide.png'));
    cpSync(path.join(chats, 'tall.png'), path.join(folder, 'tall.png'));
    symlinkSync(path.join(folder, 'tall.png'), path.join(folder, 'data', 'link.png'));
    writeFileSync(path.join(folder, 'data', 'no.png'), 'text');
  });
  const thumbnail = (...images: readonly string[]) =>
    rowThumbnail(rowOf(...images), images.length - 1, path.join(folder, 'data'));

  it('is of a file in the folder of the dataset', async () => {
    expect((await thumbnail('tall.png', 'wide.png')).url).toMatch(/^data:image\/png;base64,/);
  });

  it.each(['../tall.png', 'link.png', '/tall.png', '\\\\host\\share\\a.png'])(
    'is none of %s, which is elsewhere or missing',
    async (image) => {
      await expect(thumbnail(image)).rejects.toThrow(/outside of the folder|cannot be read/);
    },
  );

  it('is none of what is no image, or of no image', async () => {
    await expect(thumbnail('no.png')).rejects.toThrow('neither a PNG nor a JPEG');
    await expect(rowThumbnail(rowOf('wide.png'), 1, folder)).rejects.toThrow('no such image');
  });
});
