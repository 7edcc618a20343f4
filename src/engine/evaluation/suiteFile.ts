import path from 'node:path';
import * as v from 'valibot';
import { fileErrorReason } from '../../common/fileStatus';
import { FileRefused, readTextFile } from '../../common/regularFile';
import type { CheckKind } from '../../shared/evaluation/metrics';
import { imagesOfSuiteRow, SuiteRowSchema, type SuiteRow } from '../../shared/evaluation/suite';
import { LoraError, type Problem } from '../../shared/errors';
import { repeatedKey } from '../../shared/repeatedKeys';
import { ruleOf } from '../../shared/schemaRule';
import type { ModelTask } from '../../shared/task';
import { chatImageFault } from '../../data/rows/contentParts';
import { checkFault } from './checkAnswer';

/** A row of a suite, and where it stands. */
export interface SuiteCase {
  /** From 0, over all files. */
  readonly index: number;
  readonly suite: string;
  readonly file: string;
  readonly line: number;
  readonly row: SuiteRow;
}

const MAX_BYTES = 64 * 2 ** 20;
const MOST_ROWS = 100_000;
const MOST_PROBLEMS = 100;

/**
 * The rows of suites.
 *
 * @throws LoraError('dataset') for a file that cannot be read, a row that is wrong, and a suite
 *   without a row
 */
export async function readSuites(files: readonly string[]): Promise<readonly SuiteCase[]> {
  const cases: SuiteCase[] = [];
  for (const file of files) cases.push(...(await readSuite(file, cases.length)));
  return cases;
}

async function readSuite(file: string, first: number): Promise<readonly SuiteCase[]> {
  const text = await readTextFile(file, { maxBytes: MAX_BYTES }).catch((cause: unknown) => {
    const reason = cause instanceof FileRefused ? cause.message : fileErrorReason(cause);
    throw new LoraError('dataset', `The suite cannot be read: ${reason}.`, {
      place: { file },
      cause,
    });
  });
  const problems: Problem[] = [];
  const cases: SuiteCase[] = [];
  const name = path.basename(file).replace(/\.jsonl?$/, '');
  for (const [i, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    if (line.trim() === '') continue;
    const read = readRow(line);
    const place = { file, line: i + 1 };
    if (typeof read === 'string') problems.push({ message: `${read}.`, place, severity: 'error' });
    else
      cases.push({
        index: first + cases.length,
        suite: read.suite ?? name,
        ...place,
        row: read,
      });
    if (problems.length >= MOST_PROBLEMS) break;
  }
  if (problems.length > 0) throw faulty(file, problems);
  if (cases.length === 0)
    throw new LoraError('dataset', 'The suite has no row.', {
      place: { file },
      fix: 'Write one JSON object per line: {"prompt": "…", "check": {"kind": "exact", "expected": "…"}}.',
    });
  if (first + cases.length > MOST_ROWS)
    throw new LoraError('dataset', `The suites have more than ${MOST_ROWS} rows.`, {
      place: { file },
    });
  return cases;
}

function faulty(file: string, problems: readonly Problem[]): LoraError {
  const [only] = problems;
  if (problems.length === 1)
    return new LoraError('dataset', only!.message, { place: only!.place ?? { file } });
  return new LoraError('dataset', `${problems.length} rows of the suite are wrong.`, {
    place: { file },
    problems,
  });
}

/** A row, or what is wrong with it. */
function readRow(line: string): SuiteRow | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'The row is not JSON';
  }
  const repeated = repeatedKey(line);
  if (repeated) return `The key "${repeated.path}" is duplicated`;
  const result = v.safeParse(SuiteRowSchema, value);
  if (!result.success) {
    const issue = result.issues[0];
    const key = v.getDotPath(issue);
    return key === null ? `The row ${ruleOf(issue)}` : `"${key}" ${ruleOf(issue)}`;
  }
  const row = result.output;
  const fault = checkFault(row.check);
  return shapeFault(row) ?? (fault === null ? row : `The check ${fault}`);
}

/** Kinds whose question is the key "text". */
const OF_TEXT: readonly CheckKind[] = ['label'];

/** The problem with the question of a row; null: none. */
function shapeFault(row: SuiteRow): string | null {
  const { kind } = row.check;
  const asked = ['prompt', 'messages', 'text'].filter((key) => Object.hasOwn(row, key));
  if (asked.length !== 1) return 'The row must have exactly one of "prompt", "messages" and "text"';
  const isText = OF_TEXT.includes(kind) || (kind === 'perplexity' && !row.check.expected);
  const isAsked = asked[0] !== 'text';
  if (isText === isAsked)
    return isText
      ? `A check of the kind ${kind} needs "text"${kind === 'label' ? '' : ' or an expected answer'}`
      : `A check of the kind ${kind} needs "prompt" or "messages"`;
  return promptFault(row) ?? imagesFault(row);
}

/** A judge is not shown images: they would be sent to its server. */
const WITHOUT_IMAGES: readonly CheckKind[] = ['judge'];
const MOST_IMAGES = 64;

function imagesFault(row: SuiteRow): string | null {
  const images = imagesOfSuiteRow(row);
  if (images.length === 0) return null;
  const { kind } = row.check;
  if (WITHOUT_IMAGES.includes(kind))
    return `A check of the kind ${kind} is not supported for a question with images`;
  if (images.length > MOST_IMAGES) return `The row has more than ${MOST_IMAGES} images`;
  const other = images.find(({ role }) => role !== 'user');
  if (other) return `A message of the role ${other.role} cannot have images, only one of the user`;
  const fault = images.map(({ image }) => chatImageFault(image)).find((own) => own !== null);
  return fault === undefined ? null : `An image ${fault}`;
}

function promptFault({ prompt, system, plain, messages }: SuiteRow): string | null {
  if (system !== undefined && prompt === undefined)
    return '"system" belongs to "prompt": in "messages", write a system message';
  if (plain && (prompt === undefined || system !== undefined))
    return '"plain" belongs to a "prompt" without "system"';
  const last = messages?.at(-1)?.role;
  return last === 'assistant' || last === 'system'
    ? `The last message has the role ${last}, so there is nothing to answer`
    : null;
}

/**
 * Refuses rows that models of a task cannot answer: classes need a classifier, all else a language
 * model.
 *
 * @throws LoraError('dataset')
 */
export function checkTask(cases: readonly SuiteCase[], task: ModelTask): void {
  const fits = ({ row }: SuiteCase) => (task === 'seq_cls') === (row.check.kind === 'label');
  if (task !== 'seq_cls' && task !== 'causal_lm' && task !== 'seq2seq_lm')
    throw new LoraError('dataset', `Suites cannot be used with the task ${task}.`, {
      fix: 'Evaluate it on a dataset, which scores all tasks (lora evaluate --dataset).',
    });
  const isAlone = ({ row }: SuiteCase) => row.check.kind === 'perplexity' && row.text !== undefined;
  const alone = task === 'seq2seq_lm' ? cases.find(isAlone) : undefined;
  if (alone)
    throw new LoraError(
      'dataset',
      'An encoder-decoder answers prompts: it gives a text alone no perplexity.',
      {
        place: { file: alone.file, line: alone.line },
        fix: 'Use a prompt with an expected answer.',
      },
    );
  const wrong = cases.find((own) => !fits(own));
  if (!wrong) return;
  const { file, line, row } = wrong;
  throw new LoraError(
    'dataset',
    `A row of the kind ${row.check.kind} does not fit the task ${task}.`,
    { place: { file, line } },
  );
}
