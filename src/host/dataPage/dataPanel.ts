import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { excludedFileOf } from '../../formats/excludedRows';
import type { DataFacts, DataResult } from '../../inspect/dataset/questions';
import { LoraError } from '../../shared/errors';
import {
  asDataPageMessage,
  type DataHostMessage,
  type DataPageMessage,
} from '../../shared/pages/data/protocol';
import { COMMANDS } from '../commands/commandTable';
import { openPlace } from '../editor/openPlace';
import { Inspections, type InspectionOptions } from '../inspection/inspections';
import { formatNumber, t } from '../text/l10n';
import { browse } from '../ui/inputs';
import { setTitle } from '../ui/panels';
import { openPage, sender } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import type { PanelPage } from '../webview/panelSet';
import { askShare } from './askShare';
import { DataClient } from './dataClient';
import { Drafts } from './drafts';
import { RowAnswers } from './rowAnswers';
import { sendThumbnails } from './rowThumbnails';
import {
  datasetOf,
  nameOf,
  settingsOf,
  splitFiles,
  type DataSettings,
  type DataSubject,
} from './subject';
import { splitText } from './splitText';
import { UndoStack } from './undo';
import { whyReadOnly } from './whyReadOnly';
import { refuseUnsaved, writeRow } from './writeRow';

/** What the pages need. */
export interface DataPanelOptions extends PanelHost {
  readonly inspection: InspectionOptions;
  /** Asks for a model. Undefined: cancelled. */
  readonly chooseBase: () => Promise<string | undefined>;
  /** The validation file that goes with a dataset by its name; null: none. */
  readonly validationOf: (file: string) => Promise<string | null>;
}

/** What an open dataset may take: its index stays in memory, and large files are copied. */
const LIMITS = { seconds: 300, heap: 1_024, idle: 1_000_000 };
/** How often the process is asked how far it is, in ms. */
const POLL_MS = 120;
/** How long a file is not written before it is read again, in ms. */
const SETTLE_MS = 500;

type Message<K extends DataPageMessage['kind']> = Extract<DataPageMessage, { kind: K }>;

/** A page that shows a dataset, and the process that reads it. */
export class DataPanel implements PanelPage {
  private readonly client: DataClient;
  private readonly send: (message: DataHostMessage) => void;
  private readonly disposables: { dispose(): unknown }[];
  private readonly undo = new UndoStack();
  private readonly drafts: Drafts;
  private settings: DataSettings | undefined;
  private facts: DataFacts | undefined;
  private base: { readonly name: string; readonly limit: number } | null = null;
  private readonly rows: RowAnswers;
  private poll: NodeJS.Timeout | undefined;
  private shown = '';
  private statisticsOf = '';
  private canDraft = false;
  private settling: NodeJS.Timeout | undefined;
  /** Sizes and times of the files as the page knows them. */
  private stamp = '';
  private isDisposed = false;

  constructor(
    readonly panel: vscode.WebviewPanel,
    private subject: DataSubject,
    private readonly options: DataPanelOptions,
  ) {
    const { file } = subject;
    const inspections = new Inspections({ ...options.inspection, limits: LIMITS });
    this.client = new DataClient(inspections, file);
    this.send = sender(panel);
    this.rows = new RowAnswers({
      client: this.client,
      send: this.send,
      hasTokens: () => this.base !== null,
      fail: (error) => this.sayError(error),
    });
    this.drafts = new Drafts(this.client, (drafts, isWriting) =>
      this.send({ kind: 'drafts', drafts: [...drafts], isWriting }),
    );
    const watcher = vscode.workspace.createFileSystemWatcher(
      new vscode.RelativePattern(vscode.Uri.file(path.dirname(file)), `${path.basename(file)}*`),
    );
    const changed = () => this.changedSoon();
    this.disposables = [
      inspections,
      watcher,
      watcher.onDidChange(changed),
      watcher.onDidCreate(changed),
      watcher.onDidDelete(changed),
      panel.webview.onDidReceiveMessage((value: unknown) => this.receive(value)),
    ];
    setTitle(panel, nameOf(subject));
    openPage(panel.webview, {
      extensionUri: options.extensionUri,
      page: 'data',
      facts: {
        file,
        source: subject.source ?? '',
        recipe: subject.recipe ?? '',
        base: subject.base ?? '',
      },
    });
  }

  dispose(): void {
    this.isDisposed = true;
    clearTimeout(this.poll);
    clearTimeout(this.settling);
    this.drafts.stop();
    for (const disposable of this.disposables) disposable.dispose();
  }

  private receive(value: unknown): void {
    const message = asDataPageMessage(value);
    if (!message || message.kind === 'trouble') {
      this.options.log(`Data page: ${message?.message ?? 'a message was not understood'}`);
      return;
    }
    if (message.kind === 'ready') void this.open();
    else if (message.kind === 'rows') this.rows.ask(message);
    else void this.act(message).catch((error: unknown) => this.sayError(error));
  }

