import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import {
  EVALUATION_FILES,
  EVALUATIONS_FOLDER,
  RUN_EVALUATION,
  type Evaluation,
} from '../../shared/evaluation/result';
import { RUN_FILES } from '../../shared/run';
import type { RunStore } from '../runs/runStore';
import { formatAge, formatPercent } from '../text/format';
import { t } from '../text/l10n';
import { pickRow } from '../ui/inputs';
import { readEvaluation } from './evaluationFiles';

const MOST_EVALUATIONS = 200;

/** The folders with a result in the workspace and in runs, the newest first. */
async function findEvaluations(store: RunStore): Promise<readonly string[]> {
  const found = await vscode.workspace.findFiles(
    `**/${EVALUATIONS_FOLDER}/*/${EVALUATION_FILES.record}`,
    '**/node_modules/**',
    MOST_EVALUATIONS,
  );
  const ofRuns = store.runs.flatMap(({ dir }) => [
    path.join(dir, RUN_EVALUATION),
    path.join(dir, RUN_FILES.forgetting),
  ]);
  const folders = [...found.map(({ fsPath }) => path.dirname(fsPath)), ...ofRuns];
  const times = await Promise.all(
    [...new Set(folders)].map(async (folder) => ({
      folder,
      time: await stat(path.join(folder, EVALUATION_FILES.record)).then(
        ({ mtimeMs }) => mtimeMs,
        () => null,
      ),
    })),
  );
  return times
    .flatMap(({ folder, time }) => (time === null ? [] : [{ folder, time }]))
    .sort((a, b) => b.time - a.time)
    .map(({ folder }) => folder);
}

/** Lets the user pick an earlier evaluation. Undefined: cancelled; null: there is none. */
export async function chooseEvaluation(store: RunStore): Promise<string | undefined | null> {
  await store.refresh();
  const folders = await findEvaluations(store);
  const rows = await Promise.all(
    folders.slice(0, MOST_EVALUATIONS).map(async (folder) => {
      const evaluation = await readEvaluation(folder).catch(() => null);
      return evaluation ? [{ ...describe(store, folder, evaluation), folder }] : [];
    }),
  );
  if (rows.flat().length === 0) return null;
  const options = { placeHolder: t('Select an evaluation'), matchOnDescription: true };
  return (await pickRow(rows.flat(), options))?.folder;
}

const describe = (store: RunStore, folder: string, evaluation: Evaluation) => ({
  label: evaluationName(store, folder, evaluation),
  description: formatAge(Date.now() - Date.parse(evaluation.created)),
  detail: scoresText(evaluation),
  icon: 'checklist',
});

/** The name of an evaluation: by its run and what it is of, else by the files of its suites. */
export function evaluationName(
  store: Pick<RunStore, 'find'>,
  folder: string,
  { suites }: Evaluation,
): string {
  const run = store.find(path.dirname(folder));
  if (!run) return suites.map((file) => path.basename(file)).join(', ');
  return path.basename(folder) === RUN_FILES.forgetting
    ? t('{0}, general questions', run.name)
    : run.name;
}

/** The total score of each column. */
function scoresText({ columns, scores }: Evaluation): string {
  const total = scores.find(({ suite }) => suite === null);
  return columns
    .map(({ name }, i) => {
      const value = total?.columns[i]?.value ?? null;
      return value === null ? name : `${name} ${formatPercent(value)}`;
    })
    .join(' · ');
}
