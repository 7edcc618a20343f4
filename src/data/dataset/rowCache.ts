import { createHash } from 'node:crypto';
import { replaceFile, writeAll } from '../../common/atomicWrite';
import { readRegularFile } from '../../common/regularFile';

/** What a check needs of a tokenized row, in tokens. */
export interface RowLengths {
  /** Before truncation. */
  readonly length: number;
  /** After it. */
  readonly kept: number;
  readonly tokens: number;
  readonly labelled: number;
}

const MAGIC = Buffer.from('lora-rows-1\n');
const SETTINGS_BYTES = 32;
const KEY_BYTES = 16;
const ENTRY_BYTES = KEY_BYTES + 4 * 4;
const MOST_ROWS = 200_000;
const MOST_BYTES = MAGIC.length + SETTINGS_BYTES + MOST_ROWS * ENTRY_BYTES;

/**
 * The lengths of rows by the hash of their content, for one tokenizer and the same settings. Those
 * of the rows that were asked for or added are written, at most 200,000, with 32 bytes for each.
 */
export class RowCache {
  private readonly used = new Map<string, Buffer>();

  private constructor(
    private readonly file: string,
    private readonly settings: Buffer,
    private readonly known: ReadonlyMap<string, Buffer>,
  ) {}

  /**
   * @param settings A text that differs where the lengths may differ. What was kept with another
   *   one is dropped, and so is a file that cannot be read.
   */
  static async open(file: string, settings: string): Promise<RowCache> {
    const hash = createHash('sha256').update(settings).digest();
    const limits = { maxBytes: MOST_BYTES };
    const bytes = await readRegularFile(file, limits).catch(() => Buffer.alloc(0));
    return new RowCache(file, hash, entriesOf(bytes, hash));
  }

  get(hash: Buffer): RowLengths | undefined {
    const key = keyOf(hash);
    const entry = this.used.get(key) ?? this.known.get(key);
    if (!entry) return undefined;
    this.keep(key, entry);
    const [length, kept, tokens, labelled] = [0, 4, 8, 12].map((i) =>
      entry.readUInt32LE(KEY_BYTES + i),
    ) as [number, number, number, number];
    return { length, kept, tokens, labelled };
  }

  set(hash: Buffer, { length, kept, tokens, labelled }: RowLengths): void {
    const entry = Buffer.alloc(ENTRY_BYTES);
    hash.copy(entry, 0, 0, KEY_BYTES);
    [length, kept, tokens, labelled].forEach((value, i) =>
      entry.writeUInt32LE(value, KEY_BYTES + 4 * i),
    );
    this.keep(keyOf(hash), entry);
  }

  /** Writes the rows of this check for the next one. */
  async save(): Promise<void> {
    const bytes = Buffer.concat([MAGIC, this.settings, ...this.used.values()]);
    await replaceFile(this.file, (handle) => writeAll(handle, bytes));
  }

  private keep(key: string, entry: Buffer): void {
    if (this.used.size < MOST_ROWS) this.used.set(key, entry);
  }
}

const keyOf = (hash: Buffer) => hash.toString('latin1', 0, KEY_BYTES);

function entriesOf(bytes: Buffer, settings: Buffer): Map<string, Buffer> {
  const head = Buffer.concat([MAGIC, settings]);
  const entries = new Map<string, Buffer>();
  if (!bytes.subarray(0, head.length).equals(head)) return entries;
  for (let i = head.length; i + ENTRY_BYTES <= bytes.length; i += ENTRY_BYTES) {
    const entry = bytes.subarray(i, i + ENTRY_BYTES);
    entries.set(keyOf(entry), entry);
  }
  return entries;
}
