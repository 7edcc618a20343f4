import { describe, expect, it } from 'vitest';
import { tokenizeRows } from '../../../support/scannedRows';
import { labelPieces } from '../../../../src/data/examples/labelPieces';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import type { Chat, Message } from '../../../../src/data/chat/chat';
import { smallTokenizer } from '../../../support/datasets';

const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string, more: object = {}): Message => ({
  role: 'assistant',
  content,
  ...more,
});
const TURNS = [user('q1'), assistant('a1'), user('q2'), assistant('a2')];

/** The tokens that these templates use, as added tokens of the small tokenizer. */
function tokenizerOf(chat_template: string, tokens: readonly string[], eos = '<|eos|>') {
  const files = smallTokenizer();
  const known = [...files.added_tokens.keys()];
  const more = tokens.filter((token) => !known.includes(token));
  const added = [...known, ...more].map((content, i) => ({
    content,
    id: files.added_tokens.get(content) ?? 300 + i,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }));
  return smallTokenizer({
    chat_template,
    tokenizer: { added_tokens: added },
    config: { eos_token: eos },
  });
}

interface Template {
  readonly source: string;
  readonly tokens?: readonly string[];
  readonly eos?: string;
}

/** The text of a chat with « and » around what is learned, and the warnings. */
function learn({ source, tokens = [], eos }: Template, chat: Chat, labels: 'assistant' | 'all') {
  const tokenizer = tokenizerOf(source, tokens, eos);
  const { examples, problems } = tokenizeRows('f', [{ kind: 'messages', line: 1, ...chat }], {
    tokenizer,
    max_length: 4096,
    labels,
    rows: ROW_SETTINGS,
  });
  const pieces = examples[0] ? labelPieces(examples[0], tokenizer) : [];
  return {
    text: pieces.map(({ text, labelled }) => (labelled ? `«${text}»` : text)).join(''),
    messages: problems.map(({ message }) => message),
  };
}
const learnt = (template: Template, messages: readonly Message[], variables = {}) =>
  learn(template, { messages, variables }, 'assistant');

const turn = '<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n';
const ask = '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';
const chatml = (each = turn, end = ask) => ({
  source: `{% for m in messages %}${each}{% endfor %}${end}`,
});

describe('the end of an answer', () => {
  it('is the end token behind it in every turn, whatever ends the chat', () => {
    const ended = chatml(
      turn,
      '{% if add_generation_prompt %}<|im_start|>assistant\n{% else %}{{ eos_token }}{% endif %}',
    );
    expect(learnt(ended, TURNS)).toEqual({
      text:
        '<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\n«a1<|im_end|>»\n' +
        '<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\n«a2<|im_end|>»\n<|eos|>',
      messages: [],
    });
  });

  it('never reaches the next message where the template ends on a header', () => {
    const source =
      "{% for m in messages %}{{ '<|u|>' if m.role == 'user' else '<|a|>' }}{{ m.content }}{% endfor %}<|a|>";
    const { text, messages } = learnt({ source, tokens: ['<|u|>', '<|a|>'] }, TURNS);
    expect(text).toBe('<|u|>q1<|a|>«a1»<|u|>q2<|a|>«a2»<|a|>');
    expect(messages).toEqual([expect.stringMatching(/no end token after the answers/)]);
  });

  it('is said to be missing where the last answer has none', () => {
    const open = chatml(
      '<|im_start|>{{ m.role }}\n{{ m.content }}{% if not loop.last or add_generation_prompt %}<|im_end|>\n{% endif %}',
    );
    const { text, messages } = learnt(open, TURNS);
    expect(text).toContain('«a1<|im_end|>»');
    expect(text.endsWith('«a2»')).toBe(true);
    expect(messages).toEqual([expect.stringMatching(/no end token after the last answer/)]);
  });

  it('may be another token in the last turn, or stand behind white space', () => {
    const source =
      "{% for m in messages %}<|s|>{{ m.role }}: {{ m.content }}{{ ' <|r|>' if loop.last and m.role == 'assistant' else '\n<|e|>' }}{% endfor %}{% if add_generation_prompt %}<|s|>assistant:{% endif %}";
    const tokens = ['<|s|>', '<|r|>', '<|e|>'];
    expect(learnt({ source, tokens, eos: '<|r|>' }, TURNS)).toEqual({
      text: '<|s|>user: q1\n<|e|><|s|>assistant:« a1\n<|e|>»<|s|>user: q2\n<|e|><|s|>assistant:« a2 <|r|>»',
      messages: [],
    });
  });

  it('comes behind what closes an answer', () => {
    const source =
      "{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content }}{% else %}A:<answer>{{ m.content }}</answer>{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}";
    expect(learnt({ source }, TURNS).text).toBe(
      'U:q1A:«<answer>a1</answer><|eos|>»U:q2A:«<answer>a2</answer><|eos|>»',
    );
  });

  it('is not an end token that the answer or the next question contains', () => {
    const { text } = learnt(chatml(), [
      user('q'),
      assistant('a<|im_end|>b'),
      user('<|im_end|>c'),
      assistant('d'),
    ]);
    expect(text).toContain('«a<|im_end|>b<|im_end|>»\n<|im_start|>user\n<|im_end|>c<|im_end|>');
  });
});

