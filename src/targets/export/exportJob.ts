import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createFolder } from '../../common/atomicWrite';
import { hashFile } from '../../common/hashFile';
import { LoraError } from '../../shared/errors';
import { newRunId } from '../../shared/run';
import { inside, Places } from '../agent/places';
import { bytesOf, type Bundle } from '../bundle/bundle';
import type { BundleItem } from '../target';
import type { ExportedJob } from './exportedJob';
import { kuberayFiles } from './kuberay';
import { runFiles } from './runScript';
import { skypilotFiles } from './skypilot';

/** What a job can be written for, and its own files. */
const FORMS = { skypilot: skypilotFiles, kuberay: kuberayFiles } as const;

export type ExportForm = keyof typeof FORMS;
export const EXPORT_FORMS = Object.keys(FORMS) as ExportForm[];

const GIB = 2 ** 30;
/** For libtensorflow, Node, checkpoints and the log. */
const OTHER_DISK_GIB = 20;

/** How a bundle is written. */
export interface ExportOptions {
  readonly as: ExportForm;
  readonly output: string;
  readonly cpus: number;
  /** In bytes. */
  readonly memory: number;
  readonly signal: AbortSignal;
}

/**
 * Writes a folder with what a recipe's job needs and the files that start it.
 *
 * @throws LoraError('target') when a file changes meanwhile, 'disk', 'usage' or 'cancelled', with
 *   nothing left
 */
export async function exportJob(
  bundle: Bundle,
  { as, output, cpus, memory, signal }: ExportOptions,
): Promise<ExportedJob> {
  const job: ExportedJob = {
    id: newRunId(),
    engine: bundle.engine,
    cpus,
    memory: Math.ceil(memory / GIB),
    disk: Math.ceil(bytesOf(bundle.items) / GIB) + OTHER_DISK_GIB,
  };
  await createFolder(output, async (temp) => {
    const places = new Places(temp);
    for (const item of bundle.items) await writeItem(item, places.item(item.id), signal);
    await mkdir(places.job(job.id), { recursive: true });
    await writeFile(places.recipe(job.id), bundle.recipe);
    const files = { ...runFiles(job), ...FORMS[as](job) };
    for (const [name, text] of Object.entries(files)) await writeFile(path.join(temp, name), text);
  });
  return job;
}

async function writeItem(
  { files }: BundleItem,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  for (const { path: name, source, sha256 } of files) {
    if (signal.aborted) throw new LoraError('cancelled', 'Nothing was written.');
    const target = inside(folder, name);
    await mkdir(path.dirname(target), { recursive: true });
    await copyFile(source, target);
    if ((await hashFile(target)) !== sha256)
      throw new LoraError('target', 'The file changed while it was copied.', {
        place: { file: source },
        fix: 'Start again when nothing writes it.',
      });
  }
}
