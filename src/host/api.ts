import * as vscode from 'vscode';
import type { RunSummary } from './runs/run';
import type { Services } from './services';

/** A run as other extensions see it. */
export interface ApiRun {
  /** The name of its folder. */
  readonly id: string;
  readonly name: string;
  readonly folder: vscode.Uri;
  readonly state: RunSummary['state'];
  /** Rank, losses: null until they are known. */
  readonly r: number | null;
  readonly step: number;
  readonly totalSteps: number | null;
  readonly loss: number | null;
  readonly validationLoss: number | null;
  /** PEFT's files; null until there are some. */
  readonly adapter: vscode.Uri | null;
  readonly recipe: vscode.Uri | null;
  readonly tags: readonly string[];
}

/** What `vscode.extensions.getExtension('lora-workbench.lora-workbench').activate()` gives. */
export interface LoraApi {
  /** Raised where something is taken away. */
  readonly version: 1;
  /** Newest first, of all folders. */
  runs(): Promise<readonly ApiRun[]>;
  readonly onDidChangeRuns: vscode.Event<void>;
  /**
   * Checks a recipe and starts it, as Run Recipe does. Errors: Error with a message for the user.
   */
  startRecipe(recipe: vscode.Uri): Promise<void>;
}

/** Creates the API; `dispose` ends its events. */
export function createApi({ store, recipes }: Pick<Services, 'store' | 'recipes'>): {
  readonly api: LoraApi;
  readonly dispose: () => void;
} {
  const changed = new vscode.EventEmitter<void>();
  const listener = store.onDidChange(() => changed.fire());
  const api: LoraApi = {
    version: 1,
    runs: async () => {
      await store.refresh();
      return store.runs.map(apiRun);
    },
    onDidChangeRuns: changed.event,
    startRecipe: (recipe) =>
      vscode.workspace.isTrusted
        ? recipes.run(recipe)
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
