import { mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { appendRows } from '../../../../src/host/playground/appendRows';
import { pairOf } from '../../../../src/host/playground/pairs';
import { withRelativeImages } from '../../../../src/host/playground/relativeImages';

const temp = () => mkdtemp(path.join(tmpdir(), 'append-'));

describe('rows that are appended', () => {
  it('stand at the end of the file, each on its own line', async () => {
    const file = path.join(await temp(), 'rows.jsonl');
    await appendRows(file, ['{"a": 1}']);
    await appendRows(file, ['{"b": 2}', '{"c": "é"}']);
    expect(await readFile(file, 'utf8')).toBe('{"a": 1}\n{"b": 2}\n{"c": "é"}\n');
    await writeFile(file, '{"open": 1}');
    await appendRows(file, ['{"d": 4}']);
    expect(await readFile(file, 'utf8')).toBe('{"open": 1}\n{"d": 4}\n');
  });

  it('are refused for links, folders, other files and rows of several lines', async () => {
    const folder = await temp();
    const file = path.join(folder, 'rows.jsonl');
    await writeFile(file, 'kept\n');
    await symlink(file, path.join(folder, 'link.jsonl'));
    await mkdir(path.join(folder, 'folder.jsonl'));
    await writeFile(path.join(folder, 'notes.txt'), 'kept\n');
    for (const name of ['link.jsonl', 'folder.jsonl', 'notes.txt'])
      await expect(appendRows(path.join(folder, name), ['{}'])).rejects.toThrow(
        'The rows cannot be appended',
      );
    await expect(appendRows(file, ['{\n}'])).rejects.toThrow('several lines');
    expect(await readFile(file, 'utf8')).toBe('kept\n');
    expect(await readFile(path.join(folder, 'notes.txt'), 'utf8')).toBe('kept\n');
  });
});

describe('a pair', () => {
  const chat = (content: string, more: object = {}) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: 'q' },
        { role: 'assistant', content },
      ],
      ...more,
    });

  it('has the prompt and both answers in the form of TRL', () => {
    const tools = [{ name: 'f' }];
    expect(JSON.parse(pairOf(chat('a', { tools }), chat('b', { tools }))!)).toEqual({
      prompt: [{ role: 'user', content: 'q' }],
      chosen: [{ role: 'assistant', content: 'a' }],
      rejected: [{ role: 'assistant', content: 'b' }],
      tools,
    });
    const text = (completion: string) => JSON.stringify({ prompt: 'p', completion });
    expect(JSON.parse(pairOf(text('a'), text('b'))!)).toEqual({
      prompt: 'p',
      chosen: 'a',
      rejected: 'b',
    });
  });

  it('keeps numbers as they are written', () => {
    const call = (n: string) => `{"messages": [{"role": "user", "content": "q"}, {"n": ${n}}]}`;
    expect(pairOf(call('1.0'), call('2'))).toContain('"chosen": [{"n": 1.0}]');
  });

  it.each([
    ['equal answers', chat('a'), chat('a')],
    ['other questions', chat('a'), chat('b').replace('"q"', '"r"')],
    ['other tools', chat('a', { tools: [] }), chat('b')],
    ['a chat and a text', chat('a'), '{"prompt": "q", "completion": "a"}'],
    ['no JSON', 'x', chat('a')],
    ['no row', '[]', chat('a')],
  ])('is none of %s', (_, chosen, rejected) => {
    expect(pairOf(chosen, rejected)).toBeNull();
  });
});

describe('the images of a row', () => {
  const row = (image: string) =>
    JSON.stringify({
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', image },
            { type: 'text', text: '/data/b.png' },
          ],
        },
        { role: 'assistant', content: 'A hinge.' },
      ],
    });

  it('are named relative to the folder of the dataset', () => {
    const relative = (image: string, folder: string): unknown =>
      JSON.parse(withRelativeImages(row(image), folder));
    expect(relative('/data/photos/a.png', '/data')).toEqual(JSON.parse(row('photos/a.png')));
    expect(relative('/data/.lora/images/a.png', '/data/sets')).toEqual(
      JSON.parse(row('../.lora/images/a.png')),
    );
  });

  it('stay as they are within the text, or if they are relative already', () => {
    for (const image of ['data:image/png;base64,AAAA', 'photos/a.png'])
      expect(withRelativeImages(row(image), '/data')).toBe(row(image));
    const exact = '{"messages":[{"role":"user","content":"/data/a.png"}],"n":1.0}';
    expect(withRelativeImages(exact, '/data')).toBe(exact);
  });
});
