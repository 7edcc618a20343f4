import { describe, expect, it } from 'vitest';
import { ProblemCollector } from '../../../../src/data/dataset/problems';
import { readRow } from '../../../../src/data/rows/readRow';
import { RowReport } from '../../../../src/data/rows/rowReport';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import type { Task } from '../../../../src/shared/task';

const ROLES = ['system', ...Array.from({ length: 4 }, () => ['user', 'assistant']).flat()];

/** What a line becomes, with its problems as "message @ key". */
function read(row: unknown, task: Task = 'causal_lm') {
  const problems = new ProblemCollector('f');
  const report = new RowReport(problems, 1);
  const settings = { ...ROW_SETTINGS, task };
  const text = typeof row === 'string' ? row : JSON.stringify(row);
  const result = readRow(text, { line: 1, report, settings });
  return {
    row: result,
    problems: problems
      .problems()
      .map((p) => p.message + (p.place?.key === undefined ? '' : ` @ ${p.place.key}`)),
  };
}

describe('the weight of a row', () => {
  it('is part of it unless it is 1, in every format', () => {
    expect(read({ text: 'a', weight: 2.5 })).toMatchObject({ row: { weight: 2.5 }, problems: [] });
    expect(read({ text: 'a', label: 'x', weight: 0.1 }, 'seq_cls').row).toMatchObject({
      weight: Math.fround(0.1),
    });
    expect(read({ anchor: 'a', positive: 'b', weight: 3 }, 'embedding').row).toMatchObject({
      weight: 3,
    });
    // as in a CSV file
    expect(read({ text: 'a', weight: ' 2.5' }).row).toMatchObject({ weight: 2.5 });
    for (const weight of [1, null])
      expect(read({ text: 'a', weight })).toEqual({
        row: { kind: 'text', line: 1, text: 'a' },
        problems: [],
      });
  });

  it('of 0 leaves it out, which is said', () =>
    expect(read({ text: 'a', weight: 0 })).toEqual({
      row: null,
      problems: ['The row has the weight 0 and is left out.'],
    }));

  it.each([-1, 'two', '', true, [], 1e39])('is refused: %j', (weight) => {
    const { row, problems } = read({ text: 'a', weight });
    expect(row).toBeNull();
    expect(problems).toEqual([
      expect.stringMatching(/^"weight" must be a number of at least 0.* @ weight$/),
    ]);
  });
});

it.each([
  [{ negative: '' }, '"negative" is empty. @ negative'],
  [{ negatives: 'c' }, '"negatives" must be a list of texts, not text. @ negatives'],
  [{ negatives: ['c', 1] }, '"negatives" must hold texts only, not a number. @ negatives[1]'],
  [{ negatives: new Array(17).fill('c') }, 'A row can have at most 16 negatives. @ negatives'],
  [{ score: 'high' }, '"score" must be a number, how similar the two texts are. @ score'],
])('a pair with %j is refused', (columns, problem) =>
  expect(read({ anchor: 'a', positive: 'b', ...columns }, 'embedding')).toEqual({
    row: null,
    problems: [problem],
  }),
);

