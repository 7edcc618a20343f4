import * as vscode from 'vscode';
import { createApi, type LoraApi } from './host/api';
import { registerChatTools } from './host/chat/tools';
import { CommandRegistry } from './host/commands/commandRegistry';
import { AdapterComparison, adapterLabel } from './host/compare/compareAdapters';
import { registerConfigureRank } from './host/configure/configureRank';
import { DataChecks } from './host/data/dataChecks';
import { registerDataFixes } from './host/data/dataFixes';
import { dashboardPanels } from './host/dashboard/dashboardPanels';
import { connectEngine } from './host/engine/engineClient';
import { Launcher } from './host/engine/launcher';
import { WindowClose } from './host/engine/windowClose';
import { ErrorReporter } from './host/errors/reporter';
import { COMMANDS } from './host/manifest/ids';
import { t, useTranslations } from './host/text/l10n';
import { registerHubCommands } from './host/hub/hubCommands';
import { registerSample } from './host/sample/openSample';
import { registerInspector } from './host/inspector/inspectorEditor';
import { AdapterFolders } from './host/adapters/adapterFolders';
import { registerAdapterCommands } from './host/adapters/register';
import { Jobs } from './host/jobs/jobs';
import { overlayPanels } from './host/overlay/overlayPanels';
import { chooseAdapter } from './host/adapters/chooseAdapter';
import { PlaygroundPanels } from './host/playground/playgroundPanels';
import { registerQueueCommands } from './host/queue/queueCommands';
import { RunQueue, type QueuedRun } from './host/queue/runQueue';
import { registerRecipeLens } from './host/recipe/codeLens';
import { RecipeDiagnostics } from './host/recipe/diagnostics';
import { checkedRecipe, chooseRecipe } from './host/recipe/runRecipe';
import { registerHistoryCommands } from './host/runs/historyCommands';
import { Outcomes } from './host/runs/outcomes';
import { RecipesAsTheyWere } from './host/runs/recordedRecipes';
import { NO_NOTES, writeNotes } from './host/runs/runNotes';
import { registerRunCommands } from './host/runs/runCommands';
import { RunRoots } from './host/runs/runRoots';
import { RunStore } from './host/runs/runStore';
import { RunsTree } from './host/runs/runsTree';
import { registerRuntimeCommands } from './host/runtime/runtimeCommands';
import { RuntimeService } from './host/runtime/runtimeService';
import { createStatusBar } from './host/status/statusBar';
import { registerRecipeTasks } from './host/tasks/recipeTasks';
import { LoraError } from './shared/errors';

