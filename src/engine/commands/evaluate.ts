import { asChat } from '../../data/encodeRow';
import { readDataset } from '../../data/dataset';
import { throwErrors } from '../../data/problems';
import { tokenizeRows } from '../../data/tokenize';
import type { Message, Row } from '../../data/types';
import { answer } from '../answer';
import { canBecome } from '../exact';
import { described } from '../words';
import { tokenizerOf, withModel } from '../session';
import { evaluateLoss } from '../trainer';
import type { Context } from './context';
import { readOptions, required, wholeNumber } from './options';

export const EVALUATE_USAGE = 'lora evaluate --base PATH [--adapter DIR] --dataset FILE [--exact] [--max-length N] [--max-new-tokens N] [--json]';

interface Answer {
  readonly prompt: string;
  readonly expected: string;
  readonly completion: string;
  readonly right: boolean;
}

/** Mean loss on a dataset; with --exact also how many answers are right to the letter. An answer is broken off where it can no longer be right. */
export async function evaluate(args: readonly string[], context: Context): Promise<number> {
  const { values } = readOptions(args, {
    base: { type: 'string' }, adapter: { type: 'string' }, dataset: { type: 'string' }, exact: { type: 'boolean' }, 'max-length': { type: 'string' }, 'max-new-tokens': { type: 'string' },
  }, EVALUATE_USAGE);
  const file = required(values.dataset, 'dataset', EVALUATE_USAGE);
  const max_length = wholeNumber(values['max-length'], 'max-length', 2048, EVALUATE_USAGE);
  const max_new_tokens = wholeNumber(values['max-new-tokens'], 'max-new-tokens', 64, EVALUATE_USAGE);
  const dataset = await readDataset(file);
  return withModel(required(values.base, 'base', EVALUATE_USAGE), values.adapter, context, async ({ base, model }) => {
    const tokenizer = await tokenizerOf(base);
    const { examples, rows, problems } = tokenizeRows(file, dataset.rows, tokenizer, { max_length, labels: 'assistant' });
    throwErrors(problems);
    for (const problem of [...dataset.problems, ...problems]) context.warn(described(problem));
    const { loss, labelled } = await evaluateLoss(model, examples, tokenizer.pad_token_id ?? 0);
    const answers: Answer[] = [];
    for (const { messages, expected } of values.exact ? rows.flatMap(question) : []) {
      context.signal.throwIfAborted();
      const onText = (text: string) => canBecome(text, expected);
      const completion = (await answer(model, tokenizer, messages, { chat: true, max_new_tokens, temperature: 0, seed: 0, onText })).trim();
      answers.push({ prompt: messages.at(-1)!.content, expected, completion, right: completion === expected.trim() });
    }
    const exact = answers.filter((a) => a.right).length;
    const result = { kind: 'result', examples: examples.length, labelled_tokens: labelled, loss, perplexity: Math.exp(loss), ...(values.exact && { exact, answers }) };
    context.print(context.json ? JSON.stringify(result) : inWords(result.loss, labelled, values.exact ? answers : null));
    return 0;
  });
}

/** A row's last exchange: what stands before the assistant's last turn, and that turn. */
function question(row: Row): { readonly messages: readonly Message[]; readonly expected: string }[] {
  const messages = row.kind === 'messages' ? row.messages : row.kind === 'completion' ? asChat(row) : [];
  const last = messages.at(-1);
  return last?.role === 'assistant' ? [{ messages: messages.slice(0, -1), expected: last.content }] : [];
}

function inWords(loss: number, labelled: number, answers: readonly Answer[] | null): string {
  const lines = [`loss ${loss.toFixed(4)} on ${labelled} labelled tokens (perplexity ${Math.exp(loss).toFixed(2)})`];
  if (answers) lines.push(`${answers.filter((a) => a.right).length} of ${answers.length} answers exactly right`);
  return lines.join('\n');
}
