import * as vscode from 'vscode';
import { CommandRegistry } from './commands/commandRegistry';
import { dashboardPanels, type DashboardPanels } from './dashboard/dashboardPanels';
import type { ConnectRun } from './dashboard/follower';
import { connectEngine } from './engine/engineClient';
import { Launcher } from './engine/launcher';
import type { ExtensionLog } from './errors/extensionLog';
import { ErrorReporter } from './errors/reporter';
import { inspectionOptions } from './inspection/inspectionOptions';
import { Inspections } from './inspection/inspections';
import { Jobs } from './jobs/jobs';
import { overlayPanels, type OverlayPanels } from './overlay/overlayPanels';
import { continueQueued } from './queue/continueQueued';
import { RunQueue, type QueuedRun } from './queue/runQueue';
import { RecipeDiagnostics } from './recipe/diagnostics';
import { RecipeRunner } from './recipe/recipeRunner';
import { RunRoots } from './runs/runRoots';
import { RunStore } from './runs/runStore';
import { RunsTree } from './runs/runsTree';
import { modelServer, writersIn } from './server/editorModels';
import type { ModelServer } from './server/modelServer';
import type { Writer } from './server/writers';
import { FoundFiles } from './train/trainingFiles';
import { RuntimeService } from './runtime/runtimeService';
import { TargetJobs } from './targets/targetJobs';
import { TargetStore } from './targets/targetStore';
import { SETTINGS } from './manifest/ids';
import { targetsFile } from '../targets/targetList';
import { openLog } from './ui/logChannel';
import { panelHost } from './webview/panelHost';

/**
 * What the features share. A feature uses services and subscribes to their events; it never calls
 * another feature.
 */
export interface Services {
  readonly context: vscode.ExtensionContext;
  readonly log: ExtensionLog;
  readonly errors: ErrorReporter;
  /** Absolute path of dist/cli.js, the engine's entry. */
  readonly cli: string;
  readonly roots: RunRoots;
  readonly store: RunStore;
  readonly diagnostics: RecipeDiagnostics;
  readonly runtime: RuntimeService;
  readonly inspections: Inspections;
  readonly jobs: Jobs;
  /** The models that answer in chats and editors. */
  readonly modelServer: ModelServer;
  /** The models of finished runs that write text. */
  readonly writers: () => Promise<readonly Writer[]>;
  readonly launcher: Launcher;
  readonly recipes: RecipeRunner;
  readonly queue: RunQueue;
  readonly targets: TargetStore;
  readonly targetJobs: TargetJobs;
  readonly dashboards: DashboardPanels;
  readonly overlays: OverlayPanels;
  readonly runsTree: RunsTree;
  readonly commands: CommandRegistry;
}

/** Creates the services, each after those it uses. The extension's context disposes them. */
export function createServices(context: vscode.ExtensionContext): Services {
  const own = <T extends { dispose(): unknown }>(service: T): T => {
    context.subscriptions.push(service);
    return service;
  };
  const { workspaceState, extensionUri } = context;
  const log = own(openLog('LoRA'));
  const errors = new ErrorReporter(log);
  const cli = context.asAbsolutePath('dist/cli.js');

  const roots = own(new RunRoots(workspaceState));
  const mayConnect = () => vscode.workspace.isTrusted;
  const store = own(new RunStore({ roots: () => roots.list(), mayConnect }));
  const diagnostics = own(new RecipeDiagnostics());

  const runtime = runtimeService(context, log);
  const inspections = own(new Inspections(inspectionOptions(context)));
  const jobs = new Jobs({ cli, runtime, log });
  const targets = new TargetStore(targetServices(context));
  const targetJobs = new TargetJobs(jobs, targets);
  const launcher = own(new Launcher({ cli, runtime, store, roots, log, targets }));
  const recipes = new RecipeRunner(diagnostics, launcher, jobs);
  const start = queueStart({ store, launcher, recipes });
  const report = (error: unknown) => errors.report(error, 'run');
  const memory = workspaceState;
  const queue = own(new RunQueue({ memory, store, mayStart: mayConnect, report, start }));

  const host = panelHost({ extensionUri, errors, log }, 'run');
  const dashboards = own(dashboardPanels({ ...host, connect: connectIfTrusted, store, launcher }));
  const overlays = own(
    overlayPanels({ ...host, connect: connectIfTrusted, store, queue, dashboards }),
  );
  const found = own(new FoundFiles(inspections));
  const parts = { store, queue, question: runtime.question, found };
  const runsTree = own(new RunsTree(parts, workspaceState));
  const activeRun = () => store.find(dashboards.active ?? '');
  const commands = new CommandRegistry(errors, () => runsTree.selection, activeRun);

  return {
    context,
    log,
    errors,
    cli,
    roots,
    store,
    diagnostics,
    runtime,
    inspections,
    jobs,
    modelServer: own(modelServer(cli, runtime)),
    writers: () => writersIn(store),
    launcher,
    recipes,
    queue,
    targets,
    targetJobs,
    dashboards,
    overlays,
    runsTree,
    commands,
  };
}

/** Starts the runs of the queue: new ones, and those that continue. */
const queueStart =
  ({ store, launcher, recipes }: Pick<Services, 'store' | 'launcher' | 'recipes'>) =>
  (item: QueuedRun): Promise<boolean> =>
    'resume' in item ? continueQueued(item, { store, launcher }) : recipes.runQueued(item);

const runtimeService = (context: vscode.ExtensionContext, log: ExtensionLog): RuntimeService =>
  new RuntimeService(
    context.asAbsolutePath('dist'),
    vscode.Uri.joinPath(context.globalStorageUri, 'runtime').fsPath,
    log,
  );

const targetServices = ({ globalState, globalStorageUri }: vscode.ExtensionContext) => ({
  userFile: targetsFile(),
  setting: () => vscode.workspace.getConfiguration().get<unknown>(SETTINGS.targets),
  workspaceFolders: () => (vscode.workspace.workspaceFolders ?? []).map(({ uri }) => uri.fsPath),
  isTrusted: () => vscode.workspace.isTrusted,
  memory: globalState,
  storage: vscode.Uri.joinPath(globalStorageUri, 'targets').fsPath,
});

/** In an untrusted workspace a run is followed through its files alone. */
const connectIfTrusted: ConnectRun = (runDir) =>
  vscode.workspace.isTrusted
    ? connectEngine(runDir)
    : Promise.reject(new Error('The workspace is not trusted.'));
