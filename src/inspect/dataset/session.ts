import { stat } from 'node:fs/promises';
import path from 'node:path';
import { dataToolsOf } from '../../data/dataset/dataTools';
import { rowImagesOf } from '../../data/dataset/prepare';
import type { Thumbnail } from '../../data/images/thumbnail';
import { openBase } from '../../formats/openBase';
import { ExcludedRows, readExcluded, writeExcluded } from '../../formats/excludedRows';
import { openTable } from '../../formats/tables/openTable';
import type { RawRow, Table } from '../../formats/tables/table';
import { LoraError } from '../../shared/errors';
import type { DataStatistics, RowDetail, WantedRows } from '../../shared/pages/data/protocol';
import { DataJobs } from './jobs';
import type {
  DataBase,
  DataFacts,
  DataOpening,
  DataProgress,
  DataWork,
  RowsAnswer,
  RowsAsked,
} from './questions';
import type { OpenedDataset } from './opened';
import { RowFacts } from './rowFacts';
import { rowThumbnail } from './rowImages';
import { readOne, type ReadRow, type RowReading } from './rowReader';
import { Scan } from './scan';
import { gridRow, rowDetail, type RowTools } from './shownRow';
import { TokenCounter } from './tokenCounter';
import { NO_FILTER, viewOf, type View } from './view';
import { findJob } from './jobKinds/find';
import { leaksJob } from './jobKinds/leaks';
import { nearJob } from './jobKinds/near';
import { splitJob } from './jobKinds/split';
import { tokensJob } from './jobKinds/tokens';

/** How long visible rows are tokenized before an answer, in ms. */
const MEASURED_MS = 150;

/** Different also from those of a dataset that was open before. */
let views = 0;
let versions = 0;

/** The dataset of a page: its file is open, and what is known of its rows grows. */
export class DatasetSession implements OpenedDataset {
  readonly jobs = new DataJobs();
  facts = new RowFacts();
  reading: RowReading;
  counter: TokenCounter | null = null;
  private tools: RowTools | null = null;
  private scan: Scan;
  /** Rows that were counted so far. */
  private seen = 0;
  private entries: Set<string>;
  private view: View;
  private version = ++versions;
  private nearGroups: Int32Array | null = null;

  private constructor(
    private readonly opening: DataOpening,
    private table: Table,
    entries: ReadonlySet<string> | null,
  ) {
    const { file, settings } = opening;
    this.reading = { file, unit: table.unit, settings };
    this.entries = new Set(entries);
    this.scan = new Scan(this.reading);
    this.view = { id: ++views, wanted: NO_FILTER, rows: null };
  }

  /** @throws LoraError('dataset') when the file or its list of excluded rows cannot be read */
  static async open(opening: DataOpening): Promise<DatasetSession> {
    const list = await readExcluded(opening.file);
    const table = await openTable(opening.file);
    const session = new DatasetSession(opening, table, list?.entries ?? null);
    session.readThrough();
    return session;
  }

  async describe(): Promise<DataFacts> {
    const { kind, unit, path } = this.table;
    const { size: bytes } = await stat(path);
    const readOnly = kind.format === 'jsonl' ? null : 'format';
    return {
      format: kind.packing === null ? kind.format : `${kind.format}, ${kind.packing}`,
      bytes,
      unit,
      readOnly: kind.packing === null ? readOnly : 'packed',
    };
  }

  /** Rows that are known to exist. */
  get total(): number {
    return this.table.count ?? Math.max(this.seen, this.facts.length);
  }

  get isRead(): boolean {
    return this.scan.isComplete;
  }

  /** Loads the tokenizer and the template of a model. @throws LoraError of the model */
  async useBase({ base: file, maxLength, labels }: DataBase) {
    const base = await openBase(file);
    try {
      const tools = await dataToolsOf(base);
      const { tokenizer, vocab_size, max_positions } = tools;
      if (!tokenizer || this.reading.settings.task !== 'causal_lm') {
        this.setTools(null);
        return { name: base.name, limit: 0 };
      }
      const limit = Math.min(maxLength, max_positions);
      this.setTools({
        tokenizer,
        max_length: limit,
        labels,
        images: rowImagesOf(this.reading.file, tools),
        ...(vocab_size !== undefined && { vocab_size }),
      });
      return { name: base.name, limit };
    } finally {
      await base.close();
    }
  }

