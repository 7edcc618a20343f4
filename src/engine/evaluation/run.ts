import { contextOf } from '../../formats/architecture/positions';
import { readAdapterTask } from '../../formats/peft/task';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import { LoraError } from '../../shared/errors';
import { BOOTSTRAP } from '../../shared/evaluation/bootstrap';
import type {
  EvaluatedCell,
  EvaluatedRow,
  Evaluation,
  EvaluationColumn,
} from '../../shared/evaluation/result';
import { createTokenizer, type TokenizerOptions } from '../../data/tokenizer/createTokenizer';
import { baseOptionsOf, withModel, type OpenOptions } from '../model/openModel';
import { BatchScheduler } from '../serve/batchScheduler';
import { ServedModels } from '../serve/servedModels';
import type { RuntimeContext } from '../useRuntime';
import { failedCell, type AnswerRows, type AnswerSettings } from './cells';
import type { EndpointClient } from './endpoint';
import { checkEndpointRows, endpointRows } from './endpointRows';
import { judgeRows, type Judge } from './judgeRows';
import { labelRows } from './labelRows';
import { checkTemplates, languageRows, needsTemplate, PARALLEL_ANSWERS } from './languageRows';
import { scoresOf } from './scores';
import { checkTask, type SuiteCase } from './suiteFile';
import { openSuiteImages } from './suiteImages';

/** What is evaluated, and how. */
export interface EvaluationRequest {
  readonly id: string;
  readonly suites: readonly string[];
  readonly cases: readonly SuiteCase[];
  readonly columns: readonly EvaluationColumn[];
  /** Null: there are only endpoints. */
  readonly base: string | null;
  /** Adapters that all columns but endpoints have. */
  readonly below: readonly string[];
  readonly opening: OpenOptions & TokenizerOptions;
  readonly settings: AnswerSettings;
  /** How endpoints are asked. */
  readonly endpoints: Pick<EndpointClient, 'key' | 'timeout'>;
  /** Null: no row is judged. */
  readonly judge: Judge | null;
}

/** Receives the progress of an evaluation. */
export interface EvaluationHooks {
  /** Nothing is wrong with the rows: what follows takes time. */
  readonly onStart: () => void;
  readonly onProgress: (phase: 'loading' | 'answering' | 'judging', fraction: number) => void;
  readonly onCell: (index: number, column: number, cell: EvaluatedCell) => void;
  readonly signal: AbortSignal;
}

/** An evaluation with its rows. */
export interface EvaluationResult {
  readonly evaluation: Evaluation;
  readonly rows: readonly EvaluatedRow[];
}

const KEPT_BYTES = 256e6;

/** Answers all rows under all columns and scores them. @throws LoraError */
export async function runEvaluation(
  request: EvaluationRequest,
  context: RuntimeContext,
  hooks: EvaluationHooks,
): Promise<EvaluationResult> {
  const started = Date.now();
  await checkRequest(request);
  hooks.onStart();
  const table = new CellTable(request, hooks);
  const isClassifier = request.cases.some(({ row }) => row.check.kind === 'label');
  if (isClassifier) await classify(request, context, table);
  else await answer(request, context, table);
  const judged = request.judge && (await judgeRows(table.rows(), request.judge, judging(hooks)));
  const rows = judged?.rows ?? table.rows();
  if (hooks.signal.aborted) throw new LoraError('cancelled', 'The evaluation was stopped.');
  return {
    rows,
    evaluation: {
      version: 1,
      id: request.id,
      created: new Date(started).toISOString(),
      base: request.base,
      suites: [...request.suites],
      columns: [...request.columns],
      rows: rows.length,
      settings: {
        ...request.settings,
        confidence: BOOTSTRAP.confidence,
        resamples: BOOTSTRAP.resamples,
      },
      scores: [...scoresOf(rows, request.columns.length, BOOTSTRAP)],
      judge: judged?.report ?? null,
      seconds: (Date.now() - started) / 1000,
    },
  };
}

const judging = ({ onProgress, signal }: EvaluationHooks) => ({
  onProgress: (fraction: number) => onProgress('judging', fraction),
  signal,
});

/** @throws LoraError for what cannot be evaluated, before anything is loaded */
async function checkRequest(request: EvaluationRequest): Promise<void> {
  const { cases, columns, base, judge } = request;
  const judged = cases.find(({ row }) => row.check.kind === 'judge');
  if (judged) checkJudge(judged, columns, judge);
  for (const column of columns) {
    if (column.kind === 'endpoint') checkEndpointRows(cases);
    else if (base === null)
      throw new LoraError('usage', `The column ${column.name} needs a base (--base).`);
    else await checkModel(request, base, column);
  }
}

function checkJudge(
  { file, line }: SuiteCase,
  columns: readonly EvaluationColumn[],
  judge: Judge | null,
): void {
  const options = { place: { file, line } };
  if (!judge)
    throw new LoraError('dataset', 'A row of the kind judge needs a judge.', {
      ...options,
      fix: 'Name one (--judge).',
    });
  if (columns.length < 2)
    throw new LoraError('dataset', 'A judge compares two columns, but there is one.', options);
}

