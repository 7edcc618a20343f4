import { describe, expect, it } from 'vitest';
import { answerForm } from '../../../../src/data/chat/calls/learnForm';
import { parseAnswer } from '../../../../src/data/chat/calls/parseAnswer';
import {
  callGrammar,
  singleCallOf,
  type CallableTool,
} from '../../../../src/engine/serve/json/callGrammar';
import { TokenMask } from '../../../../src/engine/serve/json/tokenMask';
import { createRandom } from '../../../../src/shared/random';
import { smallTokenizer } from '../../../support/datasets';
import { refused, asked, serving } from '../../../support/servingText';

const HEAD = '<|im_start|>{{ m.role }}\n';
const templateOf = (calls: string) =>
  `{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}${HEAD}{{ m.content or "" }}` +
  `{% for t in m.tool_calls or [] %}{% set c = t.function %}${calls}{% endfor %}<|im_end|>\n{% endfor %}` +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const ARGUMENTS = '{{ c.arguments | tojson }}';

const tools: readonly CallableTool[] = [
  {
    name: 'find',
    parameters: {
      type: 'object',
      properties: { q: { type: 'string', maxLength: 4 }, n: { type: 'integer' } },
      required: ['q', 'n'],
    },
    strict: false,
  },
  { name: 'find_all', parameters: { properties: { x: { type: 'null' } } }, strict: false },
];

/** Answers of tokens that are drawn from those that are allowed. */
function* drawn(chat_template: string, called: readonly CallableTool[], opening = '') {
  const tokenizer = smallTokenizer({ chat_template });
  const form = answerForm(tokenizer);
  for (let seed = 0; seed < 30; seed++) {
    const random = createRandom(seed, 'calls');
    const { added_tokens: added } = tokenizer;
    const { grammar, marks } = callGrammar(singleCallOf(form.calls)!, called, {
      opening,
      id: 'abcdefghi',
      added,
    });
    const mask = new TokenMask(tokenizer, grammar.start, marks);
    const ids: number[] = [];
    for (let allowed = mask.allowed(); allowed.length > 0; allowed = mask.allowed()) {
      ids.push(allowed[Math.floor(random() * allowed.length)]!);
      mask.push(ids.at(-1)!);
    }
    expect(mask.canEnd).toBe(true);
    yield { raw: tokenizer.decode(ids, false), ids, form };
  }
}

describe('a call that is forced', () => {
  it.each([
    ['marks', `<tool_call>\n{"name": "{{ c.name }}", "arguments": ${ARGUMENTS}}\n</tool_call>`],
    [
      'a list with ids',
      `[CALLS][{"name": "{{ c.name }}", "args": ${ARGUMENTS}, "id": "{{ t.id }}"}]`,
    ],
    ['nothing but JSON', `{"name": "{{ c.name }}", "parameters": ${ARGUMENTS}}`],
    [
      'JSON in JSON',
      `{"type": "function", "function": {"name": "{{ c.name }}", "arguments": ${ARGUMENTS}}}`,
    ],
    ['the name as key', `<calls>[{"{{ c.name }}": ${ARGUMENTS}}]</calls>`],
    ['the name in the text', `[CALL]{{ c.name }}[ARGS]${ARGUMENTS}`],
    ['special tokens', `<|im_start|>call\n{{ c.name }}<|im_start|>${ARGUMENTS}`],
  ])('is one call of a tool in the form of the template: %s', (_, calls) => {
    const names = new Set<string>();
    for (const { raw, form } of drawn(templateOf(calls), tools)) {
      const parsed = parseAnswer(raw, form, []);
      expect(parsed, raw).toMatchObject({ content: '', isFaulty: false });
      expect(parsed.calls).toHaveLength(1);
      const [{ name, arguments: value }] = parsed.calls as [(typeof parsed.calls)[0]];
      names.add(name);
      if (name === 'find') expect(Object.keys(value)).toEqual(['q', 'n']);
    }
    expect([...names].sort()).toEqual(['find', 'find_all']);
  });

  it('writes special tokens as themselves, and no others, and closes the reasoning', () => {
    const tokenizer = smallTokenizer();
    const start = tokenizer.added_tokens.get('<|im_start|>')!;
    const calls = `<|im_start|>call\n{{ c.name }}<|im_start|>${ARGUMENTS}`;
    for (const { raw, ids } of drawn(templateOf(calls), tools.slice(0, 1), '</think>\n')) {
      expect(raw.startsWith('</think>\n<|im_start|>call\nfind<|im_start|>{')).toBe(true);
      const added = ids.filter((id) => [...tokenizer.added_tokens.values()].includes(id));
      expect(added).toEqual([start, start]);
    }
  });

  it('follows a schema that is not supported only where it is strict', () => {
    const parameters = { properties: { n: { type: 'integer', minimum: 3 } } };
    const single = { before: [''], middle: [''], behind: [''] };
    const of = (tool: CallableTool) => () =>
      callGrammar(single, [tool], { opening: '', id: '', added: new Map() });
    expect(of({ name: 'a', parameters, strict: false })).not.toThrow();
    expect(of({ name: 'a', parameters, strict: true })).toThrow('minimum');
    expect(of({ name: 'a "b"', parameters: null, strict: false })).toThrow('other characters');
  });
});