  private setTools(tools: RowTools | null): void {
    this.tools = tools;
    this.counter = tools && new TokenCounter(tools, this.reading);
    this.jobs.stop('tokens');
    this.facts.forgetTokens();
    this.version = ++versions;
  }

  async rows({ view, from, count, measure }: RowsAsked): Promise<RowsAnswer> {
    const { version } = this;
    const none = { view, version, from, rows: [] };
    if (view !== this.view.id) return none;
    const reads = await this.readView(from, count);
    if (measure) this.measure(reads);
    const limit = this.tools?.max_length ?? Infinity;
    const rows = reads.map(({ row, read }) => gridRow(read, row, this.facts, limit));
    return { ...none, rows };
  }

  private measure(reads: readonly { readonly row: number; readonly read: ReadRow }[]): void {
    const end = performance.now() + MEASURED_MS;
    for (const { row, read } of reads) {
      if (!this.counter || row >= this.facts.length || performance.now() > end) return;
      if (this.facts.needsTokens(row)) this.facts.setTokens(row, this.counter.count(read));
    }
  }

  private async readView(from: number, count: number) {
    const { rows } = this.view;
    const wanted = rows
      ? [...rows.view().subarray(from, from + count)]
      : Array.from({ length: Math.max(0, Math.min(count, this.total - from)) }, (_, i) => from + i);
    const raws = await this.rawRows(wanted);
    return wanted.flatMap((row, i) => {
      const raw = raws[i];
      return raw ? [{ row, read: readOne(raw, this.reading) }] : [];
    });
  }

  /** Rows by their places; rows that follow each other are read together. */
  async rawRows(rows: readonly number[]): Promise<(RawRow | null)[]> {
    const [first] = rows;
    if (first === undefined) return [];
    const follow = rows.every((row, i) => row === first + i);
    if (follow || this.table.kind.packing !== null) return this.rowsFrom(first, rows);
    const found: (RawRow | null)[] = [];
    for (const row of rows)
      found.push(
        await this.table.at({ number: this.facts.numberAt(row), offset: this.facts.offsetAt(row) }),
      );
    return found;
  }

  private async rowsFrom(first: number, wanted: readonly number[]): Promise<(RawRow | null)[]> {
    const places = new Map(wanted.map((row, i) => [row, i]));
    const found = wanted.map((): RawRow | null => null);
    const last = Math.max(...wanted);
    let row = first;
    for await (const batch of this.table.rows(first)) {
      for (const raw of batch) {
        const at = places.get(row++);
        if (at !== undefined) found[at] = raw;
      }
      if (row > last) break;
    }
    return found;
  }

  /** @throws LoraError('dataset') where there is no such row */
  async readRow(row: number): Promise<ReadRow> {
    const [raw] = await this.rawRows([row]);
    if (!raw) throw new LoraError('dataset', 'The row is no longer there.', this.placed());
    return readOne(raw, this.reading);
  }

  async detail(row: number): Promise<RowDetail> {
    const read = await this.readRow(row);
    const isExcluded = row < this.facts.length && this.facts.isExcluded(row);
    return rowDetail(read, row, { tools: this.tools, reading: this.reading, isExcluded });
  }

  /** @throws LoraError where the image cannot be read */
  async thumbnail(row: number, image: number): Promise<Thumbnail> {
    const read = await this.readRow(row);
    return rowThumbnail(read.row, image, path.dirname(this.reading.file));
  }

  progress(): DataProgress {
    const { view, version, facts } = this;
    const { faults, twins, excluded, near } = facts.counts;
    const counted = facts.hasTokens ? this.cutRows() : null;
    return {
      view: view.id,
      version,
      total: view.rows?.length ?? this.total,
      isComplete: this.table.count !== null,
      counts: { all: this.table.count, faults, twins, near, cut: counted, excluded },
      jobs: this.jobs.list,
      ends: this.jobs.takeEnds(),
    };
  }

  private cutRows(): number {
    const limit = this.tools?.max_length ?? Infinity;
    let cut = 0;
    for (let row = 0; row < this.facts.length; row++)
      if ((this.facts.tokensAt(row) ?? 0) > limit) cut++;
    return cut;
  }

  statistics(): DataStatistics | null {
    return this.isRead ? this.scan.statistics(this.facts) : null;
  }

