import { openRegularFile, type RegularFile } from '../../common/regularFile';
import { parseMetricLine } from '../../shared/metrics/parse';
import { RunHistory } from '../../shared/runHistory';

/** How an outline is taken, in bytes. */
export interface OutlineSizes {
  /** Smaller files have none: they are read as a whole in no time. */
  readonly leastFile: number;
  /** All lines at both ends are taken. */
  readonly ends: number;
  /** Of the steps between, as many as this are taken, at equal distances. */
  readonly steps: number;
  readonly chunk: number;
  /** With a longer line there is no outline. */
  readonly mostLine: number;
}

const SIZES: OutlineSizes = {
  leastFile: 3 << 20,
  ends: 64 << 10,
  steps: 3000,
  chunk: 4 << 20,
  mostLine: 4 << 20,
};

/**
 * The outline of a long run, read in a tenth of the time that all its steps take: everything but
 * the steps, and as many of these as a chart has pixels. Null for other runs.
 */
export async function readOutline(file: string, sizes = SIZES): Promise<RunHistory | null> {
  const opened = await openRegularFile(file, 'refused').catch(() => null);
  if (!opened) return null;
  try {
    return opened.info.size < sizes.leastFile ? null : await outlineIn(opened, sizes);
  } finally {
    await opened.handle.close();
  }
}

async function outlineIn(
  { handle, info: { size } }: RegularFile,
  sizes: OutlineSizes,
): Promise<RunHistory | null> {
  const history = new RunHistory(undefined, [], true);
  const picker = new LinePicker(size, sizes, (text) => {
    const line = parseMetricLine(text);
    if (line) history.append(line);
  });
  const buffer = Buffer.allocUnsafe(sizes.chunk + sizes.mostLine);
  let kept = 0;
  for (let offset = 0; offset < size;) {
    const { bytesRead } = await handle.read(
      buffer,
      kept,
      Math.min(sizes.chunk, size - offset),
      offset,
    );
    if (bytesRead === 0) break;
    const filled = buffer.subarray(0, kept + bytesRead);
    const used = picker.pick(filled, offset - kept);
    kept = filled.length - used;
    if (kept > sizes.mostLine) return null;
    buffer.copyWithin(0, used, filled.length);
    offset += bytesRead;
  }
  return history;
}

const NEWLINE = 0x0a;
/** As the engine writes it. A step that is written in another way is taken like other lines. */
const STEP = Buffer.from('{"kind":"step"');

/** Passes on the lines of an outline. */
class LinePicker {
  /** Where the next step is taken. */
  private next = 0;
  private readonly distance: number;

  constructor(
    private readonly size: number,
    private readonly sizes: OutlineSizes,
    private readonly take: (text: string) => void,
  ) {
    this.distance = size / sizes.steps;
  }

  /** Looks at the whole lines of a part of the file; returns how many bytes they have. */
  pick(bytes: Buffer, offset: number): number {
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      if (this.isTaken(bytes, start, offset + start)) this.take(bytes.toString('utf8', start, end));
      start = end + 1;
    }
    return start;
  }

  private isTaken(bytes: Buffer, start: number, place: number): boolean {
    const isEnd = place < this.sizes.ends || place > this.size - this.sizes.ends;
    if (isEnd || !startsStep(bytes, start)) return true;
    if (place < this.next) return false;
    this.next = place + this.distance;
    return true;
  }
}

function startsStep(bytes: Buffer, start: number): boolean {
  for (let i = 0; i < STEP.length; i++) if (bytes[start + i] !== STEP[i]) return false;
  return true;
}
