/**
 * The process in which the extension reads files of models and datasets: they may be untrusted,
 * and one that takes all memory or never ends must not take the extension host along. Each line of
 * standard input is a question, each line of standard output a reply; it ends with standard input.
 */
import { messageSplitter } from '../common/lineSplitter';
import { LoraError } from '../shared/errors';
import { answerTo } from './answer';
import { MAX_REPLY, type Question, type Reply } from './questions';

async function replyTo(line: string): Promise<string> {
  try {
    const answer = await answerTo(JSON.parse(line) as Question);
    const reply: Reply = { kind: 'answer', answer };
    const text = JSON.stringify(reply);
    if (text.length <= MAX_REPLY) return text;
    throw new LoraError('base', 'The file contains more than can be shown.');
  } catch (error) {
    const reply: Reply = { kind: 'error', error: LoraError.from(error, 'base').serialize() };
    return JSON.stringify(reply);
  }
}

let answered: Promise<unknown> = Promise.resolve();
const lines = messageSplitter((line) => {
  answered = answered.then(async () => process.stdout.write(`${await replyTo(line)}\n`));
});
process.stdin
  .on('data', (chunk: Buffer) => lines.push(chunk))
  .on('end', () => process.exit())
  .on('error', () => process.exit());
process.stdout.on('error', () => process.exit());