  private sayError(error: unknown): void {
    if (this.isDisposed) return;
    const own = LoraError.from(error, 'dataset');
    if (own.area !== 'cancelled') this.say(own.describe(), true);
  }

  private say(message: string, isError = false): void {
    this.send({ kind: 'said', message, isError });
  }

  private async open(): Promise<void> {
    try {
      this.settings = await settingsOf(this.subject);
      this.facts = await this.client.ask('dataOpen', { settings: this.settings.rows });
      this.stamp = await this.stampNow();
      this.undo.clear();
      this.base = null;
      this.shown = '';
      this.sendDataset();
      this.pollSoon(0);
      // loading a tokenizer would keep the process from answering
      await this.rows.untilShown();
      this.canDraft = await Drafts.areOffered();
      await this.useBase();
      this.sendDataset();
    } catch (error) {
      if (!this.isDisposed)
        this.send({ kind: 'fault', message: LoraError.from(error, 'dataset').describe() });
    }
  }

  /** A model that cannot be read leaves the page without tokens, and says so. */
  private async useBase(): Promise<void> {
    const { base, maxLength, labels } = this.settings ?? {};
    if (!base || !maxLength || !labels) return;
    try {
      const used = await this.client.ask('dataBase', { base, maxLength, labels });
      this.base = used.limit === 0 ? null : used;
    } catch (error) {
      this.sayError(error);
    }
    this.pollSoon(0);
  }

  private sendDataset(): void {
    const { facts, base, subject } = this;
    if (!facts) return;
    this.send({
      kind: 'dataset',
      name: nameOf(subject),
      format: facts.format,
      bytes: facts.bytes,
      unit: facts.unit,
      readOnly: whyReadOnly(facts),
      base: base?.name ?? null,
      recipe: subject.recipe,
      maxLength: base?.limit ?? null,
      validation: this.settings?.validation ?? null,
      canDraft: this.canDraft,
    });
  }

  // progress

  private pollSoon(delay = POLL_MS): void {
    clearTimeout(this.poll);
    this.poll = setTimeout(() => {
      this.tellProgress().catch((error: unknown) => this.sayError(error));
    }, delay);
  }

  private async tellProgress(): Promise<void> {
    const { ends, ...progress } = await this.client.ask('dataProgress', {});
    const message = { kind: 'progress', ...progress, undo: this.undo.length } as const;
    const text = JSON.stringify(message);
    if (text !== this.shown) this.send({ ...message, jobs: [...message.jobs] });
    this.shown = text;
    for (const end of ends)
      if (end.kind === 'failed') this.sayError(LoraError.deserialize(end.error));
      else this.tellResult(end);
    if (progress.isComplete && progress.total === 0) this.rows.sayNone();
    if (progress.jobs.length > 0) this.pollSoon();
    else await this.tellStatistics(`${progress.version}`);
  }

  private async tellStatistics(version: string): Promise<void> {
    if (this.statisticsOf === version) return;
    this.statisticsOf = version;
    const statistics = await this.client.ask('dataStatistics', {});
    if (statistics) this.send({ kind: 'statistics', statistics });
  }

  private tellResult(result: DataResult): void {
    switch (result.kind) {
      case 'near':
        this.say(
          t(
            '{0} {0|row is|rows are} nearly the same as an earlier one.',
            formatNumber(result.rows),
          ),
        );
        break;
      case 'leaks': {
        const { other, rows, equal, near, listed } = result;
        const file = path.basename(other);
        this.send({ kind: 'leaks', file, rows, equal, near, listed: [...listed] });
        break;
      }
      case 'split':
        this.say(splitText(result));
        break;
    }
  }

  // actions

  private async act(message: Exclude<DataPageMessage, Message<'ready' | 'rows' | 'trouble'>>) {
    switch (message.kind) {
      case 'open':
        return this.openRow(message.row);
      case 'find':
        await this.client.ask('dataStart', { work: { job: 'find', wanted: message.wanted } });
        this.pollSoon(0);
        return;
      case 'start':
        return this.start(message.job);
      case 'stop':
        await this.client.ask('dataStop', { job: message.job });
        this.pollSoon(0);
        return;
      case 'edit':
        return this.edit(message);
      case 'exclude':
        return this.exclude([message.row], message.isExcluded);
      case 'excludeShown':
        return this.exclude('view', message.isExcluded);
      case 'undo':
        return this.undoLast();
      case 'openFile':
        return this.openFile(message.row);
      case 'chooseBase':
        return this.chooseBase();
      case 'train':
        await vscode.commands.executeCommand(COMMANDS.trainOnDataset.id, datasetOf(this.subject));
        return;
      case 'draft':
        return this.drafts.write();
      case 'stopDraft':
        this.drafts.stop();
        return;
      case 'keepDraft':
        return this.keepDraft(message);
    }
  }

  private openedRow: number | null = null;

  private async openRow(row: number | null): Promise<void> {
    this.openedRow = row;
    const detail = row === null ? null : await this.client.ask('dataRow', { row });
    if (this.openedRow === row) this.send({ kind: 'detail', detail });
    const { client, send } = this;
    const isOpen = () => this.openedRow === row && !this.isDisposed;
    if (detail) await sendThumbnails(detail, { client, send, isOpen });
  }

