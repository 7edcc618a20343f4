import { open } from 'node:fs/promises';

const CHUNK_BYTES = 1 << 20;
/** A longer line is none of ours: it is skipped, so that a broken file cannot fill the memory. */
const LONGEST_LINE = 4 << 20;

/**
 * Reads a growing file of lines from where it stopped the last time. It asks for the file's size,
 * so it works where file watchers do not.
 */
export class LineTail {
  private offset = 0;
  private inode: number | undefined;
  private torn: Buffer = Buffer.alloc(0);
  private skipping = false;

  constructor(
    private readonly file: string,
    private readonly chunkBytes = CHUNK_BYTES,
  ) {}

  /**
   * Hands over the whole lines that are new, a chunk at a time, and leaves a torn last line for
   * later. A file that is not there has no lines. `onRestart` comes first when the file was
   * replaced or cut: everything handed over before is void.
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
    this.torn = Buffer.alloc(0);
    this.skipping = false;
    onRestart();
  }

  private split(chunk: Buffer): string[] {
    const end = chunk.lastIndexOf(0x0a);
    if (end < 0) {
      this.keep(chunk);
      return [];
    }
    const lines = Buffer.concat([this.torn, chunk.subarray(0, end)])
      .toString('utf8')
      .split('\n');
    if (this.skipping) lines.shift();
    this.skipping = false;
    this.torn = Buffer.from(chunk.subarray(end + 1));
    return lines;
  }

  private keep(chunk: Buffer): void {
    if (this.skipping || this.torn.length + chunk.length > LONGEST_LINE) {
      this.skipping = true;
      this.torn = Buffer.alloc(0);
    } else {
      this.torn = Buffer.concat([this.torn, chunk]);
    }
  }
}
