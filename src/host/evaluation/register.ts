import path from 'node:path';
import * as vscode from 'vscode';
import { RUN_EVALUATION, type Evaluation } from '../../shared/evaluation/result';
import { adapterLabels, runOfAdapter } from '../adapters/adapterNames';
import { COMMANDS } from '../commands/commandTable';
import { RunNode } from '../runs/runNodes';
import type { RunStore } from '../runs/runStore';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { notify } from '../ui/messages';
import { panelHost } from '../webview/panelHost';
import { askRequest, requestOf, runEvaluation, type EvaluationRequest } from './evaluate';
import { evaluationPanels } from './evaluationPanel';
import { chooseEvaluation, evaluationName } from './findEvaluations';

/** Evaluate, and Open Evaluation: the scores of models on suites of questions. */
export function registerEvaluation(services: Services): vscode.Disposable {
  const { commands, context, errors, jobs, log, store } = services;
  const evaluate = async (request: EvaluationRequest) => {
    const folder = await runEvaluation(services, request);
    if (folder !== undefined) panels.show(folder);
  };
  const panels = evaluationPanels({
    ...panelHost({ extensionUri: context.extensionUri, errors, log }, 'run'),
    nameOf: (folder, evaluation) => evaluationName(store, folder, evaluation),
    labelsOf: (evaluation) => labelsOf(store, evaluation),
    again: (evaluation) => evaluate(requestOf(evaluation)),
    writeReport: async (folder, file) => {
      const args = ['evaluate', '--result', folder, '--report', file];
      return (await jobs.run<object>(t('Writing the report'), args, false)) !== undefined;
    },
  });
  return vscode.Disposable.from(
    panels,
    commands.add(COMMANDS.evaluate, async (argument, selection) => {
      const request = await askRequest(store, argument, selection);
      if (request) await evaluate(request);
    }),
    commands.add(COMMANDS.openEvaluation, async (argument) => {
      const folder = folderOf(argument) ?? (await chooseEvaluation(store));
      if (typeof folder === 'string') panels.show(folder);
      else if (folder === null) await offerEvaluation();
    }),
  );
}

/** That of a row of the Runs view, or the one that a dashboard names. */
function folderOf(argument: unknown): string | undefined {
  if (argument instanceof RunNode) return path.join(argument.run.dir, RUN_EVALUATION);
  return typeof argument === 'string' ? argument : undefined;
}

async function offerEvaluation(): Promise<void> {
  const action = t('Evaluate…');
  const chosen = await notify('information', t('There is no evaluation in this workspace yet.'), [
    action,
  ]);
  if (chosen === action) await vscode.commands.executeCommand(COMMANDS.evaluate.id);
}

/** Adapters of runs are called by their runs, and the base by its file. */
function labelsOf(store: RunStore, { columns, base }: Evaluation): readonly string[] {
  const places = columns.map((column) =>
    'path' in column && runOfAdapter(store, column.path) ? column.path : null,
  );
  const known = places.filter((place) => place !== null);
  const labels = adapterLabels(store, known);
  return columns.map(({ name, kind }, i) => {
    const place = places[i];
    if (kind === 'base' && base !== null) return path.basename(base);
    return typeof place === 'string' ? labels[known.indexOf(place)]! : name;
  });
}