  private async start(job: Message<'start'>['job']): Promise<void> {
    switch (job) {
      case 'tokens':
      case 'near':
        await this.client.ask('dataStart', { work: { job } });
        break;
      case 'leaks': {
        const other = await this.validationFile();
        if (other === undefined) return;
        await this.client.ask('dataStart', { work: { job, other } });
        break;
      }
      case 'split': {
        const share = await askShare();
        if (share === undefined) return;
        this.requireTrust();
        const { seed = 0 } = this.settings ?? {};
        const files = splitFiles(this.subject);
        await this.client.ask('dataStart', { work: { job, share, seed, ...files } });
        break;
      }
    }
    this.pollSoon(0);
  }

  private async validationFile(): Promise<string | undefined> {
    const named = this.settings?.validation ?? (await this.options.validationOf(this.subject.file));
    return named ?? browse('file', t('Validation Dataset'));
  }

  private requireTrust(): void {
    if (!vscode.workspace.isTrusted)
      throw new LoraError('usage', t('Files are written only in trusted workspaces.'));
  }

  private async edit({ row, hash, fields, raw }: Message<'edit'>): Promise<void> {
    this.requireTrust();
    const planned = await this.client.ask('dataPlanEdit', { row, hash, fields, raw });
    const { file } = this.subject;
    if (planned.after !== planned.before) {
      await this.writing(() => writeRow({ file, row, ...planned }, this.client.inspections));
      this.undo.push({ kind: 'edit', row, before: planned.before, after: planned.after });
    }
    this.send({ kind: 'saved' });
    await this.openRow(row);
    this.pollSoon(0);
  }

  private async exclude(rows: readonly number[] | 'view', isExcluded: boolean): Promise<void> {
    this.requireTrust();
    const changed = await this.writing(() => this.client.ask('dataExclude', { rows, isExcluded }));
    if (changed.length > 0) this.undo.push({ kind: 'exclude', rows: changed, isExcluded });
    const count = formatNumber(changed.length);
    const list = path.basename(excludedFileOf(this.subject.file));
    this.say(
      isExcluded
        ? t('{0} {0|row|rows} excluded, in {1}.', count, list)
        : t('{0} {0|row|rows} included again.', count),
    );
    await this.shownAgain();
  }

  private async shownAgain(): Promise<void> {
    if (this.openedRow !== null) await this.openRow(this.openedRow);
    this.pollSoon(0);
  }

  private async undoLast(): Promise<void> {
    const { last } = this.undo;
    if (!last) return;
    if (last.kind === 'exclude') {
      const { rows, isExcluded } = last;
      await this.writing(() => this.client.ask('dataExclude', { rows, isExcluded: !isExcluded }));
    } else {
      const { row, before, after } = last;
      const { file } = this.subject;
      const { number } = await this.client.ask('dataRow', { row });
      const write = { file, row, number, before: after, after: before };
      await this.writing(() => writeRow(write, this.client.inspections));
    }
    this.undo.drop(last);
    this.say(t('Undone.'));
    await this.shownAgain();
  }

  /** Writes, and remembers the files as they are then: they are not those of another program. */
  private async writing<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } finally {
      this.stamp = await this.stampNow();
    }
  }

  private async openFile(row: number): Promise<void> {
    const { number } = await this.client.ask('dataRow', { row });
    const { file } = this.subject;
    if (this.facts?.unit === 'line' && this.facts.readOnly !== 'packed')
      await openPlace({ file, line: number });
    else await vscode.commands.executeCommand('vscode.open', vscode.Uri.file(file));
  }

  private async chooseBase(): Promise<void> {
    const base = await this.options.chooseBase();
    if (base === undefined || !this.settings) return;
    this.subject = { ...this.subject, base };
    this.settings = { ...this.settings, base };
    this.base = null;
    await this.useBase();
    this.sendDataset();
    await this.shownAgain();
  }

  private async keepDraft({ id, isKept }: Message<'keepDraft'>): Promise<void> {
    if (isKept) this.requireTrust();
    if (isKept) refuseUnsaved(this.subject.file);
    const text = this.drafts.take(id);
    if (!isKept || text === undefined) return;
    await this.writing(() => this.client.ask('dataAppend', { text }));
    this.say(t('The row was added at the end.'));
    this.pollSoon(0);
  }

  // changes by others

  private changedSoon(): void {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      void this.stampNow().then((stamp) => {
        if (stamp !== this.stamp && !this.isDisposed) void this.open();
      });
    }, SETTLE_MS);
  }

  private async stampNow(): Promise<string> {
    const { file } = this.subject;
    const stamps = [file, excludedFileOf(file)].map((each) =>
      stat(each).then(
        ({ size, mtimeMs, ino }) => `${size} ${mtimeMs} ${ino}`,
        () => '',
      ),
    );
    return (await Promise.all(stamps)).join('|');
  }
}
