import { stat } from 'node:fs/promises';
import type { FileFingerprint } from '../../shared/run';

interface WatchedFile {
  readonly file: string;
  /** Size and time of the last change; null if it cannot be read. */
  readonly state: string | null;
}

/** Warns once for each dataset that changes while its run trains on what it has read. */
export class DatasetWatch {
  private constructor(
    private files: readonly WatchedFile[],
    private readonly warn: (message: string) => void,
  ) {}

  /** Watches the datasets of a run from now on. */
  static async of(
    fingerprint: readonly FileFingerprint[],
    warn: (message: string) => void,
  ): Promise<DatasetWatch> {
    const states = fingerprint.map(async ({ file }) => ({ file, state: await stateOf(file) }));
    return new DatasetWatch(await Promise.all(states), warn);
  }

  async check(): Promise<void> {
    const kept: WatchedFile[] = [];
    for (const watched of this.files) {
      const now = await stateOf(watched.file);
      if (now === watched.state) kept.push(watched);
      else this.warn(changed(watched.file, now === null));
    }
    this.files = kept;
  }
}

const changed = (file: string, isGone: boolean): string =>
  `${file} ${isGone ? 'cannot be read any more' : 'has changed'} since the run read it. ` +
  'The run continues with the rows that it has read, but it cannot be resumed unless the old file is restored.';

const stateOf = (file: string): Promise<string | null> =>
  stat(file).then(
    ({ size, mtimeMs }) => `${size} ${mtimeMs}`,
    () => null,
  );
