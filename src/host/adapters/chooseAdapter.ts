import path from 'node:path';
import * as vscode from 'vscode';
import { listFolder } from '../../common/regularFile';
import { DIFFUSERS_FILE, peftFolder } from '../../formats/peft/fileNames';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import type { RunStore } from '../runs/runStore';
import { PartNode, RunNode } from '../runs/runNodes';
import { browse, pickRow, type PickRow } from '../ui/inputs';
import { walkFolders } from '../../common/walkFolders';

const CONFIG = 'adapter_config.json';
const ADAPTER_FILE = /\.(?:gguf|safetensors)$/;

/**
 * The adapter that a command was invoked on, else one that the user picks among those of the runs
 * and the workspace, except those in `without`. The result is a PEFT folder or an adapter file of
 * another format. Undefined: cancelled.
 *
 * @throws LoraError('adapter') when there is no adapter at the place given or chosen.
 */
export async function chooseAdapter(
  store: RunStore,
  argument: unknown,
  placeholder: string,
  without: readonly string[] = [],
): Promise<string | undefined> {
  const given = folderOf(argument);
  if (given !== undefined) {
    if (await isAdapter(given)) return given;
    throw new LoraError(
      'adapter',
      t('There is no adapter yet. It is saved when a run ends or is stopped.'),
      { place: { file: given } },
    );
  }
  await store.refresh();
  return pick(store, placeholder, without);
}

/** The adapters of the selected rows of the Runs view. */
export const selectedAdapters = (selection: readonly unknown[]): string[] =>
  selection.map(folderOf).filter((folder) => folder !== undefined);

function folderOf(argument: unknown): string | undefined {
  if (argument instanceof PartNode) return argument.part.adapter ?? undefined;
  if (argument instanceof RunNode)
    return argument.run.adapter ?? path.join(argument.run.dir, 'adapter');
  if (argument instanceof vscode.Uri) return peftFolder(argument.fsPath);
  return typeof argument === 'string' ? argument : undefined;
}

/** Whether a place may hold an adapter, by the names of its files: the command then reads them. */
const isAdapter = async (place: string): Promise<boolean> =>
  ADAPTER_FILE.test(place) ||
  (await listFolder(place).catch(() => [])).some(
    ({ name }) => name === CONFIG || ADAPTER_FILE.test(name),
  );

interface Item extends PickRow {
  /** Null: the user browses for it. */
  readonly folder: string | null;
  readonly browse?: 'folder' | 'file';
}

const BROWSE = (): Item[] => [
  {
    icon: 'folder',
    label: t('Browse for an adapter folder…'),
    folder: null,
    browse: 'folder',
    alwaysShow: true,
  },
  {
    icon: 'file',
    label: t('Browse for a llama.cpp or kohya adapter file…'),
    folder: null,
    browse: 'file',
    alwaysShow: true,
  },
];

async function pick(
  store: RunStore,
  placeholder: string,
  without: readonly string[],
): Promise<string | undefined> {
  const runItems = store.runs
    .filter((run) => run.adapter !== null)
    .map((run): Item => ({
      label: run.name,
      description: path.basename(run.dir),
      folder: run.adapter,
    }));
  const known = new Set(runItems.map((item) => item.folder));
  const others = (await adaptersInWorkspace()).filter(({ folder }) => !known.has(folder));
  const items = [...runItems, ...others].filter(({ folder }) => !without.includes(folder!));
  const chosen = await pickRow<Item>([...items, ...BROWSE()], {
    placeHolder: placeholder,
    matchOnDescription: true,
  });
  if (!chosen) return undefined;
  if (chosen.folder !== null) return chosen.folder;
  const folder = await browse(
    chosen.browse ?? 'folder',
    t('Adapter'),
    chosen.browse === 'file' ? { [t('Adapters')]: ['gguf', 'safetensors'] } : undefined,
  );
  if (folder === undefined || (await isAdapter(folder))) return folder;
  throw new LoraError('adapter', t('The folder does not contain an adapter.'), {
    place: { file: folder },
  });
}

/** Folders with an adapter of PEFT, mlx-lm or Diffusers, except in .lora: those belong to runs. */
async function adaptersInWorkspace(): Promise<Item[]> {
  const found: Item[] = [];
  for (const { uri } of vscode.workspace.workspaceFolders ?? []) {
    for await (const { dir, entries } of walkFolders(uri.fsPath)) {
      if (entries.some(({ name }) => name === CONFIG || name === DIFFUSERS_FILE))
        found.push({
          label: path.basename(dir),
          description: path.relative(uri.fsPath, dir),
          folder: dir,
        });
    }
  }
  return found;
}