const adaptersOf = (column: EvaluationColumn, below: readonly string[]): readonly string[] => {
  const own = pathOf(column);
  return own === null ? below : [...below, own];
};

/** The adapter or checkpoint of a column. */
const pathOf = (column: EvaluationColumn): string | null =>
  column.kind === 'adapter' || column.kind === 'checkpoint' ? column.path : null;

/** @throws LoraError when the model of a column cannot answer a row */
async function checkModel(
  { cases, below, opening }: EvaluationRequest,
  base: string,
  column: EvaluationColumn,
): Promise<void> {
  const adapter = adaptersOf(column, below).at(-1) ?? null;
  const trained = adapter === null ? null : await readAdapterTask(adapter);
  const opened = await openBaseUnder(base, adapter, baseOptionsOf(trained));
  try {
    checkTask(cases, opened.spec.task);
    if (cases.some(needsTemplate))
      checkTemplates(cases, createTokenizer(await opened.readTokenizer(), opening));
    await openSuiteImages(cases, opened);
  } finally {
    await opened.close();
  }
}

/** The cells of all rows and columns. */
class CellTable {
  private readonly cells: (EvaluatedCell | undefined)[][];
  private done = 0;

  constructor(
    private readonly request: EvaluationRequest,
    private readonly hooks: EvaluationHooks,
  ) {
    this.cells = request.cases.map(() => []);
  }

  get signal(): AbortSignal {
    return this.hooks.signal;
  }

  /** Fills a column. */
  async fill(column: number, answerRows: AnswerRows): Promise<void> {
    const { cases, columns } = this.request;
    await answerRows(cases, ({ index }, cell) => {
      this.cells[index]![column] = cell;
      this.hooks.onCell(index, column, cell);
      this.hooks.onProgress('answering', ++this.done / (cases.length * columns.length));
    });
  }

  loading(fraction: number): void {
    this.hooks.onProgress('loading', fraction);
  }

  rows(): readonly EvaluatedRow[] {
    const { cases, columns } = this.request;
    return cases.map((own) => ({
      ...own,
      cells: columns.map((_, i) => this.cells[own.index]![i] ?? failedCell('There is no answer.')),
    }));
  }
}

async function classify(
  { base, below, columns, opening }: EvaluationRequest,
  context: RuntimeContext,
  table: CellTable,
): Promise<void> {
  for (const [i, column] of columns.entries()) {
    const paths = { base: base!, adapters: adaptersOf(column, below) };
    await withModel(paths, context, opening, (loaded) =>
      table.fill(i, labelRows(loaded, table.signal)),
    );
  }
}

async function answer(
  request: EvaluationRequest,
  context: RuntimeContext,
  table: CellTable,
): Promise<void> {
  const { columns, settings, endpoints } = request;
  const failed = new AbortController();
  const signal = AbortSignal.any([table.signal, failed.signal]);
  const isLocal = ({ kind }: EvaluationColumn) => kind !== 'endpoint';
  // endpoints answer while the models here do
  const remote = columns.map((column, i) =>
    column.kind === 'endpoint'
      ? table.fill(i, endpointRows({ ...column, ...endpoints }, settings, signal))
      : Promise.resolve(),
  );
  const local = columns.some(isLocal)
    ? answerHere(request, context, table, signal)
    : Promise.resolve();
  const all = [local, ...remote];
  try {
    await Promise.all(all);
  } catch (error) {
    failed.abort(); // the other answers are of no use
    await Promise.allSettled(all);
    throw error;
  }
}

/** All columns of one base, which is loaded once. */
async function answerHere(
  { base, below, cases, columns, opening, settings }: EvaluationRequest,
  context: RuntimeContext,
  table: CellTable,
  signal: AbortSignal,
): Promise<void> {
  const adapters = [...new Set(columns.flatMap((column) => adaptersOf(column, below)))];
  const models = await ServedModels.open({ base: base!, adapters }, context, {
    ...opening,
    onProgress: (fraction) => table.loading(fraction),
  });
  const limits = { sequences: PARALLEL_ANSWERS, waiting: 0, kept_bytes: KEPT_BYTES };
  const scheduler = new BatchScheduler(models, limits);
  try {
    for (const [i, column] of columns.entries()) {
      if (column.kind === 'endpoint') continue;
      const mix = adaptersOf(column, below).map((own) => ({
        adapter: adapters.indexOf(own),
        scale: 1,
      }));
      const { tokenizer, base: opened } = await models.mixed(mix);
      const imagesOf = await openSuiteImages(cases, opened);
      const own = { scheduler, mix, tokenizer, imagesOf, vocab_size: opened.spec.vocab_size };
      const positions = contextOf(opened.spec);
      const model = async () => (await models.mixed(mix)).model;
      await table.fill(
        i,
        languageRows({ ...own, positions, start_id: models.start_id, model }, settings, signal),
      );
    }
  } finally {
    await scheduler.close();
    await models.close();
  }
}
