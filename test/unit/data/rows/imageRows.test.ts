import { describe, expect, it } from 'vitest';
import { ProblemCollector } from '../../../../src/data/dataset/problems';
import { LONGEST_EMBEDDED } from '../../../../src/data/images/embedded';
import { readRow } from '../../../../src/data/rows/readRow';
import { RowReport } from '../../../../src/data/rows/rowReport';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';

function read(row: unknown) {
  const problems = new ProblemCollector('f');
  const report = new RowReport(problems, 1);
  const settings = { ...ROW_SETTINGS, task: 'causal_lm' as const };
  const result = readRow(JSON.stringify(row), { line: 1, report, settings });
  return { row: result, problems: problems.problems().map(({ message }) => message) };
}

const text = (own: string) => ({ type: 'text', text: own });
const image = (own: string) => ({ type: 'image', image: own });
const place = { type: 'image' };
const user = (...content: object[]) => ({ role: 'user', content });
const answer = { role: 'assistant', content: 'Yes.' };
const PIXEL = 'data:image/png;base64,iVBORw0KGgo=';

/** What our own form of a row becomes. */
const same = (row: object, own: object) => {
  const { row: have, problems } = read(row);
  expect(problems).toEqual([]);
  expect(have).toEqual(read(own).row);
};

describe('the columns of images that TRL reads', () => {
  const own = {
    messages: [
      user(image('a.png'), text('and'), image('b.png')),
      answer,
      user(text('So?')),
      answer,
    ],
  };

  it('fill the places in messages, in their order', () => {
    const messages = [user(place, text('and'), place), answer, user(text('So?')), answer];
    same({ messages, images: ['a.png', 'b.png'] }, own);
    same({ conversations: messages, images: ['a.png', 'b.png'] }, own);
    const stored = ['a.png', 'b.png'].map((path) => ({ path, bytes: null }));
    same({ messages, images: stored }, own);
  });

  it('stand in front of the first text of the user where there are no places', () => {
    const messages = [
      { role: 'system', content: 'Look.' },
      { role: 'user', content: 'What?' },
      answer,
      { role: 'user', content: 'So?' },
      answer,
    ];
    const filled = [
      messages[0]!,
      user(image('a.png'), image('b.png'), text('What?')),
      ...messages.slice(2),
    ];
    same({ messages, images: ['a.png', 'b.png'] }, { messages: filled });
  });

  it('may be one image', () =>
    same(
      { messages: [user(place, text('What?')), answer], image: 'a.png' },
      { messages: [user(image('a.png'), text('What?')), answer] },
    ));

  it('belong to the prompt of a prompt and a completion', () =>
    same(
      { prompt: [user(place, text('What?'))], completion: [answer], images: ['a.png'] },
      { prompt: [user(image('a.png'), text('What?'))], completion: [answer] },
    ));

  it.each([null, []])('may be empty: %j', (images) =>
    same(
      { messages: [{ role: 'user', content: 'a' }, answer], images },
      {
        messages: [{ role: 'user', content: 'a' }, answer],
      },
    ),
  );

  it.each([
    [{ images: 'a.png' }, '"images" must be a list of paths, not text.'],
    [{ images: [3] }, '"images[0]" must be the path of a PNG or JPEG file, not a number.'],
    [{ images: [{ bytes: 'x', path: 'a.png' }] }, 'whose bytes are in the table are not read'],
    [{ images: ['a.png', ' '] }, '"images[1]" must be the path'],
    [{ image: {} }, '"image" must be the path'],
    [{ image: 'a.png', images: ['a.png'] }, 'A row can have "images" or "image", not both.'],
    [{ images: ['a.png', 'b.png'] }, 'has 2 images, but its messages have 1 place for images'],
    [{ images: ['https://a/b.png'] }, 'not an address: nothing is downloaded'],
  ])('are refused by name: %j', (columns, message) => {
    const { row, problems } = read({ messages: [user(place, text('a')), answer], ...columns });
    expect(row).toBeNull();
    expect(problems.join()).toContain(message);
  });

  it('need messages with places that are free', () => {
    const filled = { messages: [user(image('a.png'), text('a')), answer], images: ['b.png'] };
    expect(read(filled).problems.join()).toContain('1 image, but its messages have 0 places');
    const plain = { prompt: 'a', completion: 'b', images: ['a.png'] };
    expect(read(plain).problems.join()).toContain('A row with images needs messages');
    expect(read({ messages: [user(place), answer] }).problems.join()).toContain('not nothing');
  });
});

describe('images that are named otherwise', () => {
  it('are the same parts', () => {
    for (const part of [
      { type: 'image', path: 'a.png' },
      { type: 'image', url: 'a.png' },
      { type: 'image_url', image_url: 'a.png' },
      { type: 'image_url', image_url: { url: 'a.png', detail: 'high' } },
    ])
      same({ messages: [user(part), answer] }, { messages: [user(image('a.png')), answer] });
  });

  it('may be within the row', () =>
    same(
      { messages: [user({ type: 'image_url', image_url: { url: PIXEL } }), answer] },
      { messages: [user(image(PIXEL)), answer] },
    ));

  it.each([
    ['http://a/b.png', '"url" must be the path of a file, not an address: nothing is downloaded.'],
    ['a\0.png', '"url" has a null character, which no path has.'],
    ['data:text/html;base64,AAAA', '"url" must begin with data:image/png;base64,'],
    ['data:image/png,AAAA', '"url" must begin with data:image/png;base64,'],
    ['data:image/png;base64,A?=', '"url" has no valid base64'],
    ['data:image/png;base64,AAA', '"url" has no valid base64'],
    [`data:image/png;base64,${'A'.repeat(LONGEST_EMBEDDED)}`, 'has more than 8388608 characters'],
    ['', '"url" must be the path of a PNG or JPEG file, not an empty text.'],
  ])('are refused by name: %s', (url, message) => {
    const { row, problems } = read({
      messages: [user({ type: 'image_url', image_url: { url } }), answer],
    });
    expect(row).toBeNull();
    expect(problems.join()).toContain(message);
  });
});
