import { LineSplitter } from '../../common/lineSplitter';
import { openRegularFile } from '../../common/regularFile';

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
  private lines: string[] = [];
  private splitter = this.newSplitter();

  constructor(
    private readonly file: string,
    private readonly chunkBytes = CHUNK_BYTES,
  ) {}

  /**
   * Passes the new complete lines to `onLines`, a chunk at a time; an incomplete last line is kept
   * for the next call. A file that is missing, or is no
   * regular file, has no lines. `onRestart` is called first when the file was
   * replaced or truncated: all earlier lines are invalid then.
   */
  async read(onLines: (lines: string[]) => void, onRestart: () => void): Promise<void> {
    const opened = await openRegularFile(this.file, 'refused').catch(() => undefined);
    if (!opened) {
      if (this.inode !== undefined) this.restart(undefined, onRestart);
      return;
    }
    const { handle } = opened;
    try {
      const { size, ino } = opened.info;
      if (this.inode !== undefined && (size < this.offset || ino !== this.inode))
        this.restart(ino, onRestart);
      this.inode = ino;
      while (this.offset < size) {
        // a new chunk each time: the splitter keeps the part of an incomplete line
        const chunk = Buffer.allocUnsafe(Math.min(this.chunkBytes, size - this.offset));
        const { bytesRead } = await handle.read(chunk, 0, chunk.length, this.offset);
        if (bytesRead === 0) break;
        this.offset += bytesRead;
        this.splitter.push(chunk.subarray(0, bytesRead));
        const lines = this.lines;
        this.lines = [];
        if (lines.length > 0) onLines(lines);
      }
    } finally {
      await handle.close();
    }
  }

  private restart(inode: number | undefined, onRestart: () => void): void {
    this.offset = 0;
    this.inode = inode;
    this.splitter = this.newSplitter();
    onRestart();
  }

  private newSplitter(): LineSplitter {
    return new LineSplitter((line) => {
      if (line) this.lines.push(line.toString('utf8'));
    }, MAX_LINE_BYTES);
  }
}
