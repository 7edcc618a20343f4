import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import type { EvaluatedRow, Evaluation } from '../../shared/evaluation/result';
import {
  asEvaluationPageMessage,
  asEvaluationPageState,
  type EvaluationHostMessage,
  type EvaluationPageMessage,
  type ExportFormat,
} from '../../shared/pages/evaluation/protocol';
import { openPlace } from '../editor/openPlace';
import { VIEWS } from '../manifest/ids';
import { fileName } from '../text/fileName';
import { t } from '../text/l10n';
import { askWhereToSave } from '../ui/inputs';
import { setTitle } from '../ui/panels';
import { openPage, sender } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import { PanelSet, type PanelPage } from '../webview/panelSet';
import { readEvaluation, readRows, readVotes, writeVotes } from './evaluationFiles';
import { briefOf, openedOf, rowsWith } from './rowViews';
import { Voting } from './voting';

/** What the pages need. */
export interface EvaluationPanelOptions extends PanelHost {
  /** The name of an evaluation. */
  readonly nameOf: (folder: string, evaluation: Evaluation) => string;
  /** The names of its models: those of their runs if they have one. */
  readonly labelsOf: (evaluation: Evaluation) => readonly string[];
  readonly again: (evaluation: Evaluation) => Promise<void>;
  /** Writes the engine's report, as the file's name says. False: cancelled. */
  readonly writeReport: (folder: string, file: string) => Promise<boolean>;
}

/** Rows that are sent in one message. */
const AT_ONCE = 1_000;

const ENDINGS: Readonly<Record<ExportFormat, string>> = {
  html: 'html',
  markdown: 'md',
  csv: 'csv',
};

/** The pages of evaluations, one for each folder. */
export const evaluationPanels = (
  options: EvaluationPanelOptions,
): PanelSet<string, EvaluationPanel> =>
  new PanelSet({
    view: VIEWS.evaluation,
    subjectOf: (state) => asEvaluationPageState(state)?.folder,
    keyOf: (folder) => folder,
    make: (panel: vscode.WebviewPanel, folder) => new EvaluationPanel(panel, folder, options),
  });

interface Shown {
  readonly evaluation: Evaluation;
  readonly name: string;
  readonly rows: readonly EvaluatedRow[];
  readonly voting: Voting;
}

/** The page sends `ready` whenever VS Code has loaded it. */
class EvaluationPanel implements PanelPage {
  private readonly send: (message: EvaluationHostMessage) => void;
  private readonly listener: vscode.Disposable;
  private shown: Shown | undefined;
  /** The last writing of votes: they are written one after another. */
  private writing = Promise.resolve();

  constructor(
    readonly panel: vscode.WebviewPanel,
    private readonly folder: string,
    private readonly options: EvaluationPanelOptions,
  ) {
    this.send = sender(panel);
    this.listener = panel.webview.onDidReceiveMessage((value: unknown) => this.receive(value));
    setTitle(panel, t('Evaluation'));
    openPage(panel.webview, {
      extensionUri: options.extensionUri,
      page: 'evaluation',
      facts: { folder },
    });
  }

  dispose(): void {
    this.listener.dispose();
  }

  private receive(value: unknown): void {
    const message = asEvaluationPageMessage(value);
    if (!message || message.kind === 'trouble')
      this.options.log(`Evaluation: ${message?.message ?? 'a message was not understood'}`);
    else if (message.kind === 'ready') void this.open();
    else this.handle(message).catch((error: unknown) => this.options.report(error));
  }

  private async open(): Promise<void> {
    try {
      const evaluation = await readEvaluation(this.folder);
      const name = this.options.nameOf(this.folder, evaluation);
      setTitle(this.panel, t('Evaluation of {0}', name));
      const labels = this.options.labelsOf(evaluation);
      const columns = evaluation.columns.map((column, i) => ({ ...column, name: labels[i]! }));
      const base = evaluation.base && vscode.workspace.asRelativePath(evaluation.base);
      this.send({ kind: 'evaluation', name, evaluation: { ...evaluation, columns, base } });
      const rows = await readRows(this.folder, evaluation);
      const names = evaluation.columns.map((column) => column.name);
      const votes = await readVotes(this.folder);
      const voting = new Voting(evaluation.id, names, rows, votes);
      this.shown = { evaluation, name, rows, voting };
      this.sendRows(rows);
      this.sendRatings();
    } catch (error) {
      this.send({ kind: 'fault', message: LoraError.from(error, 'run').describe() });
    }
  }

  private sendRows(rows: readonly EvaluatedRow[]): void {
    let from = 0;
    do {
      const some = rows.slice(from, from + AT_ONCE).map(briefOf);
      const isComplete = from + some.length >= rows.length;
      this.send({ kind: 'rows', from, rows: some, isComplete });
      from += AT_ONCE;
    } while (from < rows.length);
  }

  private sendRatings(): void {
    const ratings = this.shown?.voting.ratings(this.shown.rows) ?? null;
    this.send({ kind: 'ratings', ratings });
  }

  private async handle(
    message: Exclude<EvaluationPageMessage, { readonly kind: 'ready' | 'trouble' }>,
  ): Promise<void> {
    const { shown } = this;
    if (!shown) return;
    const rowAt = (index: number | null) => shown.rows.find((row) => row.index === index);
    switch (message.kind) {
      case 'open': {
        const row = rowAt(message.row);
        this.send({ kind: 'row', row: row ? openedOf(row) : null });
        return;
      }
      case 'find':
        this.send({ ...message, kind: 'found', rows: rowsWith(shown.rows, message.text) });
        return;
      case 'openFile': {
        const row = rowAt(message.row);
        return row && openPlace({ file: row.file, line: row.line });
      }
      case 'export':
        return this.export(message.format, shown);
      case 'again':
        return this.options.again(shown.evaluation);
      default:
        return this.vote(message, shown.voting);
    }
  }

  private async vote(
    message: Extract<
      EvaluationPageMessage,
      { readonly kind: 'startVoting' | 'vote' | 'skip' | 'undoVote' | 'endVoting' }
    >,
    voting: Voting,
  ): Promise<void> {
    if (!vscode.workspace.isTrusted)
      throw new LoraError('usage', t('This workspace is not trusted, so no votes are kept.'), {
        fix: t('Trust the workspace if you know its authors.'),
      });
    if (message.kind === 'vote') voting.vote(message.id, message.choice, new Date().toISOString());
    if (message.kind === 'skip') voting.skip(message.id);
    if (message.kind === 'undoVote') voting.undo();
    const ballot = message.kind === 'endVoting' ? null : voting.next();
    if (!ballot) this.sendRatings();
    this.send({ kind: 'ballot', ballot });
    if (message.kind === 'startVoting' && !ballot)
      this.send({
        kind: 'said',
        message: t('There are no pairs left to vote on.'),
        isError: false,
      });
    if (message.kind === 'vote' || message.kind === 'undoVote') await this.keep(voting);
  }

  private keep(voting: Voting): Promise<void> {
    const { counted } = voting;
    const written = this.writing.then(() => writeVotes(this.folder, counted));
    this.writing = written.catch(() => undefined);
    return written;
  }

  private async export(format: ExportFormat, { name }: Shown): Promise<void> {
    const ending = ENDINGS[format];
    const target = await askWhereToSave(path.dirname(this.folder), `${fileName(name)}.${ending}`, {
      [ending]: [ending],
    });
    if (!target || !(await this.options.writeReport(this.folder, target.fsPath))) return;
    this.send({ kind: 'said', message: t('Saved: {0}', target.fsPath), isError: false });
  }
}
