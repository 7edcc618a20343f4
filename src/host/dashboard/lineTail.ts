import { open } from 'node:fs/promises';

const CHUNK_BYTES = 1 << 20;
/** Longer lines are skipped, so that a broken file cannot fill the memory. */
const MAX_LINE_BYTES = 4 << 20;

/**
 * Reads the new lines of a growing file. It compares the file's size instead of watching the file,
 * so it also works where file watchers don't.
 */
export class LineTail {
  private offset = 0;
  private inode: number | undefined;
  private incomplete: Buffer = Buffer.alloc(0);
  private skipping = false;

  constructor(
    private readonly file: string,
    private readonly chunkBytes = CHUNK_BYTES,
  ) {}

  /**
   * Passes the new complete lines to `onLines`, a chunk at a time; an incomplete last line is kept
   * for the next call. A missing file has no lines. `onRestart` is called first when the file was
   * replaced or truncated: all earlier lines are invalid then.
   */
  async read(onLines: (lines: string[]) => void, onRestart: () => void): Promise<void> {
    const handle = await open(this.file, 'r').catch(() => undefined);
    if (!handle) {
      if (this.inode !== undefined) this.restart(undefined, onRestart);
      return;
    }
    try {
      const { size, ino } = await handle.stat();
      if (this.inode !== undefined && (size < this.offset || ino !== this.inode))
        this.restart(ino, onRestart);
      this.inode = ino;
      const chunk = Buffer.alloc(Math.min(this.chunkBytes, Math.max(1, size - this.offset)));
      while (this.offset < size) {
        const { bytesRead } = await handle.read(
          chunk,
          0,
          Math.min(chunk.length, size - this.offset),
          this.offset,
        );
        if (bytesRead === 0) break;
        this.offset += bytesRead;
        const lines = this.split(chunk.subarray(0, bytesRead));
        if (lines.length > 0) onLines(lines);
      }
    } finally {
      await handle.close();
    }
  }

  private restart(inode: number | undefined, onRestart: () => void): void {
    this.offset = 0;
    this.inode = inode;
    this.incomplete = Buffer.alloc(0);
    this.skipping = false;
    onRestart();
  }

  private split(chunk: Buffer): string[] {
    const end = chunk.lastIndexOf(0x0a);
    if (end < 0) {
      this.keep(chunk);
      return [];
    }
    const lines = Buffer.concat([this.incomplete, chunk.subarray(0, end)])
      .toString('utf8')
      .split('\n');
    if (this.skipping) lines.shift();
    this.skipping = false;
    this.incomplete = Buffer.from(chunk.subarray(end + 1));
    return lines;
  }

  private keep(chunk: Buffer): void {
    if (this.skipping || this.incomplete.length + chunk.length > MAX_LINE_BYTES) {
      this.skipping = true;
      this.incomplete = Buffer.alloc(0);
    } else {
      this.incomplete = Buffer.concat([this.incomplete, chunk]);
    }
  }
}