/** Builds the features and hands them their parts. */
export function activate(context: vscode.ExtensionContext): LoraApi {
  useTranslations(vscode.l10n.t, vscode.env.language);
  const log = vscode.window.createOutputChannel('LoRA', { log: true });
  const errors = new ErrorReporter(log);
  const commands = new CommandRegistry(errors);
  const roots = new RunRoots(context.workspaceState);
  const store = new RunStore({
    roots: () => roots.list(),
    mayConnect: () => vscode.workspace.isTrusted,
  });
  const windowClose = new WindowClose(store.engines, context.workspaceState);
  const diagnostics = new RecipeDiagnostics();
  const outcomes = new Outcomes(store, errors, (problems) => diagnostics.show(problems));
  const dashboards = dashboardPanels({
    extensionUri: context.extensionUri,
    connect: connectIfTrusted,
    report: (error) => errors.report(error, 'run'),
    log: (message) => log.warn(message),
  });
  const runtime = new RuntimeService(
    context.asAbsolutePath('dist'),
    vscode.Uri.joinPath(context.globalStorageUri, 'runtime').fsPath,
    log,
  );
  const launcher = new Launcher({
    cli: context.asAbsolutePath('dist/cli.js'),
    runtime,
    store,
    roots,
    log,
    onStarted: async (dir, show) => {
      outcomes.expect(dir, !show);
      if (show) dashboards.show(dir);
      await windowClose.remember(dir);
    },
  });

  const queue = new RunQueue({
    memory: context.workspaceState,
    store,
    mayStart: () => vscode.workspace.isTrusted,
    report: (error) => errors.report(error, 'run'),
    start: (item) => startQueued(item, launcher, diagnostics),
  });
  const overlays = overlayPanels({
    extensionUri: context.extensionUri,
    connect: connectIfTrusted,
    store,
    queue,
    openDashboard: (dir) => dashboards.show(dir),
    report: (error) => errors.report(error, 'run'),
    log: (message) => log.warn(message),
  });
  const runRecipe = async (recipe: vscode.Uri) => {
    const file = await checkedRecipe(recipe, diagnostics);
    diagnostics.clear();
    await launcher.startRecipe(file).catch((error: unknown) => {
      if (error instanceof LoraError) diagnostics.show(error.faults());
      throw error;
    });
  };
  const tree = new RunsTree(store, queue, context.workspaceState);
  const recipes = new RecipesAsTheyWere(store);
  registerRunCommands(commands, {
    store,
    continueRun: (run) => launcher.resume(run),
    openDashboard: (dir) => dashboards.show(dir),
    showOverlay: (dirs) => overlays.show({ kind: 'runs', dirs: [...dirs] }),
    selected: () => tree.selected,
  });
  registerQueueCommands(commands, {
    queue,
    checked: (recipe) => checkedRecipe(recipe, diagnostics),
    showOverlay: (subject) => overlays.show(subject),
  });
  registerHistoryCommands(commands, {
    store,
    tree,
    recipes,
    runRecipe,
    openDashboard: (dir) => dashboards.show(dir),
  });
  commands.add(COMMANDS.runRecipe, 'recipe', async (argument) => {
    const recipe = await chooseRecipe(argument);
    if (recipe) await runRecipe(recipe);
  });
  const jobs = new Jobs({ cli: context.asAbsolutePath('dist/cli.js'), runtime, log });
  const fromHub = registerHubCommands(commands, jobs, context.secrets);
  registerSample(commands, {
    rows: context.asAbsolutePath('examples/git-commands'),
    words: context.asAbsolutePath('media/sample.md'),
  });
  commands.add(COMMANDS.trainAdapter, 'recipe', async () => {
    const { trainAdapter } = await import('./host/train/trainAdapter');
    const recipe = await trainAdapter(context.globalState, errors, fromHub);
    if (recipe !== undefined) await runRecipe(vscode.Uri.file(recipe));
  });
  const pages = {
    extensionUri: context.extensionUri,
    report: (error: unknown) => errors.report(error, 'adapter'),
    log: (message: string) => log.warn(message),
  };
  const comparison = new AdapterComparison(jobs, store, pages);
  const playgrounds = new PlaygroundPanels({
    ...pages,
    cli: context.asAbsolutePath('dist/cli.js'),
    runtime,
    nameOf: (adapter) => adapterLabel(store, adapter),
    chooseAdapter: (without) =>
      chooseAdapter(store, undefined, t('Which adapter to try?'), without),
  });
  registerAdapterCommands(commands, { jobs, store, comparison, playgrounds });
  const dataChecks = new DataChecks(jobs, (message) => log.info(message));
  const exported = createApi(store, runRecipe);
  registerRuntimeCommands(commands, runtime);
  commands.add(COMMANDS.showLog, 'usage', () => log.show());

  context.subscriptions.push(
    log,
    commands,
    roots,
    store,
    windowClose,
    outcomes,
    dashboards,
    overlays,
    queue,
    diagnostics,
    tree,
    recipes,
    createStatusBar(store),
    registerRecipeLens(),
    comparison,
    playgrounds,
    registerConfigureRank(commands, { jobs, store, ...pages }),
    registerInspector(pages),
    new AdapterFolders(),
    dataChecks,
    registerDataFixes(dataChecks),
    registerRecipeTasks({ cli: context.asAbsolutePath('dist/cli.js'), runtime }),
    registerChatTools({ store, jobs, startRecipe: runRecipe }),
    exported,
    roots.onDidChange(() => void store.refresh()),
    store.engines.onTrouble((message) => log.warn(message)),
  );
  store.watch(false);
  void queue.goOn();
  return exported.api;
}

/** In a workspace that is not trusted a run is followed by its files alone. */
const connectIfTrusted = (dir: string) =>
  vscode.workspace.isTrusted
    ? connectEngine(dir)
    : Promise.reject(new Error('The workspace is not trusted.'));

async function startQueued(
  { recipe, root, name }: QueuedRun,
  launcher: Launcher,
  diagnostics: RecipeDiagnostics,
): Promise<boolean> {
  const dir = await launcher.startRecipe(
    await checkedRecipe(vscode.Uri.file(recipe), diagnostics),
    { root, show: false },
  );
  if (dir !== undefined && name !== undefined) await writeNotes(dir, { ...NO_NOTES, name });
  return dir !== undefined;
}
