// Renders a folder of chat templates and prints how many texts are those of a reference.
//
//   node test/scripts/chatTemplates.mjs FOLDER [NAME]
//
// FOLDER holds NAME.jinja, tokens.json (NAME -> its special tokens), conversations.json
// (ID -> messages, tools, chat_template_kwargs, add_generation_prompt) and expected/NAME.json
// (ID -> {text} or {error, refused}). The clock stands at 2026-03-07 09:05:04.
import { build } from 'esbuild';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, part = ''] = process.argv.slice(2);
if (!folder) throw new Error('Name a folder of templates.');
process.env.TZ = 'UTC';
const NOW = new Date('2026-03-07T09:05:04Z');
const SHOWN = 200;

const root = path.resolve(import.meta.dirname, '..', '..');
const read = (...names) => readFileSync(path.join(folder, ...names), 'utf8');
const readJson = (...names) => JSON.parse(read(...names));

async function loadRenderer() {
  const work = mkdtempSync(path.join(tmpdir(), 'templates-'));
  const outfile = path.join(work, 'template.mjs');
  const entry = path.join(root, 'src', 'data', 'chat', 'template.ts');
  try {
    const options = { bundle: true, platform: 'node', format: 'esm', logLevel: 'silent' };
    await build({ entryPoints: [entry], outfile, ...options });
    return (await import(pathToFileURL(outfile).href)).compileChatTemplate;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The messages as apply_chat_template hands them on. */
function prepared(message) {
  const rest = Object.fromEntries(Object.entries(message).filter(([, v]) => v !== null));
  const reasoning = rest.reasoning_content ?? rest.thinking ?? rest.reasoning;
  return reasoning === undefined
    ? rest
    : { thinking: reasoning, ...rest, reasoning_content: reasoning };
}

function render(template, conversation) {
  const { messages, tools, chat_template_kwargs, add_generation_prompt = false } = conversation;
  const variables = { ...(tools && { tools }), ...chat_template_kwargs };
  try {
    return template().render(messages.map(prepared), add_generation_prompt, variables);
  } catch (error) {
    return { error: error.describe?.() ?? String(error) };
  }
}

function difference(got, want) {
  if (want.error !== undefined) {
    if (got.error === undefined) return `renders where the reference fails: ${want.error}`;
    return want.refused && !got.error.includes(want.error) ? `other error: ${got.error}` : null;
  }
  if (got.error !== undefined) return `fails: ${got.error}`;
  if (got.text === want.text) return null;
  let at = 0;
  while (got.text[at] === want.text[at]) at++;
  const around = (text) => JSON.stringify(text.slice(Math.max(0, at - 30), at + 50));
  return `got ${around(got.text)} want ${around(want.text)}`;
}

const compileChatTemplate = await loadRenderer();
const conversations = readJson('conversations.json');
let [alike, total] = [0, 0];
for (const [name, tokens] of Object.entries(readJson('tokens.json'))) {
  if (!name.includes(part)) continue;
  const named = Object.entries(tokens).filter(([, token]) => typeof token === 'string');
  let compiled;
  const template = () =>
    (compiled ??= compileChatTemplate(
      read(`${name}.jinja`),
      Object.fromEntries(named.filter(([key]) => key.endsWith('_token'))),
      `${name}.jinja`,
      NOW,
    ));
  for (const [id, want] of Object.entries(readJson('expected', `${name}.json`))) {
    const found = difference(render(template, conversations[id]), want);
    total++;
    if (found === null) alike++;
    else console.log(`${name} / ${id}: ${found.slice(0, SHOWN)}`);
  }
}
console.log(`${alike} of ${total} are alike`);
process.exitCode = alike === total && total > 0 ? 0 : 1;
