import { histogram } from '../../data/dataset/examine';
import { DuplicateFinder } from '../../data/dataset/duplicates';
import { scriptOf } from '../../data/quality/scripts';
import type { ExcludedRows } from '../../formats/excludedRows';
import { contentOfRaw } from '../../data/rows/rawRow';
import type { RawRow, Table } from '../../formats/tables/table';
import { kindOfMessage } from '../../shared/problemKinds';
import type { DataStatistics } from '../../shared/pages/data/protocol';
import type { JobControl } from './jobs';
import type { RowFacts } from './rowFacts';
import { faultOf, hashOf, readOne, textsOf, type ReadRow, type RowReading } from './rowReader';
import { lengthOf } from './shownRow';

/** Names that are counted, of roles and of kinds of errors; more become one. */
const MOST_NAMES = 20;
const OTHERS = '…';

/** Reads all rows once, and keeps what there is to say of them. */
export class Scan {
  isComplete = false;
  private readonly duplicates = new DuplicateFinder();
  private readonly roles = new Map<string, number>();
  private readonly scripts = new Map<string, number>();
  private readonly faults = new Map<string, number>();

  constructor(private readonly reading: RowReading) {}

  async run(
    table: Table,
    facts: RowFacts,
    excluded: ExcludedRows,
    control: JobControl,
  ): Promise<null> {
    const onBytes = (done: number, size: number) => control.report(done / Math.max(1, size));
    for await (const batch of table.rows(0, onBytes)) {
      for (const raw of batch) this.add(raw, facts, excluded);
      await control.pause();
    }
    this.isComplete = true;
    return null;
  }

  private add(raw: RawRow, facts: RowFacts, excluded: ExcludedRows): void {
    const read = readOne(raw, this.reading);
    const texts = textsOf(read);
    const content = contentOfRaw(raw);
    const fault = faultOf(read.problems.problems());
    facts.add({
      offset: raw.offset,
      number: raw.number,
      length: lengthOf(texts),
      hash: hashOf(raw),
      isFaulty: fault !== null,
      isExcluded: content !== null && excluded.isExcluded(content),
      twin: this.twinOf(read),
    });
    if (fault !== null) count(this.faults, kindOfMessage(fault));
    for (const { role } of read.row ? texts : []) count(this.roles, role);
    if (read.row) count(this.scripts, scriptOf(texts.map(({ text }) => text).join('\n')));
  }

  private twinOf({ row }: ReadRow): number | null {
    const known = row && this.duplicates.find(row);
    return known && known.first !== row.line ? known.first : null;
  }

  statistics(facts: RowFacts): DataStatistics {
    const unit = facts.hasTokens ? 'tokens' : 'characters';
    const lengthAt = (row: number) =>
      unit === 'tokens' ? (facts.tokensAt(row) ?? 0) : facts.lengthAt(row);
    const lengths = Int32Array.from({ length: facts.length }, (_, row) => lengthAt(row)).sort();
    return {
      rows: facts.length,
      lengthUnit: unit,
      lengths: [...histogram(lengths)],
      median: lengths[Math.floor((lengths.length - 1) / 2)] ?? 0,
      longest: lengths.at(-1) ?? 0,
      roles: listed(this.roles),
      scripts: listed(this.scripts),
      faults: listed(this.faults),
    };
  }
}

function count(counts: Map<string, number>, name: string): void {
  const own = counts.has(name) || counts.size < MOST_NAMES ? name : OTHERS;
  counts.set(own, (counts.get(own) ?? 0) + 1);
}

/** The most frequent first. */
const listed = (counts: ReadonlyMap<string, number>) =>
  [...counts].map(([name, own]) => ({ name, count: own })).sort((a, b) => b.count - a.count);
