import * as vscode from 'vscode';
import type { ComparisonData } from '../../shared/pages/compare/protocol';
import { LoraError } from '../../shared/errors';
import { TOOLS } from '../manifest/ids';
import { t } from '../text/l10n';
import { toolAnswer, toolMessages } from '../ui/tools';
import { findRecipes } from '../recipe/chooseRecipe';
import type { RunSummary } from '../runs/run';
import type { RunStore } from '../runs/runStore';
import type { Services } from '../services';
import { startUnasked, type StartTime } from '../queue/startUnasked';
import { comparisonAnswer, runsAnswer, runAnswer, startAnswer } from './answers';

/**
 * Tools for chat agents: list the runs, explain one, compare two adapters, and start a recipe,
 * which the user must confirm.
 */
export function registerChat(services: Services): vscode.Disposable {
  const { store, jobs } = services;
  return vscode.Disposable.from(
    vscode.lm.registerTool<object>(TOOLS.listRuns, {
      invoke: async () => {
        await store.refresh();
        return toolAnswer(runsAnswer(store.runs));
      },
    }),
    vscode.lm.registerTool<{ readonly run?: unknown }>(TOOLS.explainRun, {
      invoke: async ({ input }) => {
        const run = await findRun(store, input.run);
        return toolAnswer(await runAnswer(run, store.record(run.dir)));
      },
    }),
    vscode.lm.registerTool<{ readonly a?: unknown; readonly b?: unknown }>(TOOLS.compareAdapters, {
      prepareInvocation: ({ input }) =>
        toolMessages(t('Comparing {0} and {1}', String(input.a), String(input.b))),
      invoke: async ({ input }) => {
        requireTrust();
        const [a, b] = [await findAdapter(store, input.a), await findAdapter(store, input.b)];
        return toolAnswer(comparisonAnswer(await jobs.ask<ComparisonData>(['compare', a, b])));
      },
    }),
    registerStart(services),
  );
}

interface StartInput {
  readonly recipe?: unknown;
  readonly when?: unknown;
}

const registerStart = (services: Services): vscode.Disposable =>
  vscode.lm.registerTool<StartInput>(TOOLS.startRecipe, {
    prepareInvocation: ({ input }) =>
      toolMessages(t('Starting {0}', String(input.recipe)), {
        title: t('Start a training run?'),
        message: startMessage(input),
      }),
    invoke: async ({ input }) => {
      requireTrust();
      const { store } = services;
      const recipe = await findRecipe(input.recipe);
      const outcome = await startUnasked(services, recipe, startTime(input));
      await store.refresh();
      return toolAnswer(startAnswer(outcome, store.runs[0]));
    },
  });

const startTime = ({ when }: StartInput): StartTime => (when === 'now' ? 'now' : 'queue');

const startMessage = (input: StartInput): string =>
  startTime(input) === 'now'
    ? t('{0} will be trained on this machine.', String(input.recipe))
    : t('{0} will be trained on this machine, when no other run is active.', String(input.recipe));

function requireTrust(): void {
  if (!vscode.workspace.isTrusted)
    throw new LoraError(
      'usage',
      t('This workspace is not trusted. You can view runs, but not start or change them.'),
    );
}

/**
 * Finds a run by its id, else by its name.
 *
 * @throws LoraError('run') that lists the known runs.
 */
async function findRun(store: RunStore, name: unknown): Promise<RunSummary> {
  await store.refresh();
  const run =
    store.runs.find(({ id }) => id === name) ?? store.runs.find((run) => run.name === name);
  if (run) return run;
  throw new LoraError(
    'run',
    t(
      'There is no run {0}. Known runs: {1}.',
      String(name),
      store.runs
        .slice(0, 10)
        .map(({ id }) => id)
        .join(', '),
    ),
  );
}

async function findAdapter(store: RunStore, name: unknown): Promise<string> {
  const run = await findRun(store, name);
  if (run.adapter !== null) return run.adapter;
  throw new LoraError(
    'adapter',
    t('There is no adapter yet. It is saved when a run ends or is stopped.'),
    { place: { file: run.dir } },
  );
}

/** Finds a recipe of the workspace: a chat agent can't start any other. */
async function findRecipe(name: unknown): Promise<vscode.Uri> {
  const recipes = await findRecipes();
  const recipe = recipes.find(
    (uri) => uri.fsPath === name || vscode.workspace.asRelativePath(uri) === name,
  );
  if (recipe) return recipe;
  throw new LoraError(
    'recipe',
    t(
      'There is no recipe {0}. Known recipes: {1}.',
      String(name),
      recipes.map((uri) => vscode.workspace.asRelativePath(uri)).join(', '),
    ),
  );
}
