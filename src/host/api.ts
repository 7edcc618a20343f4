import * as vscode from 'vscode';
import type { StartOutcome } from './queue/runQueue';
import { startUnasked, type StartTime } from './queue/startUnasked';
import type { RunSummary } from './runs/run';
import type { Services } from './services';

/** A run, for other extensions. */
export interface ApiRun {
  /** The name of its folder. */
  readonly id: string;
  readonly name: string;
  readonly folder: vscode.Uri;
  readonly state: RunSummary['state'];
  /** The rank, and below the losses; null while unknown. */
  readonly r: number | null;
  readonly step: number;
  readonly totalSteps: number | null;
  readonly loss: number | null;
  readonly validationLoss: number | null;
  /** Folder with the adapter's PEFT files; null until it was saved. */
  readonly adapter: vscode.Uri | null;
  readonly recipe: vscode.Uri | null;
  readonly tags: readonly string[];
}

/** The result of `vscode.extensions.getExtension('lora-workbench.lora-workbench').activate()`. */
export interface LoraApi {
  /** Incremented when something is removed. */
  readonly version: 1;
  /** The runs of all workspace folders, newest first. */
  runs(): Promise<readonly ApiRun[]>;
  /** Fires when the result of `runs` has changed. */
  readonly onDidChangeRuns: vscode.Event<void>;
  /**
   * Checks a recipe and starts a run of it. While another run is active, it is queued, unless
   * `when` is 'now'. Rejects with an Error whose message is for the user.
   */
  startRecipe(recipe: vscode.Uri, when?: StartTime): Promise<StartOutcome>;
}

/** Creates the API; `dispose` ends its events. */
export function createApi(services: Pick<Services, 'store' | 'recipes' | 'queue'>): {
  readonly api: LoraApi;
  readonly dispose: () => void;
} {
  const { store } = services;
  const changed = new vscode.EventEmitter<void>();
  const listener = store.onDidChange(() => changed.fire());
  const api: LoraApi = {
    version: 1,
    runs: async () => {
      await store.refresh();
      return store.runs.map(apiRun);
    },
    onDidChangeRuns: changed.event,
    startRecipe: (recipe, when = 'queue') =>
      vscode.workspace.isTrusted
        ? startUnasked(services, recipe, when)
        : Promise.reject(new Error('The workspace is not trusted.')),
  };
  return {
    api,
    dispose: () => {
      listener.dispose();
      changed.dispose();
    },
  };
}

function apiRun({
  id,
  name,
  dir,
  state,
  r,
  step,
  totalSteps,
  lastLoss,
  validationLoss,
  adapter,
  recipePath,
  notes,
}: RunSummary): ApiRun {
  const uri = (place: string | null) => (place === null ? null : vscode.Uri.file(place));
  return {
    id,
    name,
    folder: vscode.Uri.file(dir),
    state,
    r,
    step,
    totalSteps,
    loss: lastLoss,
    validationLoss,
    adapter: uri(adapter),
    recipe: uri(recipePath),
    tags: notes.tags,
  };
}
