import { describe, expect, it } from 'vitest';
import { markAnswers } from '../../../../src/data/chat/answerSpans';
import { foldSystem } from '../../../../src/data/chat/systemMessage';
import { compileChatTemplate } from '../../../../src/data/chat/template';
import type { Message } from '../../../../src/data/chat/chat';
import type { Tokenizer } from '../../../../src/data/tokenizer/tokenizer';

const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });
const compiled = (source: string) =>
  compileChatTemplate(source, { eos_token: '</s>' }, 'f.jinja', new Date(2024, 1, 3));
const render = (source: string, messages: readonly Message[] = [], prompt = false) =>
  compiled(source).render(messages, prompt).text;

describe('a chat template', () => {
  it('has the variables of transformers', () => {
    expect(render('{{ eos_token }}{{ strftime_now("%d %b %Y") }}')).toBe('</s>03 Feb 2024');
    expect(render('{% if add_generation_prompt %}yes{% endif %}', [], true)).toBe('yes');
    expect(render('{% if add_generation_prompt %}yes{% endif %}')).toBe('');
    expect(render('{% if tools is none and documents is none %}none{% endif %}')).toBe('none');
    expect(
      render('{% for m in messages %}{{ m.role }}:{{ m["content"] }};{% endfor %}', [
        user('a'),
        assistant('b'),
      ]),
    ).toBe('user:a;assistant:b;');
    for (const name of ['true', 'True']) expect(render(`{% if ${name} %}x{% endif %}`)).toBe('x');
    for (const name of ['false', 'False', 'none', 'None'])
      expect(render(`{% if ${name} %}x{% else %}y{% endif %}`)).toBe('y');
  });

  it('counts with range as Python does', () => {
    const numbers = (range: string) => render(`{% for i in ${range} %}{{ i }},{% endfor %}`);
    expect(numbers('range(3)')).toBe('0,1,2,');
    expect(numbers('range(2, 5)')).toBe('2,3,4,');
    expect(numbers('range(1, 6, 2)')).toBe('1,3,5,');
    expect(numbers('range(5, 2, -1)')).toBe('5,4,3,');
    expect(numbers('range(5, 2)')).toBe('');
  });

  it('that is invalid, fails or refuses is an error that says which', () => {
    const fault = { area: 'tokenizer', place: { file: 'f.jinja' } };
    const thrown = (use: () => unknown) => {
      try {
        return use();
      } catch (error) {
        return error;
      }
    };
    expect(thrown(() => compiled('{% if %}'))).toMatchObject({
      ...fault,
      message: expect.stringContaining('cannot be read: ') as unknown,
    });
    expect(thrown(() => render('{{ nothing.at.all() }}'))).toMatchObject({
      ...fault,
      message: expect.stringContaining('template fails: ') as unknown,
    });
    expect(thrown(() => render('{{ raise_exception("no tools") }}'))).toMatchObject({
      area: 'tokenizer',
      message: 'The chat template refuses these messages: no tools',
    });
  });

  it('that fails names its file and line', () => {
    expect(() => render('a\n{{ none.x.y }}')).toThrow(
      "The chat template fails: f.jinja, line 2: UndefinedError: 'None' has no attribute 'x'",
    );
    expect(() => compiled('\n\n{% if %}')).toThrow(/cannot be read: f\.jinja, line 3: /);
  });

  it('that does not end is stopped, and soon not used again', () => {
    const endless = compiled(
      "{% if messages %}{% for i in range(99999) %}{{ 'x' * 10000 }}{% endfor %}{% endif %}",
    );
    const stop = () => endless.render([user('a')], false);
    for (let i = 0; i < 4; i++)
      expect(stop).toThrow('The chat template is stopped: f.jinja, line 1: ');
    expect(endless.render([], false).text).toBe('');
    for (let i = 0; i < 5; i++) expect(stop).toThrow('The chat template is stopped');
    expect(stop).toThrow('was stopped 5 times and is not used again');
  });

  it('with generation blocks marks what they hold', () => {
    const template = compiled(
      '{% for m in messages %}[{%- generation -%} {{ m.content }} {%- endgeneration %}]{% endfor %}',
    );
    expect(template.render([user('ab'), user('c')], false)).toEqual({
      text: '[ab][c]',
      generated: [
        { start: 1, end: 3 },
        { start: 5, end: 6 },
      ],
    });
    expect(compiled('a').render([], false)).toEqual({ text: 'a', generated: null });
  });
});

