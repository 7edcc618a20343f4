/**
 * Greedy answers with and without drafts, in turns: the tokens of a step and the speed of each kind
 * of prompt. Prints one line of JSON; `drafts.mjs` prints the table.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import type { Chat } from '../../src/data/chat/chat';
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { promptIds, stopIds } from '../../src/engine/model/answer';
import { openBase } from '../../src/formats/openBase';
import { generateTokens } from '../../src/models/generate';
import { loadModel } from '../../src/models/loadModel';
import type { Decoder } from '../../src/models/model';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { TfBinding } from '../../src/models/ops/tfBinding';

const { values: args } = parseArgs({
  options: {
    tfjs: { type: 'string' },
    base: { type: 'string' },
    root: { type: 'string' },
    form: { type: 'string', default: 'quantized' },
    products: { type: 'string', default: 'rounded' },
    kinds: { type: 'string' },
    rows: { type: 'boolean', default: false },
    tokens: { type: 'string', default: '256' },
    rounds: { type: 'string', default: '1' },
  },
});

const file = (name: string) => readFileSync(path.join(args.root!, name), 'utf8');
const lines = (name: string, from: number, to: number) =>
  file(name).split('\n').slice(from, to).join('\n');

type Message = Chat['messages'][number];
const user = (content: string): Message[] => [{ role: 'user', content }];

/** Conversations by what an answer has to quote. */
const kinds: Readonly<Record<string, () => Message[][]>> = {
  'git commands': () =>
    file('examples/git-commands/validation.jsonl')
      .trim()
      .split('\n')
      .slice(0, 8)
      .map((line) => (JSON.parse(line) as { messages: Message[] }).messages.slice(0, -1)),
  'changes of code': () =>
    [
      ['src/models/exponential.ts', 'Rename the function exponential to fastExponential.'],
      ['src/common/lineSplitter.ts', 'Add a comment to each function.'],
    ].map(([name, task]) =>
      user(`${task} Write the whole file again.\n\n\`\`\`ts\n${lines(name!, 0, 40)}\n\`\`\``),
    ),
  summaries: () =>
    ['docs/automation.md', 'docs/editor.md'].map((name) =>
      user(`Summarize this page in one paragraph.\n\n${lines(name, 0, 60)}`),
    ),
  quotes: () =>
    [
      'Which sentences of this page are about errors? Quote them.',
      'Quote the three most important sentences of this page.',
    ].map((task) => user(`${task}\n\n${lines('docs/runs.md', 0, 40)}`)),
  'nothing to quote': () =>
    ['Write a story about a fox who learns to swim.', 'Why is the sky blue?'].map(user),
};

interface Written {
  readonly ids: readonly number[];
  readonly steps: number;
  readonly seconds: number;
}

/** Writes an answer: its tokens, and the steps and time after the first one. */
async function write(
  decoder: Decoder,
  [input_ids, stop_ids]: readonly [readonly number[], readonly number[]],
): Promise<Written> {
  let steps = 0;
  let start = 0;
  const ids = await generateTokens(
    Object.create(decoder, {
      step: {
        value: (...given: Parameters<Decoder['step']>) => {
          steps++;
          return decoder.step(...given);
        },
      },
    }) as Decoder,
    input_ids,
    {
      ...{ temperature: 0, seed: 0, max_new_tokens: Number(args.tokens), stop_ids },
      onToken: () => {
        start ||= performance.now();
        return true;
      },
      yieldPoint: () => Promise.resolve(),
    },
  );
  return { ids, steps, seconds: (performance.now() - start) / 1e3 };
}

/** One conversation with drafts and without, in turns. */
async function compare(own: Decoder, prompt: readonly [readonly number[], readonly number[]]) {
  const without = Object.create(own, { drafts: { value: null } }) as Decoder;
  const sums = { tokens: 0, steps: 0, seconds: 0, single_seconds: 0 };
  for (let round = 0; round < Number(args.rounds); round++) {
    const order = round % 2 === 0 ? [own, without] : [without, own];
    const results = new Map<Decoder, Written>();
    for (const decoder of order) results.set(decoder, await write(decoder, prompt));
    const [drafted, single] = [results.get(own)!, results.get(without)!];
    if (drafted.ids.join() !== single.ids.join()) throw new Error('Other tokens with drafts.');
    sums.tokens += single.steps;
    sums.steps += drafted.steps;
    sums.seconds += drafted.seconds;
    sums.single_seconds += single.seconds;
  }
  return sums;
}

/** Milliseconds of a step of 1 to 8 rows after 400 tokens: medians of 20, in turns. */
async function timesOfRows(decoder: Decoder): Promise<readonly number[]> {
  const sequence = decoder.open();
  for (let at = 0; at < 400; at += 100) {
    const ids = Int32Array.from({ length: 100 }, (_, i) => 100 + at + i);
    await decoder.read(sequence, ids, { isLast: true });
  }
  const counts = [1, 2, 3, 4, 5, 6, 7, 8];
  const times = counts.map((): number[] => []);
  for (let round = 0; round < 21; round++)
    for (const [i, rows] of counts.entries()) {
      const start = performance.now();
      await decoder.step([sequence], [5], [Array.from({ length: rows - 1 }, (_, k) => 20 + k)]);
      if (round > 0) times[i]!.push(performance.now() - start);
    }
  return times.map((own) => own.sort((a, b) => a - b)[own.length >> 1]!);
}

const encoded = (tokenizer: Tokenizer, messages: Message[]) =>
  [promptIds(tokenizer, { messages, variables: {} }, true), stopIds(tokenizer)] as const;

async function main(): Promise<void> {
  const tf = createRequire(__filename)(args.tfjs!) as { backend(): { binding: TfBinding } };
  const base = await openBase(args.base!);
  const tokenizer = createTokenizer(await base.readTokenizer());
  const ops = new TensorFlowOps(tf.backend().binding);
  const base_dtype = args.form === 'float32' ? 'float32' : 'bfloat16';
  const quantized = args.form === 'quantized';
  const model = await loadModel(base, EMPTY_ADAPTER, { ops, base_dtype, quantized });
  const decoder = model.decoder(args.products === 'exact' ? 'exact' : 'rounded');
  if (args.rows) {
    console.log(JSON.stringify(await timesOfRows(decoder)));
    return;
  }
  const table: object[] = [];
  for (const kind of args.kinds?.split(',') ?? Object.keys(kinds)) {
    const sums = { tokens: 0, steps: 0, seconds: 0, single_seconds: 0 };
    for (const messages of kinds[kind]!()) {
      const own = await compare(decoder, encoded(tokenizer, messages));
      for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += own[key];
    }
    table.push({ kind, ...sums });
  }
  const times = [1, 2, 3, 4, 5, 6, 7, 8].map((rows) => decoder.drafts?.times.ratio(1, rows));
  console.log(JSON.stringify({ table, times }));
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
