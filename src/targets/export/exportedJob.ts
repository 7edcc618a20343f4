/** A job that others start, by what is in its folder. */
export interface ExportedJob {
  /** The run's id, in the form of `newRunId`. */
  readonly id: string;
  /** The id of the item that holds dist/cli.js. */
  readonly engine: string;
  readonly cpus: number;
  /** In GiB. */
  readonly memory: number;
  /** What the files of the job need at most, in GiB. */
  readonly disk: number;
}

/** What the job and what belongs to it are called. Fits where names are host names, too. */
export const nameOf = ({ id }: ExportedJob): string => `lora-${id}`;
