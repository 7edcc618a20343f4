import { describe, expect, it } from 'vitest';
import { answerForm } from '../../../../src/data/chat/calls/learnForm';
import { parseAnswer, type ParsedAnswer } from '../../../../src/data/chat/calls/parseAnswer';
import { sameJson } from '../../../../src/data/chat/calls/sameJson';
import { Float } from '../../../../src/shared/exactValues';
import { smallTokenizer } from '../../../support/datasets';

const HEAD = '<|im_start|>{{ m.role }}\n';
const TAIL = '<|im_end|>\n';
const ASKS = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** A template whose answers write their calls, each as `c`, in a form. */
const templateOf = (calls: string, content = '{{ m.content or "" }}') =>
  `{% for m in messages %}${HEAD}${content}{% if m.tool_calls %}${calls}{% endif %}${TAIL}{% endfor %}${ASKS}`;
const each = (call: string, between = '') =>
  `{% for t in m.tool_calls %}{% set c = t.function %}${call}{% if not loop.last %}{{ ${JSON.stringify(between)} }}{% endif %}{% endfor %}`;

const TOOLS = [
  {
    type: 'function',
    function: {
      name: 'find',
      parameters: { type: 'object', properties: { q: { type: 'string' }, n: { type: 'integer' } } },
    },
  },
];

function parse(chat_template: string, text: string): ParsedAnswer {
  const tokenizer = smallTokenizer({ chat_template });
  return parseAnswer(text, answerForm(tokenizer), TOOLS);
}
const call = (name: string, args: object) => ({ name, arguments: args });

const HERMES = templateOf(
  each(
    '<tool_call>\n{"name": "{{ c.name }}", "arguments": {{ c.arguments | tojson }}}\n</tool_call>',
    '\n',
  ),
);