describe('an answer marked with weight 0', () => {
  const chat = {
    messages: [user('q1'), assistant('BAD', { weight: 0 }), user('q2'), assistant('a2')],
  };

  it('stays in the text but is not learned', () => {
    const { text, messages } = learn(chatml(), chat, 'assistant');
    expect(text.match(/«[^»]*»/g)).toEqual(['«a2<|im_end|>»']);
    expect(text).toContain('assistant\nBAD<|im_end|>');
    expect(messages).toEqual([]);
  });

  it('is not learned where all tokens are, or where the template marks what is learned', () => {
    expect(
      learn(chatml(), chat, 'all')
        .text.match(/«[^»]*»/g)
        ?.join(),
    ).not.toContain('BAD');
    const marked = chatml(
      "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n",
    );
    expect(learn(marked, chat, 'assistant').text.match(/«[^»]*»/g)).toEqual(['«a2<|im_end|>»']);
    expect(
      learn(marked, chat, 'all')
        .text.match(/«[^»]*»/g)
        ?.join(),
    ).not.toContain('BAD');
  });
});

describe('reasoning', () => {
  const dropping = chatml(
    "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last and m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content.split('</think>')[-1] | trim }}<|im_end|>\n",
  );

  it.each(['reasoning_content', 'thinking', 'reasoning'])('is learned from the key %s', (key) => {
    const { text } = learnt(dropping, [user('q'), assistant('a', { [key]: 'why' })]);
    expect(text).toContain('«<think>\nwhy\n</think>\n\na<|im_end|>»');
  });

  it('that the template drops is counted', () => {
    const chat = [
      user('q1'),
      assistant('a1', { thinking: 'why1' }),
      user('q2'),
      assistant('a2', { thinking: 'why2' }),
    ];
    const { text, messages } = learnt(dropping, chat);
    expect(text.match(/«[^»]*»/g)).toEqual([
      '«a1<|im_end|>»',
      '«<think>\nwhy2\n</think>\n\na2<|im_end|>»',
    ]);
    expect(messages).toEqual([
      'The chat template leaves out the reasoning of answers before the last: it is not learned.',
    ]);
    const inline = learnt(dropping, [user('q'), assistant('<think>why</think>a')]);
    expect(inline.messages).toEqual([
      expect.stringMatching(/leaves out the reasoning of the answer/),
    ]);
  });

  it('that the prompt opens and the text lacks is said, and the other way round', () => {
    const opened = chatml(
      turn,
      '{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}',
    );
    expect(learnt(opened, TURNS).messages).toEqual([
      expect.stringMatching(/^The generation prompt ends with "<think>", but/),
    ]);
    expect(learnt(opened, TURNS).messages[0]).toMatch(
      /block there, nor with "reasoning_content" or without "enable_thinking"\.$/,
    );
    const thinking = [user('q'), assistant('<think>\nwhy\n</think>\n\na')];
    const kept = learnt(opened, thinking);
    expect(kept.messages).toEqual([]);
    expect(kept.text).toContain('assistant\n<think>\n«why\n</think>\n\na<|im_end|>»');
    const empty = chatml(
      "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n",
    );
    const written = learnt(empty, TURNS);
    expect(written.messages).toEqual([
      expect.stringMatching(/puts "<think>" in front of an answer without reasoning/),
    ]);
    expect(written.text).toContain('assistant\n«<think>\n\n</think>\n\na1<|im_end|>»');
  });
});

describe('a think block of the prompt that the text lacks', () => {
  const answer =
    '<|im_start|>{{ m.role }}\n{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n';
  const switched = chatml(
    answer,
    '{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}{% endif %}',
  );
  const always = chatml(
    answer,
    '{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}',
  );
  const chat = [user('q'), assistant('a')];

  it('is answered with what helps', () => {
    expect(learnt(switched, chat).messages).toEqual([
      expect.stringMatching(
        /block there: give the answers "reasoning_content", or set chat_template_kwargs to {"enable_thinking": false}\.$/,
      ),
    ]);
    const opened = chatml(
      answer,
      '{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}',
    );
    expect(learnt(opened, chat).messages).toEqual([
      expect.stringMatching(/block there: give the answers "reasoning_content"\.$/),
    ]);
  });

  it('is not answered with a variable that is set already', () => {
    expect(learnt(switched, chat, { enable_thinking: false }).messages).toEqual([]);
    for (const variables of [{}, { enable_thinking: false }])
      expect(learnt(always, chat, variables).messages).toContainEqual(
        expect.stringMatching(/nor with "reasoning_content" or without "enable_thinking"\.$/),
      );
  });
});

