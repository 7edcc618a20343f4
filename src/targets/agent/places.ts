import { homedir } from 'node:os';
import path from 'node:path';

/** The folder of a target whose entry names none. */
export const DEFAULT_ROOT = '~/.cache/lora-workbench/target';

const ITEM_ID = /^[0-9a-z]{16,64}$/;
const JOB_ID = /^\d{8}-\d{6}-[0-9a-f]{4}$/;

/** Whether a text has the form of `newRunId`. */
export const isJobId = (text: string): boolean => JOB_ID.test(text);

/** Whether a text has the form of an item's id. */
export const isItemId = (text: string): boolean => ITEM_ID.test(text);

/** The folders and files under the root of a target. */
export class Places {
  readonly root: string;

  /** `root`: ~/… starts at the user's home; another relative path too. */
  constructor(root: string) {
    this.root = path.resolve(homedir(), root.replace(/^~(?:\/|$)/, ''));
  }

  get items(): string {
    return path.join(this.root, 'items');
  }

  get jobs(): string {
    return path.join(this.root, 'jobs');
  }

  item(id: string): string {
    return path.join(this.items, checked(id, ITEM_ID));
  }

  /** Where an item is while it is received. */
  partOf(id: string): string {
    return path.join(this.items, `.${checked(id, ITEM_ID)}.part`);
  }

  job(id: string): string {
    return path.join(this.jobs, checked(id, JOB_ID));
  }

  /** The recipe of a job. */
  recipe(id: string): string {
    return path.join(this.job(id), 'lora.json');
  }

  /** The folder of a job's run. */
  run(id: string): string {
    return path.join(this.job(id), 'run');
  }

  /** The process of a job. */
  process(id: string): string {
    return path.join(this.job(id), 'process.json');
  }

  /** The number of a job that Slurm runs. */
  slurm(id: string): string {
    return path.join(this.job(id), 'slurm.json');
  }

  /** What Slurm starts for a job. */
  script(id: string): string {
    return path.join(this.job(id), 'job.sh');
  }

  /** Written when Slurm starts a job, or starts it again. */
  begun(id: string): string {
    return path.join(this.job(id), 'begun');
  }

  /** The exit code of a job that has ended. */
  exit(id: string): string {
    return path.join(this.job(id), 'exit');
  }
}

function checked(id: string, form: RegExp): string {
  if (!form.test(id)) throw new Error(`${JSON.stringify(id)} is not an id.`);
  return id;
}

/** A path within a folder. @throws when it leads out of it */
export function inside(folder: string, inner: string): string {
  const parts = inner.split('/');
  const isPlain = parts.every((part) => part !== '' && part !== '.' && part !== '..');
  if (!isPlain || inner.includes('\0')) throw new Error(`${JSON.stringify(inner)} is no path.`);
  return path.join(folder, ...parts);
}
