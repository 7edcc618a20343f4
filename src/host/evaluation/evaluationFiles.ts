import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { replaceFile } from '../../common/atomicWrite';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import {
  asEvaluatedRow,
  asEvaluation,
  EVALUATION_FILES,
  type EvaluatedRow,
  type Evaluation,
} from '../../shared/evaluation/result';
import { asVote, type Vote } from '../../shared/evaluation/votes';
import { isObject } from '../../shared/values';
import { t } from '../text/l10n';

/** The rows of more would fill the extension host. */
const MAX_ROWS_BYTES = 64 * 2 ** 20;
/** Some ten thousand votes. */
const MAX_VOTES_BYTES = 2 * 2 ** 20;
/** Rows that are parsed before the extension host does something else. */
const AT_ONCE = 500;

const record = (maxBytes: number) => ({ maxBytes, links: 'refused' }) as const;

/**
 * The scores of an evaluation.
 *
 * @throws LoraError('run') when the file is missing or damaged
 */
export async function readEvaluation(folder: string): Promise<Evaluation> {
  const file = path.join(folder, EVALUATION_FILES.record);
  const value: unknown = await readTextFile(file, record(MAX_BYTES.runRecord))
    .then((text): unknown => JSON.parse(text))
    .catch((cause: unknown) => {
      throw new LoraError('run', t('There is no result: the evaluation was cancelled or failed.'), {
        place: { file },
        cause,
        fix: t('Evaluate again.'),
      });
    });
  const evaluation = asEvaluation(value);
  if (evaluation) return evaluation;
  throw new LoraError('run', t('This is not the result of an evaluation.'), { place: { file } });
}

/**
 * The rows of an evaluation; lines that are damaged are left out.
 *
 * @throws LoraError('run') when the file is missing or too large
 */
export async function readRows(
  folder: string,
  { columns }: Pick<Evaluation, 'columns'>,
): Promise<EvaluatedRow[]> {
  const file = path.join(folder, EVALUATION_FILES.rows);
  const text = await readTextFile(file, record(MAX_ROWS_BYTES)).catch((cause: unknown) => {
    throw new LoraError('run', t('The rows of the evaluation cannot be read.'), {
      place: { file },
      cause,
    });
  });
  const rows: EvaluatedRow[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    if (i % AT_ONCE === 0) await setImmediate();
    const row = asEvaluatedRow(parsedLine(line));
    if (row?.cells.length === columns.length) rows.push(row);
  }
  return rows.sort((a, b) => a.index - b.index);
}

/**
 * The votes on an evaluation; without a file, none.
 *
 * @throws LoraError('run') when there are some that cannot be read: new ones would replace them
 */
export async function readVotes(folder: string): Promise<Vote[]> {
  const file = path.join(folder, EVALUATION_FILES.votes);
  const text = await readTextFile(file, record(MAX_VOTES_BYTES)).catch((cause: unknown) => {
    if (isObject(cause) && cause['code'] === 'ENOENT') return '';
    throw new LoraError('run', t('The votes cannot be read.'), { place: { file }, cause });
  });
  return text.split('\n').flatMap((line) => asVote(parsedLine(line)) ?? []);
}

/**
 * Writes all votes on an evaluation.
 *
 * @throws LoraError('disk')
 */
export const writeVotes = (folder: string, votes: readonly Vote[]): Promise<void> =>
  replaceFile(
    path.join(folder, EVALUATION_FILES.votes),
    votes.map((vote) => `${JSON.stringify(vote)}\n`).join(''),
    (reason) => ({ message: t('The votes cannot be written: {0}.', reason) }),
  );

function parsedLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
