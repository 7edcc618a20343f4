export interface HubOptions {
  readonly files: Readonly<Record<string, Buffer>>;
  /** The Parquet files of the dataset owner/rows, by their paths, and their commit. */
  readonly dataset?: {
    readonly commit: string;
    readonly files: Readonly<Record<string, Buffer>>;
  };
  /** The token that is needed to read; null: the model is public. */
  readonly token?: string | null;
  /** Breaks the connection after this many bytes of each answer. */
  readonly breakAfter?: number | undefined;
  /** Changes the bytes that are sent, but not those of the listing. */
  readonly tamper?: (bytes: Buffer) => Buffer;
}

export interface FakeHub {
  readonly endpoint: string;
  /** The requests so far: the file, and the offset from which it was sent. */
  readonly starts: readonly (readonly [file: string, start: number])[];
  change(options: Partial<HubOptions>): void;
  close(): Promise<void>;
}

/**
 * A local hub with one model, owner/tiny, and maybe one dataset, owner/rows: lists their files with
 * checksums and serves them, also from an offset.
 */
export function startHub(options: HubOptions): Promise<FakeHub>;
