import path from 'node:path';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { BaseModel } from '../../formats/baseModel';
import { variablesIn } from '../../shared/chatVariables';
import { LoraError } from '../../shared/errors';
import type { EvaluationColumn, RunScore } from '../../shared/evaluation/result';
import type { Recipe } from '../../shared/recipe';
import { newRunId, RUN_FILES, type StepPlan } from '../../shared/run';
import { modelTaskOf } from '../../shared/task';
import type { RuntimeContext } from '../useRuntime';
import { replaceEvaluation } from './folder';
import { checkTemplates } from './languageRows';
import { runEvaluation, type EvaluationHooks } from './run';
import { checkTask, readSuites, type SuiteCase } from './suiteFile';
import { openSuiteImages } from './suiteImages';

/** What answers them. `tokenizer`: null for a task without texts. */
interface SuiteModel {
  readonly tokenizer: Tokenizer | null;
  readonly base: Pick<BaseModel, 'spec' | 'path'>;
}

/**
 * The rows of a recipe's suites; none without suites.
 *
 * @throws LoraError('dataset') for a row that is wrong, or that the model cannot answer
 */
export async function suitesOf(
  { task, evaluate }: Recipe,
  { tokenizer, base }: SuiteModel,
): Promise<readonly SuiteCase[]> {
  if (evaluate.suites.length === 0) return [];
  const cases = await readSuites(evaluate.suites);
  checkTask(cases, modelTaskOf(task));
  if (tokenizer) checkTemplates(cases, tokenizer);
  await openSuiteImages(cases, base);
  const judged = cases.find(({ row }) => row.check.kind === 'judge');
  if (!judged) return cases;
  const { file, line } = judged;
  throw new LoraError('dataset', 'Rows of the kind judge are not answered after a training.', {
    place: { file, line },
    fix: 'Put them into a suite of their own (lora evaluate --judge).',
  });
}

/** A run whose training has ended, and what its adapter is asked. */
interface TrainedRun {
  readonly recipe: Recipe;
  readonly run_dir: string;
  readonly created: string;
  readonly step_plan: StepPlan;
  readonly cases: readonly SuiteCase[];
  /** Where the questions are from. */
  readonly suites: readonly string[];
  readonly max_new_tokens: number;
  /** The folder of the answers, in that of the run. */
  readonly folder: typeof RUN_FILES.evaluation | typeof RUN_FILES.forgetting;
}

/**
 * Lets the base and the run's adapter answer questions, and writes the answers into the run's
 * folder. A base without a head for classes answers none.
 *
 * @throws LoraError
 */
export async function evaluateRun(
  run: TrainedRun,
  context: RuntimeContext,
  hooks: Pick<EvaluationHooks, 'onProgress' | 'signal'>,
): Promise<RunScore> {
  const { recipe, run_dir, created, step_plan, cases, suites, max_new_tokens, folder } = run;
  const { base, lora, task, training } = recipe;
  const adapter = path.join(run_dir, RUN_FILES.adapter);
  const trained: EvaluationColumn = { kind: 'adapter', name: 'adapter', path: adapter };
  const columns: readonly EvaluationColumn[] =
    task === 'causal_lm' || task === 'seq2seq_lm'
      ? [{ kind: 'base', name: 'base' }, trained]
      : [trained];
  const result = await runEvaluation(
    {
      id: newRunId(),
      suites,
      cases,
      columns,
      base,
      below: lora.frozen_adapters,
      opening: {
        base_dtype: step_plan.quantized && !step_plan.quantize ? 'quantized' : step_plan.base_dtype,
        quantize: recipe.training.quantize && {
          kind: recipe.training.quantize,
          modules_to_save: lora.modules_to_save,
        },
        now: new Date(created),
        chat_template_kwargs: variablesIn(recipe.chat_template_kwargs) ?? {},
      },
      settings: { temperature: 0, seed: training.seed, max_new_tokens },
      endpoints: { key: null, timeout: 0 },
      judge: null,
    },
    context,
    { ...hooks, onStart: () => undefined, onCell: () => undefined },
  );
  await replaceEvaluation(path.join(run_dir, folder), result);
  return scoreOf(result.evaluation.scores[0]!, columns.length - 1, cases.length);
}

type Total = Awaited<ReturnType<typeof runEvaluation>>['evaluation']['scores'][number];

const scoreOf = ({ columns, differences }: Total, trained: number, rows: number): RunScore => ({
  score: columns[trained]!.value,
  base: trained === 0 ? null : columns[0]!.value,
  verdict: columns[trained]!.value === null ? null : (differences.at(-1)?.verdict ?? null),
  rows,
});
