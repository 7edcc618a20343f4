import { lstat, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { placeInside } from '../../common/placeInside';
import { listFolder } from '../../common/regularFile';
import { walkFolders } from '../../common/walkFolders';
import { readRun, type RunSnapshot } from '../../formats/run/readRun';
import { byAge, collectRun, type RunSummary } from '../../formats/run/summary';
import { LoraError } from '../../shared/errors';
import { isRecipeName } from '../../shared/recipeName';
import { RUNS_FOLDER, type RunRecord } from '../../shared/run';

const LORA_FOLDER = RUNS_FOLDER.split('/')[0]!;

/** The most runs that are read. */
const MAX_RUNS = 1_000;
/** The most runs that an error names. */
const NAMED_RUNS = 10;

/** A run, with its run.json; null: it cannot be read. */
export interface FoundRun {
  readonly run: RunSummary;
  readonly record: RunRecord | null;
}

/** The folder that a client works in. Nothing outside of it is named, read or trained. */
export class Workspace {
  /** `root`: its real path. */
  private constructor(readonly root: string) {}

  /** @throws LoraError('usage') when it is no folder */
  static async open(folder: string): Promise<Workspace> {
    const root = await realpath(folder).catch(() => null);
    if (root !== null && (await stat(root)).isDirectory()) return new Workspace(root);
    throw new LoraError('usage', 'There is no such folder.', { place: { file: folder } });
  }

  /** The runs beside all recipes, newest first. */
  async runs(): Promise<FoundRun[]> {
    const found: FoundRun[] = [];
    for await (const { dir, entries } of walkFolders(this.root)) {
      if (!entries.some((entry) => entry.name === LORA_FOLDER && entry.isDirectory())) continue;
      for (const run of await runFolders(path.join(dir, RUNS_FOLDER))) {
        if (found.length >= MAX_RUNS) break;
        found.push(foundRun(await readRun(run, Date.now())));
      }
    }
    return found.sort((a, b) => byAge(a.run, b.run));
  }

  /**
   * Finds a run by its id, else by its name.
   *
   * @throws LoraError('run') that lists the newest runs
   */
  async run(name: string): Promise<FoundRun> {
    const runs = await this.runs();
    const found =
      runs.find(({ run }) => run.id === name) ?? runs.find(({ run }) => run.name === name);
    if (found) return found;
    const known = runs.slice(0, NAMED_RUNS).map(({ run }) => run.id);
    const hint = known.length === 0 ? 'There are none yet.' : `Known runs: ${known.join(', ')}.`;
    throw new LoraError('run', `There is no run ${name}. ${hint}`);
  }

  /** The path of a recipe. @throws LoraError('recipe') when it is not one, or as `file` does */
  async recipe(name: string): Promise<string> {
    const file = await this.file(name);
    if (isRecipeName(file)) return file;
    throw new LoraError('recipe', `${name} is not named as a recipe.`, {
      fix: 'Recipes are lora.json, or end in .lora.json.',
    });
  }

  /** The real path of a file. @throws LoraError('usage') as `inside` does, and for a folder */
  async file(name: string): Promise<string> {
    const real = await this.inside(name);
    if ((await stat(real)).isFile()) return real;
    throw new LoraError('usage', `${name} is not a file.`);
  }

  /**
   * The real path of a file or folder.
   *
   * @throws LoraError('usage') when it is not in this folder, or is missing
   */
  async inside(name: string): Promise<string> {
    const place = await placeInside(this.root, name);
    if (place.kind === 'inside') return place.path;
    if (place.kind === 'missing') throw new LoraError('usage', `There is no file ${name}.`);
    throw new LoraError('usage', `${name} is not in the workspace, ${this.root}.`);
  }
}

function foundRun(snapshot: RunSnapshot): FoundRun {
  const record = snapshot.kind === 'run' ? snapshot.record : null;
  return { run: collectRun(snapshot, null), record };
}

/** The folders in .lora/runs; none if that is a link. */
async function runFolders(folder: string): Promise<string[]> {
  const info = await lstat(folder).catch(() => null);
  if (info?.isDirectory() !== true) return [];
  return (await listFolder(folder).catch(() => []))
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => path.join(folder, name));
}
