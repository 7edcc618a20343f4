import { describe, expect, it } from 'vitest';
import { parseJinja } from '../../../../src/data/chat/jinja/template';
import { DuplicateFinder } from '../../../../src/data/dataset/duplicates';
import { ProblemCollector } from '../../../../src/data/dataset/problems';
import { readRow } from '../../../../src/data/rows/readRow';
import { RowReport } from '../../../../src/data/rows/rowReport';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import { parseExactly } from '../../../../src/shared/exactJson';

function read(text: string) {
  const problems = new ProblemCollector('f');
  const report = new RowReport(problems, 1);
  const row = readRow(text, { line: 1, report, settings: ROW_SETTINGS });
  return { row, problems: problems.problems().map(({ message }) => message) };
}

const printed = (variables: Readonly<Record<string, unknown>>, expression: string): string =>
  parseJinja(`{{ ${expression} }}`, () => '').render(variables).text;

const rendered = (text: string, expression: string): string => {
  const { row, problems } = read(text);
  expect(problems).toEqual([]);
  if (row?.kind !== 'messages') throw new Error('no chat');
  return printed({ ...row.variables, messages: row.messages }, expression);
};

/** JSON, and what Python's json.dumps(json.loads(…), ensure_ascii=False) makes of it. */
const VALUES: readonly (readonly [string, string])[] = [
  ['{"x":1.0,"y":-0.0,"z":0.5}', '{"x": 1.0, "y": -0.0, "z": 0.5}'],
  ['[1e5,1E2,1e-7,1e22,1.5e300]', '[100000.0, 100.0, 1e-07, 1e+22, 1.5e+300]'],
  [
    '[9007199254740993,-123456789012345678901234567890,-0]',
    '[9007199254740993, -123456789012345678901234567890, 0]',
  ],
  [
    '{"10":"a","b":1,"2":{"1":1,"0":2},"01":3}',
    '{"10": "a", "b": 1, "2": {"1": 1, "0": 2}, "01": 3}',
  ],
  ['{"\\u0032":1,"\\u0031":2,"a":"\\u00e9\\u2028\\/"}', '{"2": 1, "1": 2, "a": "é\u2028/"}'],
  ['{"__proto__":{"a":1},"a":2}', '{"__proto__": {"a": 1}, "a": 2}'],
  [
    '{"text":"1.0 and \\"7\\": 12345678901234567890"}',
    '{"text": "1.0 and \\"7\\": 12345678901234567890"}',
  ],
];

describe('what templates print of rows', () => {
  const chat = '"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]';

  it.each(VALUES)('is what Python prints: %s', (json, expected) => {
    const tool = `{"type":"function","function":{"name":"f","parameters":${json}}}`;
    const printedTool = `[{"type": "function", "function": {"name": "f", "parameters": ${expected}}}]`;
    expect(rendered(`{${chat},"tools":[${tool}]}`, 'tools | tojson')).toBe(printedTool);
    const asText = JSON.stringify(`[${tool}]`);
    expect(rendered(`{${chat},"tools":${asText}}`, 'tools | tojson')).toBe(printedTool);
    const functions = `"functions":[{"name":"f","parameters":${json}}]`;
    expect(rendered(`{${chat},${functions}}`, 'tools | tojson')).toBe(printedTool);
    expect(rendered(`{${chat},"documents":[{"d":${json}}]}`, 'documents[0].d | tojson')).toBe(
      expected,
    );
    expect(rendered(`{${chat},"chat_template_kwargs":{"k":${json}}}`, 'k | tojson')).toBe(expected);
    const call = `{"name":"f","arguments":${json}}`;
    const calling = (message: string) => `{"messages":[{"role":"user","content":"q"},${message}]}`;
    const argumentsOf = 'messages[1].tool_calls[0].function.arguments | tojson';
    expect(
      rendered(calling(`{"role":"assistant","tool_calls":[{"function":${call}}]}`), argumentsOf),
    ).toBe(expected);
    expect(rendered(calling(`{"role":"assistant","function_call":${call}}`), argumentsOf)).toBe(
      expected,
    );
    expect(
      rendered(
        `{"conversations":[{"from":"human","value":"q"},{"from":"function_call","value":${JSON.stringify(call)}}]}`,
        argumentsOf,
      ),
    ).toBe(expected);
    expect(
      rendered(
        calling(`{"role":"assistant","content":"a","extra":${json}}`),
        'messages[1].extra | tojson',
      ),
    ).toBe(expected);
  });

  it('keeps the order of keys where a call or a tool has keys that are indices', () => {
    const call = '{"name":"f","1":2,"arguments":{}}';
    expect(
      rendered(
        `{"messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[${call}]}],"tools":[${call}]}`,
        'messages[1].tool_calls | tojson ~ tools | tojson',
      ),
    ).toBe('[{"name": "f", "1": 2, "arguments": {}}]'.repeat(2));
  });

  it('reads weights written as floats', () => {
    const { row, problems } = read(
      '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","weight":0.0},{"role":"user","content":"q"},{"role":"assistant","content":"b","weight":1.0}]}',
    );
    expect(problems).toEqual([]);
    expect(row).toMatchObject({ messages: [{}, { weight: 0 }, {}, { content: 'b' }] });
  });

  it('refuses integers that Python does not read', () => {
    const { row, problems } = read(`{${chat},"tools":[{"name":"f","x":${'9'.repeat(5000)}}]}`);
    expect(row).toBeNull();
    expect(problems.join()).toContain('4300 digits');
  });

  it('is told apart among duplicates', () => {
    const finder = new DuplicateFinder();
    for (const json of [
      '{"2":1,"1":2}',
      '{"1":2,"2":1}',
      '12345678901234567890',
      '12345678901234567891',
    ])
      finder.add(read(`{${chat},"documents":[{"d":${json}}]}`).row!);
    expect(finder.count).toBe(0);
  });

  it('is what JSON.parse gives where nothing would change', () => {
    const text = '{"a":[1,"b",null,true,{"c":0.25}]}';
    expect(parseExactly(text)).toEqual(JSON.parse(text));
    expect(() => parseExactly('{"a":1.0,}')).toThrow(SyntaxError);
  });
});

it('values nested too deeply exceed the budget of a template', () => {
  const depth = 200_000;
  const deep: unknown = JSON.parse('['.repeat(depth) + ']'.repeat(depth));
  const template = parseJinja('a', () => '');
  expect(() => template.render({ deep })).toThrow(
    expect.objectContaining({ problem: 'budget', message: 'it nests too deeply' }),
  );
  expect(template.render({ deep: [] }).text).toBe('a');
});
