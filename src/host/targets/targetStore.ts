import path from 'node:path';
import { writeJson } from '../../common/atomicWrite';
import { makePrivateFolder } from '../../common/privateFiles';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { fileErrorReason } from '../../common/fileStatus';
import { LoraError } from '../../shared/errors';
import { parseTargets, TARGETS_FILE } from '../../targets/targetList';
import { t } from '../text/l10n';
import {
  contentHash,
  mergeTargets,
  mustAsk,
  type KnownTarget,
  type MergedTargets,
  type TargetOrigin,
  type TargetSource,
} from './mergeTargets';

/** The file in a workspace folder that brings targets. */
export const WORKSPACE_TARGETS = path.join('.lora', 'targets.json');

/** Where targets come from. */
export interface TargetServices {
  /** The user's targets.json. */
  readonly userFile: string;
  /** The value of the setting lora.targets. */
  readonly setting: () => unknown;
  readonly workspaceFolders: () => readonly string[];
  /** An untrusted workspace brings no targets. */
  readonly isTrusted: () => boolean;
  /** The user's consents, kept for all workspaces. */
  readonly memory: {
    get(key: string): unknown;
    update(key: string, value: unknown): PromiseLike<void>;
  };
  /** A folder of this extension's own. */
  readonly storage: string;
}

/** All targets, and what is wrong with their files. */
export interface TargetList extends MergedTargets {
  readonly problems: readonly LoraError[];
}

const AGREED = 'lora.agreedTargets';
const MAX_AGREED = 500;

/** The targets of the user and of the workspace, and which of them may be used. */
export class TargetStore {
  constructor(private readonly services: TargetServices) {}

  /** The user's targets.json, which may not exist. */
  get userFile(): string {
    return this.services.userFile;
  }

  /** Reads all sources. A source that cannot be read is a problem, and has no targets. */
  async list(): Promise<TargetList> {
    const { userFile, setting, workspaceFolders, isTrusted } = this.services;
    const problems: LoraError[] = [];
    const sources: TargetSource[] = [];
    const take = async (origin: TargetOrigin, read: () => Promise<string | null>, file: string) => {
      try {
        const text = await read();
        if (text !== null) sources.push({ origin, targets: parseTargets(text, file) });
      } catch (error) {
        problems.push(LoraError.from(error, 'target'));
      }
    };
    await take({ kind: 'file' }, () => readIfThere(userFile), userFile);
    await take({ kind: 'setting' }, () => Promise.resolve(textOf(setting())), 'settings.json');
    for (const folder of isTrusted() ? workspaceFolders() : []) {
      const file = path.join(folder, WORKSPACE_TARGETS);
      await take({ kind: 'workspace', file }, () => readIfThere(file, 'refused'), file);
    }
    return { ...mergeTargets(sources), problems };
  }

  /** The target of a name; undefined when there is none. */
  async find(name: string): Promise<KnownTarget | undefined> {
    return (await this.list()).targets.find(({ entry }) => entry.name === name);
  }

  /** Whether the user must agree before anything is sent to a target. */
  mustAsk(target: KnownTarget): boolean {
    return mustAsk(target, this.agreed);
  }

  /** Keeps that the user has agreed to a target, as long as its entry says the same. */
  async agree({ entry }: KnownTarget): Promise<void> {
    const hashes = new Set(this.agreed).add(contentHash(entry));
    await this.services.memory.update(AGREED, [...hashes].slice(-MAX_AGREED));
  }

  /**
   * The environment in which the command line knows the targets that may be used. Without settings
   * and a workspace's targets it reads the user's file itself.
   *
   * @throws LoraError('target') when the user's file is not valid
   */
  async environment(): Promise<Readonly<Record<string, string>>> {
    const { targets, problems } = await this.list();
    const usable = targets.filter((target) => !this.mustAsk(target));
    if (usable.every(({ origin }) => origin.kind === 'file')) return {};
    const [problem] = problems;
    if (problem?.place?.file === this.userFile) throw problem;
    const entries = usable.map(({ entry }) => entry);
    // windows with other workspaces know other targets
    const file = path.join(this.services.storage, `${contentHash(entries).slice(0, 16)}.json`);
    await makePrivateFolder(this.services.storage);
    await writeJson(file, entries);
    return { [TARGETS_FILE]: file };
  }

  private get agreed(): ReadonlySet<string> {
    const kept = this.services.memory.get(AGREED);
    return new Set(Array.isArray(kept) ? kept.filter((own) => typeof own === 'string') : []);
  }
}

/** Null where there is no file. */
async function readIfThere(
  file: string,
  links: 'followed' | 'refused' = 'followed',
): Promise<string | null> {
  try {
    return await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople, links });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new LoraError('target', t('The targets cannot be read: {0}.', fileErrorReason(error)), {
      place: { file },
      cause: error,
    });
  }
}

const textOf = (setting: unknown): string | null =>
  Array.isArray(setting) && setting.length > 0 ? JSON.stringify(setting) : null;
