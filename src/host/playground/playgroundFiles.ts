import path from 'node:path';
import type {
  PlaygroundHostMessage,
  PlaygroundPageMessage,
} from '../../shared/pages/playground/protocol';
import { refuseUntrusted } from '../jobs/jobs';
import { appendRows } from './appendRows';
import { chooseRowsFile, chooseTools, type RowKind } from './chosenFiles';
import { pairOf } from './pairs';
import { withRelativeImages } from './relativeImages';

/** The file operations that a page requests. */
export type FilesMessage = Extract<
  PlaygroundPageMessage,
  { kind: 'append' } | { kind: 'prefer' } | { kind: 'chooseTools' | 'otherFile' }
>;

/** The files of a playground: tools that are read, and datasets that answers are appended to. */
export class PlaygroundFiles {
  /** Where rows are appended to. */
  private readonly files = new Map<RowKind, string>();

  /** @param folder The folder that is suggested. */
  constructor(
    private readonly send: (message: PlaygroundHostMessage) => void,
    private readonly folder: () => string,
  ) {}

  /** @throws LoraError where a file cannot be read or written */
  async handle(message: FilesMessage): Promise<void> {
    switch (message.kind) {
      case 'append':
        return this.append('chats', [message.example]);
      case 'prefer':
        return this.append('pairs', pairsOf(message));
      case 'otherFile':
        this.files.clear();
        return;
      case 'chooseTools': {
        const tools = await chooseTools();
        if (tools !== undefined) this.send({ kind: 'tools', tools });
      }
    }
  }

  /** Appends rows to a file that is asked for once. */
  private async append(kind: RowKind, rows: readonly string[]): Promise<void> {
    refuseUntrusted();
    if (rows.length === 0) return;
    const file = this.files.get(kind) ?? (await chooseRowsFile(kind, this.folder()));
    if (file === undefined) return;
    const folder = path.dirname(file);
    await appendRows(
      file,
      rows.map((row) => withRelativeImages(row, folder)),
    );
    this.files.set(kind, file);
    this.send({ kind: 'appended', rows: rows.length, file: path.basename(file) });
  }
}

/** A row for each answer that is worse. */
const pairsOf = ({ chosen, rejected }: Extract<FilesMessage, { kind: 'prefer' }>): string[] =>
  rejected.flatMap((worse) => pairOf(chosen, worse) ?? []);