describe('rows of each format', () => {
  it.each<[Task, object, object]>([
    ['causal_lm', { text: 'a' }, { kind: 'text', text: 'a' }],
    [
      'causal_lm',
      { prompt: '', completion: 'b' },
      { kind: 'completion', prompt: '', completion: 'b' },
    ],
    [
      'seq_cls',
      { text: 'a', label: 'x' },
      { kind: 'labelled', text: 'a', text_pair: null, label: 'x' },
    ],
    ['seq_cls', { text: 'a', text_pair: 'b', label: true }, { text_pair: 'b', label: 'true' }],
    [
      'seq_cls',
      { text: 'a', text_pair: null, labels: ['x', 2] },
      { text_pair: null, label: ['x', 2] },
    ],
    [
      'seq_cls',
      { sentence1: 'a', sentence2: 'b', label: 0 },
      { text: 'a', text_pair: 'b', label: 0 },
    ],
    ['seq_cls', { sentence: 'a', label: 0.5 }, { text: 'a', text_pair: null, label: 0.5 }],
    ['token_cls', { tokens: ['a'], tags: ['x'] }, { kind: 'tagged', tokens: ['a'], tags: ['x'] }],
    ['token_cls', { tokens: ['a'], ner_tags: [3] }, { tags: [3] }],
    ['token_cls', { tokens: ['a'], labels: [3] }, { tags: [3] }],
    ['embedding', { anchor: 'a', positive: 'b' }, { kind: 'pair', anchor: 'a', positive: 'b' }],
    ['embedding', { query: 'a', positive: 'b' }, { anchor: 'a', positive: 'b' }],
    [
      'embedding',
      { anchor: 'a', positive: 'b', negative: 'c', negative_2: 'd', negatives: ['e'] },
      { negatives: ['c', 'd', 'e'] },
    ],
    ['embedding', { sentence1: 'a', sentence2: 'b', score: 0.25 }, { score: 0.25 }],
    ['embedding', { sentence1: 'a', sentence2: 'b', label: '1' }, { score: 1 }],
    ['embedding', { sentence1: 'a', sentence2: 'b' }, { anchor: 'a', positive: 'b' }],
  ])('%s: %j', (task, columns, want) => {
    const { row, problems } = read(columns, task);
    expect(problems).toEqual([]);
    expect(row).toMatchObject({ line: 1, ...want });
  });

  it('of instructions have the input, if there is any, below them', () => {
    const content = (input: unknown) => {
      const { row } = read({
        instruction: 'do',
        output: 'done',
        ...(input !== undefined && { input }),
      });
      return row?.kind === 'messages' ? row.messages : null;
    };
    const answered = (question: string) => [
      { role: 'user', content: question },
      { role: 'assistant', content: 'done' },
    ];
    expect(content('this')).toEqual(answered('do\n\nthis'));
    for (const nothing of [undefined, null, '']) expect(content(nothing)).toEqual(answered('do'));
    expect(content(3)).toBeNull();
  });

  it('of chats know other names of the roles, and text in parts', () => {
    const chat = [
      { from: 'system', value: 's' },
      { from: 'human', value: 'a' },
      { from: 'gpt', value: 'b' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'c' },
          { type: 'text', text: 'd' },
        ],
      },
      { role: 'chatgpt', content: 'e' },
      { role: 'user', content: 'f' },
      { role: 'model', content: 'g' },
      { role: 'user', content: 'h' },
      { role: 'bot', content: 'i' },
    ];
    const { row, problems } = read({ conversations: chat });
    expect(problems).toEqual([]);
    expect(row).toMatchObject({
      kind: 'messages',
      messages: ['s', 'a', 'b', 'cd', 'e', 'f', 'g', 'h', 'i'].map((content, i) => ({
        content,
        role: ROLES[i]!,
      })),
    });
  });

  it('of two lists of messages are one chat', () => {
    const [user, assistant] = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ];
    expect(read({ prompt: [user], completion: [assistant] }).row).toMatchObject({
      kind: 'messages',
      messages: [user, assistant],
    });
    expect(read({ prompt: [{ role: 'users', content: 'a' }], completion: [] }).problems).toEqual([
      expect.stringContaining('@ prompt+completion[0].role'),
    ]);
    expect(read({ prompt: [user, assistant, user], completion: [assistant] }).row).toMatchObject({
      messages: [user, { ...assistant, weight: 0 }, user, assistant],
    });
  });

  it('of token ids lose their padding at both ends', () => {
    expect(
      read({ input_ids: [0, 5, 6, 0], labels: [-100, -100, 6, -100], attention_mask: [0, 1, 1, 0] })
        .row,
    ).toEqual({
      kind: 'tokenized',
      line: 1,
      input_ids: [5, 6],
      labels: [-100, 6],
      attention_mask: [1, 1],
    });
    expect(read({ input_ids: [0, 7] }).row).toMatchObject({
      labels: [0, 7],
      attention_mask: [1, 1],
    });
  });
});

