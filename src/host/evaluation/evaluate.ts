import path from 'node:path';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import type { Evaluation, EvaluationColumn } from '../../shared/evaluation/result';
import { isObject } from '../../shared/values';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { askText } from '../ui/inputs';
import { chooseColumns } from './chooseColumns';
import { chooseJudge } from './chooseJudge';
import { chooseSuites, isSuite } from './chooseSuites';

/** What is evaluated: files of suites, and values of --column. */
export interface EvaluationRequest {
  readonly suites: readonly string[];
  readonly columns: readonly string[];
  readonly base: string | null;
}

/** As --key-env says by default: other users see arguments. */
const KEY_VARIABLE = 'LORA_API_KEY';

/**
 * Asks for suites and models. `argument`, `selection`: rows of the Runs view, the path of an
 * adapter, or files of suites. Undefined: cancelled.
 */
export async function askRequest(
  store: Services['store'],
  argument: unknown,
  selection: readonly unknown[],
): Promise<EvaluationRequest | undefined> {
  const given = [argument, ...selection].filter(isSuite).map(({ fsPath }) => fsPath);
  const isOfSuites = given.length > 0;
  const suites = isOfSuites ? [...new Set(given)] : await chooseSuites();
  const rows = isOfSuites ? [] : selection;
  const chosen = suites && (await chooseColumns(store, isOfSuites ? undefined : argument, rows));
  return chosen && { suites, ...chosen };
}

/** The request of an earlier evaluation. */
export const requestOf = ({ suites, columns, base }: Evaluation): EvaluationRequest => ({
  suites,
  columns: columns.map(columnOption),
  base,
});

function columnOption(column: EvaluationColumn): string {
  switch (column.kind) {
    case 'base':
      return 'base';
    case 'adapter':
    case 'checkpoint':
      return `${column.kind}=${column.path}`;
    case 'endpoint':
      return `endpoint=${column.url}#${column.model}`;
  }
}

/**
 * Answers the questions under all models, with progress. The folder of the result; undefined:
 * cancelled.
 *
 * @throws LoraError as `Jobs.run` does
 */
export async function runEvaluation(
  { jobs }: Pick<Services, 'jobs'>,
  { suites, columns, base }: EvaluationRequest,
): Promise<string | undefined> {
  const isJudged = (await Promise.all(suites.map(hasJudgedRows))).includes(true);
  const keys = await askKey(columns);
  const judge = keys && isJudged ? await chooseJudge() : null;
  if (!keys || judge === undefined) return undefined;
  const args = [
    'evaluate',
    ...suites.flatMap((file) => ['--suite', file]),
    ...(base === null ? [] : ['--base', base]),
    ...columns.flatMap((column) => ['--column', column]),
    ...(judge?.args ?? []),
  ];
  const title = t('Evaluating {0}', suites.map((file) => path.basename(file)).join(', '));
  try {
    const result = await jobs.run<{ readonly folder: string }>(title, args, base !== null, {
      ...keys,
      ...judge?.env,
    });
    return result?.folder;
  } finally {
    judge?.dispose();
  }
}

/**
 * The key of endpoints, in the variable that the engine reads. It is asked for although that may be
 * set: an earlier evaluation, which may be someone else's, can name any address. Undefined:
 * cancelled.
 */
async function askKey(
  columns: readonly string[],
): Promise<Readonly<Record<string, string>> | undefined> {
  const places = columns.flatMap((column) => /^endpoint=([^#]*)/.exec(column)?.[1] ?? []);
  if (places.length === 0) return {};
  const key = await askText({
    title: t('Evaluate: Endpoint'),
    prompt: t(
      'The questions are sent to {0}. Enter its API key; leave empty for none',
      [...new Set(places)].join(', '),
    ),
    password: true,
  });
  return key === undefined ? undefined : { [KEY_VARIABLE]: key };
}

/** Whether a suite has rows that a judge decides; the engine reads its rows thoroughly. */
async function hasJudgedRows(file: string): Promise<boolean> {
  const text = await readTextFile(file, { maxBytes: MAX_BYTES.modelJson }).catch(() => '');
  return text.split('\n').some((line) => line.includes('judge') && isJudged(line));
}

function isJudged(line: string): boolean {
  try {
    const row: unknown = JSON.parse(line);
    return isObject(row) && isObject(row['check']) && row['check']['kind'] === 'judge';
  } catch {
    return false;
  }
}
