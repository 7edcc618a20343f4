import * as vscode from 'vscode';
import { realpath, stat } from 'node:fs/promises';
import { placeInside } from '../../common/placeInside';
import { baseOnDisk } from '../../formats/hub/baseOnDisk';
import {
  comparisonAnswer,
  evaluationAnswer,
  runAnswer,
  runsAnswer,
  startAnswer,
} from '../../formats/run/agents/answers';
import { AGENT_TOOLS, toolInput, type AgentTool } from '../../shared/agentTools';
import type { ComparisonData } from '../../shared/pages/compare/protocol';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import { toolAnswer, toolMessages } from '../ui/tools';
import { findRecipes } from '../recipe/chooseRecipe';
import type { RunSummary } from '../runs/run';
import type { RunStore } from '../runs/runStore';
import type { Services } from '../services';
import { startUnasked, type StartTime } from '../queue/startUnasked';

/** The input of a tool. VS Code checks it by the schema of package.json alone. */
type Input = Readonly<Record<string, string>>;

/** What a tool does. `prepare`: what the chat shows before. */
interface ChatTool {
  readonly prepare?: (input: Input) => vscode.PreparedToolInvocation;
  readonly invoke: (input: Input) => Promise<string>;
}

const register = (tool: AgentTool, { prepare, invoke }: ChatTool): vscode.Disposable =>
  vscode.lm.registerTool<object>(tool.name, {
    ...(prepare && { prepareInvocation: ({ input }) => prepare(toolInput(tool, input)) }),
    invoke: async ({ input }) => toolAnswer(await invoke(toolInput(tool, input))),
  });

/**
 * Tools for chat agents: list the runs, explain one, compare and evaluate adapters, and start a
 * recipe, which the user must confirm.
 */
export function registerChat(services: Services): vscode.Disposable {
  const { store, jobs } = services;
  return vscode.Disposable.from(
    register(AGENT_TOOLS.listRuns, {
      invoke: async () => {
        await store.refresh();
        return runsAnswer(store.runs);
      },
    }),
    register(AGENT_TOOLS.explainRun, {
      invoke: async ({ run: name }) => {
        const run = await findRun(store, name!);
        return runAnswer(run, store.record(run.dir));
      },
    }),
    register(AGENT_TOOLS.compareAdapters, {
      prepare: ({ a, b }) => toolMessages(t('Comparing {0} and {1}', a!, b!)),
      invoke: async ({ a: nameOfA, b: nameOfB }) => {
        requireTrust();
        const a = adapterOf(await findRun(store, nameOfA!));
        const b = adapterOf(await findRun(store, nameOfB!));
        return comparisonAnswer(await jobs.ask<ComparisonData>(['compare', a, b]));
      },
    }),
    register(AGENT_TOOLS.evaluateAdapter, evaluation(services)),
    register(AGENT_TOOLS.startRecipe, start(services)),
  );
}

const evaluation = ({ store, jobs }: Services): ChatTool => ({
  prepare: ({ run, dataset }) => toolMessages(t('Evaluating {0} on {1}', run!, dataset!)),
  invoke: async ({ run: name, dataset, model }) => {
    requireTrust();
    const run = await findRun(store, name!);
    const file = await findFile(dataset!);
    const adapter = adapterOf(run);
    const base = await baseOnDisk(adapter, run.base);
    if (base === null)
      throw new LoraError('base', t('The base model of {0} is not on this machine.', run.id));
    const own = model === 'base' ? [] : ['--adapter', adapter];
    const args = ['evaluate', '--base', base, '--dataset', file, ...own];
    const title = t('Evaluating {0} on {1}', run.name, dataset!);
    const result = await jobs.run<Readonly<Record<string, unknown>>>(title, args, true);
    return result ? evaluationAnswer(result) : 'Not evaluated: there is no runtime.';
  },
});

const start = (services: Services): ChatTool => ({
  prepare: (input) =>
    toolMessages(t('Starting {0}', input['recipe']!), {
      title: t('Start a training run?'),
      message: startMessage(input),
    }),
  invoke: async (input) => {
    requireTrust();
    const { store } = services;
    const recipe = await findRecipe(input['recipe']!);
    const outcome = await startUnasked(services, recipe, startTime(input));
    await store.refresh();
    return startAnswer(outcome, store.runs[0]);
  },
});

const startTime = ({ when }: Input): StartTime => (when === 'now' ? 'now' : 'queue');

const startMessage = (input: Input): string =>
  startTime(input) === 'now'
    ? t('{0} will be trained on this machine.', input['recipe']!)
    : t('{0} will be trained on this machine, when no other run is active.', input['recipe']!);

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
async function findRun(store: RunStore, name: string): Promise<RunSummary> {
  await store.refresh();
  const run =
    store.runs.find(({ id }) => id === name) ?? store.runs.find((run) => run.name === name);
  if (run) return run;
  throw new LoraError(
    'run',
    t(
      'There is no run {0}. Known runs: {1}.',
      name,
      store.runs
        .slice(0, 10)
        .map(({ id }) => id)
        .join(', '),
    ),
  );
}

function adapterOf({ dir, adapter }: RunSummary): string {
  if (adapter !== null) return adapter;
  throw new LoraError(
    'adapter',
    t('There is no adapter yet. It is saved when a run ends or is stopped.'),
    { place: { file: dir } },
  );
}

/** Finds a file of the workspace. @throws LoraError('dataset') for any other */
async function findFile(name: string): Promise<string> {
  for (const { uri } of vscode.workspace.workspaceFolders ?? []) {
    const place = await placeInside(await realpath(uri.fsPath), name);
    if (place.kind === 'inside' && (await stat(place.path)).isFile()) return place.path;
  }
  throw new LoraError('dataset', t('There is no file {0} in this workspace.', name));
}

/** Finds a recipe of the workspace: a chat agent can't start any other. */
async function findRecipe(name: string): Promise<vscode.Uri> {
  const recipes = await findRecipes();
  const recipe = recipes.find(
    (uri) => uri.fsPath === name || vscode.workspace.asRelativePath(uri) === name,
  );
  if (recipe) return recipe;
  throw new LoraError(
    'recipe',
    t(
      'There is no recipe {0}. Known recipes: {1}.',
      name,
      recipes.map((uri) => vscode.workspace.asRelativePath(uri)).join(', '),
    ),
  );
}
