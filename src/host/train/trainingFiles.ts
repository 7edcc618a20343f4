import { homedir } from 'node:os';
import * as vscode from 'vscode';
import { Signal, type Disposable } from '../../common/signal';
import type { DatasetCandidate } from '../../inspect/questions';
import type { Task } from '../../shared/task';
import type { AskInspections } from '../inspection/inspections';
import { SETTINGS } from '../manifest/ids';
import type { BaseCandidate } from './baseFolder';
import { findBases, type BasePlaces } from './findBases';

/** A model that can be trained on a dataset. */
export interface TrainingFiles {
  readonly base: BaseCandidate;
  readonly dataset: DatasetCandidate;
}

/** Bases whose headers are read, for those on which no dataset fits. */
const MOST_BASES = 5;

/**
 * The first base and the first dataset that fit together; null without any.
 *
 * @param tasksOf The tasks that a base can be trained for; none if it cannot be read.
 */
export async function firstFit(
  datasets: readonly DatasetCandidate[],
  bases: AsyncIterable<BaseCandidate>,
  tasksOf: (base: BaseCandidate) => Promise<readonly Task[]>,
): Promise<TrainingFiles | null> {
  if (datasets.length === 0) return null;
  let read = 0;
  for await (const base of bases) {
    const tasks = await tasksOf(base);
    const dataset = datasets.find(({ task }) => tasks.includes(task));
    if (dataset) return { base, dataset };
    if (++read === MOST_BASES) return null;
  }
  return null;
}

/** Looks for what can be trained, to offer it where there are no runs yet. */
export class FoundFiles implements Disposable {
  private readonly changed = new Signal();
  private found: TrainingFiles | null = null;
  private looking = false;

  /** Fires when `current` has changed. */
  readonly onDidChange = this.changed.event;

  constructor(private readonly inspections: AskInspections) {}

  /** What was found the last time. */
  get current(): TrainingFiles | null {
    return this.found;
  }

  /** Looks again. In an untrusted workspace nothing is read. */
  async look(): Promise<void> {
    if (this.looking || !vscode.workspace.isTrusted) return;
    this.looking = true;
    const before = JSON.stringify(this.found);
    this.found = await this.search().catch(() => null);
    this.looking = false;
    if (JSON.stringify(this.found) !== before) this.changed.fire();
  }

  dispose(): void {
    this.changed.dispose();
  }

  private async search(): Promise<TrainingFiles | null> {
    const places = basePlaces();
    const datasets = await this.inspections.ask('datasets', { folders: places.workspaceFolders });
    return firstFit(datasets, findBases(places), ({ path }) =>
      this.inspections.ask('base', { file: path }).then(
        ({ tasks }) => tasks,
        () => [],
      ),
    );
  }
}

/** Where base models are looked for. */
export const basePlaces = (): BasePlaces => ({
  home: homedir(),
  env: process.env,
  workspaceFolders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
  modelFolders: vscode.workspace.getConfiguration().get<string[]>(SETTINGS.modelFolders, []),
});
