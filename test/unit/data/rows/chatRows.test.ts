import { describe, expect, it } from 'vitest';
import { ProblemCollector } from '../../../../src/data/dataset/problems';
import { readRow } from '../../../../src/data/rows/readRow';
import { RowReport } from '../../../../src/data/rows/rowReport';
import { ROW_SETTINGS, type RowSettings } from '../../../../src/data/rows/settings';

const ROLES = ['system', 'user', 'assistant', 'user', 'assistant'];

/** What a row becomes, with the messages of its problems. */
function read(row: unknown, tools: RowSettings['tools'] = null) {
  const problems = new ProblemCollector('f');
  const report = new RowReport(problems, 1);
  const result = readRow(JSON.stringify(row), {
    line: 1,
    report,
    settings: { ...ROW_SETTINGS, tools },
  });
  return { row: result, problems: problems.problems().map(({ message }) => message) };
}

describe('rows', () => {
  it('of chats keep tools, variables and what messages hold beside their text', () => {
    const call = { type: 'function', function: { name: 'f', arguments: { a: 1 } } };
    const chat = [
      { role: 'developer', content: 'd' },
      { role: 'user', content: 'q', weight: 0 },
      { role: 'assistant', content: null, tool_calls: [call], name: null },
      { role: 'tool', content: 't', tool_call_id: 'x' },
      { role: 'tool', content: 'u' },
      { role: 'assistant', content: 'a', thinking: 'b' },
    ];
    const tools = [{ type: 'function', function: { name: 'f' } }];
    const { row, problems } = read({
      messages: chat,
      tools: JSON.stringify(tools),
      documents: [],
      chat_template_kwargs: { deep: true },
    });
    expect(problems).toEqual([]);
    expect(row).toEqual({
      kind: 'messages',
      line: 1,
      messages: [
        chat[0],
        { role: 'user', content: 'q' },
        { role: 'assistant', tool_calls: [call] },
        ...chat.slice(3),
      ],
      variables: { deep: true, tools },
    });
    expect(read({ messages: chat, functions: [{ name: 'f' }] }).row).toMatchObject({
      variables: { tools },
    });
  });

  it('get the tools of the recipe, unless they have a list of their own', () => {
    const messages = [
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'a' },
    ];
    const shared = [{ name: 'f' }];
    const toolsOf = (row: object, tools: RowSettings['tools'] = shared) => {
      const { row: result } = read(row, tools);
      return result?.kind === 'messages' ? result.variables?.['tools'] : result?.kind;
    };
    expect(toolsOf({ messages })).toEqual(shared);
    expect(toolsOf({ messages }, JSON.stringify(shared))).toEqual(shared);
    expect(toolsOf({ prompt: 'q', completion: 'a' })).toEqual(shared);
    expect(toolsOf({ instruction: 'q', output: 'a' })).toEqual(shared);
    expect(toolsOf({ messages, tools: null })).toEqual(shared);
    expect(toolsOf({ messages, tools: [{ name: 'g' }] })).toEqual([{ name: 'g' }]);
    expect(toolsOf({ messages, tools: [] })).toBeNull();
    expect(toolsOf({ prompt: 'q', completion: 'a' }, null)).toBe('completion');
    expect(toolsOf({ text: 'q' })).toBe('text');
  });

  it('of ShareGPT join calls of tools that follow each other', () => {
    const { row } = read({
      conversations: [
        { from: 'human', value: 'q' },
        { from: 'function_call', value: '{"name": "f", "arguments": {"a": 1}}' },
        { from: 'function_call', value: '{"name": "g", "arguments": {}}' },
        { from: 'observation', value: 't' },
        { from: 'gpt', value: 'a' },
      ],
    });
    expect(row).toMatchObject({
      messages: [
        { role: 'user' },
        {
          role: 'assistant',
          tool_calls: [
            { type: 'function', function: { name: 'f', arguments: { a: 1 } } },
            { type: 'function', function: { name: 'g', arguments: {} } },
          ],
        },
        { role: 'tool', content: 't' },
        { role: 'assistant', content: 'a' },
      ],
    });
  });

  it('of chats with a system text beside them begin with it', () => {
    const [user, assistant] = [
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'a' },
    ];
    const system = { role: 'system', content: 's' };
    const rows = [
      { messages: [user, assistant], system: 's' },
      {
        conversations: [
          { from: 'human', value: 'q' },
          { from: 'gpt', value: 'a' },
        ],
        system: 's',
      },
      { instruction: 'q', output: 'a', system: 's' },
      { prompt: 'q', completion: 'a', system: 's' },
      { messages: [system, user, assistant], system: 's' },
    ];
    for (const row of rows)
      expect(read(row)).toMatchObject({
        problems: [],
        row: { messages: [system, user, assistant] },
      });
    const own = read({ messages: [system, user, assistant], system: 'other' });
    expect(own.row).toMatchObject({ messages: [system, user, assistant] });
    expect(own.problems).toEqual([
      '"system" is not used, because the messages begin with another system message.',
    ]);
    expect(read({ messages: [user, assistant], system: '' }).row).toMatchObject({
      messages: [user, assistant],
    });
  });

  it('of Alpaca begin with the turns of their history', () => {
    const { row } = read({ instruction: 'c', output: 'd', history: [['a', 'b']], system: 's' });
    expect(row).toMatchObject({
      messages: ['s', 'a', 'b', 'c', 'd'].map((content, i) => ({ role: ROLES[i], content })),
    });
  });

  it.each([
    { weight: 0 },
    { train: false },
    { training: false },
    { trainable: false },
    { loss: false },
    { loss_scale: 0 },
    { masked: true },
  ])('of chats do not learn an answer that says %j', (flag) => {
    const weight = (own: object) =>
      read({
        messages: [
          { role: 'user', content: 'q' },
          { role: 'assistant', content: 'a', ...own },
        ],
      }).row as { messages?: readonly { weight?: number }[] } | null;
    expect(weight(flag)?.messages?.[1]).toEqual({ role: 'assistant', content: 'a', weight: 0 });
    const [[name, value]] = Object.entries(flag) as [[string, unknown]];
    const opposite = { [name]: typeof value === 'number' ? 1 : !value };
    for (const other of [{}, { [name]: null }, opposite])
      expect(weight(other)?.messages?.[1]).toEqual({ role: 'assistant', content: 'a' });
  });
});