  start(work: DataWork): void {
    switch (work.job) {
      case 'find':
        this.find(work.wanted);
        break;
      case 'tokens':
        void this.jobs
          .start('tokens', (control) => tokensJob(this, this.table, control))
          .then(() => (this.version = ++versions));
        break;
      case 'near':
        void this.jobs
          .start('near', (control) => nearJob(this, this.table, control))
          .then(() => (this.version = ++versions));
        break;
      case 'leaks':
        void this.jobs.start('leaks', (control) => leaksJob(this, this.table, work, control));
        break;
      case 'split':
        void this.jobs.start('split', (control) => splitJob(this, this.table, work, control));
        break;
    }
  }

  /** Shows the rows that are wanted, which are found one after the other. */
  private find(wanted: WantedRows): void {
    this.jobs.stop('find');
    this.view = viewOf(++views, wanted);
    const { view } = this;
    if (view.rows)
      void this.jobs.start('find', (control) => findJob(this, this.table, view, control));
  }

  get limit(): number {
    return this.tools?.max_length ?? Infinity;
  }

  /** Excludes rows or includes them again, in the list beside the dataset. Returns those. */
  async exclude(rows: readonly number[] | 'view', isExcluded: boolean): Promise<number[]> {
    const places = rows === 'view' ? [...(this.view.rows?.view() ?? [])] : rows;
    if (!this.isRead || this.jobs.isRunning('find'))
      throw new LoraError('dataset', 'The rows are still being read.', this.placed());
    const { facts } = this;
    const changed = places.filter((row) => facts.isExcluded(row) !== isExcluded);
    const entries = new Set(this.entries);
    for (const [i, entry] of facts.entriesOf(changed).entries()) {
      if (entry === null) throw this.unlistable(changed[i]!);
      if (isExcluded) entries.add(entry);
      else entries.delete(entry);
    }
    if (changed.length > 0) await writeExcluded(this.reading.file, entries);
    this.entries = entries;
    for (const row of changed) facts.setExcluded(row, isExcluded);
    this.version = ++versions;
    return changed;
  }

  private unlistable(row: number): LoraError {
    const { file, unit } = this.reading;
    return new LoraError('dataset', 'A row that cannot be read cannot be excluded.', {
      place: { file, [unit]: this.facts.numberAt(row) },
      fix: 'Correct it in the file.',
    });
  }

  /** Groups of near-duplicates, where they were searched. */
  get groups(): Int32Array | null {
    return this.nearGroups;
  }

  setGroups(groups: Int32Array): void {
    this.nearGroups = groups;
    this.facts.setLikes(groups);
  }

  /**
   * After a row was written, or one after the last: what is known of the others stays until the
   * file has been read again.
   */
  async rewritten(row: number, bytes: number): Promise<void> {
    for (const { job } of this.jobs.list) this.jobs.stop(job);
    this.table = await openTable(this.reading.file);
    this.facts.shiftBehind(row, bytes);
    this.version = ++versions;
    const counted = this.countRows();
    const facts = new RowFacts();
    const scan = new Scan(this.reading);
    const excluded = new ExcludedRows(this.entries);
    void this.jobs.start('facts', async (control) => {
      await counted;
      await scan.run(this.table, facts, excluded, control);
      facts.takeTokens(this.facts);
      this.nearGroups = null;
      [this.facts, this.scan] = [facts, scan];
      this.version = ++versions;
      return null;
    });
  }

  private readThrough(): void {
    const excluded = new ExcludedRows(this.entries);
    const counted = this.countRows();
    void this.jobs
      .start('facts', async (control) => {
        await counted;
        return this.scan.run(this.table, this.facts, excluded, control);
      })
      .then(() => (this.version = ++versions));
  }

  /** Quickly, so that the grid can go anywhere. */
  private countRows(): Promise<void> {
    const { table } = this;
    return this.jobs.start('count', async (control) => {
      if (table.count !== null) return null;
      let seen = 0;
      const onBytes = (done: number, size: number) => control.report(done / Math.max(1, size));
      for await (const batch of table.rows(0, onBytes)) {
        seen += batch.length;
        this.seen = Math.max(this.seen, seen);
        await control.pause();
      }
      return null;
    });
  }

  async close(): Promise<void> {
    this.jobs.stopAll();
    await this.table.close();
  }

  placed() {
    return { place: { file: this.opening.file } };
  }
}
