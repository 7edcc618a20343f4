import { stat } from 'node:fs/promises';
import { codePrompt } from '../data/code/codeTokens';
import { fimFormOf } from '../data/code/fimForms';
import { createTokenizer } from '../data/tokenizer/createTokenizer';
import type { Tokenizer } from '../data/tokenizer/tokenizer';
import { positionsOf } from '../formats/architecture/positions';
import type { BaseModel } from '../formats/baseModel';
import { openBase } from '../formats/openBase';
import type { Answer, QuestionKind, WriterFacts, WriterQuestion } from './questions';

/** A base as far as writing text depends on it. */
interface Writer {
  readonly file: string;
  readonly changed: number;
  readonly tokenizer: Tokenizer;
  readonly facts: WriterFacts | null;
}

/** The last one: an editor asks about the same base again and again. */
let last: Writer | null = null;

/** Answers a question on a base that writes text. @throws LoraError */
export async function answerWriter({ kind, asked }: WriterQuestion): Promise<Answer<QuestionKind>> {
  const { facts, tokenizer } = await writerAt(asked.file);
  switch (kind) {
    case 'writer':
      return facts;
    case 'tokenCount':
      return asked.texts.reduce((sum, text) => sum + tokenizer.encode(text, false).length, 0);
    case 'codePrompt':
      return codePrompt(tokenizer, asked.place, asked.limits);
  }
}

async function writerAt(file: string): Promise<Writer> {
  const changed = await stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
  if (last?.file === file && last.changed === changed) return last;
  const base = await openBase(file);
  try {
    const tokenizer = createTokenizer(await base.readTokenizer());
    const { task } = base.spec;
    const facts = task === 'causal_lm' ? factsOf(tokenizer, positionsIn(base)) : null;
    return (last = { file, changed, tokenizer, facts });
  } finally {
    await base.close();
  }
}

/** Rotary positions have no end: then it is as many as the base was trained on. */
function positionsIn({ spec, config }: BaseModel): number {
  const trained = config['max_position_embeddings'];
  const known = typeof trained === 'number' && trained > 0 ? trained : USUAL_POSITIONS;
  return Math.min(positionsOf(spec), known);
}

const USUAL_POSITIONS = 4096;

const factsOf = (tokenizer: Tokenizer, positions: number): WriterFacts => ({
  positions,
  chats: tokenizer.has_chat_template,
  tools: tokenizer.has_chat_template && writesTools(tokenizer),
  fim: fimFormOf(tokenizer) !== null,
});

const TOOL = {
  type: 'function',
  function: { name: 'now', description: 'now', parameters: { type: 'object', properties: {} } },
};

/** Whether a chat is another one with tools. A template that fails on them does not count. */
function writesTools(tokenizer: Tokenizer): boolean {
  const render = (tools: readonly object[] | null) =>
    tokenizer.applyChatTemplate([{ role: 'user', content: 'now' }], true, { tools });
  try {
    return render([TOOL]) !== render(null);
  } catch {
    return false;
  }
}
