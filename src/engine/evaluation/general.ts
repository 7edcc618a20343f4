import path from 'node:path';
import * as v from 'valibot';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { ProblemCollector, throwErrors } from '../../data/dataset/problems';
import { collate, paddingId } from '../../data/examples/batch';
import type { TokensExample } from '../../data/examples/example';
import { examplesOf, type Examples } from '../../data/examples/examples';
import { textTokenizer } from '../../data/examples/tokenizeRows';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { Model } from '../../models/model';
import { SuiteRowSchema } from '../../shared/evaluation/suite';
import type { Scores } from '../../shared/metrics/lines';
import { evaluateExamples } from '../tasks/evaluate';
import type { SuiteCase } from './suiteFile';

/** General text and chat: what a model could do before its training. Beside the bundles. */
export const GENERAL_FILE = 'general.jsonl';

const RowSchema = v.union([
  v.strictObject({ suite: v.string(), text: v.string() }),
  v.strictObject({
    suite: v.string(),
    prompt: v.string(),
    answer: v.string(),
    check: v.optional(SuiteRowSchema.entries.check),
  }),
]);
/** A text of a skill, or a question with a good answer, which may be checked. */
export type GeneralRow = v.InferOutput<typeof RowSchema>;

/** @throws the file system's error */
export async function readGeneralRows(folder: string): Promise<readonly GeneralRow[]> {
  const file = path.join(folder, GENERAL_FILE);
  const text = await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople });
  return text
    .trim()
    .split('\n')
    .map((line) => v.parse(RowSchema, JSON.parse(line)));
}

const MOST_TOKENS = 512;
/** All rows take as long as a dozen training steps of short rows; every fourth has all skills. */
const EVERY = 4;

/** What the rows are read with. */
interface GeneralTools {
  readonly tokenizer: Tokenizer;
  readonly vocab_size: number;
  /** Tokens that the model has positions for. */
  readonly positions: number;
}

/** The loss of a model on general text and chat. */
export class GeneralLoss {
  private constructor(
    private readonly examples: Examples,
    private readonly pad_id: number,
  ) {}

  /**
   * Every fourth row is measured, of chats the answers only. Rows are cut where the model has fewer
   * positions.
   *
   * @throws LoraError where the chat template refuses a plain question with its answer
   */
  static of(rows: readonly GeneralRow[], tools: GeneralTools): GeneralLoss {
    const { tokenizer, vocab_size, positions } = tools;
    const problems = new ProblemCollector(GENERAL_FILE);
    const max_length = Math.min(MOST_TOKENS, positions);
    const settings = { tokenizer, vocab_size, max_length, labels: 'assistant' } as const;
    const texts = textTokenizer(problems, settings);
    const measured = rows.filter((_, i) => i % EVERY === 0);
    const examples = measured.map((row, i) =>
      texts.add(
        'text' in row
          ? { kind: 'text', line: i + 1, text: row.text }
          : { kind: 'completion', line: i + 1, prompt: row.prompt, completion: row.answer },
      ),
    );
    throwErrors(problems.problems());
    const known = examples.flatMap((own) => (own ? [own.example as TokensExample] : []));
    return new GeneralLoss(examplesOf(known), paddingId(tokenizer, vocab_size));
  }

  /** The loss in nats per token; one that is not finite says nothing. */
  async scores(model: Model): Promise<Scores> {
    const { examples, pad_id } = this;
    const { loss } = await evaluateExamples(model, examples, {
      task: 'causal_lm',
      labels: null,
      pairs_per_batch: 1,
      collate: (batch) => Promise.resolve(collate(batch as readonly TokensExample[], pad_id)),
    });
    return Number.isFinite(loss) ? { general_loss: loss } : {};
  }
}

/** The rows whose answers are checked, as a suite. */
export const generalCases = (rows: readonly GeneralRow[]): readonly SuiteCase[] =>
  rows
    .flatMap((row, i) =>
      'prompt' in row && row.check ? [{ row, check: row.check, line: i + 1 }] : [],
    )
    .map(({ row: { suite, prompt }, check, line }, index) => ({
      index,
      suite,
      file: GENERAL_FILE,
      line,
      row: { suite, prompt, plain: false, check },
    }));