describe('calls in an answer', () => {
  const A = call('find', { q: 'a "b"', n: 2 });
  const B = call('add', { x: [1, { y: null }] });

  it.each([
    [
      'a mark around each',
      HERMES,
      '<tool_call>\n{"name": "find", "arguments": {"q": "a \\"b\\"", "n": 2}}\n</tool_call>\n<tool_call>\n{"name": "add", "arguments": {"x": [1, {"y": null}]}}\n</tool_call>',
    ],
    [
      'the same with other white space, and without its end',
      HERMES,
      '<tool_call>{"name":"find","arguments":{"q":"a \\"b\\"","n":2}}</tool_call><tool_call> {"name": "add", "arguments": {"x": [1, {"y": null}]}}',
    ],
    [
      'a list behind a mark',
      templateOf(
        `[TOOL_CALLS][${each('{"name": "{{ c.name }}", "arguments": {{ c.arguments | tojson }}, "id": "{{ t.id }}"}', ', ')}]`,
      ),
      '[TOOL_CALLS][{"name": "find", "arguments": {"q": "a \\"b\\"", "n": 2}, "id": "x"}, {"name": "add", "arguments": {"x": [1, {"y": null}]}, "id": "y"}]',
    ],
    [
      'a list without a mark, with other keys',
      templateOf(
        `[${each('{"tool_name": "{{ c.name }}", "parameters": {{ c.arguments | tojson }}}', ', ')}]`,
      ),
      '[{"tool_name": "find", "parameters": {"q": "a \\"b\\"", "n": 2}}, {"tool_name": "add", "parameters": {"x": [1, {"y": null}]}}]',
    ],
    [
      'names as keys',
      templateOf(`<calls>[${each('{"{{ c.name }}": {{ c.arguments | tojson }}}', ', ')}]</calls>`),
      '<calls>[{"find": {"q": "a \\"b\\"", "n": 2}}, {"add": {"x": [1, {"y": null}]}}]</calls>',
    ],
    [
      'names and ids in the text',
      templateOf(each('[CALL]{{ c.name }}[ID]{{ t.id }}[ARGS]{{ c.arguments | tojson }}')),
      '[CALL]find[ID]k1[ARGS]{"q": "a \\"b\\"", "n": 2}[CALL]add[ID]k2[ARGS]{"x": [1, {"y": null}]}',
    ],
    [
      'names in the text with nothing but a space behind',
      templateOf(each('<call>{{ c.name }} {{ c.arguments | tojson }}</call>')),
      '<call>find {"q": "a \\"b\\"", "n": 2}</call><call>add{"x": [1, {"y": null}]}</call>',
    ],
    [
      "Python's calls in a list without a mark",
      templateOf(
        `[${each('{{ c.name }}({% for k, v in c.arguments.items() %}{{ k }}="{{ v }}"{% if not loop.last %}, {% endif %}{% endfor %})', ', ')}]`,
      ),
      `[find(q='a "b"', n=2), add(x=[1, {"y": None}])]`,
    ],
    [
      "a mark around each of Python's calls",
      templateOf(
        each(
          '<f>{{ c.name }}({% for k, v in c.arguments.items() %}{{ k }}={{ v | tojson }}{% if not loop.last %}, {% endif %}{% endfor %})</f>',
          '\n',
        ),
      ),
      `<f>find(q="a \\"b\\"", n=2)</f>\n<f>add( x=(1, {'y': null},), )</f>`,
    ],
    [
      'arguments one by one',
      templateOf(
        each(
          '<tool_call>\n<function={{ c.name }}>\n{% for k, v in c.arguments.items() %}<parameter={{ k }}>\n{{ v if v is string else v | tojson }}\n</parameter>\n{% endfor %}</function>\n</tool_call>',
          '\n',
        ),
      ),
      '<tool_call>\n<function=find>\n<parameter=q>\na "b"\n</parameter>\n<parameter=n>\n2\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=add>\n<parameter=x>\n[1, {"y": null}]\n</parameter>\n</function>\n</tool_call>',
    ],
  ])('are read in the form of the template: %s', (_, template, text) => {
    const none = { reasoning: '', content: '', calls: [A, B], isFaulty: false };
    expect(parse(template, text)).toEqual(none);
    expect(parse(template, `Let me see.\n${text}`).calls).toEqual(
      text.startsWith('[{') || text.startsWith('[find') ? [] : [A, B],
    );
  });

  it('keeps the text before and behind them', () => {
    const text = 'First.\n<tool_call>\n{"name": "find", "arguments": {}}\n</tool_call>\nThen.';
    expect(parse(HERMES, text)).toMatchObject({
      content: 'First.\nThen.',
      calls: [call('find', {})],
    });
  });

  it('may be JSON in a JSON text', () => {
    const text = '<tool_call>\n{"name": "find", "arguments": "{\\"n\\": 2}"}\n</tool_call>';
    expect(parse(HERMES, text).calls).toEqual([call('find', { n: 2 })]);
  });

  it.each([
    ['open JSON', '<tool_call>\n{"name": "find", "arguments": {"q": "a'],
    ['wrong JSON', "<tool_call>\n{'name': 'find'}\n</tool_call>"],
    ['no name', '<tool_call>\n{"arguments": {}}\n</tool_call>'],
    ['a list as arguments', '<tool_call>\n{"name": "find", "arguments": [1]}\n</tool_call>'],
    ['no object', '<tool_call>\n3\n</tool_call>'],
  ])('are faulty with %s', (_, text) => {
    expect(parse(HERMES, text)).toMatchObject({ calls: [], isFaulty: true });
  });

  it('are none in an answer without them', () => {
    const plain = { reasoning: '', content: 'It is 3.', calls: [], isFaulty: false };
    expect(parse(HERMES, 'It is 3.')).toEqual(plain);
    expect(parse(HERMES, '{"name": "find", "arguments": {}}').calls).toEqual([]);
  });

  it('are those of known forms where the template writes none', () => {
    const template = templateOf('');
    const text = '{"name": "find", "arguments": {"n": 1}}';
    expect(parse(template, `<tool_call>[${text}, ${text}]</tool_call>`).calls).toHaveLength(2);
    expect(parse(template, text).calls).toHaveLength(1);
    const python = '[find(q="a", n=1), add()]';
    expect(parse(template, python).calls).toHaveLength(2);
    expect(parse(template, `<|tool_call_start|>${python}<|tool_call_end|>Wait.`)).toMatchObject({
      calls: [call('find', { q: 'a', n: 1 }), call('add', {})],
      content: 'Wait.',
    });
    expect(parse(template, '<|tool_call_start|>[find(q=')).toMatchObject({ isFaulty: true });
    expect(parse(template, 'print(x=1)')).toMatchObject({ calls: [], isFaulty: false });
    expect(parse(template, '[1, 2]')).toMatchObject({ calls: [], content: '[1, 2]' });
  });

  it.each<[string, unknown]>([
    [`'it\\'s \\n \\x41 \\u00e9 \\q'`, "it's \n A \u00e9 \\q"],
    ['-1_000', -1000],
    ['.5', 0.5],
    ['2.', new Float(2)],
    ['12345678901234567890', 12345678901234567890n],
    ['[True, False, None,]', [true, false, null]],
    ['()', []],
    [
      `{'b': 1, "0": 2}`,
      new Map([
        ['b', 1],
        ['0', 2],
      ]),
    ],
  ])('have values as in Python: %s', (text, value) => {
    const { calls } = parse(templateOf(''), `<|tool_call_start|>[find(a=${text})]`);
    expect(calls).toEqual([call('find', { a: value })]);
  });

  it.each([
    'find(1)',
    'find(a=1, a=2)',
    'find(a=b)',
    'find(a=007)',
    'find(**a)',
    'find(a="b)',
    'find(a=1 b=2)',
    `find(a=${'['.repeat(20_000)})`,
    `find(a=${'9'.repeat(5000)})`,
  ])('of Python are faulty: %.30s', (text) =>
    expect(parse(templateOf(''), `<|tool_call_start|>[${text}]`)).toMatchObject({
      calls: [],
      isFaulty: true,
    }),
  );

  it('takes the types of arguments that are texts from the tools', () => {
    const template = templateOf(
      each(
        '<f={{ c.name }}>{% for k, v in c.arguments.items() %}<p={{ k }}>{{ v }}</p>{% endfor %}</f>',
      ),
    );
    const text = '<f=find><p=q>12</p><p=n>12</p><p=more>True</p><p=x>None</p></f>';
    expect(parse(template, text).calls).toEqual([
      call('find', { q: '12', n: 12, more: true, x: null }),
    ]);
    expect(parse(template, '<f=find></f>').calls).toEqual([call('find', {})]);
  });

  it('takes no longer for a long answer of white space', () => {
    const text = `${' '.repeat(200_000)}x`;
    const start = performance.now();
    expect(parse(HERMES, text).content).toBe('x');
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});

describe('reasoning in an answer', () => {
  const THINKS = templateOf(
    '',
    '{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}',
  );
  const OPENED = THINKS.replace(
    "'<|im_start|>assistant\\n'",
    "'<|im_start|>assistant\\n<think>\\n'",
  );

  it.each([
    [
      'between the marks of the template',
      THINKS,
      '<think>\nWell\n</think>\n\nYes.',
      'Well',
      'Yes.',
    ],
    ['that the prompt begins', OPENED, 'Well\n</think>\n\nYes.', 'Well', 'Yes.'],
    ['that is not finished', THINKS, '<think>\nWell', 'Well', ''],
    ['that is empty', THINKS, '<think>\n\n</think>\n\nYes.', '', 'Yes.'],
    ['of a template without', templateOf(''), '<think>Well</think>Yes.', 'Well', 'Yes.'],
    ['that is none', THINKS, 'Yes.', '', 'Yes.'],
  ])('is split off: %s', (_, template, ...[text, reasoning, content]) => {
    expect(parse(template, text)).toMatchObject({ reasoning, content, calls: [] });
  });

  it('is no call, though one stands in it', () => {
    const inside = '<tool_call>{"name": "find", "arguments": {}}</tool_call>';
    const text = `<think>${inside}</think>No.`;
    expect(parse(HERMES, text)).toMatchObject({ reasoning: inside, content: 'No.', calls: [] });
  });
});

describe('sameJson', () => {
  it.each([
    [{ a: 1, b: [2] }, { b: [2], a: 1 }, true],
    [{ a: new Float(1) }, { a: 1 }, true],
    [{ a: 1n }, { a: 1 }, true],
    [new Map([['0', 1]]), { 0: 1 }, true],
    [{ a: 1 }, { a: '1' }, false],
    [{ a: 1 }, { a: 1, b: 1 }, false],
    [{ a: null }, {}, false],
    [[1, 2], [2, 1], false],
    [[], {}, false],
    [null, null, true],
    [2n ** 60n, 2n ** 60n + 1n, false],
  ])('case %#', (a, b, expected) => {
    expect(sameJson(a, b)).toBe(expected);
    expect(sameJson(b, a)).toBe(expected);
  });
});