describe('the answers of a chat', () => {
  const END = '<end>';
  const tokenizerOf = (source: string): Tokenizer => {
    const template = compiled(source);
    return {
      added_tokens: new Map([
        ['<end>', 1],
        ['end>', 2],
        ['<begin>', 3],
      ]),
      eos_token_id: null,
      chat_template: source,
      renderChat: (messages: readonly Message[], prompt: boolean) =>
        template.render(messages, prompt),
      applyChatTemplate: (messages: readonly Message[], prompt: boolean) =>
        template.render(messages, prompt).text,
    } as unknown as Tokenizer;
  };
  const answers = (source: string, messages: readonly Message[]) => {
    const { text, answers: spans } = markAnswers({ messages }, tokenizerOf(source));
    return spans.map(({ start, end }) => text.slice(start, end));
  };
  const turns = (each: string, prompt = 'A:') =>
    `{% for m in messages %}${each}{% endfor %}{% if add_generation_prompt %}${prompt}{% endif %}`;
  const PLAIN = turns(`{{ 'A:' if m.role == 'assistant' else 'U:' }}{{ m.content }}${END}\n`);
  const chat = [user('a'), assistant('b'), user('c'), assistant('d')];

  it('end after their end token, without the white space behind it', () => {
    expect(answers(PLAIN, chat)).toEqual([`b${END}`, `d${END}`]);
    expect(answers(PLAIN, [user('a'), assistant(`b${END}c`)])).toEqual([`b${END}c${END}`]);
  });

  it('without an end token end with their content', () => {
    const open = turns("{{ 'A:' if m.role == 'assistant' else 'U:' }}{{ m.content }}. ");
    expect(answers(open, chat)).toEqual(['b', 'd']);
  });

  it('are found by another answer where the prompt is no prefix of the chat', () => {
    const thinking = turns(
      `{{ 'A:' if m.role == 'assistant' else 'U:' }}{{ m.content }}${END}`,
      'A:<think>',
    );
    expect(answers(thinking, chat)).toEqual([`b${END}`, `d${END}`]);
  });

  it('are those of the generation blocks that are not empty', () => {
    const marked =
      "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}|{% endfor %}";
    expect(answers(marked, [user('a'), assistant('b'), user('c'), assistant('')])).toEqual(['b']);
  });

  it('cannot be found where the template hides or moves them', () => {
    const hidden = turns('{{ m.role }}', 'x');
    expect(() => answers(hidden, chat)).toThrow(/does not show where the assistant's answers/);
    const backwards = `{% for m in messages %}{{ messages[messages | length - 1 - loop.index0].content }}.{% endfor %}{% if add_generation_prompt %}x{% endif %}`;
    expect(() =>
      answers(backwards, [user('a'), assistant('b'), user('c'), assistant('d')]),
    ).toThrow();
  });
});

describe('a system message', () => {
  it('is put in front of the first user message', () => {
    const system = { role: 'system', content: 's' };
    const fold = (...messages: Message[]) => foldSystem({ kind: 'messages', line: 3, messages });
    expect(fold(system, user('a'), assistant('b'))).toEqual({
      kind: 'messages',
      line: 3,
      messages: [user('s\n\na'), assistant('b')],
    });
    expect(fold(user('a'), user('b'))).toBeNull();
    expect(fold(system, assistant('b'))).toBeNull();
    expect(fold(system)).toBeNull();
    expect(foldSystem({ kind: 'text', line: 1, text: 'a' })).toBeNull();
  });
});