describe('tool_choice', () => {
  const given = ['find', 'add'].map((name) => ({
    type: 'function' as const,
    function: { name, parameters: { type: 'object' } },
  }));
  const named = (name: string) => ({ type: 'function' as const, function: { name } });

  it('may demand a call, or one of a tool', async () => {
    const text = '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>';
    const { openai, writer } = await serving(text);
    for (const tool_choice of ['required', named('add')] as const) {
      const { choices } = await openai.chat.completions.create({
        ...asked,
        tools: given,
        tool_choice,
      });
      expect(choices[0]).toMatchObject({
        finish_reason: 'tool_calls',
        message: { tool_calls: [{ function: { name: 'add' } }] },
      });
    }
    const starts = writer.requests.map(({ constraint }) => constraint!.allowed().length);
    expect(starts.every((count) => count > 0)).toBe(true);
    await openai.chat.completions.create({ ...asked, tools: given, tool_choice: 'auto' });
    expect(writer.requests.at(-1)!.constraint).toBeNull();
  });

  it('has no second call without parallel_tool_calls', async () => {
    const text = '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>';
    const { openai } = await serving(`${text}\n${text}`);
    const countOf = async (parallel_tool_calls: boolean) => {
      const request = { ...asked, tools: given, parallel_tool_calls };
      return (await openai.chat.completions.create(request)).choices[0]!.message.tool_calls!.length;
    };
    expect([await countOf(true), await countOf(false)]).toEqual([2, 1]);
  });

  it.each([
    [{ tool_choice: named('other') }, 'names "other", which is none of the tools'],
    [{ tool_choice: 'any' }, 'must be "none", "auto", "required" or'],
    [{ tool_choice: { type: 'allowed_tools' } }, 'must be "none", "auto", "required" or'],
    [{ tool_choice: { ...named('find'), mode: 1 } }, '"tool_choice.mode" is not supported'],
    [{ tool_choice: 'required', tools: undefined }, '"tool_choice" needs "tools"'],
    [
      {
        tool_choice: 'required',
        tools: [
          { type: 'function', function: { name: 'a', strict: true, parameters: { not: {} } } },
        ],
      },
      '"tools" have one that cannot be enforced: #/not is not supported',
    ],
  ])('is refused: %j', async (further, message) => {
    const { openai } = await serving('x');
    const request = { ...asked, tools: given, ...further } as typeof asked;
    const error = await refused(openai.chat.completions.create(request));
    expect(error).toMatchObject({ status: 400 });
    expect(error['message']).toContain(message);
  });

  it('is refused where calls have a form that is no JSON', async () => {
    const calls =
      '<f>{{ c.name }}({% for k, v in c.arguments.items() %}{{ k }}={{ v | tojson }}{% endfor %})</f>';
    const { openai } = await serving('x', { chat_template: templateOf(calls) });
    const request = { ...asked, tools: given, tool_choice: 'required' as const };
    expect(await refused(openai.chat.completions.create(request))).toMatchObject({
      status: 400,
      param: 'tool_choice',
      message: expect.stringContaining('in its own format') as string,
    });
  });
});