describe('tools and variables', () => {
  const call = (args: unknown) => ({
    type: 'function',
    function: { name: 'look', arguments: args },
  });
  const tools = [{ type: 'function', function: { name: 'look' } }];
  const withTools = chatml(
    '{% if loop.first and tools %}<|im_start|>system\n{{ tools[0].function.name }}<|im_end|>\n{% endif %}<|im_start|>{{ m.role }}\n{% if m.content %}{{ m.content }}{% endif %}{% for t in m.tool_calls or [] %}<tool_call>{{ t.function.name }}({{ t.function.arguments | tojson }})</tool_call>{% endfor %}<|im_end|>\n',
    `${ask}{% if deep %}{% endif %}`,
  );
  const chat = (args: unknown): Message[] => [
    user('q'),
    { role: 'assistant', tool_calls: [call(args)] },
    { role: 'tool', content: 'rain' },
    assistant('wet'),
  ];

  it('are written, and the calls are learned up to their end token', () => {
    const { text, messages } = learnt(withTools, chat({ at: 'x' }), { tools, deep: true });
    expect(messages).toEqual([]);
    expect(text).toBe(
      '<|im_start|>system\nlook<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n' +
        '«<tool_call>look({"at": "x"})</tool_call><|im_end|>»\n<|im_start|>tool\nrain<|im_end|>\n' +
        '<|im_start|>assistant\n«wet<|im_end|>»\n',
    );
    expect(learnt(withTools, chat('{"at": 1}')).text).toContain(
      '«<tool_call>look("{\\"at\\": 1}")</tool_call><|im_end|>»',
    );
  });

  it('are found where the template refuses a chat without the calls', () => {
    const strict = {
      source:
        "{% for m in messages %}{% if m.role == 'tool' %}{% if not messages[loop.index0 - 1].tool_calls %}{{ raise_exception('no call') }}{% endif %}<|h|>tool {{ m.content }}<|e|>{% elif m.tool_calls %}<|h|>bot call {{ m.tool_calls[0].function.arguments | tojson }}<|c|>{% else %}<|h|>{{ m.role }} {{ m.content }}<|e|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|h|>{% endif %}",
      tokens: ['<|h|>', '<|e|>', '<|c|>'],
    };
    const { text } = learnt(strict, chat({ at: 'x' }));
    expect(text).toBe(
      '<|h|>user q<|e|><|h|>«bot call {"at": "x"}<|c|>»<|h|>tool rain<|e|><|h|>«assistant wet<|e|>»',
    );
  });

  it('that the template does not write are said', () => {
    const { messages } = learnt(
      chatml(
        '<|im_start|>{{ m.role }}\n{% if m.content and m.role != "tool" %}{{ m.content }}{% endif %}<|im_end|>\n',
      ),
      chat({ at: 'x' }).map((message) => ({ ...message, extra: 'x' })),
      { tools, deep: true, documents: [{ text: 'd' }] },
    );
    expect(messages).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/leaves out tool calls/),
        expect.stringMatching(/leaves out the text of a message of the role "tool"/),
        expect.stringMatching(/leaves out the tools/),
        expect.stringMatching(/leaves out the documents/),
        expect.stringMatching(/chat_template_kwargs\.deep is not read/),
        expect.stringMatching(/The key "extra" of a message is not used/),
      ]),
    );
  });

  it('that the template does not write are said where other messages say the same', () => {
    const tool = { type: 'function', function: { name: 'look' } };
    const same = [
      user('look'),
      assistant('look', { tool_calls: [call({ at: 'look' })], thinking: 'look' }),
      { role: 'tool', content: 'look' },
      assistant('look'),
    ];
    const source =
      "<|im_start|>{{ m.role }}\n{% if m.role != 'tool' %}{{ m.content }}{% endif %}<|im_end|>\n";
    const { messages } = learnt(chatml(source), same, { tools: [tool] });
    expect(messages).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/leaves out tool calls/),
        expect.stringMatching(/leaves out the text of a message of the role "tool"/),
        expect.stringMatching(/leaves out the reasoning/),
        expect.stringMatching(/leaves out the tools/),
      ]),
    );
  });

  it('that a template needs are those of the chat where its end token is looked for', () => {
    const needy = chatml(`{% if loop.first %}{{ style | tojson }}{% endif %}${turn}`);
    const { text, messages } = learnt(needy, TURNS.slice(0, 2), { style: 'x' });
    expect(messages).toEqual([]);
    expect(text).toContain('«a1<|im_end|>»');
  });

  it('of roles are those that every template may get, or that the template names', () => {
    const critic = [user('q'), { role: 'critic', content: 'c' }, assistant('a')];
    expect(learnt(chatml(), critic).messages).toEqual([
      expect.stringMatching(/^The role "critic" is not known: it must be system, user/),
    ]);
    const named = chatml(`{% if m.role == 'critic' %}C{% endif %}${turn}`);
    expect(learnt(named, critic).messages).toEqual([]);
    const developer = [{ role: 'developer', content: 'd' }, ...TURNS];
    expect(learnt(chatml(), developer).text).toContain('<|im_start|>developer\nd<|im_end|>');
  });
});
