// How many chat templates write tool calls and reasoning that can be read again. By hand:
//
//   node scripts/callForms.mjs FOLDER [--only TEXT] [--show]
//
// FOLDER holds *.jinja, tokens.json (template -> bos_token, eos_token, pad_token, special) and
// conversations.json (id -> {messages, tools, chat_template_kwargs}). Each answer with calls is
// rendered, cut where its generation ends, parsed, and compared by names and arguments; each answer
// with reasoning is, too. `--show` prints what is not read as it was written.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string', default: '' }, show: { type: 'boolean', default: false } },
});
const root = path.resolve(import.meta.dirname, '..');
const folder = path.resolve(positionals[0] ?? '.');
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
const temp = mkdtempSync(path.join(tmpdir(), 'call-forms-'));
process.on('exit', () => rmSync(temp, { recursive: true, force: true }));

const outfile = path.join(temp, 'parts.mjs');
await build({
  stdin: {
    contents: [
      "export { createTokenizer } from './src/data/tokenizer/createTokenizer';",
      "export { answerEnds } from './src/data/chat/answerEnds';",
      "export { answerForm } from './src/data/chat/calls/learnForm';",
      "export { parseAnswer } from './src/data/chat/calls/parseAnswer';",
      "export { sameJson } from './src/data/chat/calls/sameJson';",
    ].join('\n'),
    resolveDir: root,
    loader: 'ts',
  },
  bundle: true,
  platform: 'node',
  format: 'esm',
  mainFields: ['module', 'main'],
  outfile,
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
});
const { createTokenizer, answerEnds, answerForm, parseAnswer, sameJson } = await import(
  pathToFileURL(outfile).href
);

const fixture = path.join(root, 'test', 'fixtures', 'tokenizer');
const NAMES = ['bos_token', 'eos_token', 'pad_token'];

/** The tokenizer of the tests with a template and its special tokens. */
function tokenizerOf(name, named) {
  const tokenizer = read(path.join(fixture, 'tokenizer.json'));
  const config = read(path.join(fixture, 'tokenizer_config.json'));
  const added = named.special.map((content, i) => ({
    id: 1000 + i,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }));
  const tokens = Object.fromEntries(
    NAMES.flatMap((key) => (named[key] ? [[key, named[key]]] : [])),
  );
  for (const key of NAMES) delete config[key];
  return createTokenizer({
    tokenizer: { ...tokenizer, added_tokens: added },
    config: { ...config, ...tokens },
    chat_template: readFileSync(path.join(folder, `${name}.jinja`), 'utf8'),
    chat_template_file: `${name}.jinja`,
    source: name,
  });
}

const attempt = (render) => {
  try {
    return render();
  } catch {
    return null;
  }
};

/** An answer as a model writes it. Null: the template does not render it. */
function answerOf(tokenizer, { messages, variables, turn }) {
  const render = (own, asks) => attempt(() => tokenizer.applyChatTemplate(own, asks, variables));
  const before = messages.slice(0, turn);
  const text = render(messages.slice(0, turn + 1), false);
  if (text === null) return null;
  const prompt = render(before, true);
  const asked = render(before, false);
  const plain = render([...before, { role: 'assistant', content: '\uFDD2' }], false);
  const from =
    prompt !== null && text.startsWith(prompt)
      ? prompt.length
      : commonPrefix(text, plain ?? asked ?? '');
  const body = text.slice(from);
  const ends = answerEnds(tokenizer, variables).tokens.map((token) => body.indexOf(token));
  return body.slice(0, Math.min(body.length, ...ends.filter((at) => at > 0)));
}

function commonPrefix(a, b) {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

const argumentsOf = (given) => (typeof given === 'string' ? JSON.parse(given) : given);
const isSame = (read, written) =>
  read.length === written.length &&
  written.every(
    ({ function: own }, i) =>
      read[i].name === own.name && sameJson(read[i].arguments, argumentsOf(own.arguments)),
  );

/** Whether a text holds the arguments of all calls: some templates write the first one only. */
const writesAll = (text, calls) =>
  calls.every(({ function: own }) =>
    Object.values(argumentsOf(own.arguments)).every(
      (value) => typeof value !== 'string' || /[^\w ]/.test(value) || text.includes(value),
    ),
  );
const partly = [];

const conversations = Object.entries(read(path.join(folder, 'conversations.json')));
const counts = { calls: [0, 0], parallel: [0, 0], reasoning: [0, 0] };
const count = (kind, holds) => {
  counts[kind][1]++;
  if (holds) counts[kind][0]++;
};
const templates = { writing: 0, whole: 0, reasoning: 0 };

for (const [name, named] of Object.entries(read(path.join(folder, 'tokens.json')))) {
  if (!name.includes(options.only)) continue;
  const tokenizer = tokenizerOf(name, named);
  const faults = [];
  let seen = 0;
  for (const [id, { messages, tools, chat_template_kwargs = {} }] of conversations) {
    const variables = { ...chat_template_kwargs, ...(tools && { tools }) };
    const form = answerForm(tokenizer, variables);
    for (const [turn, { role, tool_calls, reasoning_content }] of messages.entries()) {
      if (role !== 'assistant' || !(tool_calls || reasoning_content)) continue;
      const text = answerOf(tokenizer, { messages, variables, turn });
      if (text === null) continue;
      const parsed = parseAnswer(text, form, tools);
      const tell = (what) =>
        faults.push(`${id}[${turn}] ${what}: ${JSON.stringify(text)} -> ${JSON.stringify(parsed)}`);
      if (tool_calls && text.includes(tool_calls[0].function.name)) {
        if (!writesAll(text, tool_calls)) {
          partly.push(`${name} / ${id}`);
          continue;
        }
        seen++;
        const said = (messages[turn].content ?? '').trim();
        if (
          said !== '' &&
          text.includes(said) &&
          parsed.content !== said &&
          parsed.reasoning !== said
        )
          tell('content');
        const holds = !parsed.isFaulty && isSame(parsed.calls, tool_calls);
        count(tool_calls.length > 1 ? 'parallel' : 'calls', holds);
        if (!holds) tell('calls');
      }
      if (reasoning_content && text.includes(reasoning_content)) {
        templates.reasoning++;
        const holds = parsed.reasoning === reasoning_content.trim();
        count('reasoning', holds);
        if (!holds) tell('reasoning');
      }
    }
  }
  if (seen > 0) {
    templates.writing++;
    if (faults.length === 0) templates.whole++;
  }
  const { calls } = answerForm(tokenizer);
  const state = calls ? calls.kind : 'writes no calls';
  console.log(`${faults.length > 0 ? 'x' : ' '} ${name}: ${state}, ${seen} answers with calls`);
  if (options.show) for (const fault of faults) console.log(`    ${fault}`);
}

console.log(
  `\n${templates.whole} of ${templates.writing} templates that write calls are read again in all answers`,
);
for (const [kind, [held, all]] of Object.entries(counts)) console.log(`${kind}: ${held} of ${all}`);
for (const place of partly) console.log(`${place}: the template leaves out a call`);
if (Object.values(counts).some(([held, all]) => held < all)) process.exitCode = 1;
