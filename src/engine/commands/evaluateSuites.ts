import path from 'node:path';
import { LoraError } from '../../shared/errors';
import type { EvaluateEvent } from '../../shared/evaluation/events';
import { DEFAULT_JUDGE_PROMPT, missingPlace } from '../../shared/evaluation/judge';
import { EVALUATIONS_FOLDER } from '../../shared/evaluation/result';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { fileErrorReason } from '../../common/fileStatus';
import { newRunId } from '../../shared/run';
import { columnsOf, endpointOf } from '../evaluation/columns';
import { readEvaluation, writeEvaluation } from '../evaluation/folder';
import { joined } from '../evaluation/joined';
import type { Judge } from '../evaluation/judgeRows';
import { checkReports, writeReports } from '../evaluation/report/reports';
import { scoresText } from '../evaluation/report/text';
import { runEvaluation, type EvaluationRequest, type EvaluationResult } from '../evaluation/run';
import { readSuites } from '../evaluation/suiteFile';
import { checkOutput } from '../outputPath';
import { form } from './command';
import {
  baseDtypeOption,
  quantizeOption,
  quantizeOptions,
  partialOption,
  templateVariablesOption,
} from './commonOptions';
import type { CommandContext } from './context';
import { list, optional, requiredList, withDefault, type OptionValues } from './options';
import {
  anyText,
  nonNegativeNumber,
  folderPath,
  positiveWholeNumber,
  wholeNumber,
} from './optionValues';
import { withProgress } from './progress';

const reportOption = list(anyText, 'FILE', 'report to write: a file .html, .md or .csv');

const suiteOptions = {
  suite: requiredList(anyText, 'FILE', 'suite of questions with checks; repeat it for several'),
  base: optional(anyText, 'PATH', 'base model of all columns but endpoints'),
  column: list(
    anyText,
    'COLUMN',
    'base, adapter=DIR, checkpoint=DIR or endpoint=URL#MODEL; repeat it to compare (default: base)',
  ),
  report: reportOption,
  output: optional(folderPath, 'DIR', `folder of the result (default: in ${EVALUATIONS_FOLDER})`),
  'max-new-tokens': withDefault('256', positiveWholeNumber, 'N', 'longest answer, in tokens'),
  temperature: withDefault('0', nonNegativeNumber, 'T', '0 takes the most likely token'),
  seed: withDefault('0', wholeNumber, 'N', 'seed for sampling'),
  'key-env': withDefault('LORA_API_KEY', anyText, 'NAME', 'variable with the key of endpoints'),
  timeout: withDefault('120', positiveWholeNumber, 'S', 'seconds for an answer of an endpoint'),
  judge: optional(anyText, 'URL#MODEL', 'endpoint that compares answers'),
  'judge-prompt': optional(anyText, 'FILE', 'what the judge is asked'),
  'judge-key-env': withDefault('LORA_JUDGE_KEY', anyText, 'NAME', "variable with the judge's key"),
  'chat-template-kwargs': templateVariablesOption,
  'base-dtype': baseDtypeOption('float32'),
  quantize: quantizeOption,
  partial: partialOption,
};

type SuiteOptions = OptionValues<typeof suiteOptions>;

/** lora evaluate --suite. */
export const evaluateSuitesForm = form({
  selectedBy: 'suite',
  options: suiteOptions,
  check: ({ options }) =>
    options['judge-prompt'] !== null && options.judge === null
      ? '--judge-prompt needs --judge.'
      : null,
  run: async ({ options }, context) => {
    checkReports(options.report);
    const suites = options.suite.map((file) => path.resolve(file));
    const id = newRunId();
    const folder =
      options.output ?? path.join(path.dirname(suites[0]!), ...EVALUATIONS_FOLDER.split('/'), id);
    await checkOutput(folder, suites);
    const request = await requestOf(options, { id, suites });
    const result = await withProgress(context, ({ show, warn }) =>
      runEvaluation(
        request,
        { ...context, warn },
        {
          onStart: () => emit(context, startOf(request, folder)),
          onProgress: show,
          onCell: (index, column, cell) => emit(context, { kind: 'row', index, column, cell }),
          signal: context.signal,
        },
      ),
    );
    await writeEvaluation(folder, result);
    await finish(result, { folder, reports: options.report }, context);
    return 0;
  },
});

/** lora evaluate --result. */
export const evaluationResultsForm = form({
  selectedBy: 'result',
  options: {
    result: requiredList(
      anyText,
      'DIR',
      'earlier evaluation to show; repeat it to compare several in the rows that they share',
    ),
    report: reportOption,
  },
  run: async ({ options: { result, report } }, context) => {
    checkReports(report);
    const parts = await Promise.all(result.map((folder) => readEvaluation(folder)));
    const folder = path.resolve(result[0]!);
    await finish(joined(parts), { folder, reports: report }, context);
    return 0;
  },
});

const emit = ({ json, print }: CommandContext, event: EvaluateEvent): void => {
  if (json) print(JSON.stringify(event));
};

const startOf = (
  { id, columns, cases }: EvaluationRequest,
  folder: string,
): Extract<EvaluateEvent, { kind: 'started' }> => ({
  kind: 'started',
  id,
  folder,
  columns,
  rows: cases.length,
});

interface Written {
  readonly folder: string;
  readonly reports: readonly string[];
}

async function finish(
  result: EvaluationResult,
  { folder, reports }: Written,
  context: CommandContext,
): Promise<void> {
  const { evaluation } = result;
  await writeReports(reports, result);
  emit(context, { kind: 'result', folder, evaluation, reports });
  if (!context.json) context.print([scoresText(evaluation), `Result: ${folder}`].join('\n'));
}

async function requestOf(
  options: SuiteOptions,
  { id, suites }: { readonly id: string; readonly suites: readonly string[] },
): Promise<EvaluationRequest> {
  const timeout = 1000 * options.timeout;
  const { base, temperature, seed, partial } = options;
  const columns = columnsOf(options.column.length === 0 ? ['base'] : options.column);
  return {
    id,
    suites,
    cases: await readSuites(suites),
    columns,
    base: base === null ? null : path.resolve(base),
    below: [],
    opening: {
      base_dtype: options['base-dtype'],
      quantize: quantizeOptions(options.quantize),
      partial,
      chat_template_kwargs: options['chat-template-kwargs'],
    },
    settings: { temperature, seed, max_new_tokens: options['max-new-tokens'] },
    endpoints: { key: keyIn(options['key-env']), timeout },
    judge: options.judge === null ? null : await judgeOf(options.judge, options, timeout),
  };
}

/** A key is no argument: other users see those. */
const keyIn = (name: string): string | null => process.env[name] || null;

async function judgeOf(address: string, options: SuiteOptions, timeout: number): Promise<Judge> {
  const file = options['judge-prompt'];
  const prompt = file === null ? DEFAULT_JUDGE_PROMPT : await readPrompt(file);
  const key = keyIn(options['judge-key-env']);
  return { client: { ...endpointOf(address), key, timeout }, prompt };
}

async function readPrompt(file: string): Promise<string> {
  const limits = { maxBytes: MAX_BYTES.writtenByPeople };
  const text = await readTextFile(file, limits).catch((cause: unknown) => {
    throw new LoraError('usage', `The prompt cannot be read: ${fileErrorReason(cause)}.`, {
      place: { file },
      cause,
    });
  });
  const missing = missingPlace(text);
  if (missing === undefined) return text;
  throw new LoraError('usage', `The prompt for the judge has no ${missing}.`, { place: { file } });
}