describe('what is wrong in a row', () => {
  it.each<[unknown, string, Task?]>([
    ['{"text": "a"', 'Not valid JSON: close brace expected'],
    ["{'text': 1}", 'JSON wants double quotes'],
    ['3', 'not a number'],
    ['null', 'not null'],
    ['"a"', 'not text'],
    ['true', 'not true or false'],
    ['[]', 'not an empty list'],
    ['[1]', 'not a list'],
    [{}, 'The row is empty; known rows have: messages'],
    [{ q: 1, zzz: 2 }, 'The row has "q", "zzz"; known rows'],
    [{ txt: 'a' }, '"txt" is not a known key; did you mean "text"? @ txt'],
    [
      { prompt: 'a', completio: 'b' },
      '"completion" is missing; is it misspelled as "completio"? @ completio',
    ],
    [{ prompt: 'a' }, '"completion" is missing. @ completion'],
    [
      { instruction: 'a', output: 'b', inputs: 'c' },
      '"inputs" is not a known key; did you mean "input"? @ inputs',
    ],
    [{ text: 'a', other: 1 }, '"other" is not used.'],
    [{ text: '  ' }, '"text" is empty. @ text'],
    [{ text: null }, '"text" must be text, not null. @ text'],
    [{ messages: 'a' }, '"messages" must be a list of messages, not text. @ messages'],
    [{ messages: [3] }, 'not a number. @ messages[0]'],
    [{ messages: [{ content: 'a' }] }, '"role" is missing. @ messages[0]'],
    [
      { messages: [{ roel: 'user', content: 'a' }] },
      '"role" is missing; is it misspelled as "roel"? @ messages[0]',
    ],
    [{ messages: [{ role: 'user' }] }, '"content" is missing. @ messages[0]'],
    [
      { messages: [{ role: 3, content: 'a' }] },
      '"role" must be text, not a number. @ messages[0].role',
    ],
    [{ messages: [{ role: ' ', content: 'a' }] }, 'The role " " is not known. @ messages[0].role'],
    [{ messages: [{ role: 'users', content: 'a' }] }, 'did you mean "user"? @ messages[0].role'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image', text: 'x' }] }] },
      '"image" must be the path of a PNG or JPEG file, not nothing. @ messages[0].content[0].image',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'image', image: 'https://a/b.png' }] }] },
      '"image" must be the path of a file, not an address: nothing is downloaded. @ messages[0].content[0].image',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'image', image: 'data:image/png,a' }] }] },
      '"image" must begin with data:image/png;base64, or data:image/jpeg;base64,. @ messages[0].content[0].image',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'video', video: 'a.mp4' }] }] },
      'Parts of the type "video" are not supported, only text, image and image_url. @ messages[0].content[0].type',
    ],
    [
      { messages: [{ role: 'user', content: ['a'] }] },
      'A part must be {"type": "text", "text": "…"} or {"type": "image", "image": "FILE"}, not text',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'text', text: 1 }] }] },
      '"text" must be text, not a number. @ messages[0].content[0].text',
    ],
    [
      {
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: [{ type: 'image', image: 'a.png' }] },
        ],
      },
      "An assistant's answer is text: it cannot have an image. @ messages[1].content",
    ],
    [{ messages: [{ value: 'a' }] }, '"from" is missing. @ messages[0]'],
    [
      { messages: [{ role: 'assistant', content: ' ' }] },
      "The assistant's answer is empty. @ messages[0].content",
    ],
    [
      { messages: [{ role: 'assistant', content: null }] },
      '"content" must be text, not null. @ messages[0].content',
    ],
    [
      { messages: [{ role: 'assistant', content: 'a', tool_calls: [{ id: 'x' }] }] },
      'A tool call must have a "function" with a "name". @ messages[0].tool_calls[0]',
    ],
    [
      { messages: [{ role: 'assistant', content: 'a', reasoning_content: 3 }] },
      '"reasoning_content" must be text, not a number. @ messages[0].reasoning_content',
    ],
    [
      { messages: [{ role: 'assistant', content: 'a', weight: 0.5 }] },
      '"weight" must be 0 or 1, or true or false, not 0.5. @ messages[0].weight',
    ],
    [
      { messages: [{ role: 'assistant', content: 'a', train: 'no' }] },
      '"train" must be 0 or 1, or true or false, not text. @ messages[0].train',
    ],
    [
      { messages: [{ role: 'assistant', content: 'a', weight: 0, train: true }] },
      '"weight" and "train" contradict each other. @ messages[0]',
    ],
    [
      { messages: [{ role: 'assistant', content: 'a', train_detail: [] }] },
      '"train_detail" is not supported: mark whole messages',
    ],
    [{ messages: [], tools: 'x' }, '"tools" must be a list of objects, not text. @ tools'],
    [{ messages: [], tools: ['x'] }, '"tools" must hold objects only. @ tools'],
    [{ messages: [], system: 3 }, '"system" must be text, not a number. @ system'],
    [
      { messages: [], chat_template_kwargs: { messages: [] } },
      '"messages" cannot be set by chat_template_kwargs. @ chat_template_kwargs.messages',
    ],
    [{ messages: [], chat_template_kwargs: 1 }, '"chat_template_kwargs" must be an object'],
    [
      { messages: [], chat_template_kwargs: '{"a": 1}' },
      '"chat_template_kwargs" must be an object, not text. @ chat_template_kwargs',
    ],
    [
      { messages: [], chat_template_kwargs: '{"a": 1, "a": 2}' },
      'The key "a" is duplicated in the same object, so one of its values would be lost: remove one. @ chat_template_kwargs',
    ],
    [{ messages: [], tools: '[{"a": 1, "a": 2}]' }, 'The key "a" is duplicated'],
    [{ messages: [], documents: '[{"a": {"b": 1, "b": 2}}]' }, '"b" is duplicated'],
    [
      { messages: [{ role: 'assistant', tool_calls: '[{"name": "f", "name": "g"}]' }] },
      'one of its values would be lost: remove one. @ messages[0].tool_calls',
    ],
    [
      { messages: [{ from: 'function_call', value: '{"name": "f", "name": "g"}' }] },
      'one of its values would be lost: remove one. @ messages[0].value',
    ],
    [
      { instruction: 'a', output: 'b', history: [['c']] },
      'An entry of "history" must be a question and its answer, both text. @ history[0]',
    ],
    [
      { instruction: 'a', output: 'b', history: 'c' },
      '"history" must be a list of [question, answer] pairs, not text. @ history',
    ],
    [
      '{"messages": [{"role": "user", "content": "a\\ud800b"}]}',
      'half of a surrogate pair (\\ud800 to \\udfff without its other half), which is not a character. @ messages[0].content',
    ],
    ['{"text": "a\\uDE00"}', 'half of a surrogate pair'],
    [{ input_ids: 3 }, '"input_ids" must be a list of whole numbers, not a number. @ input_ids'],
    [{ input_ids: [] }, '"input_ids" is empty. @ input_ids'],
    [{ input_ids: [1, 'x'] }, 'not "x". @ input_ids[1]'],
    [{ input_ids: [1, [2]] }, 'not a list. @ input_ids[1]'],
    [{ input_ids: [1, {}] }, 'not an object. @ input_ids[1]'],
    [{ input_ids: [1, null] }, 'not null. @ input_ids[1]'],
    [{ input_ids: [1, -2] }, 'A token id cannot be -2. @ input_ids[1]'],
    [{ input_ids: [1, 2, 3], labels: [2, 3, -100] }, '"labels" are shifted by one token'],
    [
      { input_ids: [1, 2, 3], labels: [1, 3, 3] },
      "A label must be its token's id (2) or -100, not 3. @ labels[1]",
    ],
    [
      { input_ids: [1, 2], attention_mask: [1] },
      '"attention_mask" has 1 entry, but "input_ids" has 2. @ attention_mask',
    ],
    [
      { input_ids: [1, 2], attention_mask: [0, 0] },
      '"attention_mask" is 0 everywhere. @ attention_mask',
    ],
    [
      { input_ids: [1, 2, 3], attention_mask: [1, 0, 1] },
      'padding at the ends. @ attention_mask[1]',
    ],
    [
      { input_ids: [1, 2, 3], attention_mask: [2, 1, 1] },
      'padding at the ends. @ attention_mask[0]',
    ],
    [{ text: 'a', label: '' }, 'not an empty text. @ label', 'seq_cls'],
    [{ text: 'a', label: null }, 'must be a name or a number, not null. @ label', 'seq_cls'],
    [{ text: 'a', label: ['x', {}] }, 'not an object. @ label[1]', 'seq_cls'],
    [{ text: 'a', text_pair: ' ', label: 1 }, '"text_pair" is empty. @ text_pair', 'seq_cls'],
    [
      { tokens: [], tags: [] },
      '"tokens" must be a list of words, not an empty list. @ tokens',
      'token_cls',
    ],
    [
      { tokens: 'a', tags: [] },
      '"tokens" must be a list of words, not text. @ tokens',
      'token_cls',
    ],
    [
      { tokens: ['a', 1], tags: [1, 2] },
      '"tokens" must hold words only, not a number. @ tokens[1]',
      'token_cls',
    ],
    [{ tokens: ['a'], tags: 'x' }, '"tags" must be a list of tags, not text. @ tags', 'token_cls'],
    [
      { tokens: ['a'], tags: [1, 2] },
      '"tags" has 2 entries, but "tokens" has 1. @ tags',
      'token_cls',
    ],
    [{ tokens: ['a'], tags: [null] }, 'not null. @ tags[0]', 'token_cls'],
    [{ anchor: 'a', positive: '' }, '"positive" is empty. @ positive', 'embedding'],
    [{ file: 'a' }, 'known rows have: a folder for each class', 'image_cls'],
  ])('%j', (row, message, task) => {
    expect(read(row, task).problems.join('\n')).toContain(message);
  });

  it('names the column of bad JSON, and shortens long keys', () => {
    const problems = new ProblemCollector('f');
    const report = new RowReport(problems, 7);
    expect(readRow('{"a" 1}', { line: 7, report, settings: ROW_SETTINGS })).toBeNull();
    expect(problems.problems()).toMatchObject([
      { message: 'Not valid JSON: colon expected.', place: { line: 7, column: 6 } },
    ]);
    const deep = '['.repeat(100_000);
    expect(read(deep).problems[0]).toMatch(/nested too deeply|expected/);
    expect(read({ [`${'k'.repeat(40)}x`]: 1 }).problems[0]).toContain(`"${'k'.repeat(40)}…"`);
    expect(read({ ['k'.repeat(40)]: 1 }).problems[0]).toContain(`"${'k'.repeat(40)}";`);
    const many = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`zzz${i}`, 1]));
    expect(read(many).problems[0]).toContain('"zzz7"; known');
  });
});
