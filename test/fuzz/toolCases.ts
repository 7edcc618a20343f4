import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { AnswerForm } from '../../src/data/chat/calls/form';
import { answerForm } from '../../src/data/chat/calls/learnForm';
import { parseAnswer } from '../../src/data/chat/calls/parseAnswer';
import { readTools } from '../../src/engine/commands/conversation';
import { smallTokenizer } from '../support/datasets';
import { anyBytes, json } from './damage';
import type { ReaderCase } from './readerCase';

const TOOLS = ['find', 'add'].map((name) => ({
  type: 'function',
  function: {
    name,
    description: 'x',
    parameters: { type: 'object', properties: { q: { type: 'string' }, n: { type: 'integer' } } },
  },
}));

/** Templates that write calls in several ways, and one that writes none. */
const CALLS = [
  '<tool_call>{"name": "{{ c.name }}", "arguments": {{ c.arguments | tojson }}}</tool_call>',
  '[CALL]{{ c.name }}[ARGS]{{ c.arguments | tojson }}',
  '<f={{ c.name }}>{% for k, v in c.arguments.items() %}<p={{ k }}>{{ v }}</p>{% endfor %}</f>',
  '<f>{{ c.name }}({% for k, v in c.arguments.items() %}{{ k }}="{{ v }}"{% if not loop.last %}, {% endif %}{% endfor %})</f>',
  '',
];

/** Answers with a call in each of these ways, and in known ones. */
const ANSWERS = [
  '<think>Well</think><tool_call>{"name": "find", "arguments": {"q": "a", "n": [1, {"x": 2.0}]}}</tool_call>',
  '[CALL]find[ARGS]{"q": "a\\n"}[CALL]add[ARGS]{}',
  'So: <f=find><p=q>a</p><p=n>12</p></f>',
  '<f>find(q="a", n=-1.5e3)</f><f>add(n=[1, (2,), {"x": None}])</f>',
  "<|tool_call_start|>[find(q='a\\x41', n=1), add()]<|tool_call_end|>",
].join('\n');

const formOf = (written: string): AnswerForm => {
  const calls = `{% for t in m.tool_calls or [] %}{% set c = t.function %}${written}{% endfor %}`;
  const chat_template = `{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or "" }}${calls}<|im_end|>\n{% endfor %}`;
  return answerForm(smallTokenizer({ chat_template }));
};

/** Readers of files of tools, and of the answers of models that call them. */
export function toolCases(): ReaderCase[] {
  const forms = CALLS.map(formOf);
  return [
    {
      name: 'tools',
      inputs: 2_000,
      files: { 'tools.json': Buffer.from(JSON.stringify(TOOLS)) },
      target: 'tools.json',
      damage: (original, random) =>
        random() < 0.5 ? anyBytes(original, random) : json(original, random),
      read: async (folder) => {
        const tools = await readTools(path.join(folder, 'tools.json'));
        if (!Array.isArray(tools)) throw new Error('the tools are no list');
      },
    },
    {
      name: 'answers',
      inputs: 4_000,
      files: { 'answer.txt': Buffer.from(ANSWERS) },
      target: 'answer.txt',
      damage: anyBytes,
      refuses: false,
      read: (folder) => {
        const text = readFileSync(path.join(folder, 'answer.txt'), 'utf8');
        for (const form of forms) checkAnswer(text, form);
        return Promise.resolve();
      },
    },
  ];
}

function checkAnswer(text: string, form: AnswerForm): void {
  const { content, reasoning, calls } = parseAnswer(text, form, TOOLS);
  if (content.length + reasoning.length > text.length + 1)
    throw new Error('an answer has more text than was written');
  for (const { name, arguments: values } of calls)
    if (name === '' || typeof values !== 'object') throw new Error('a call is none');
}
