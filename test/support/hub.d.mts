export interface HubOptions {
  readonly files: Readonly<Record<string, Buffer>>;
  /** Who may read; null: everybody. */
  readonly token?: string | null;
  /** Breaks the connection after so many bytes of each answer. */
  readonly breakAfter?: number;
  /** Other bytes than the listing tells of. */
  readonly tamper?: (bytes: Buffer) => Buffer;
}

export interface FakeHub {
  readonly endpoint: string;
  /** Bytes that were asked for, by file: where each answer began. */
  readonly starts: readonly (readonly [file: string, start: number])[];
  change(options: Partial<HubOptions>): void;
  close(): Promise<void>;
}

/**
 * A hub on this machine that has one model, owner/tiny: its listing with checksums, and its files
 * with ranges.
 */
export function startHub(options: HubOptions): Promise<FakeHub>;
